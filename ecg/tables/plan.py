"""What of a table is read, and on which side: decided from labels and patients, before any signal is.

In come the rows of a table with their labels, out comes a :class:`Plan`. A class that the training side lacks ends the
reading here; one that another side lacks is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.errors import InputError
from pulseproof.ecg.recordings import SPLITS, Split
from pulseproof.ecg.tables.labels import Labelled, labelled
from pulseproof.ecg.tables.problems import Problems
from pulseproof.ecg.tables.rows import TableSurvey
from pulseproof.ecg.tables.sides import drawn_sides, named_sides

FEWEST = 5  # recordings of a class on every side, of the Challenges' many classes
NAMED = 12  # labels that a sentence tells


@dataclass(frozen=True)
class Plan:
    """The rows that are read, with their classes and sides; sentences on what is left out and on what is lacking."""

    classes: tuple[str, ...]
    rows: Mapping[int, NDArray[np.uint8]]
    sides: Mapping[int, Split]
    facts: tuple[str, ...]
    doubts: tuple[str, ...]


def plan(found: TableSurvey, given: Mapping[int, tuple[str, ...]], bad: Problems) -> Plan:
    """Classes and sides of every row in ``given``; what cannot be goes to ``bad``. Raises InputError where no task is
    left."""
    spec = found.told
    known = labelled(spec, given, found.label_columns, bad, found.where)
    people = {row: found.rows[row].person for row in known.rows}
    if spec.split is not None and spec.split.drawn:
        sides = drawn_sides(people, known.rows, spec.split)
    else:
        sides = named_sides(people, spec.split, spec.columns.split is not None, bad)
    rows = {row: labels for row, labels in known.rows.items() if row in sides}
    classes, rows, facts = _frequent(found, known, rows, sides)
    if not rows or len(classes) < 2:
        if len(bad):
            raise bad.error(found.total)
        raise InputError(
            f"{found.where}: {len(rows):,} of {found.total:,} recordings have one of the classes,"
            f" {len(classes)} classes are left",
            "look at the labels there, and at [data.classes] (and fewest)",
        )
    facts = (*_left_out(found, known), *facts)
    lacking = [
        (name, side)
        for side in SPLITS
        for place, name in enumerate(classes)
        if not any(labels[place] for row, labels in rows.items() if sides[row] == side)
    ]
    if not len(bad):
        check_lacking(found.where, lacking, {side for side in SPLITS if side in sides.values()})
    doubts = tuple(f"Class {name} has no recording on the {side} side." for name, side in lacking)
    return Plan(classes, rows, {row: sides[row] for row in rows}, facts, doubts)


def check_lacking(where: str, lacking: list[tuple[str, Split]], there: set[Split]) -> None:
    """Raises InputError for a side without recordings, and for a class that nothing teaches."""
    empty = [side for side in SPLITS if side not in there]
    if empty:
        raise InputError(
            f"{where}: no recording is on the {' and the '.join(empty)} side",
            "give that side more: [data.split], or the column of the splits",
        )
    untaught = [name for name, side in lacking if side == "train"]
    if untaught:
        raise InputError(
            f"{where}: no recording of {', '.join(untaught[:NAMED])} is on the training side",
            "leave the class out of [data.classes], set fewest = 1, or share the patients otherwise",
        )


def _frequent(
    found: TableSurvey, known: Labelled, rows: dict[int, NDArray[np.uint8]], sides: Mapping[int, Split]
) -> tuple[tuple[str, ...], dict[int, NDArray[np.uint8]], tuple[str, ...]]:
    """Classes that every side has enough recordings of, the rows in them, and a sentence on the others."""
    spec = found.told
    preset = spec.labels == "challenge" and not isinstance(spec.classes, dict)
    fewest = (FEWEST if preset else 0) if spec.fewest is None else spec.fewest
    counts = np.zeros((len(SPLITS), len(known.classes)), np.int64)
    for row, labels in rows.items():
        counts[SPLITS.index(sides[row])] += labels
    keep = np.flatnonzero(counts.min(axis=0) >= fewest)
    if len(keep) == len(known.classes):
        return known.classes, rows, ()
    some = {row: labels[keep] for row, labels in rows.items()}
    if spec.unlabelled == "drop":
        some = {row: labels for row, labels in some.items() if labels.any()}
    lost = [name for place, name in enumerate(known.classes) if place not in keep]
    facts = [f"Classes left out, with fewer than {fewest} recordings on a side: {', '.join(lost)}."]
    if len(some) < len(rows):
        facts.append(f"Of those classes only, and left out: {len(rows) - len(some):,} of {len(rows):,} recordings.")
    return tuple(known.classes[place] for place in keep), some, tuple(facts)


def _left_out(found: TableSurvey, known: Labelled) -> list[str]:
    facts = []
    if known.dropped:
        most = sorted(known.dropped.items(), key=lambda each: (-each[1], each[0]))
        shown = ", ".join(f"{label} ({many:,})" for label, many in most[:NAMED]) + (
            ", ..." if len(most) > NAMED else ""
        )
        facts.append(f"Labels of no class, left out as the study says: {shown}.")
    if known.without:
        facts.append(f"Without a class and left out: {len(known.without):,} of {found.total:,} recordings.")
    return facts
