"""What a signal set costs before it is made: gradients and queries, counted from the attack itself.

In: a method of the table and the settings of a study. Out: a :class:`Cost`, in gradients of one recording, the unit in
which attacks are compared; what a gradient takes is for a planner to know. Recordings that leave early are counted to
the end: how many do shows only on the way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pulseproof.attacks.aim.aimed import Aimed
from pulseproof.attacks.aim.needs import Enough, OnFeatures, OnForests
from pulseproof.attacks.disagreement import DisagreementMethod
from pulseproof.attacks.methods import METHODS
from pulseproof.attacks.square import SquareMethod
from pulseproof.attacks.transfer import DiverseMethod
from pulseproof.attacks.universal import UniversalMethod
from pulseproof.core.study import AttackSpec, Method

Made = Literal["net", "features", "trees"]


@dataclass(frozen=True)
class Cost:
    """``gradients`` of each attacked recording, ``reference_gradients`` of each reference, ``training_gradients`` of
    the whole set; ``queries`` of each recording and ``reference_queries``, one inference at batch 1 each."""

    gradients: float = 0.0
    reference_gradients: float = 0.0
    training_gradients: float = 0.0
    queries: float = 0.0
    reference_queries: float = 0.0


def cost_of(name: Method, settings: AttackSpec, made_on: Made = "net") -> Cost:
    """The cost of a method on a net, on features with a gradient of their own, or on trees."""
    made = METHODS[name].make(settings)
    aimed = made.aimed if isinstance(made, DiverseMethod) else made
    if isinstance(aimed, Aimed):
        steps = getattr(aimed.attack, "steps", 1)
        rests = False
        if any(isinstance(need, Enough) for need in aimed.needs):
            rests = made_on == "net" and settings.effort == "enough"
            effort = OnForests().effort if made_on == "trees" else OnFeatures().effort
            steps = -(-steps // 2) if rests else steps if made_on == "net" else effort * steps
        walked = steps if rests or steps == 1 else steps // 2
        return Cost(steps, walked if aimed.aim == "auc" else 0)
    if isinstance(made, SquareMethod):
        return Cost(queries=made.attack.queries, reference_queries=made.reference_queries)
    if isinstance(made, UniversalMethod):
        return Cost(training_gradients=made.steps * made.records, reference_gradients=made.steps / 3)
    if isinstance(made, DisagreementMethod):
        return Cost(2 * made.attack.steps)  # of the file and of its parent
    return Cost()
