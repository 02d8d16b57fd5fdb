"""The AUC of each class, and a warning where one is ranked worse than by chance: a macro AUC above .5 hides it.

In: scores and labels of clean recordings. Out: AUCs by class, and sentences for whoever trains or exports the system.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseproof.runtime.auc import auc

CHANCE = 0.5
NEAR_CHANCE = 0.6  # macro AUC: a model that ranks no better is not fed what it was trained on, or is none


def class_aucs(scores: NDArray[Any], labels: NDArray[Any], classes: Sequence[str]) -> dict[str, float | None]:
    """One-vs-rest AUC of each class, ``scores`` and ``labels`` (n, classes); None where a class has no positive or no
    negative recording, or where a score of it is NaN."""
    found: dict[str, float | None] = {}
    for name, column, truth in zip(classes, scores.T, labels.T, strict=True):
        value = float("nan") if np.isnan(column).any() else auc(column, truth)
        found[name] = None if np.isnan(value) else value
    return found


def below_chance(aucs: Mapping[str, float | None]) -> list[str]:
    """``S (AUC .425)`` for each class below .5, the lowest first."""
    low = sorted((value, name) for name, value in aucs.items() if value is not None and value < CHANCE)
    return [f"{name} (AUC {value:.3f})" for value, name in low]


def class_warning(name: str, aucs: Mapping[str, Mapping[str, float | None]]) -> str | None:
    """One sentence about a system whose ``aucs`` by side hold a class below .5; None without any."""
    told = [
        f"{', '.join(found)} on {side} recordings"
        for side, by_class in aucs.items()
        if (found := below_chance(by_class))
    ]
    if not told:
        return None
    return f"WARNING: {name} ranks {'; '.join(told)} worse than by chance: its macro AUC hides a class that fails"


def chance_warning(name: str, auc: float | None, file: str | None) -> str | None:
    """One sentence about a brought model that ranks near chance or below it; None for any other."""
    if auc is None or auc >= NEAR_CHANCE:
        return None
    where = "below" if auc < CHANCE else "near"
    mend = (
        f"`pulseproof bring {file} --study STUDY` tries the usual scalings of the signal"
        if file
        else ("see that it is fed what it was trained on: signals are in mV")
    )
    return f"WARNING: {name} ranks validation recordings {where} chance (AUC {auc:.3f}): {mend}"
