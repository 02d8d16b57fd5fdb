"""Each class by itself: how many recordings and patients stand behind it, its AUC, and over which classes a macro goes.

In come the labels of a bundle and the AUCs of the classes (:mod:`report.numbers.resampled`); out come the parts of a
row (:mod:`report.numbers.rows`) that say which class is weakest and which classes a mean leaves out, and the words for
both. A macro AUC of .764 may hide a class at .425: whoever sees the mean must be able to see what it is the mean of.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from pulseproof.bench.wire.results import HostBundle
from pulseproof.report.numbers.texts import auc_text, span

CHANCE = 0.5


@dataclass(frozen=True)
class ClassCount:
    """One class among the first recordings of a bundle: how many of all ``of`` have it, and of how many patients they
    are."""

    name: str
    recordings: int
    patients: int
    of: int = 0

    @property
    def undefined(self) -> str | None:
        """Why it has no AUC; None where it has one. Means over classes leave it out, each of them."""
        if self.recordings == 0:
            return f"{self.name}: no positive recording"
        return f"{self.name}: no negative recording" if self.recordings == self.of else None


class ClassValue(BaseModel):
    """The AUC of one class in one row, with its 95 % interval from the resamples of the macro AUC, and of how many
    positive ``recordings`` of how many ``patients``. None where the class has no positive or no negative recording."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    auc: float | None
    auc_low: float | None
    auc_high: float | None
    recordings: int
    patients: int


def class_counts(bundle: HostBundle, n: int) -> tuple[ClassCount, ...]:
    """The classes among the first ``n`` recordings, in the order of the task."""
    labels, patients = bundle.labels[:n].astype(bool), bundle.patients[:n]
    return tuple(
        ClassCount(name, int(has.sum()), len(np.unique(patients[has])), n)
        for name, has in zip(bundle.head.task.classes, labels.T, strict=True)
    )


def class_values(counts: Sequence[ClassCount], values: NDArray[np.float64]) -> dict[str, ClassValue]:
    """By class; ``values`` float64 (classes, 3): AUC, low and high of each, NaN where not defined."""
    return {
        each.name: ClassValue.model_construct(  # thousands of rows: not checked again
            auc=_known(auc),
            auc_low=_known(low),
            auc_high=_known(high),
            recordings=each.recordings,
            patients=each.patients,
        )
        for each, (auc, low, high) in zip(counts, values, strict=True)
    }


def weakest(values: Mapping[str, ClassValue] | None) -> tuple[str, ClassValue] | None:
    """The class of the lowest AUC, the first of equal ones; None where no class has one."""
    defined = [(name, each) for name, each in (values or {}).items() if each.auc is not None]
    return min(defined, key=lambda each: each[1].auc or 0.0, default=None)


def over(defined: int | None, classes: int) -> str:
    """``over 4 of 5 classes``; empty where a mean is over all of them, or over none."""
    return f"over {defined} of {classes} classes" if defined and defined < classes else ""


def class_words(value: ClassValue) -> str:
    """``AUC .425 [.301, .552]``; a dash where there is none."""
    return f"AUC {auc_text(value.auc)} {span(value.auc_low, value.auc_high)}".strip()


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
