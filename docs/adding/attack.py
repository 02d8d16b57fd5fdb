"""What this attack does, and after whom it is called.  FILL what

In: a differentiable module from millivolts (n, leads, samples) to scores (n, classes), recordings with their labels, an
objective, a budget. Out: a perturbation in millivolts inside the ball of that budget. The steps are taken by the one
loop of all attacks (:mod:`attacks.steps`).
"""

from __future__ import annotations

from dataclasses import dataclass

from pulseproof.attacks.aim.ball import LINF  # FILL ball
from pulseproof.attacks.aim.region import Region
from pulseproof.attacks.gradient import Stepping
from pulseproof.attacks.steps import Course, Scores, Value


@dataclass(frozen=True)
class Mine(Stepping):  # FILL class
    """What its settings are, with their units."""

    ball: Region = LINF  # FILL default

    def course(self, budget_mv: float, value: Value, last: Scores) -> Course:
        """How long its steps are, where the gradient is taken, and which point comes out."""
        return Course(self.steps, budget_mv)  # FILL step
