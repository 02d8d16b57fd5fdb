"""Gradient attacks of a fixed number of steps: FGSM, PGD, momentum and Nesterov, in any region: a ball, a band of
frequencies, what is smooth (:mod:`attacks.aim.region`).

In: a differentiable module from millivolts ``(n, leads, samples)`` to scores ``(n, classes)``, recordings with their
labels, an objective a budget. Out: perturbations in millivolts, one tensor a budget. The loop itself is
:func:`attacks.steps.walk`; here it is given a module to look at. A module that stands for one without gradient
(:mod:`attacks.soft_trees`) is sharpened from step to step.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, Protocol, Self

import torch
from torch import Tensor, nn

from pulseproof.attacks.aim.ball import LINF
from pulseproof.attacks.aim.norms import Norm
from pulseproof.attacks.aim.objectives import Objective, Watch
from pulseproof.attacks.aim.references import clean_scores
from pulseproof.attacks.aim.region import Region, share_left
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.steps import Best, Course, Evaluated, Scores, Settled, StepSize, Value, walk
from pulseproof.core.compute.placed import fitting, in_parts

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


def evaluate(
    module: nn.Module,
    victims: Victims,
    delta: Tensor | None,
    objective: Objective,
    progress: float,
    *,
    batch_size: int = BATCH,
    half: bool = False,
) -> Evaluated:
    """One gradient evaluation of every recording at ``signals + delta`` (None: at the signals), in batches that change
    nothing but the memory.

    ``half``: convolutions and products in bfloat16, the signal, its gradient and the objective in float32.

    Raises NoGradientError when no gradient reaches the signal.
    """

    def seen_at(part: slice) -> tuple[Tensor, Tensor, Tensor]:
        some = victims.part(part)
        place = (some.signals if delta is None else some.signals + delta[part]).detach().requires_grad_(True)
        with torch.autocast(place.device.type, torch.bfloat16, enabled=half):
            scores = module(place)
        scores = scores.float() if half else scores
        worth = objective(scores, some.labels, progress)
        return scores.detach(), worth.detach(), gradient_at(place, worth)

    seen = in_parts(len(victims), fitting(victims.signals, batch_size), seen_at)
    return Evaluated(*(torch.cat(parts) for parts in zip(*seen, strict=True)))


def gradient_at(place: Tensor, worth: Tensor) -> Tensor:
    """The gradient of all ``worth`` (n,) together at a ``place``. Raises NoGradientError where there is none."""
    if not worth.requires_grad:
        raise NoGradientError("no gradient reaches the signal: the model is not differentiable")
    (gradient,) = torch.autograd.grad(worth.sum(), place)
    return gradient


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


class Sight(Protocol):
    """How an attack looks at the model from a point of its way.

    ``place``: the recordings (n, leads, samples) mV that the model is shown for a perturbation of ``signals`` in a
    region of this ``norm``. ``sharpen``: what is done with the model before each look. ``ready``: a context for all
    looks at one budget.
    """

    def place(self, signals: Tensor, delta: Tensor, norm: Norm, budget_mv: float) -> Tensor: ...

    def sharpen(self, module: nn.Module, progress: float) -> None: ...

    def ready(self, module: nn.Module, budget_mv: float) -> AbstractContextManager[None]: ...


@dataclass(frozen=True)
class PlainSight:
    """At the recording and the perturbation together, as float32 has them. ``sharpens``: a stand-in for a model without
    gradient comes closer from step to step; else it stays as it is."""

    sharpens: bool = True

    def place(self, signals: Tensor, delta: Tensor, norm: Norm, budget_mv: float) -> Tensor:
        """See :class:`Sight`."""
        del norm, budget_mv
        return signals + delta

    def sharpen(self, module: nn.Module, progress: float) -> None:
        """See :class:`Sight`."""
        if self.sharpens:
            anneal(module, progress)

    def ready(self, module: nn.Module, budget_mv: float) -> AbstractContextManager[None]:
        """See :class:`Sight`."""
        del module, budget_mv
        return nullcontext()


STILL = PlainSight(sharpens=False)


@dataclass(frozen=True)
class Stepping(BudgetByBudget):
    """What all attacks share that step along the gradient of an objective: the region ``ball``, the starts of their
    runs, the ``sight`` of the model. Each says its :meth:`course`, and :func:`attacks.steps.walk` is the loop.

    ``restarts``: so many runs side by side, each from a start of its own. ``start``: ``"random"`` in the ball, or the
    first run at ``"zero"``. ``half``: steps in bfloat16.
    """

    steps: int = 20
    ball: Region = LINF
    restarts: int = 1
    start: Literal["random", "zero"] = "random"
    half: bool = False
    batch_size: int = BATCH
    sight: Sight = PlainSight()

    @property
    def norm(self) -> Norm:
        """That of its ball."""
        return self.ball.norm

    def at_rate(self, fs_hz: float) -> Self:
        """The same attack in the same region at another rate."""
        return replace(self, ball=self.ball.at_rate(fs_hz))

    def course(self, budget_mv: float, value: Value, last: Scores) -> Course:
        """How it goes at one budget: ``value`` of scores, and the ``last`` scores, where an attack ends."""
        raise NotImplementedError

    def one(
        self,
        module: nn.Module,
        victims: Victims,
        objective: Objective,
        budget_mv: float,
        generator: torch.Generator,
        watch: Watch | None,
    ) -> Tensor:
        """See :class:`BudgetByBudget`."""
        signals, labels = victims.signals.repeat(self.restarts, 1, 1), victims.labels.repeat(self.restarts, 1)

        def shown(delta: Tensor, runs: Tensor | None = None) -> Victims:
            some = runs is not None and len(runs) < len(signals)
            clean, truth = (signals[runs], labels[runs]) if some else (signals, labels)
            return Victims(self.sight.place(clean, self.ball.shaped(delta), self.norm, budget_mv), truth)

        def look(delta: Tensor, progress: float, runs: Tensor) -> Evaluated:
            self.sight.sharpen(module, progress)
            there = shown(delta, runs)
            return evaluate(module, there, None, objective, progress, batch_size=self.batch_size, half=self.half)

        course = self.course(
            budget_mv,
            lambda scores, progress: objective(scores, labels, progress),
            lambda delta: clean_scores(module, shown(delta), self.batch_size),
        )
        project = partial(self.ball.project, budget_mv=budget_mv)
        with self.sight.ready(module, budget_mv):
            start = self._starts(victims.signals, budget_mv, generator)
            settled = self.settled(budget_mv)
            return self.ball.shaped(walk(start, course, look, self.ball.steepest, project, watch, settled))

    def settled(self, budget_mv: float) -> Settled | None:
        """Which runs leave before the end; None: none do."""
        del budget_mv
        return None

    def _starts(self, signals: Tensor, budget_mv: float, generator: torch.Generator) -> Tensor:
        """Where the runs begin. Each draws by itself, so that the first ones are the same however many there are."""
        nowhere = torch.zeros_like(signals)
        from_nowhere = int(self.start == "zero")
        starts = [self.ball.random(signals, budget_mv, generator) for _ in range(self.restarts)]
        return torch.cat([nowhere] * from_nowhere + starts[from_nowhere:])


@dataclass(frozen=True)
class Pgd(Stepping):
    """Projected gradient descent (Madry et al. 2018), and its relatives by their settings and their region.

    ``size``, ``momentum``, ``nesterov``: see :class:`attacks.steps.Course`. ``keep``: the ``"last"`` point, or the
    ``"best"`` of each recording's way, by the objective: a run then takes ``steps`` gradients and one look at where the
    last step led. ``settles``: a recording leaves that has less than this share of what is to be gained, to first
    order, left to gain (:func:`attacks.aim.region.share_left`); 0: none does.
    """

    size: StepSize = "falling"
    momentum: float = 0.0
    nesterov: bool = False
    keep: Literal["last", "best"] = "last"
    settles: float = 0.0

    def __post_init__(self) -> None:
        if self.restarts > 1 and self.keep == "last":
            raise ValueError(f"of {self.restarts} runs only the best can be kept")
        if self.settles and self.keep == "best":
            raise ValueError("what keeps its best point goes to the end")

    def settled(self, budget_mv: float) -> Settled | None:
        """See :class:`Stepping`."""
        if not self.settles:
            return None
        return lambda here: share_left(here.gradient, here.delta, self.ball, budget_mv) < self.settles

    def course(self, budget_mv: float, value: Value, last: Scores) -> Course:
        """See :class:`Stepping`."""
        how = self.steps, budget_mv, self.size, self.momentum, self.nesterov
        return Best(*how, value=value, last=last, runs=self.restarts) if self.keep == "best" else Course(*how)


def fgsm(ball: Region = LINF) -> Pgd:
    """One step of the whole budget (Goodfellow et al. 2015)."""
    return Pgd(steps=1, ball=ball, start="zero")


def mi_fgsm(steps: int = 10, ball: Region = LINF) -> Pgd:
    """Momentum with factor 1 from the clean recording (Dong et al. 2018), for transfer."""
    return Pgd(steps=steps, ball=ball, size="equal", momentum=1.0, start="zero")


def ni_fgsm(steps: int = 10, ball: Region = LINF) -> Pgd:
    """Nesterov's momentum with factor 1 from the clean recording (Lin et al. 2020), for transfer."""
    return Pgd(steps=steps, ball=ball, size="equal", momentum=1.0, nesterov=True, start="zero")
