"""The smooth adversarial perturbation (SAP): smooth by construction, not by a penalty.

Han, Hu, Foschini, Chinitz, Jankelson and Ranganath, "Deep learning models for electrocardiograms are susceptible to
adversarial attack", Nature Medicine 2020. A region (:mod:`attacks.aim.region`): the perturbation is a parameter
convolved with the mean of Gaussians of several widths, and the steps are taken on the parameter. Every kernel is
nonnegative and sums to one, so a parameter inside the L-infinity ball gives a perturbation inside it. Sizes and widths
are the paper's, in samples; it has 300 Hz, so that at 100 Hz ours is smoother in time than theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pulseproof.attacks.aim.region import InLinf

SIZES = (5, 7, 11, 15, 19)
SIGMAS = (1.0, 3.0, 5.0, 7.0, 10.0)


@dataclass(frozen=True)
class Smooth(InLinf):
    """``sizes`` (odd) and ``sigmas`` of the Gaussians, in samples."""

    sizes: tuple[int, ...] = SIZES
    sigmas: tuple[float, ...] = SIGMAS

    def steepest(self, gradient: Tensor) -> Tensor:
        """Smoothing is symmetric, so it is its own adjoint: the gradient of the parameter is the smoothed gradient."""
        return self.smoothed(gradient).sign()

    def shaped(self, delta: Tensor) -> Tensor:
        """The perturbation of a parameter."""
        return self.smoothed(delta)

    def smoothed(self, values: Tensor) -> Tensor:
        """``values`` (n, leads, samples) convolved with the kernel, zeros beyond both ends."""
        kernel = self.kernel(values.dtype).to(values.device)
        flat = values.reshape(-1, 1, values.shape[2])
        return nn.functional.conv1d(flat, kernel.reshape(1, 1, -1), padding=len(kernel) // 2).reshape(values.shape)

    def kernel(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The mean of all Gaussians, (largest size,), symmetric, nonnegative, of sum one."""
        largest = max(self.sizes)
        places = torch.arange(largest, dtype=torch.float64) - largest // 2
        total = torch.zeros(largest, dtype=torch.float64)
        for size in self.sizes:
            for sigma in self.sigmas:
                one = torch.exp(-(places**2) / (2 * sigma**2)) * (places.abs() <= size // 2)
                total += one / one.sum()
        return (total / total.sum()).to(dtype)
