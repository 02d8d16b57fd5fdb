"""A low-pass filter in front of a net: the defence that people try first, here to be attacked and measured.

In: a net and the rate of its recordings. Out: a module that filters each lead and gives the net what is left; it is
trained, exported and attacked as one, so that an attack follows its gradient through the filter (Athalye et al. 2018,
arXiv 1802.00420: what hides the gradient is no defence).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pulseproof.core.errors import InputError

LENGTH_S = 0.3  # of the filter; its edges are as steep as that allows


class SmoothInput(nn.Module):
    """``net`` behind a linear-phase low-pass filter, a Hamming-windowed sinc (Harris 1978), of each lead alone.

    Takes (n, leads, samples) mV. The ends of a recording are padded with zeros.
    """

    def __init__(self, net: nn.Module, leads: int, fs_hz: float, cutoff_hz: float) -> None:
        """Raises InputError for a cut-off that the rate does not hold."""
        super().__init__()
        if cutoff_hz >= fs_hz / 2:
            raise InputError(
                f"cutoff_hz = {cutoff_hz:g} takes nothing out of recordings at {fs_hz:g} Hz",
                f"give less than {fs_hz / 2:g}",
            )
        half = max(1, round(LENGTH_S * fs_hz / 2))
        self.front = nn.Conv1d(leads, leads, 2 * half + 1, padding=half, groups=leads, bias=False)
        self.front.weight.requires_grad_(False)
        self.front.weight.copy_(low_pass(half, cutoff_hz / fs_hz))
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.net(self.front(x))
        return scores


def low_pass(half: int, cutoff: float) -> Tensor:
    """float32 (2 * half + 1,), sums to 1: the taps that pass what is slower than ``cutoff`` cycles a sample."""
    at = torch.arange(-half, half + 1, dtype=torch.float64)
    window = 0.54 + 0.46 * torch.cos(math.pi * at / half)
    taps = 2 * cutoff * torch.sinc(2 * cutoff * at) * window
    return (taps / taps.sum()).float()
