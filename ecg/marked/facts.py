"""What was seen, left out and taken for granted while beats or windows were read, in sentences with counts.

In comes a :class:`RecordFacts` a record, out come lines for the terminal, the note that stands over every table, and
the facts that go with the results: a number is only as true as what is said of its recordings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pulseproof.core.data.marked import BeatData, Side, WindowData
from pulseproof.ecg.marked.labels import all_aami
from pulseproof.ecg.marked.sources import SourcePart
from pulseproof.ecg.origin import NAMED, Bad
from pulseproof.ecg.recordings import SPLITS
from pulseproof.ecg.wfdb.marks import Marks

SUSPICIOUS = 0.1  # of the marks outside a record: rather another record's, or of another rate


@dataclass(frozen=True)
class RecordFacts:
    """One record that was read. ``labels``: how often each stands in it; ``without_rule``: those of them of which the
    study says nothing; ``counts``: usable beats or windows by class; ``beside_gap``: those that a missing sample
    touches; ``missing``: samples that are; ``several``: windows of several classes; ``taken``, ``assumed`` and
    ``shared``: :class:`~ecg.wfdb.files.Record`; ``gain``: ADC units a mV where they are assumed."""

    name: str
    split: Side
    patient: int
    marks: Marks
    labels: Counter[str]
    without_rule: Counter[str]
    counts: tuple[int, ...]
    at_edge: int
    beside_gap: int
    missing: int
    other_class: int
    paced: int
    taken: tuple[str, ...]
    assumed: bool
    gain: float | None
    shared: tuple[str, ...]
    several: int = 0


def side_lines(spec: BeatData | WindowData, classes: Sequence[str], seen: Sequence[RecordFacts]) -> list[str]:
    """A line a side, and a warning for each class that it lacks; one for each record with paced beats, where the
    classes are AAMI's."""
    lines = [
        f"warning: record {each.name} has {each.paced:,} paced beats; AAMI EC57 leaves out records with paced beats"
        for each in seen
        if each.paced and all_aami(spec.classes)
    ]
    for split in SPLITS:
        here = [each for each in seen if each.split == split]
        counts = [sum(each.counts[row] for each in here) for row in range(len(classes))]
        listed = ", ".join(f"{label} {count:,}" for label, count in zip(classes, counts, strict=True))
        if isinstance(spec, BeatData):
            out = (
                f"{sum(each.at_edge for each in here):,} at a record's edge,"
                f" {sum(each.other_class for each in here):,} of other classes"
            )
        else:
            out = (
                f"{sum(each.several for each in here):,} of several classes,"
                f" {sum(each.other_class for each in here):,} of no class throughout"
            )
        gap = sum(each.beside_gap for each in here)
        lines.append(f"{split}: {listed}; left out: {out}" + (f", {gap:,} beside missing samples" if gap else ""))
        lines += [
            f"warning: no {_one(spec)} of class {label} on the {split} side"
            for label, count in zip(classes, counts, strict=True)
            if not count
        ]
    return lines


def people(classes: Sequence[str], seen: Sequence[RecordFacts]) -> list[tuple[Side, str, int, int]]:
    """(side, class, how many of it, of how many people)."""
    made = []
    for split in SPLITS:
        for row, label in enumerate(classes):
            having = [each for each in seen if each.split == split and each.counts[row]]
            made.append(
                (split, label, sum(each.counts[row] for each in having), len({each.patient for each in having}))
            )
    return made


def lacking(spec: BeatData | WindowData, classes: Sequence[str], seen: Sequence[RecordFacts]) -> tuple[str, ...]:
    """A sentence on each side that lacks classes."""
    counted = people(classes, seen)
    gone = {side: [label for split, label, count, _ in counted if split == side and not count] for side in SPLITS}
    return tuple(
        f"No {_one(spec)} of class {', '.join(labels)} on the {side} side: nothing can be said of it there."
        for side, labels in gone.items()
        if labels
    )


def without_lead(left: Sequence[Bad], total: int, folder: Path) -> tuple[str, tuple[str, ...]]:
    """(what the note says, a sentence a record) of records that lack a lead."""
    if not left:
        return "", ()
    names = ", ".join(each.name for each in left[:NAMED]) + (", ..." if len(left) > NAMED else "")
    note = f"{len(left):,} of {total:,} records left out for lack of a lead ({names})"
    return note, tuple(f"Left out for lack of a lead: {each.error.what.replace(f'{folder}/', '')}." for each in left)


def note_on(parts: Sequence[SourcePart], spec: BeatData | WindowData, seen: Sequence[RecordFacts]) -> str:
    """What must stand beside every number made from these recordings; empty where nothing was taken for granted."""
    said = []
    for gain, names in _assumed(seen).items():
        said.append(f"{_records(len(names))} uncalibrated, {gain:g} ADC units a mV assumed")
    unknown = _of_nobody_known(parts, spec, seen)
    if len(unknown) == len(seen):
        said.append("each record taken as its own patient")
    elif unknown:
        said.append(f"each of {_records(len(unknown))} taken as its own patient")
    return "; ".join(said)


def doubts(parts: Sequence[SourcePart], spec: BeatData | WindowData, seen: Sequence[RecordFacts]) -> tuple[str, ...]:
    """A sentence on everything that was taken for granted, or looks wrong."""
    said = []
    if unknown := _of_nobody_known(parts, spec, seen):
        said.append(
            f"Each of the {_records(len(unknown))} is taken as its own patient: same_patient, which says who is who, is"
            " not in the study."
        )
    for gain, assumed in _assumed(seen).items():
        said.append(f"Not calibrated (gain 0), {gain:g} ADC units a mV assumed: {_named(assumed)}.")
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


def _assumed(seen: Sequence[RecordFacts]) -> dict[float, list[str]]:
    """{ADC units a mV: the records in which they are assumed}."""
    made: dict[float, list[str]] = {}
    for each in seen:
        if each.assumed:
            made.setdefault(each.gain or 0, []).append(each.name)
    return made


def _of_nobody_known(
    parts: Sequence[SourcePart], spec: BeatData | WindowData, seen: Sequence[RecordFacts]
) -> list[RecordFacts]:
    """Records of databases of which the study does not say who is who."""
    if spec.same_patient is not None or spec.person is not None:
        return []
    known = [part.prefix for part in parts if part.groups is not None]
    return [each for each in seen if not any(each.name.startswith(prefix) for prefix in known)]


def _one(spec: BeatData | WindowData) -> str:
    return "beat" if isinstance(spec, BeatData) else "window"


def facts(
    spec: BeatData | WindowData, leads: Sequence[str], classes: Sequence[str], seen: Sequence[RecordFacts]
) -> tuple[str, ...]:
    """A sentence on everything that was counted, left out or set right."""
    said = []
    if isinstance(spec, WindowData):
        for split in SPLITS:
            listed = [
                f"{label} {count:,} of {of} {'person' if of == 1 else 'people'}"
                for side, label, count, of in people(classes, seen)
                if side == split
            ]
            said.append(f"Windows on the {split} side: {', '.join(listed)}.")
        several, none = sum(each.several for each in seen), sum(each.other_class for each in seen)
        if several or none:
            said.append(
                f"Windows left out by mixed = {spec.mixed!r}: {several:,} that hold several classes, {none:,} that no"
                " class holds throughout."
            )
    for place, lead in enumerate(leads):
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
        count = sum(each.beside_gap for each in gaps)
        what = "beats whose window" if isinstance(spec, BeatData) else "windows that"
        said.append(
            f"Missing samples: {sum(each.missing for each in gaps):,} in {_named([each.name for each in gaps])};"
            f" {count:,} {what} they touch are left out."
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
