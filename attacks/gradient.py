"""Projected gradient descent within an L-infinity ball (Madry et al. 2018), for every budget of a list.

In: a differentiable module from millivolts ``(n, leads, samples)`` to scores ``(n, classes)``, recordings, labels, an
objective. Out: perturbations in millivolts. Sign steps whose size falls from the budget to nothing
(``epsilon * (1 - k / steps)``), from a random start: large steps find the region, small ones settle in it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from attacks.objectives import Objective


class NoGradientError(ValueError):
    """No gradient reaches the signal: such a model must not look robust."""


def pgd(
    module: nn.Module,
    signals: Tensor,
    labels: Tensor,
    objective: Objective,
    epsilon_mv: float,
    steps: int,
    generator: torch.Generator,
    batch_size: int = 64,
    watch: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Perturbation ``(n, leads, samples)`` in mV, at most ``epsilon_mv`` anywhere, that makes the objective large.

    All recordings take step k before any takes step k + 1, so that ``watch(k, scores)`` sees the scores of all of them
    at that step (before it is taken); an objective may depend on what was watched.

    Raises NoGradientError when no gradient reaches the signal.
    """
    start = torch.rand(signals.shape, generator=generator, dtype=signals.dtype)
    delta = epsilon_mv * (2 * start - 1)
    for step in range(steps):
        seen, moves = [], []
        for first in range(0, len(signals), batch_size):
            part = slice(first, first + batch_size)
            place = delta[part].clone().requires_grad_(True)
            scores = module(signals[part] + place)
            worth = objective(scores, labels[part], step).sum()
            if not worth.requires_grad:
                raise NoGradientError("no gradient reaches the signal: the model is not differentiable")
            (gradient,) = torch.autograd.grad(worth, place)
            seen.append(scores.detach())
            moves.append(gradient.sign())
        if watch is not None:
            watch(step, torch.cat(seen))
        size = epsilon_mv * (1 - step / steps)
        delta = (delta + size * torch.cat(moves)).clamp(-epsilon_mv, epsilon_mv)
    return delta
