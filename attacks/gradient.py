"""Gradient attacks of a fixed number of steps: FGSM, PGD, momentum and Nesterov, in any
:class:`~attacks.aim.ball.Ball`.

In: a differentiable module from millivolts ``(n, leads, samples)`` to scores ``(n, classes)``, recordings with their
labels, an objective a budget. Out: perturbations in millivolts, one tensor a budget. A module that stands for one
without gradient (:mod:`attacks.soft_trees`) is sharpened from step to step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self

import torch
from torch import Tensor, nn

from pulseproof.attacks.aim.ball import LINF, TINY, Ball, Norm
from pulseproof.attacks.aim.objectives import Objective, Watch
from pulseproof.attacks.aim.victims import Victims

BATCH = 64


class NoGradientError(ValueError):
    """No gradient reaches the signal: such a model must not look robust."""


class Attack(Protocol):
    """What every gradient attack is: hyper-parameters in a frozen dataclass, and a call.

    ``objectives``: one a budget. Returns one perturbation (n, leads, samples) mV a budget, inside its ball. All
    recordings take step k before any takes step k + 1, and ``watch`` sees their scores before each. Equal generators
    give equal bytes. Raises NoGradientError when no gradient reaches the signal.

    ``norm``: that of its ball. ``at_rate``: the same attack on recordings of ``fs_hz`` samples a second.
    """

    @property
    def norm(self) -> Norm: ...

    def at_rate(self, fs_hz: float) -> Attack: ...

    def __call__(
        self,
        module: nn.Module,
        victims: Victims,
        objectives: Sequence[Objective],
        budgets_mv: Sequence[float],
        generator: torch.Generator,
        watch: Watch | None = None,
    ) -> list[Tensor]: ...


@dataclass(frozen=True)
class Evaluated:
    """One evaluation of all recordings: ``scores`` (n, classes), ``worth`` (n,) of the objective, and its ``gradient``
    (n, leads, samples)."""

    scores: Tensor
    worth: Tensor
    gradient: Tensor


def evaluate(
    module: nn.Module,
    victims: Victims,
    delta: Tensor,
    objective: Objective,
    progress: float,
    *,
    batch_size: int = BATCH,
    half: bool = False,
) -> Evaluated:
    """One gradient evaluation of every recording at ``signals + delta``, in batches that change nothing but the memory.

    ``half``: convolutions and products in bfloat16, the signal, its gradient and the objective in float32.

    Raises NoGradientError when no gradient reaches the signal.
    """
    seen = []
    for part, some in victims.batches(batch_size):
        place = (some.signals + delta[part]).requires_grad_(True)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            scores = module(place)
        scores = scores.float() if half else scores
        worth = objective(scores, some.labels, progress)
        if not worth.requires_grad:
            raise NoGradientError("no gradient reaches the signal: the model is not differentiable")
        (gradient,) = torch.autograd.grad(worth.sum(), place)
        seen.append((scores.detach(), worth.detach(), gradient))
    return Evaluated(*(torch.cat(parts) for parts in zip(*seen, strict=True)))


def anneal(module: nn.Module, progress: float) -> None:
    """Tell a stand-in for a model without gradient how far the attack is (0 to 1), so that it can come closer."""
    for part in module.modules():
        sharpen = getattr(part, "anneal", None)
        if sharpen is not None:
            sharpen(progress)


class BudgetByBudget:
    """An attack that takes each budget by itself: what its :meth:`one` does for one, for all of a list. Its ``norm`` is
    for each to say."""

    def at_rate(self, fs_hz: float) -> Self:
        """The attack itself: most know no frequencies."""
        del fs_hz
        return self

    def __call__(
        self,
        module: nn.Module,
        victims: Victims,
        objectives: Sequence[Objective],
        budgets_mv: Sequence[float],
        generator: torch.Generator,
        watch: Watch | None = None,
    ) -> list[Tensor]:
        """See :class:`Attack`."""
        return [
            self.one(module, victims, objective, budget, generator, watch)
            for objective, budget in zip(objectives, budgets_mv, strict=True)
        ]

    def one(
        self,
        module: nn.Module,
        victims: Victims,
        objective: Objective,
        budget_mv: float,
        generator: torch.Generator,
        watch: Watch | None,
    ) -> Tensor:
        """The perturbation (n, leads, samples) mV of one budget."""
        raise NotImplementedError


@dataclass(frozen=True)
class Pgd(BudgetByBudget):
    """Projected gradient descent (Madry et al. 2018), and its relatives by their settings.

    ``size``: the length of a step, ``"falling"``: ``epsilon * (1 - k / steps)``, large steps find the region and small
    ones settle in it; ``"equal"``: ``epsilon / steps``. ``momentum``: the gradient of a step is the running sum of all
    so far, each divided by its mean absolute value and the sum by this factor at each step (MI-FGSM, Dong et al. 2018);
    ``nesterov``: taken where that momentum leads (NI-FGSM, Lin et al. 2020). ``start``: ``"random"`` in the ball or at
    ``"zero"``. ``half``: steps in bfloat16.
    """

    steps: int = 20
    ball: Ball = LINF
    size: Literal["falling", "equal"] = "falling"
    momentum: float = 0.0
    nesterov: bool = False
    start: Literal["random", "zero"] = "random"
    half: bool = False
    batch_size: int = BATCH

    @property
    def norm(self) -> Norm:
        """That of its ball."""
        return self.ball.norm

    def one(
        self,
        module: nn.Module,
        victims: Victims,
        objective: Objective,
        budget_mv: float,
        generator: torch.Generator,
        watch: Watch | None,
    ) -> Tensor:
        delta = torch.zeros_like(victims.signals)
        if self.start == "random":
            delta = self.ball.random(delta, budget_mv, generator)
        total = torch.zeros_like(delta)
        for step in range(self.steps):
            progress = step / max(1, self.steps - 1)
            anneal(module, progress)
            length = budget_mv * (1 - step / self.steps) if self.size == "falling" else budget_mv / self.steps
            ahead = delta + length * self.momentum * total if self.nesterov else delta
            seen = evaluate(module, victims, ahead, objective, progress, batch_size=self.batch_size, half=self.half)
            if watch is not None:
                watch(progress, seen.scores)
            gradient = seen.gradient
            if self.momentum:
                mean = gradient.abs().mean(dim=(1, 2), keepdim=True).clamp_min(TINY)
                gradient = total = self.momentum * total + gradient / mean
            delta = self.ball.project(delta + length * self.ball.steepest(gradient), budget_mv)
        return delta


def fgsm(ball: Ball = LINF) -> Pgd:
    """One step of the whole budget (Goodfellow et al. 2015)."""
    return Pgd(steps=1, ball=ball, start="zero")


def mi_fgsm(steps: int = 10, ball: Ball = LINF) -> Pgd:
    """Momentum with factor 1 from the clean recording (Dong et al. 2018), for transfer."""
    return Pgd(steps=steps, ball=ball, size="equal", momentum=1.0, start="zero")


def ni_fgsm(steps: int = 10, ball: Ball = LINF) -> Pgd:
    """Nesterov's momentum with factor 1 from the clean recording (Lin et al. 2020), for transfer."""
    return Pgd(steps=steps, ball=ball, size="equal", momentum=1.0, nesterov=True, start="zero")
