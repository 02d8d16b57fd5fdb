"""APGD: projected gradient descent that finds its own step size, from several starts if asked.

Croce and Hein 2020, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks",
algorithm 1; where the text leaves a choice, as the authors' own code. In and out: see :class:`attacks.gradient.Attack`.
Steps begin at twice the budget. At checkpoints, closer together as time goes on, a recording's step is halved and the
recording goes back to its best point when too few of its last steps made the objective larger (condition 1), or when
its best has not become better since the last checkpoint though its step was kept there (condition 2). What comes out is
each recording's best point, not its last.

The loop is :func:`attacks.steps.walk`; how points are compared whose value depends on the progress of the attack:
:class:`attacks.steps.Best`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from pulseproof.attacks.gradient import STILL, Sight, Stepping
from pulseproof.attacks.steps import Best, Points, Project, Scores, Value


def checkpoints(steps: int) -> tuple[int, ...]:
    """After how many of ``steps`` the step sizes are judged: 22 % of them, then each time 3 % sooner than the time
    before, but not before 6 % (section 3 of the paper)."""
    found, share, pause = [], 22, 22  # whole percent: 100 * (0.22 + 0.19) is a little more than 41
    while share <= 100:
        found.append(math.ceil(share * steps / 100))
        pause = max(pause - 3, 6)
        share += pause
    return tuple(dict.fromkeys(found))


@dataclass(eq=False, kw_only=True)
class Adaptive(Best):
    """Steps of a length that each run finds for itself. ``project``: into the ball at this budget; the rest as
    :class:`Apgd` says."""

    project: Project
    first_step: float
    inertia: float
    rising: float
    lengths: Tensor = field(init=False)  # (runs, 1, 1) mV, from the first look on
    now: Tensor | None = field(default=None, init=False)
    before: Tensor | None = field(default=None, init=False)

    def seen(self, step: int, progress: float, here: Points) -> Points:
        """Where a step turns out to be too long, the run goes on from its best point."""
        super().seen(step, progress, here)
        self.before, self.now = self.now, here.delta
        if not step:
            whole = self.first_step * self.budget_mv
            self.lengths = torch.full((len(here.delta), 1, 1), whole, dtype=here.delta.dtype, device=here.delta.device)
        if step not in checkpoints(self.steps):
            return here
        stuck = self.memory.checkpoint(self.rising)
        self.lengths = torch.where(stuck.reshape(-1, 1, 1), self.lengths / 2, self.lengths)
        return here.replaced(stuck, self.memory.best)

    def length(self, step: int) -> Tensor:
        """That of each run."""
        del step
        return self.lengths

    def carried(self, here: Points, delta: Tensor) -> Tensor:
        """A share of the move before is kept."""
        if self.before is not None:
            delta = here.delta + self.inertia * (delta - here.delta) + (1 - self.inertia) * (here.delta - self.before)
        return self.project(delta)


@dataclass(frozen=True)
class Apgd(Stepping):
    """A recording keeps the best of all its ``restarts``. The constants are the paper's: ``first_step`` in budgets;
    ``momentum``: the share of the step in a move, the rest is the move before; ``rising``: the share of steps between
    checkpoints that must make the objective larger.

    A run takes ``steps`` gradients, and one look at where the last step led. Nodes of soft trees stay as wide as they
    are, so that all its steps are judged by one landscape.
    """

    sight: Sight = STILL
    first_step: float = 2.0
    momentum: float = 0.75
    rising: float = 0.75

    def course(self, budget_mv: float, value: Value, last: Scores) -> Adaptive:
        """See :class:`attacks.gradient.Stepping`. It is watched by the scores of each recording's best point so far:
        with those the attack would end if it ended there."""
        return Adaptive(
            self.steps,
            budget_mv,
            value=value,
            last=last,
            runs=self.restarts,
            project=partial(self.ball.project, budget_mv=budget_mv),
            first_step=self.first_step,
            inertia=self.momentum,
            rising=self.rising,
        )
