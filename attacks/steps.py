"""The one loop of every attack that steps along a gradient, and the parts that make one attack of it or another.

In: where the runs of an attack begin, a :data:`Look` that evaluates the model there, and three parts: ``direction``
turns a gradient into a step of 1 mV, ``project`` leads back into the allowed perturbations, and a :class:`Course` says
how long steps are, where the gradient is taken, and which point comes out. Out: that point of each recording.

    delta <- project(delta + length * direction(gradient))

Nothing else in :mod:`attacks` steps. An attack that asks for scores alone (:mod:`attacks.square`) has no gradient to
step along, and searches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from pulseproof.attacks.aim.ball import TINY
from pulseproof.attacks.aim.objectives import Watch

StepSize = Literal["falling", "equal"]
# A perturbation (n, leads, samples) mV, the progress of the attack (0 to 1) and which runs (n,) these are, to what the
# model says there.
Look = Callable[[Tensor, float, Tensor], "Evaluated"]
# Scores (n, classes) and the progress to their value (n,) at that moment.
Value = Callable[[Tensor, float], Tensor]
Worth = Callable[[Tensor], Tensor]  # the same at one moment
Project = Callable[[Tensor], Tensor]  # a perturbation to the nearest that is allowed, or one near it
Scores = Callable[[Tensor], Tensor]  # a perturbation to the scores there, without a gradient
Settled = Callable[["Points"], Tensor]  # points to bool (n,): a run has nothing left to gain that it could see


@dataclass(frozen=True)
class Evaluated:
    """One evaluation of all recordings: ``scores`` (n, classes), ``worth`` (n,) of the objective, and its ``gradient``
    (n, leads, samples)."""

    scores: Tensor
    worth: Tensor
    gradient: Tensor


@dataclass(frozen=True)
class Points:
    """A point of each run: ``delta`` and its ``gradient`` (n, leads, samples), its ``scores`` (n, classes)."""

    delta: Tensor
    scores: Tensor
    gradient: Tensor

    def replaced(self, where: Tensor, by: Points) -> Points:
        """These points, but those of ``by`` in the rows ``where`` (n,)."""
        wide, narrow = where.reshape(-1, 1, 1), where.reshape(-1, 1)
        return Points(
            torch.where(wide, by.delta, self.delta),
            torch.where(narrow, by.scores, self.scores),
            torch.where(wide, by.gradient, self.gradient),
        )

    def only(self, which: Tensor) -> Points:
        """The points of the runs ``which`` (n,)."""
        return Points(self.delta[which], self.scores[which], self.gradient[which])


@dataclass(eq=False)
class Course:
    """How an attack goes: here steps of falling length (``budget_mv * (1 - k / steps)``: large ones find the region and
    small ones settle in it) or of equal length (``budget_mv / steps``), and what comes out is the last point.

    ``momentum``: the gradient of a step is the running sum of all so far, each divided by its mean absolute value and
    the sum by this factor at each step (MI-FGSM, Dong et al. 2018); ``nesterov``: taken where that momentum leads
    (NI-FGSM, Lin et al. 2020). ``fall``: the power with which lengths fall.
    """

    steps: int
    budget_mv: float
    size: StepSize = "falling"
    momentum: float = 0.0
    nesterov: bool = False
    fall: float = 1.0
    total: Tensor | float = field(default=0.0, init=False)

    def length(self, step: int) -> float | Tensor:
        """How long a step is, mV: one number, or one a run (n, 1, 1)."""
        if self.size == "equal":
            return self.budget_mv / self.steps
        return self.budget_mv * (1 - step / self.steps) ** self.fall

    def ahead(self, step: int, delta: Tensor) -> Tensor:
        """Where the gradient of a step is taken."""
        return delta + self.length(step) * self.momentum * self.total if self.nesterov else delta

    def seen(self, step: int, progress: float, here: Points) -> Points:
        """Take notice of where the runs are; the points from which they go on."""
        del step, progress
        return here

    def reached(self, progress: float, here: Points) -> Tensor:
        """The scores (n, classes) that the attack would end with if it ended here."""
        del progress
        return here.scores

    def pull(self, gradient: Tensor) -> Tensor:
        """What a step follows: the gradient, or the momentum."""
        if not self.momentum:
            return gradient
        mean = gradient.abs().mean(dim=(1, 2), keepdim=True).clamp_min(TINY)
        self.total = self.momentum * self.total + gradient / mean
        return self.total

    def carried(self, here: Points, delta: Tensor) -> Tensor:
        """Where a step that leads to ``delta`` ends."""
        del here
        return delta

    def leave(self, stays: Tensor) -> None:
        """Go on with the runs ``stays`` (n,) alone."""
        if isinstance(self.total, Tensor):
            self.total = self.total[stays]

    def end(self, delta: Tensor) -> Tensor:
        """What comes out of an attack whose last step led to ``delta``."""
        return delta


def walk(
    start: Tensor,
    course: Course,
    look: Look,
    direction: Callable[[Tensor], Tensor],
    project: Project,
    watch: Watch | None = None,
    settled: Settled | None = None,
) -> Tensor:
    """Take the steps of a ``course`` from ``start`` (n, leads, samples) mV; what comes out, of the same kind.

    ``watch`` is told before each step what the attack would end with. A run that is ``settled`` after its first step
    leaves, and stays where it is: nobody computes it again. A course that compares the points of its way
    (:class:`Best`) keeps all.
    """
    delta, left, told = start, start, torch.empty(0)
    runs = torch.arange(len(start), device=start.device)
    for step in range(course.steps):
        progress = step / max(1, course.steps - 1)
        seen = look(course.ahead(step, delta), progress, runs)
        here = course.seen(step, progress, Points(delta, seen.scores, seen.gradient))
        if watch is not None:
            reached = course.reached(progress, here)
            told = reached if len(runs) == len(start) else told.index_copy(0, runs, reached)
            watch(progress, told)
        stays = ~settled(here) if settled is not None and step else None
        if stays is not None and not bool(stays.all()):
            left = left.index_copy(0, runs[~stays], here.delta[~stays])
            runs, here = runs[stays], here.only(stays)
            course.leave(stays)
            if not len(runs):
                return left
        pull = course.pull(here.gradient)
        delta = course.carried(here, project(here.delta + course.length(step) * direction(pull)))
    ended = course.end(delta)
    return ended if len(runs) == len(start) else left.index_copy(0, runs, ended)


class Memory:
    """The best points so far, and what has happened since the last checkpoint."""

    def __init__(self, start: Points) -> None:
        self.best = start
        self.last = start.scores
        self.steps = 0
        self.risen = torch.zeros(len(start.scores), device=start.scores.device)
        self.improved = torch.zeros_like(self.risen, dtype=torch.bool)
        self.kept = torch.zeros_like(self.risen, dtype=torch.bool)

    def look(self, here: Points, worth: Worth) -> None:
        """Take notice of where a step has led."""
        now = worth(here.scores)
        better = now > worth(self.best.scores)
        self.risen += now > worth(self.last)
        self.improved |= better
        self.best = self.best.replaced(better, here)
        self.last = here.scores
        self.steps += 1

    def checkpoint(self, rising: float) -> Tensor:
        """The runs (n,) whose steps are too long, by condition 1 or 2 (:mod:`attacks.apgd`); counting begins anew."""
        stuck = (self.risen < rising * self.steps) | (self.kept & ~self.improved)
        self.steps = 0
        self.risen = torch.zeros_like(self.risen)
        self.improved = torch.zeros_like(self.improved)
        self.kept = ~stuck
        return stuck


@dataclass(eq=False, kw_only=True)
class Best(Course):
    """A course that gives each recording's best point of its way, and of all its ``runs`` side by side.

    The value of a point may depend on the progress of the attack, because the opponents move. So no value is
    remembered from step to step: scores are, and wherever two points are compared both are valued by ``value`` against
    the opponents of that moment. ``last``: the scores where the last step led; None: that point does not count.
    """

    value: Value
    last: Scores | None
    runs: int = 1
    _memory: Memory | None = field(default=None, init=False)

    @property
    def memory(self) -> Memory:
        """What is known after the first look."""
        assert self._memory is not None, "an attack takes at least one step"
        return self._memory

    def seen(self, step: int, progress: float, here: Points) -> Points:
        """See :class:`Course`."""
        if self._memory is None:
            self._memory = Memory(here)
        else:
            self._memory.look(here, self.worth(progress))
        return here

    def reached(self, progress: float, here: Points) -> Tensor:
        """The scores of each recording's best point so far."""
        del here
        return self._of_best_run(self.memory.best.scores, progress)

    def end(self, delta: Tensor) -> Tensor:
        """The best point of each recording."""
        if self.last is not None:
            self.memory.look(Points(delta, self.last(delta), torch.zeros_like(delta)), self.worth(1.0))
        return self._of_best_run(self.memory.best.delta, 1.0)

    def worth(self, progress: float) -> Worth:
        """The value of scores at one moment."""

        def worth(scores: Tensor) -> Tensor:
            with torch.no_grad():
                return self.value(scores, progress)

        return worth

    def _of_best_run(self, values: Tensor, progress: float) -> Tensor:
        """Of ``values`` of all runs those of each recording's best one."""
        best = self.worth(progress)(self.memory.best.scores).reshape(self.runs, -1).argmax(dim=0)
        return values.reshape(self.runs, -1, *values.shape[1:])[best, torch.arange(len(best), device=best.device)]
