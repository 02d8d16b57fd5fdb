"""APGD: projected gradient descent that finds its own step size, from several starts if asked.

Croce and Hein 2020, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks",
algorithm 1; where the text leaves a choice, as the authors' own code. In and out: see :class:`attacks.gradient.Attack`.
Steps begin at twice the budget. At checkpoints, closer together as time goes on, a recording's step is halved and the
recording goes back to its best point when too few of its last steps made the objective larger (condition 1), or when
its best has not become better since the last checkpoint though its step was kept there (condition 2). What comes out is
each recording's best point, not its last.

The value of the AUC objective depends on the progress of the attack, because the opponents move. So no value is
remembered from step to step: scores are, and wherever two points are compared both are valued against the opponents of
that moment.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from pulseproof.attacks.aim.ball import LINF, Ball, Norm
from pulseproof.attacks.aim.objectives import Objective, Watch
from pulseproof.attacks.aim.references import clean_scores
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.gradient import BATCH, BudgetByBudget, evaluate

Worth = Callable[[Tensor], Tensor]  # scores (n, classes) to their value (n,) at one moment of the attack


def checkpoints(steps: int) -> tuple[int, ...]:
    """After how many of ``steps`` the step sizes are judged: 22 % of them, then each time 3 % sooner than the time
    before, but not before 6 % (section 3 of the paper)."""
    found, share, pause = [], 22, 22  # whole percent: 100 * (0.22 + 0.19) is a little more than 41
    while share <= 100:
        found.append(math.ceil(share * steps / 100))
        pause = max(pause - 3, 6)
        share += pause
    return tuple(dict.fromkeys(found))


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


class Memory:
    """The best points so far, and what has happened since the last checkpoint."""

    def __init__(self, start: Points) -> None:
        self.best = start
        self.last = start.scores
        self.steps = 0
        self.risen = torch.zeros(len(start.scores))
        self.improved = torch.zeros(len(start.scores), dtype=torch.bool)
        self.kept = torch.zeros(len(start.scores), dtype=torch.bool)

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
        """The runs (n,) whose steps are too long, by condition 1 or 2; counting begins anew."""
        stuck = (self.risen < rising * self.steps) | (self.kept & ~self.improved)
        self.steps = 0
        self.risen = torch.zeros_like(self.risen)
        self.improved = torch.zeros_like(self.improved)
        self.kept = ~stuck
        return stuck


@dataclass(frozen=True)
class Apgd(BudgetByBudget):
    """``restarts``: so many runs side by side, each from a start of its own; a recording keeps the best of all.
    ``start``: ``"random"`` in the ball, or the first run at ``"zero"``. The rest are the paper's constants:
    ``first_step`` in budgets; ``momentum``: the share of the step in a move, the rest is the move before; ``rising``:
    the share of steps between checkpoints that must make the objective larger.

    A run takes ``steps`` gradients, and one look at where the last step led.
    """

    steps: int = 20
    ball: Ball = LINF
    restarts: int = 1
    start: Literal["random", "zero"] = "random"
    first_step: float = 2.0
    momentum: float = 0.75
    rising: float = 0.75
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
        """See :class:`attacks.gradient.Attack`. ``watch`` sees the scores of each recording's best point so far: with
        those the attack would end if it ended there."""
        runs = Victims(victims.signals.repeat(self.restarts, 1, 1), victims.labels.repeat(self.restarts, 1))
        halving_at = checkpoints(self.steps)
        delta = self._starts(victims.signals, budget_mv, generator)
        before = delta
        length = torch.full((len(runs), 1, 1), self.first_step * budget_mv, dtype=delta.dtype)
        memory: Memory | None = None
        for step in range(self.steps):
            progress = step / max(1, self.steps - 1)
            worth = _worth_at(objective, runs.labels, progress)
            seen = evaluate(module, runs, delta, objective, progress, batch_size=self.batch_size)
            here = Points(delta, seen.scores, seen.gradient)
            if memory is None:
                memory = Memory(here)
            else:
                memory.look(here, worth)
            if step in halving_at:
                stuck = memory.checkpoint(self.rising)
                length = torch.where(stuck.reshape(-1, 1, 1), length / 2, length)
                here = here.replaced(stuck, memory.best)
            if watch is not None:
                watch(progress, self._best_run(memory.best.scores, worth(memory.best.scores)))
            aim = self.ball.project(here.delta + length * self.ball.steepest(here.gradient), budget_mv)
            if step:
                aim = here.delta + self.momentum * (aim - here.delta) + (1 - self.momentum) * (here.delta - before)
            before, delta = delta, self.ball.project(aim, budget_mv)
        assert memory is not None, "an attack takes at least one step"
        worth = _worth_at(objective, runs.labels, 1.0)
        scores = clean_scores(module, Victims(runs.signals + delta, runs.labels), self.batch_size)
        memory.look(Points(delta, scores, torch.zeros_like(delta)), worth)
        return self._best_run(memory.best.delta, worth(memory.best.scores))

    def _starts(self, signals: Tensor, budget_mv: float, generator: torch.Generator) -> Tensor:
        starts = [self.ball.random(signals, budget_mv, generator) for _ in range(self.restarts)]
        if self.start == "zero":
            starts[0] = torch.zeros_like(signals)
        return torch.cat(starts)

    def _best_run(self, values: Tensor, worth: Tensor) -> Tensor:
        """Of ``values`` of all runs those of each recording's best one."""
        best = worth.reshape(self.restarts, -1).argmax(dim=0)
        return values.reshape(self.restarts, -1, *values.shape[1:])[best, torch.arange(len(best))]


def _worth_at(objective: Objective, labels: Tensor, progress: float) -> Worth:
    def worth(scores: Tensor) -> Tensor:
        with torch.no_grad():
            return objective(scores, labels, progress)

    return worth
