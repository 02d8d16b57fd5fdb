"""What this attack does, and after whom it is called.  FILL what

In: a differentiable module from millivolts (n, leads, samples) to scores (n, classes), recordings with their labels, an
objective, a budget. Out: a perturbation in millivolts inside the ball of that budget.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pulseproof.attacks.aim.ball import LINF, Ball, Norm  # FILL ball
from pulseproof.attacks.aim.objectives import Objective, Watch
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.gradient import BudgetByBudget, anneal, evaluate


@dataclass(frozen=True)
class Mine(BudgetByBudget):  # FILL class
    """What its settings are, with their units."""

    steps: int = 20
    ball: Ball = LINF  # FILL default

    @property
    def norm(self) -> Norm:
        """That of its ball: nothing is cut into a ball that an attack does not know."""
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
        delta = self.ball.random(torch.zeros_like(victims.signals), budget_mv, generator)
        for step in range(self.steps):
            progress = step / max(1, self.steps - 1)
            anneal(module, progress)  # a stand-in for a model without gradient comes closer to it
            seen = evaluate(module, victims, delta, objective, progress)
            if watch is not None:
                watch(progress, seen.scores)
            delta = delta + budget_mv / self.steps * self.ball.steepest(seen.gradient)  # FILL step
            delta = self.ball.project(delta, budget_mv)
        return delta
