"""From what a table or a header says of a recording to the classes of the study.

In come the labels of each recording as they are written and the study's class map, out comes a :class:`Labelled`: the
classes, and a row of 0 and 1 for every recording that has one. A class ``"*"`` is the rest: it holds recordings of no
other class, so one class against the rest is a task of two. A label that no line of the map names is a bad row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.data.classes import LEFT_OUT, ClassMap, class_map
from pulseproof.core.data.table import TableData
from pulseproof.core.errors import InputError
from pulseproof.ecg.tables.challenge import names_of, scored
from pulseproof.ecg.tables.problems import Problems

MOST_CLASSES = 100  # that are taken from the labels of a table without a map
YES, NO = ("1", "1.0", "1,0", "true"), ("0", "0.0", "0,0", "false")


@dataclass(frozen=True)
class Labelled:
    """``rows``: uint8 (classes,) of every recording by its row; ``without``: rows of none of the classes; ``dropped``:
    how often each label was left out as the map says."""

    classes: tuple[str, ...]
    rows: Mapping[int, NDArray[np.uint8]]
    without: tuple[int, ...]
    dropped: Mapping[str, int]


def written(spec: TableData, cells: Sequence[str], places: Sequence[int], names: Sequence[str]) -> tuple[str, ...]:
    """The labels of one row of a table: of its one column, in parts where the study has a separator, or the names of
    the columns that say 1. Raises ValueError, in words."""
    if spec.columns.label is not None:
        cell = cells[places[0]]
        if not cell:
            raise ValueError("the cell is empty")
        parts = cell.split(spec.separator) if spec.separator else [cell]
        labels = [part.strip() for part in parts]
        if not all(labels):
            raise ValueError(f"{cell[:60]!r} has an empty label in it")
        return tuple(dict.fromkeys(labels))
    found = []
    for place, name in zip(places, names, strict=True):
        cell = cells[place].lower()
        if cell not in (*YES, *NO):
            raise ValueError(f"{cells[place][:60]!r} in column {name!r} is neither 1 nor 0")
        if cell in YES:
            found.append(name)
    return tuple(found)


def labelled(
    spec: TableData, given: Mapping[int, tuple[str, ...]], columns: Sequence[str], bad: Problems, where: str
) -> Labelled:
    """The classes of every row in ``given``. ``columns``: those that are a class each; what no rule names goes to
    ``bad``. Raises InputError where the labels make no task."""
    mapped = _map(spec, given, columns, where)
    known: Callable[[str], tuple[str, ...]] = names_of if spec.labels == "challenge" else lambda label: (label,)
    unnamed: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    rows, without = {}, []
    rest = mapped.unnamed if mapped.unnamed not in (None, LEFT_OUT) else None
    for row, labels in given.items():
        held = np.zeros(len(mapped.names), np.uint8)
        strange = []
        for label in labels:
            named = [mapped.rows[name] for name in known(label) if name in mapped.rows]
            place = named[0] if named else mapped.unnamed
            if place is None:
                strange.append(label)
            elif place == LEFT_OUT:
                dropped[label] += 1
            elif place != rest:
                held[place] = 1
        if strange:
            unnamed.update(strange)
            shown = ", ".join(repr(label[:60]) for label in strange[:5])
            bad.add(row, "label", f"{shown} is in no class", _mend(spec, labels))
            continue
        if rest is not None and not held.any():
            held[rest] = 1
        if not held.any() and spec.unlabelled == "drop":
            without.append(row)
        else:
            rows[row] = held
    return Labelled(mapped.names, rows, tuple(without), dropped)


def _mend(spec: TableData, labels: Sequence[str]) -> str:
    told = 'name every label in [data.classes], or leave the others out (other = "drop")'
    apart = next(
        (mark for mark in (";", ",", "|", "/") if spec.separator is None and any(mark in x for x in labels)), ""
    )
    return f'{told}; for several labels in a cell: separator = "{apart}"' if apart else told


def _map(spec: TableData, given: Mapping[int, tuple[str, ...]], columns: Sequence[str], where: str) -> ClassMap:
    if isinstance(spec.classes, dict):
        return class_map(spec.classes)
    if spec.classes in ("challenge-2020", "challenge-2021"):
        return class_map(scored(spec.classes))
    if spec.labels == "challenge":
        return class_map(scored("challenge-2021"))
    names = list(columns) or sorted({label for labels in given.values() for label in labels})
    if not 2 <= len(names) <= MOST_CLASSES:
        raise InputError(
            f"{where}: {len(names):,} different labels ({', '.join(map(repr, names[:8]))}{', ...' * (len(names) > 8)})",
            'say what the classes are: [data.classes], a line a class (AF = ["AFIB", "AFL"], rest = "*")',
        )
    unfit = next((name for name in names if not (name.isprintable() and len(name) <= 60)), None)
    if unfit is not None:
        raise InputError(f"{where}: the label {unfit[:60]!r} is no name of a class", "name the classes: [data.classes]")
    return class_map({name: (name,) for name in names})
