"""An attack confined to the band of the heart: what a monitor's filter would let through.

A region (:mod:`attacks.aim.region`): the perturbation holds no frequency outside ``low_hz`` to ``high_hz`` and stays
inside the L-infinity ball. Both sets are convex: after each step it is projected on the one and on the other in turn
(von Neumann 1950, Boyle and Dykstra 1986), and what still exceeds the ball at the end is scaled into it, which leaves
the band alone. Rounding to the recorder's steps adds white noise of a step over the root of twelve; the signal set's
description says how much energy is outside the band in the end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pulseproof.attacks.aim.ball import LINF, TINY
from pulseproof.attacks.aim.plausibility import HIGH_HZ, LOW_HZ
from pulseproof.attacks.aim.region import InLinf


@dataclass(frozen=True)
class Band(InLinf):
    """``low_hz`` to ``high_hz`` of recordings with ``fs_hz`` samples a second; ``rounds`` of projections after each
    step."""

    low_hz: float = LOW_HZ
    high_hz: float = HIGH_HZ
    fs_hz: float = 100.0
    rounds: int = 8

    def at_rate(self, fs_hz: float) -> Band:
        """The same band at another rate."""
        return replace(self, fs_hz=fs_hz)

    def random(self, like: Tensor, budget_mv: float, generator: torch.Generator) -> Tensor:
        """What of a random point of the ball is in the band."""
        return self.project(super().random(like, budget_mv, generator), budget_mv)

    def project(self, delta: Tensor, budget_mv: float) -> Tensor:
        """A perturbation (n, leads, samples) near ``delta`` that is inside the band and inside the ball."""
        for _ in range(self.rounds):
            delta = LINF.project(self.in_band(delta), budget_mv)
        delta = self.in_band(delta)
        return delta * (budget_mv / LINF.size(delta).clamp_min(max(budget_mv, TINY))).reshape(-1, 1, 1)

    def steepest(self, gradient: Tensor) -> Tensor:
        """The signs of what of the gradient is in the band."""
        return self.in_band(gradient).sign()

    def in_band(self, values: Tensor) -> Tensor:
        """The orthogonal projection on the signals of the band, lead by lead."""
        samples = values.shape[2]
        frequencies = torch.fft.rfftfreq(samples, 1 / self.fs_hz, device=values.device)
        keep = (frequencies >= self.low_hz) & (frequencies <= self.high_hz)
        return torch.fft.irfft(torch.fft.rfft(values) * keep, n=samples)
