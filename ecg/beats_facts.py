"""What was seen, left out and taken for granted while beats were read, in sentences with counts.

In comes a :class:`RecordFacts` a record, out come lines for the terminal, the note that stands over every table, and
the facts that go with the results: a number is only as true as what is said of its recordings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pulseproof.core.study_data import BeatData
from pulseproof.ecg.recordings import SPLITS, Split
from pulseproof.ecg.wfdb.marks import Marks

SUSPICIOUS = 0.1  # of the marks outside a record: rather another record's, or of another rate


@dataclass(frozen=True)
class RecordFacts:
    """One record that was read. ``counts``: usable beats by class; ``beside_gap``: beats that a missing sample touches;
    ``missing``: samples that are; ``taken``, ``assumed`` and ``shared``: :class:`~ecg.wfdb.files.Record`."""

    name: str
    split: Split
    marks: Marks
    counts: tuple[int, ...]
    at_edge: int
    beside_gap: int
    missing: int
    other_class: int
    paced: int
    taken: tuple[str, ...]
    assumed: bool
    shared: tuple[str, ...]


def side_lines(classes: Sequence[str], seen: Sequence[RecordFacts]) -> list[str]:
    """A line a side, and a warning for each class that it lacks; one for each record with paced beats."""
    lines = [
        f"warning: record {each.name} has {each.paced:,} paced beats; AAMI EC57 leaves out records with paced beats"
        for each in seen
        if each.paced
    ]
    for split in SPLITS:
        here = [each for each in seen if each.split == split]
        counts = [sum(each.counts[row] for each in here) for row in range(len(classes))]
        listed = ", ".join(f"{label} {count:,}" for label, count in zip(classes, counts, strict=True))
        gap = sum(each.beside_gap for each in here)
        lines.append(
            f"{split}: {listed}; left out: {sum(each.at_edge for each in here):,} at a record's edge,"
            f" {sum(each.other_class for each in here):,} of other classes"
            + (f", {gap:,} beside missing samples" if gap else "")
        )
        lines += [
            f"warning: no beat of class {label} on the {split} side"
            for label, count in zip(classes, counts, strict=True)
            if not count
        ]
    return lines


def note_on(spec: BeatData, seen: Sequence[RecordFacts]) -> str:
    """What must stand beside every number made from these beats; empty where nothing was taken for granted."""
    said = []
    assumed = sum(each.assumed for each in seen)
    if assumed:
        said.append(f"{_records(assumed)} uncalibrated, {spec.default_gain:g} ADC units a mV assumed")
    if spec.same_patient is None:
        said.append("each record taken as its own patient")
    return "; ".join(said)


def doubts(spec: BeatData, seen: Sequence[RecordFacts]) -> tuple[str, ...]:
    """A sentence on everything that was taken for granted, or looks wrong."""
    said = []
    if spec.same_patient is None:
        said.append(
            f"Each of the {_records(len(seen))} is taken as its own patient: same_patient, which says who is who, is"
            " not in the study."
        )
    if assumed := [each.name for each in seen if each.assumed]:
        said.append(f"Not calibrated (gain 0), {spec.default_gain:g} ADC units a mV assumed: {_named(assumed)}.")
    suspicious = []
    for each in seen:
        outside = each.marks.before + each.marks.behind
        if outside > max(1, SUSPICIOUS * (len(each.marks.at) + outside)):
            suspicious.append(each.name)
    if suspicious:
        said.append(
            f"More than a tenth of the annotations are outside {_named(suspicious)}: are they of another record, or of"
            " another sampling rate?"
        )
    return tuple(said)


def facts(spec: BeatData, seen: Sequence[RecordFacts]) -> tuple[str, ...]:
    """A sentence on everything that was left out or set right."""
    said = []
    for place, lead in enumerate(spec.leads):
        others = Counter(each.taken[place] for each in seen if each.taken[place].upper() != lead.upper())
        said += [f"Lead {lead} was read from {other} in {_records(count)}." for other, count in sorted(others.items())]
    if shared := [each.name for each in seen if each.shared]:
        lead = next(each.shared[0] for each in seen if each.shared)
        said.append(
            f"Several leads have one name in {_named(shared)}; they are told apart by number ({lead} is read, the first"
            " has no number, the next is -2)."
        )
    if own := [each for each in seen if each.marks.resolution_hz is not None]:
        rates = ", ".join(f"{rate:g} Hz" for rate in sorted({float(each.marks.resolution_hz or 0) for each in own}))
        said.append(f"Annotations with a time resolution of their own ({rates}): {_named([e.name for e in own])}.")
    said += _outside(seen)
    if unordered := [each.name for each in seen if each.marks.unordered]:
        count = sum(each.marks.unordered for each in seen)
        said.append(f"Annotations out of order, sorted: {count:,} in {_named(unordered)}.")
    if gaps := [each for each in seen if each.missing]:
        beats = sum(each.beside_gap for each in gaps)
        said.append(
            f"Missing samples: {sum(each.missing for each in gaps):,} in {_named([each.name for each in gaps])};"
            f" {beats:,} beats whose window they touch are left out."
        )
    return tuple(said)


def _outside(seen: Sequence[RecordFacts]) -> list[str]:
    """On annotations beyond the ends of their records."""
    said = []
    for where, counted in (
        ("before their record's first sample", {each.name: each.marks.before for each in seen if each.marks.before}),
        ("at or behind their record's end", {each.name: each.marks.behind for each in seen if each.marks.behind}),
    ):
        if counted:
            count = sum(counted.values())
            said.append(f"Annotations {where}, dropped: {count:,} in {_named(list(counted))}.")
    return said


def _records(count: int) -> str:
    return f"{count:,} record{'s' * (count != 1)}"


def _named(names: Sequence[str]) -> str:
    """How many records, and which: all, or the first."""
    if len(names) == 1:
        return f"record {names[0]}"
    return f"{_records(len(names))} ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})"
