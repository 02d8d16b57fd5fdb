"""Who learns, who validates and who tests: by a column, by patterns, or by shares of the patients.

In come the recordings with their patients and labels, out comes the side of each. A patient is on one side only: what a
column or a pattern says against that is a bad row. Shares are dealt patient by patient, the rarest class first, each to
the side (or fold) that lacks most of what the patient has (Sechidis et al. 2011, iterative stratification); the same
seed and the same patients give the same sides, in whatever order the table has them.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.data.table import Split as SplitSpec
from pulseproof.ecg.recordings import SPLITS, Split
from pulseproof.ecg.tables.problems import Problems

CALLED: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True)
class Person:
    """Whose a recording is, and what the table says of its side (a cell, or the recording's name)."""

    patient: str
    cell: str


def named_sides(people: Mapping[int, Person], split: SplitSpec | None, column: bool, bad: Problems) -> dict[int, Split]:
    """The side of each row by its cell (``column``) or its name; rows without a side, with two, or with another than
    their patient's first go to ``bad``."""
    patterns = split.patterns() if split is not None else {}
    sides: dict[int, Split] = {}
    first: dict[str, tuple[int, Split]] = {}
    for row, person in people.items():
        if patterns:
            fits: list[Split] = [
                side for side in SPLITS if any(fnmatch.fnmatchcase(person.cell, each) for each in patterns[side])
            ]
        else:
            fits = [CALLED[person.cell.lower()]] if person.cell.lower() in CALLED else []
        if len(fits) != 1:
            said = repr(person.cell[:60]) if person.cell or not column else "the empty cell"
            what = f"{said} is on the side of {' and of '.join(fits)}" if fits else f"{said} is on no side"
            bad.add(row, "split", what, "say in [data.split] which values or patterns are train, validation and test")
            continue
        before, side = first.setdefault(person.patient, (row, fits[0]))
        if side != fits[0]:
            what = f"patient {person.patient[:60]!r} is on the {side} side in row {before}, here on {fits[0]}"
            bad.add(row, "split", what, "put all recordings of a patient on one side")
            continue
        sides[row] = fits[0]
    return sides


def drawn_sides(
    people: Mapping[int, Person], labels: Mapping[int, NDArray[np.integer[Any]]], split: SplitSpec
) -> dict[int, Split]:
    """The side of each row by shares of the patients. ``labels``: of each row 0 or 1 a class, or how many it has."""
    names = sorted({person.patient for person in people.values()})
    place = {name: index for index, name in enumerate(names)}
    classes = len(next(iter(labels.values()), ()))
    counts = np.zeros((len(names), classes + 1))  # of each patient: recordings of each class, and of any
    for row, person in people.items():
        counts[place[person.patient], :classes] += labels[row]
        counts[place[person.patient], classes] += 1
    if not split.stratify:
        counts = counts[:, classes:]
    shares = np.array(split.shares, np.float64)
    lacking = shares[:, None] * counts.sum(axis=0)
    order = np.random.default_rng(split.seed).permutation(len(names))
    side_of = np.full(len(names), -1)
    # The rarest class first; in the end whoever has none of them. A class of few people is dealt before it is too late.
    by_class = [*np.argsort(counts[:, :-1].astype(bool).sum(axis=0), kind="stable"), counts.shape[1] - 1]
    for column in by_class:
        for who in order[(side_of[order] < 0) & (counts[order, column] > 0)]:
            best = np.flatnonzero(lacking[:, column] == lacking[:, column].max())
            side = int(best[np.argmax(lacking[best, -1])])
            side_of[who] = side
            lacking[side] -= counts[who]
    return {row: SPLITS[split.side_of(int(side_of[place[person.patient]]))] for row, person in people.items()}
