"""The budget of a perturbation as a ball: what is inside it, the way back into it, and the steepest step.

Both balls measure in millivolts. ``LINF`` bounds the largest change of any sample. ``L2`` bounds the root mean square
of the change over all leads and samples of a recording, so that a budget has the energy of random signs of that height
(an L2 norm of ``epsilon * sqrt(leads * samples)``) and the two stand on one axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

TINY = 1e-30


@dataclass(frozen=True)
class Ball:
    """``norm`` is ``"linf"`` or ``"l2"``. Every tensor is (n, leads, samples); sizes are in mV, one a recording."""

    norm: Literal["linf", "l2"]

    def size(self, delta: Tensor) -> Tensor:
        """The size (n,) of each perturbation."""
        return delta.abs().amax(dim=(1, 2)) if self.norm == "linf" else _rms(delta)

    def project(self, delta: Tensor, epsilon_mv: float) -> Tensor:
        """The nearest perturbation inside the ball."""
        if self.norm == "linf":
            return delta.clamp(-epsilon_mv, epsilon_mv)
        return delta * (epsilon_mv / _rms(delta).clamp_min(epsilon_mv)).reshape(-1, 1, 1)

    def steepest(self, gradient: Tensor) -> Tensor:
        """The perturbation of size 1 mV along which a linear objective with this gradient grows most.

        Zero where the gradient of a whole recording is zero.
        """
        if self.norm == "linf":
            return gradient.sign()
        return gradient / _rms(gradient).clamp_min(TINY).reshape(-1, 1, 1)

    def random(self, like: Tensor, epsilon_mv: float, generator: torch.Generator) -> Tensor:
        """A random perturbation of the shape of ``like``: uniform in the L-infinity ball, on the L2 ball's surface."""
        if self.norm == "linf":
            return epsilon_mv * (2 * torch.rand(like.shape, generator=generator, dtype=like.dtype) - 1)
        return epsilon_mv * self.steepest(torch.randn(like.shape, generator=generator, dtype=like.dtype))


LINF, L2 = Ball("linf"), Ball("l2")


def _rms(values: Tensor) -> Tensor:
    # Divided by the largest first: the squares of a tiny gradient (1e-25) would be zero in float32.
    largest = values.abs().amax(dim=(1, 2), keepdim=True).clamp_min(TINY)
    return ((values / largest) ** 2).mean(dim=(1, 2)).sqrt() * largest.reshape(-1)
