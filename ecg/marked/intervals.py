"""What holds when: marks that hold until the next one in, the class of any stretch of a record out.

A mark of rhythm, ``(AFIB``, holds from its sample to the one before the next such mark, the last one to the end of the
record; before the first mark nothing is known. :func:`counts_in` counts, for stretches of samples, how many are of each
class; :func:`decided` makes one class of each stretch by the study's rule. All in whole samples of the record: a window
is what labelling sample by sample would say it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.data.classes import LEFT_OUT
from pulseproof.ecg.wfdb.marks import Marks


@dataclass(frozen=True)
class HeldMark:
    """int64 ``starts`` (k,): the first sample of each interval, rising; it lasts to the next, the last one to the end.
    ``labels``: what holds in it."""

    starts: NDArray[np.int64]
    labels: tuple[str, ...]


def held(marks: Marks, symbols: Sequence[str]) -> HeldMark:
    """The intervals of the marks of these symbols: by their notes, by the symbol where there is none. Of several marks
    at one sample the last one holds."""
    chosen = [row for row, symbol in enumerate(marks.symbols) if symbol in symbols]
    last = {int(marks.at[row]): marks.notes[row] or marks.symbols[row] for row in chosen}
    return HeldMark(np.array(list(last), np.int64), tuple(last.values()))


def counts_in(
    starts: NDArray[np.int64], rows: NDArray[np.int64], classes: int, first: NDArray[np.int64], end: NDArray[np.int64]
) -> NDArray[np.int64]:
    """int64 (k, classes): of the samples ``first`` to ``end`` - 1 of each stretch, how many are in intervals of each
    row. ``starts`` and ``rows``, int64 (intervals,), are where intervals begin and the row of their class."""
    made = np.zeros((len(first), classes), np.int64)
    if not len(starts):
        return made
    lengths = np.diff(starts)
    for row in range(classes):
        here = rows == row
        whole = np.concatenate([[0], np.cumsum(lengths * here[:-1])])
        made[:, row] = _until(end, starts, here, whole) - _until(first, starts, here, whole)
    return made


def _until(
    at: NDArray[np.int64], starts: NDArray[np.int64], here: NDArray[np.bool_], whole: NDArray[np.int64]
) -> NDArray[np.int64]:
    """How many samples before ``at`` are in intervals that are ``here``; ``whole``: before the start of each."""
    place = np.searchsorted(starts, at, side="right") - 1
    inside = np.maximum(place, 0)
    return np.where(place < 0, 0, whole[inside] + (at - starts[inside]) * here[inside])


def decided(
    counts: NDArray[np.int64], totals: NDArray[np.int64], mixed: str, names: Sequence[str]
) -> NDArray[np.int64]:
    """int64 (k,): the row of each stretch in ``names``, or LEFT_OUT, from the ``counts`` (k, classes) of samples or
    beats of each class and their ``totals`` (k,), which count those of no class too.

    ``drop``: the one class that all are of; ``majority``: the class of more than half; ``any:NAME``: that class where
    there is any of it, else as ``drop``.
    """
    if not len(counts):
        return np.zeros(0, np.int64)
    most = counts.argmax(axis=1)
    many = counts[np.arange(len(counts)), most]
    if mixed == "majority":
        return np.where(2 * many > totals, most, LEFT_OUT)
    whole = np.where((many == totals) & (totals > 0), most, LEFT_OUT)
    if mixed == "drop":
        return whole
    row = list(names).index(mixed.removeprefix("any:"))
    return np.where(counts[:, row] > 0, row, whole)
