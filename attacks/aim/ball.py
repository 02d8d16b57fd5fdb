"""The budget of a perturbation as a ball: what is inside it, the way back into it, and the steepest step.

All balls measure in millivolts, and random signs of the height of the budget lie on the surface of each, so that they
stand on one axis. ``LINF`` bounds the largest change of any sample. ``L2`` bounds the root mean square of the change
over all leads and samples of a recording: its energy is that of random signs (an L2 norm of ``epsilon * sqrt(leads *
samples)``). ``L1`` bounds the mean of the absolute change: its total is that of random signs (an L1 norm of ``epsilon *
leads * samples``), which may stand in a few samples alone. Each ball holds the one before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pulseproof.attacks.aim.norms import BallNorm

TINY = 1e-30
# The share of the samples that one step in the L1 ball changes. The steepest step of all changes a single one, and
# hundreds of them would be needed; Tramer and Boneh (2019, SLIDE) take the 1 % of the largest gradients.
SPARSITY = 0.01


@dataclass(frozen=True)
class Ball:
    """``norm`` is ``"linf"``, ``"l2"`` or ``"l1"``. Every tensor is (n, leads, samples); sizes are in mV, one a
    recording."""

    norm: BallNorm

    def size(self, delta: Tensor) -> Tensor:
        """The size (n,) of each perturbation."""
        if self.norm == "linf":
            return delta.abs().amax(dim=(1, 2))
        return _rms(delta) if self.norm == "l2" else delta.abs().mean(dim=(1, 2))

    def project(self, delta: Tensor, budget_mv: float) -> Tensor:
        """The nearest perturbation inside the ball."""
        if self.norm == "linf":
            return delta.clamp(-budget_mv, budget_mv)
        if self.norm == "l2":
            return delta * (budget_mv / _rms(delta).clamp_min(budget_mv)).reshape(-1, 1, 1)
        return _into_l1(delta, budget_mv * delta[0].numel()) if len(delta) else delta

    def steepest(self, gradient: Tensor) -> Tensor:
        """The perturbation of size 1 mV along which a linear objective with this gradient grows most; in the L1 ball,
        of those that change :data:`SPARSITY` of the samples alike (at least one).

        Zero where the gradient of a whole recording is zero.
        """
        if self.norm == "linf":
            return gradient.sign()
        if self.norm == "l2":
            return gradient / _rms(gradient).clamp_min(TINY).reshape(-1, 1, 1)
        flat = gradient.flatten(1)
        changed = max(1, round(SPARSITY * flat.shape[1]))
        places = flat.abs().topk(changed, dim=1).indices
        step = torch.zeros_like(flat).scatter(1, places, flat.gather(1, places).sign() * flat.shape[1] / changed)
        return step.reshape(gradient.shape)

    def random(self, like: Tensor, budget_mv: float, generator: torch.Generator) -> Tensor:
        """A random perturbation of the shape of ``like``: uniform in the L-infinity ball, on the surface of the L2 and
        of the L1 ball."""
        if self.norm == "linf":
            return (budget_mv * (2 * torch.rand(like.shape, generator=generator, dtype=like.dtype) - 1)).to(like.device)
        drawn = torch.randn(like.shape, generator=generator, dtype=like.dtype)
        if self.norm == "l2":
            return budget_mv * self.steepest(drawn.to(like.device))
        height = torch.empty_like(drawn).exponential_(generator=generator)
        return (budget_mv * drawn.sign() * height / height.mean(dim=(1, 2), keepdim=True)).to(like.device)

    def shaped(self, delta: Tensor) -> Tensor:
        """The perturbation that a point stands for: itself."""
        return delta

    def at_rate(self, fs_hz: float) -> Ball:
        """The ball itself, which knows no frequencies."""
        del fs_hz
        return self


LINF, L2, L1 = Ball("linf"), Ball("l2"), Ball("l1")
BALLS: dict[BallNorm, Ball] = {"linf": LINF, "l2": L2, "l1": L1}


def _rms(values: Tensor) -> Tensor:
    # Divided by the largest first: the squares of a tiny gradient (1e-25) would be zero in float32.
    largest = values.abs().amax(dim=(1, 2), keepdim=True).clamp_min(TINY)
    return ((values / largest) ** 2).mean(dim=(1, 2)).sqrt() * largest.reshape(-1)


def _into_l1(delta: Tensor, total: float) -> Tensor:
    """The nearest perturbations whose absolute values sum to at most ``total``: all values shrink by one threshold, and
    those below it vanish (Duchi, Shalev-Shwartz, Singer and Chandra 2008, figure 1)."""
    flat = delta.flatten(1).double()
    falling = flat.abs().sort(dim=1, descending=True).values
    beyond = falling.cumsum(dim=1) - total
    counts = torch.arange(1, flat.shape[1] + 1, dtype=flat.dtype, device=flat.device)
    last = (falling * counts > beyond).sum(dim=1, keepdim=True).clamp_min(1)
    threshold = (beyond.gather(1, last - 1) / last).clamp_min(0)
    inside = flat.sign() * (flat.abs() - threshold).clamp_min(0)
    return inside.to(delta.dtype).reshape(delta.shape)
