"""Windows over long records: every so many seconds one recording, labelled by what holds in it.

In comes a record and its annotations, out come the places and classes of its usable windows, and what was seen of it.
Window k begins at sample ``k * step`` after resampling and has the samples of the record whose time lies in it; its
label is that of these samples (or of the beats among them), by :func:`ecg.marked.intervals.decided`. A window that the
record does not fill, that a missing sample touches, or that the rule gives no class, is left out and counted.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.data.classes import LEFT_OUT, ClassMap
from pulseproof.core.data.marked import WindowData
from pulseproof.ecg.marked.cuts import Cuts
from pulseproof.ecg.marked.facts import RecordFacts
from pulseproof.ecg.marked.intervals import counts_in, decided, held
from pulseproof.ecg.marked.labels import is_beat
from pulseproof.ecg.marked.scale import ratio, touched
from pulseproof.ecg.marked.sources import SourceRecord
from pulseproof.ecg.wfdb.files import Record
from pulseproof.ecg.wfdb.marks import Marks, read_marks


def grid(spec: WindowData) -> tuple[int, int]:
    """Samples of a window, and from one to the next."""
    return round(spec.window.length_s * spec.fs_hz), round(spec.window.step_s * spec.fs_hz)


def cut(record: Record, source: SourceRecord, spec: WindowData) -> tuple[Cuts, RecordFacts]:
    """The usable windows of a record, and what was seen of it."""
    up, down = ratio(spec.fs_hz, record)
    length = record.digital.shape[1]
    samples, step = grid(spec)
    classes = source.part.classes
    marks = read_marks(record.path, source.part.annotator, length, record.fs_hz, record.frame)
    whole = max(0, (-(-length * up // down) - samples) // step + 1)
    first = np.arange(whole, dtype=np.int64) * step
    begin, end = -(-first * down // up), np.minimum(-(-(first + samples) * down // up), length)
    if spec.labels == "rhythm":
        labels, without_rule, counts = _by_what_holds(marks, spec.marks, classes, begin, end)
        totals = end - begin
    else:
        labels, without_rule, counts, totals = _by_beats(marks, classes, begin, end)
    kind = decided(counts, totals, spec.mixed, classes.names)
    gap = (kind != LEFT_OUT) & touched(record, spec.fs_hz, first, first + samples - 1)
    usable = (kind != LEFT_OUT) & ~gap
    several = (counts > 0).sum(axis=1) > 1
    cuts = Cuts(at=begin[usable], first=first[usable], kind=kind[usable])
    seen = RecordFacts(
        name=source.name,
        split=source.split,
        patient=source.patient,
        marks=marks,
        labels=labels,
        without_rule=without_rule,
        counts=tuple(np.bincount(cuts.kind, minlength=len(classes.names)).tolist()),
        at_edge=0,
        beside_gap=int(gap.sum()),
        missing=int(record.missing.any(axis=0).sum()),
        other_class=int(((kind == LEFT_OUT) & ~several).sum()),
        several=int(((kind == LEFT_OUT) & several).sum()),
        paced=sum(symbol in ("/", "f") for symbol in marks.symbols),
        taken=record.taken,
        assumed=bool(record.assumed),
        gain=source.part.default_gain,
        shared=record.shared,
    )
    return cuts, seen


def _by_what_holds(
    marks: Marks, symbols: tuple[str, ...], classes: ClassMap, begin: NDArray[np.int64], end: NDArray[np.int64]
) -> tuple[Counter[str], Counter[str], NDArray[np.int64]]:
    """How often each label stands in the record, those without a rule, and the samples of each class a window."""
    intervals = held(marks, symbols)
    found = [classes.row(label) for label in intervals.labels]
    without = Counter(label for label, row in zip(intervals.labels, found, strict=True) if row is None)
    rows = np.array([LEFT_OUT if row is None else row for row in found], np.int64)
    counts = counts_in(intervals.starts, rows, len(classes.names), begin, end)
    return Counter(intervals.labels), without, counts


def _by_beats(
    marks: Marks, classes: ClassMap, begin: NDArray[np.int64], end: NDArray[np.int64]
) -> tuple[Counter[str], Counter[str], NDArray[np.int64], NDArray[np.int64]]:
    """The same of beats, and how many beats there are in each window."""
    beats = [
        (at, symbol) for at, symbol in zip(marks.at.tolist(), marks.symbols, strict=True) if is_beat(symbol, classes)
    ]
    found = [classes.row(symbol) for _, symbol in beats]
    without = Counter(symbol for (_, symbol), row in zip(beats, found, strict=True) if row is None)
    at = np.array([at for at, _ in beats], np.int64)
    rows = np.array([LEFT_OUT if row is None else row for row in found], np.int64)
    counts = np.zeros((len(begin), len(classes.names)), np.int64)
    for row in range(len(classes.names)):
        here = at[rows == row]
        counts[:, row] = np.searchsorted(here, end) - np.searchsorted(here, begin)
    return (
        Counter(symbol for _, symbol in beats),
        without,
        counts,
        np.searchsorted(at, end) - np.searchsorted(at, begin),
    )
