"""Annotated WFDB records in, a folder of recordings at rest out: beats or windows, of one database or of several.

:func:`survey` reads headers and looks at (but not into) the other files; :func:`read` goes over the records twice, one
at a time: first to check every file and find what is cut from it (:mod:`ecg.marked.beats`, :mod:`ecg.marked.windows`),
then to write it. What it leaves out or takes for granted it counts, and :mod:`ecg.marked.facts` says.

A record is resampled as a whole (:mod:`ecg.resample`) before anything is cut. Patients are kept apart as de Chazal et
al. 2004 (IEEE Trans. Biomed. Eng. 51(7)) ask for: recordings of one person on both sides of a split make every figure
too good.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pulseproof.core.data.marked import SIDES, BeatData, WindowData, names_of
from pulseproof.core.data.table import Split
from pulseproof.core.errors import InputError
from pulseproof.core.steps import digest
from pulseproof.core.terminal.console import follow, say
from pulseproof.core.terminal.hints import command
from pulseproof.ecg.marked import beats, windows
from pulseproof.ecg.marked.cuts import Cuts
from pulseproof.ecg.marked.facts import RecordFacts, doubts, facts, lacking, note_on, side_lines, without_lead
from pulseproof.ecg.marked.labels import KNOWN
from pulseproof.ecg.marked.leads import NoLeadError, found
from pulseproof.ecg.marked.scale import RecorderScale, bridged, common, resampled, scale_of
from pulseproof.ecg.marked.sources import SourcePart, SourceRecord, database_of, leads_of, parts_of, sources_of
from pulseproof.ecg.origin import Bad, refuse, without
from pulseproof.ecg.recordings import About, RecordingsWriter
from pulseproof.ecg.tables.sides import Person, drawn_sides
from pulseproof.ecg.wfdb.files import Record, read_record
from pulseproof.ecg.wfdb.header import is_beside, read_header

Marked = BeatData | WindowData
LISTED = 12  # labels that a refusal lists


@dataclass(frozen=True)
class MarkedSurvey:
    """The records a study reads. ``left_out``: sentences on those that it names and does not read; ``bad``: those of
    which a file is not there."""

    folder: Path
    name: str
    spec: Marked
    parts: tuple[SourcePart, ...]
    sources: tuple[SourceRecord, ...]
    left_out: tuple[str, ...]
    bad: tuple[Bad, ...]
    fingerprint: str

    @property
    def classes(self) -> tuple[str, ...]:
        return names_of(self.spec.classes)


def survey(spec: Marked, folder: Path) -> MarkedSurvey:
    """Decide which records are read on which side, and look at their files; only headers are opened.

    Raises InputError for a name that is no record's and a side left empty. Records without header or annotations are
    told of when the others are read, all in one error.
    """
    _check_spec(spec)
    parts = parts_of(spec, folder)
    sources, left_out = sources_of(spec, parts)
    files, bad = [], []
    for source in sources:
        stem = source.stem
        for suffix in ("hea", source.part.annotator):
            path = stem.with_name(f"{stem.name}.{suffix}")
            if not path.is_file():
                have = sorted(file.stem for file in stem.parent.glob("*.hea"))
                error = InputError(
                    f"{path}: no such file, and the study names record {source.name}",
                    f"fetch it (`{command('data')}`), or name other records; there are {', '.join(have) or 'none'}",
                )
                bad.append(Bad(source.name, error))
                break
        for path in sorted({*stem.parent.glob(f"{stem.name}.*"), *_signal_files(stem)}):
            status = path.stat()
            files.append((str(path.relative_to(folder)), status.st_size, status.st_mtime_ns))
    named = database_of(spec, folder, [source.name for source in sources])
    # The order of the classes is the study's, and an inputs' digest does not see the order of a table.
    seen = digest({"files": files, "classes": list(names_of(spec.classes))})
    return MarkedSurvey(folder, named, spec, parts, tuple(sources), tuple(left_out), tuple(bad), seen)


def read(surveyed: MarkedSurvey, target: Path, fingerprint: str) -> list[Path]:
    """Read every surveyed record into ``target``; returns the files made. On any error nothing is left there.

    Raises one InputError for all records that cannot be read (or, where the study skips them, when a side is empty),
    and one for all labels that no line of a class map says anything about.
    """
    spec, name, total = surveyed.spec, surveyed.name, len(surveyed.sources)
    say(f"{name}: reading {total} records from {surveyed.folder}")
    for sentence in surveyed.left_out:
        say(f"{name}: {sentence}")
    bad = {each.name: each for each in surveyed.bad}
    leadless: list[Bad] = []
    good: list[tuple[SourceRecord, Cuts]] = []
    seen: list[RecordFacts] = []
    scales: list[tuple[str, RecorderScale, float]] = []
    for source in follow(surveyed.sources, f"{name}: checking"):
        if source.name in bad:
            continue
        try:
            record = bridged(_record(source))
            cuts, about_it = _cut(record, source, spec)
        except NoLeadError as error:
            if spec.without_lead == "skip":
                leadless.append(Bad(source.name, error))
            else:
                bad[source.name] = Bad(source.name, error)
            continue
        except InputError as error:
            bad[source.name] = Bad(source.name, error)
            continue
        good.append((source, cuts))
        seen.append(about_it)
        scales.append((source.name, scale_of(record), float(record.gains.max())))
    left = [bad[source.name] for source in surveyed.sources if source.name in bad]
    if left and (spec.bad_records == "error" or not good):
        raise refuse(name, left, total)
    _check_rules(surveyed, seen)
    if spec.split is not None:
        good, seen = _dealt(spec.split, good, seen)
    _check_sides(surveyed, good)
    scale = common(scales, name)
    for line in side_lines(spec, surveyed.classes, seen):
        say(f"{name}: {line}")
    about = _about(surveyed, seen, left, leadless, scale)
    one_hot = np.eye(len(surveyed.classes), dtype=np.uint8)
    samples = length_of(spec)
    with RecordingsWriter(target, about, sum(len(cuts.first) for _, cuts in good), samples) as writer:
        for source, cuts in follow(good, f"{name}: cutting {spec.source}"):
            steps = resampled(bridged(_record(source)), spec.fs_hz, scale)
            for at, first, kind in zip(cuts.at, cuts.first, cuts.kind, strict=True):
                cut = steps[:, first : first + samples]
                writer.add(cut, one_hot[kind], source.patient, source.split, f"{source.name}:{at}")
        return writer.close(fingerprint)


def _dealt(
    split: Split, good: list[tuple[SourceRecord, Cuts]], seen: list[RecordFacts]
) -> tuple[list[tuple[SourceRecord, Cuts]], list[RecordFacts]]:
    """The records with the sides to which their people are dealt, by what each has of every class."""
    people = {row: Person(str(each.patient), each.name) for row, each in enumerate(seen)}
    sides = drawn_sides(people, {row: np.array(each.counts, np.int64) for row, each in enumerate(seen)}, split)
    return (
        [(replace(source, split=sides[row]), cuts) for row, (source, cuts) in enumerate(good)],
        [replace(each, split=sides[row]) for row, each in enumerate(seen)],
    )


def length_of(spec: Marked) -> int:
    """Samples of one recording."""
    return sum(beats.window(spec)) if isinstance(spec, BeatData) else windows.grid(spec)[0]


def _about(
    surveyed: MarkedSurvey, seen: list[RecordFacts], left: list[Bad], leadless: list[Bad], scale: RecorderScale
) -> About:
    spec, total = surveyed.spec, len(surveyed.sources)
    bad_note, bad_facts = without(left, total, surveyed.folder)
    lead_note, lead_facts = without_lead(leadless, total, surveyed.folder)
    counted = (*facts(spec, leads_of(spec), surveyed.classes, seen), *lead_facts, *bad_facts)
    granted = (*doubts(surveyed.parts, spec, seen), *lacking(spec, surveyed.classes, seen))
    for sentence in (*granted, *counted):
        say(f"{surveyed.name}: {sentence}")
    part = "; ".join(each for each in (lead_note, bad_note) if each)
    return About(
        database=surveyed.name,
        classes=surveyed.classes,
        leads=leads_of(spec),
        fs_hz=spec.fs_hz,
        adc_step_mv=1 / scale.gain,
        adc_range=(scale.low, scale.high),
        synthetic=False,
        exclusive=True,
        note="; ".join(each for each in (part, note_on(surveyed.parts, spec, seen)) if each),
        part=part,
        facts=(*(f"{line[:1].upper()}{line[1:]}." for line in surveyed.left_out), *counted),
        doubts=granted,
    )


def _cut(record: Record, source: SourceRecord, spec: Marked) -> tuple[Cuts, RecordFacts]:
    if isinstance(spec, BeatData):
        return beats.cut(record, source, spec)
    return windows.cut(record, source, spec)


def _record(source: SourceRecord) -> Record:
    part = source.part
    header = read_header(source.stem)
    return read_record(source.stem, found(header, source.leads, part.others), header, default_gain=part.default_gain)


def _signal_files(stem: Path) -> list[Path]:
    """The files that a record's header names, where it can be read and they are there: they may be called as they like,
    and a change of one must not go unseen."""
    try:
        signals = read_header(stem).signals
    except InputError:  # told when the record is read
        return []
    named = [stem.parent / signal.file for signal in signals if is_beside(signal.file)]
    return [path for path in named if path.is_file()]


def _check_rules(surveyed: MarkedSurvey, seen: list[RecordFacts]) -> None:
    """Raises InputError for labels that stand in the records and in no line of the map, and for labels of the map that
    neither the records nor WFDB know: a slip of the keyboard would be a class without recordings."""
    records: dict[str, list[str]] = {}
    for each in seen:
        for label in each.without_rule:
            records.setdefault(label, []).append(each.name)
    counts = sum((each.without_rule for each in seen), Counter[str]())
    if counts:
        most = [
            f"{label} ({count:,} in {len(records[label])}, first {records[label][0]})"
            for label, count in counts.most_common(LISTED)
        ]
        more = f", and {len(counts) - LISTED} more" if len(counts) > LISTED else ""
        raise InputError(
            f"data.classes: no line says what these labels of {surveyed.name} are (how many, in how many"
            f" records): {', '.join(most)}{more}",
            'name each under a class, or leave it out ("LABEL" = "drop"); rest = "*" is a class of all others, other ='
            ' "drop" leaves all others out',
        )
    there = {label for each in seen for label in each.labels}
    named = {label for part in surveyed.parts for label in part.classes.named}
    unknown = sorted(label for label in named if label not in there and label not in KNOWN)
    if unknown:
        listed = ", ".join(sorted(there)[:40]) or "none"
        raise InputError(
            f"data.classes: no record of {surveyed.name} has {', '.join(unknown)}", f"labels there: {listed}"
        )


def _check_sides(surveyed: MarkedSurvey, good: list[tuple[SourceRecord, Cuts]]) -> None:
    """Raises InputError for a side on which no record, or nothing of any class is left."""
    one = "beat" if isinstance(surveyed.spec, BeatData) else "window"
    for split in SIDES:
        cuts = [each for source, each in good if source.split == split]
        if not any(len(each.first) for each in cuts):
            what = f"no {one} of the classes {', '.join(surveyed.classes)}" if cuts else "no record is left"
            raise InputError(
                f"{surveyed.folder}: {what} on the {split} side", "name other records, or another annotator"
            )


def _check_spec(spec: Marked) -> None:
    for what, listed in (("leads", spec.leads), ("classes", names_of(spec.classes))):
        if not listed or len(set(listed)) != len(listed):
            raise InputError(f"data.{what}: {list(listed)}", "name at least one, each once")
    if isinstance(spec, BeatData) and min(beats.window(spec)) < 1:
        raise InputError("data.before_s and after_s: less than one sample", f"a sample lasts {1 / spec.fs_hz:g} s")
    if isinstance(spec, WindowData) and min(windows.grid(spec)) < 1:
        raise InputError("data.window: less than one sample", f"a sample lasts {1 / spec.fs_hz:g} s")
