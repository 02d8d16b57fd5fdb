"""What an audit compares: a target's AUC on one signal set, and when one is lower than another.

In: the scores of a target on a set. Out: a :class:`MeasuredTarget` row, with its AUC in the resamples of the patients
that all rows share, so that any two are compared in pairs (:func:`below`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pulseproof.attacks.aim.norms import BallNorm
from pulseproof.core.statistics import Resamples, percentiles, resampled_macro_auc
from pulseproof.runtime.auc import macro_auc

# Differences below it are left alone however narrow their interval: at collapse, or with thousands of recordings, the
# last digits of an AUC are always "significant", and no reader would act on them. The gate of the twins has the same.
MATTERS = 0.005

Kind = Literal["gradient", "queries", "control"]


@dataclass(frozen=True)
class FlagSubject:
    """What a flag is about: ``target`` (a model, ``cnn``, or a file, ``cnn/onnx-int8-static``) under ``method`` made on
    ``source`` (None for a control) at ``budget_mv``. A method, source or budget of None: all of the target's."""

    target: str
    source: str | None = None
    method: str | None = None
    budget_mv: float | None = None


@dataclass(frozen=True, eq=False)
class MeasuredTarget:
    """One target on one signal set. ``resampled`` (resamples,) are its AUCs in the resamples that all rows share;
    ``kind``: what the method knows; ``norm``: the ball that bounds it, None where none does; ``facts`` as the signal
    set gives them."""

    row: FlagSubject
    kind: Kind
    auc: float
    resampled: NDArray[np.float64]
    norm: BallNorm | None = "linf"
    facts: Mapping[str, float] = field(default_factory=dict)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the AUC over patients."""
        return percentiles(self.resampled)

    @property
    def of_its_own(self) -> bool:
        """True when the set was made on the very target."""
        return self.row.source == self.row.target


@dataclass(frozen=True, eq=False)
class Again:
    """A white-box row, and the same attack run once more as ``says`` tells, both measured on the same recordings.
    ``objective``: another objective; otherwise more effort."""

    says: str
    objective: bool
    before: MeasuredTarget
    after: MeasuredTarget


def measure(
    row: FlagSubject,
    kind: Kind,
    scores: NDArray[np.float32],
    labels: NDArray[Any],
    resamples: Resamples,
    norm: BallNorm | None = "linf",
    facts: Mapping[str, float] | None = None,
) -> MeasuredTarget:
    """``scores`` and ``labels`` (n, classes) as a measured row; all rows of one audit share ``resamples``."""
    resampled = resampled_macro_auc(scores, labels, resamples)
    return MeasuredTarget(row, kind, macro_auc(scores, labels), resampled, norm, facts or {})


def below(low: MeasuredTarget, high: MeasuredTarget, matters: float = MATTERS) -> bool:
    """True when the AUC of ``low`` is lower by more than ``matters``, and the interval of the difference leaves out
    zero."""
    return high.auc - low.auc > matters and percentiles(low.resampled - high.resampled)[1] < 0
