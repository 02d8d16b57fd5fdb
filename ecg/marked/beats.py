"""Annotated beats: one recording a beat, cut around its annotated sample after the record was resampled.

In comes a record and its annotations, out come the places and classes of its usable beats, and what was seen of it.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from pulseproof.core.data.classes import LEFT_OUT
from pulseproof.core.data.marked import BeatData
from pulseproof.ecg.marked.cuts import Cuts
from pulseproof.ecg.marked.facts import RecordFacts
from pulseproof.ecg.marked.labels import is_beat
from pulseproof.ecg.marked.scale import ratio, touched
from pulseproof.ecg.marked.sources import SourceRecord
from pulseproof.ecg.wfdb.files import Record
from pulseproof.ecg.wfdb.marks import read_marks


def window(spec: BeatData) -> tuple[int, int]:
    """Samples of a recording before the beat, and from the beat on."""
    return round(spec.before_s * spec.fs_hz), round(spec.after_s * spec.fs_hz)


def cut(record: Record, source: SourceRecord, spec: BeatData) -> tuple[Cuts, RecordFacts]:
    """The usable beats of a record, and what was seen of it."""
    up, down = ratio(spec.fs_hz, record)
    length = record.digital.shape[1]
    before, after = window(spec)
    classes = source.part.classes
    marks = read_marks(record.path, source.part.annotator, length, record.fs_hz, record.frame)
    at = marks.at
    beats = [symbol if is_beat(symbol, classes) else None for symbol in marks.symbols]
    found = [LEFT_OUT if symbol is None else classes.row(symbol) for symbol in beats]
    kind = np.array([LEFT_OUT if row is None else row for row in found], np.int64)
    centre = (2 * at * up + down) // (2 * down)  # the nearest sample, in whole numbers
    wanted = kind != LEFT_OUT
    inside = (centre >= before) & (centre + after <= -(-length * up // down))
    gap = wanted & inside & touched(record, spec.fs_hz, centre - before, centre + after - 1)
    usable = wanted & inside & ~gap
    cuts = Cuts(at=at[usable], first=centre[usable] - before, kind=kind[usable])
    seen = RecordFacts(
        name=source.name,
        split=source.split,
        patient=source.patient,
        marks=marks,
        labels=Counter(symbol for symbol in beats if symbol is not None),
        without_rule=Counter(
            symbol for symbol, row in zip(beats, found, strict=True) if symbol is not None and row is None
        ),
        counts=tuple(np.bincount(cuts.kind, minlength=len(classes.names)).tolist()),
        at_edge=int((wanted & ~inside).sum()),
        beside_gap=int(gap.sum()),
        missing=int(record.missing.any(axis=0).sum()),
        other_class=sum(symbol is not None and row == LEFT_OUT for symbol, row in zip(beats, found, strict=True)),
        paced=sum(symbol in ("/", "f") for symbol in marks.symbols),
        taken=record.taken,
        assumed=bool(record.assumed),
        gain=source.part.default_gain,
        shared=record.shared,
    )
    return cuts, seen
