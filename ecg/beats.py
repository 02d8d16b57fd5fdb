"""Annotated beats of any WFDB database, one recording a beat, in AAMI classes and split by patient.

In comes a folder of records with beat annotations (MIT-BIH and its kin), out comes a folder of recordings at rest.
:func:`survey` reads headers and looks at (but not into) the other files; :func:`read` goes over the records twice, one
at a time: first to check every file and count the beats, then to write them. What it leaves out or takes for granted it
counts, and :mod:`ecg.beats_facts` says.

A record is resampled as a whole (``scipy.signal.resample_poly``: zero-phase Kaiser low-pass, cut at the lower
Nyquist rate), then every beat is cut around its annotated sample (:mod:`ecg.beats_scale`). Patients are kept apart as
de Chazal et al. 2004 (IEEE Trans. Biomed. Eng. 51(7)) ask for: beats of one person on both sides of a split make every
figure too good.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.console import follow, say
from pulseproof.core.errors import InputError
from pulseproof.core.hints import command
from pulseproof.core.steps import digest
from pulseproof.core.study_data import BeatData
from pulseproof.ecg.beats_facts import RecordFacts, doubts, facts, note_on, side_lines
from pulseproof.ecg.beats_scale import RecorderScale, bridged, common, ratio, resampled, scale_of, touched
from pulseproof.ecg.origin import Bad, database_names, refuse, without
from pulseproof.ecg.recordings import SPLITS, About, RecordingsWriter, Split
from pulseproof.ecg.wfdb.files import Record, read_record
from pulseproof.ecg.wfdb.header import RECORD_NAME, is_beside, read_header
from pulseproof.ecg.wfdb.marks import read_marks

# ANSI/AAMI EC57's classes of WFDB's beat codes. For the codes that MIT-BIH does not have (B n r) this is WFDB's own
# table for EC57 (ecgmap.h, map2). Not beats: "?" (EC57's learning period), "!" (flutter waves), "x" (blocked P waves).
# A normal beat that a viewer shows as "." is code 1 in the file, which wfdb reads as "N".
AAMI = {
    **dict.fromkeys("NLRejBn", "N"),
    **dict.fromkeys("AaJS", "S"),
    **dict.fromkeys("VEr", "V"),
    "F": "F",
    **dict.fromkeys("/fQ", "Q"),
}


@dataclass(frozen=True)
class SourceRecord:
    """One record of the study: on which side, and whose it is."""

    name: str
    split: Split
    patient: int


@dataclass(frozen=True)
class BeatsSurvey:
    """The records a study reads. ``left_out``: sentences on those that it names and does not read; ``bad``: those of
    which a file is not there."""

    folder: Path
    database: str
    spec: BeatData
    sources: tuple[SourceRecord, ...]
    left_out: tuple[str, ...]
    bad: tuple[Bad, ...]
    fingerprint: str

    @property
    def name(self) -> str:
        return self.database


@dataclass(frozen=True)
class Beats:
    """The usable beats of one record: ``at`` sample in the record, ``centre`` sample after resampling, ``kind`` row
    in the study's classes."""

    at: NDArray[np.int64]
    centre: NDArray[np.int64]
    kind: NDArray[np.int64]


def survey(spec: BeatData, folder: Path) -> BeatsSurvey:
    """Decide which records are read on which side, and look at their files; only headers are opened.

    Raises InputError for a name that is no record's and a side left empty. Records without header or annotations are
    told of when the others are read, all in one error.
    """
    _check_spec(spec)
    sources, left_out = _sides(spec)
    files, bad = [], []
    for source in sources:
        stem = folder / source.name
        for suffix in ("hea", spec.annotator):
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
    named = database_names(folder, spec.path, [source.name for source in sources])
    return BeatsSurvey(folder, named, spec, tuple(sources), tuple(left_out), tuple(bad), digest(files))


def read(found: BeatsSurvey, target: Path, fingerprint: str) -> list[Path]:
    """Read every surveyed record into ``target``; returns the files made. On any error nothing is left there.

    Raises one InputError for all records that cannot be read (or, where the study skips them, when a side is empty).
    """
    spec, name = found.spec, found.database
    say(f"{name}: reading {len(found.sources)} records from {found.folder}")
    for sentence in found.left_out:
        say(f"{name}: {sentence}")
    bad = {each.name: each for each in found.bad}
    good: list[tuple[SourceRecord, Beats]] = []
    seen: list[RecordFacts] = []
    scales: list[tuple[str, RecorderScale, float]] = []
    for source in follow(found.sources, f"{name}: checking"):
        if source.name in bad:
            continue
        try:
            record = bridged(_record(found, source))
            beats, about_it = _beats(record, source, spec)
        except InputError as error:
            bad[source.name] = Bad(source.name, error)
            continue
        good.append((source, beats))
        seen.append(about_it)
        scales.append((source.name, scale_of(record), float(record.gains.max())))
    left = [bad[source.name] for source in found.sources if source.name in bad]
    if left and (spec.bad_records == "error" or not good):
        raise refuse(name, left, len(found.sources))
    _check_sides(found, good)
    scale = common(scales, name)
    for line in side_lines(spec.classes, seen):
        say(f"{name}: {line}")
    bad_note, bad_facts = without(left, len(found.sources), found.folder)
    counted, granted = (*facts(spec, seen), *bad_facts), doubts(spec, seen)
    for sentence in (*granted, *counted):
        say(f"{name}: {sentence}")
    before, after = _window(spec)
    about = About(
        database=name,
        classes=spec.classes,
        leads=spec.leads,
        fs_hz=spec.fs_hz,
        adc_step_mv=1 / scale.gain,
        adc_range=(scale.low, scale.high),
        synthetic=False,
        exclusive=True,
        note="; ".join(part for part in (bad_note, note_on(spec, seen)) if part),
        part=bad_note,
        facts=(*(f"{line[:1].upper()}{line[1:]}." for line in found.left_out), *counted),
        doubts=granted,
    )
    one_hot = np.eye(len(spec.classes), dtype=np.uint8)
    with RecordingsWriter(target, about, sum(len(beats.at) for _, beats in good), before + after) as writer:
        for source, beats in follow(good, f"{name}: cutting beats"):
            steps = resampled(bridged(_record(found, source)), spec.fs_hz, scale)
            for at, centre, kind in zip(beats.at, beats.centre, beats.kind, strict=True):
                cut = steps[:, centre - before : centre + after]
                writer.add(cut, one_hot[kind], source.patient, source.split, f"{source.name}:{at}")
        return writer.close(fingerprint)


def _signal_files(stem: Path) -> list[Path]:
    """The files that a record's header names, where it can be read and they are there: they may be called as they like,
    and a change of one must not go unseen."""
    try:
        signals = read_header(stem).signals
    except InputError:  # told when the record is read
        return []
    named = [stem.parent / signal.file for signal in signals if is_beside(signal.file)]
    return [path for path in named if path.is_file()]


def _record(found: BeatsSurvey, source: SourceRecord) -> Record:
    spec = found.spec
    return read_record(
        found.folder / source.name, spec.leads, other_names=spec.other_names, default_gain=spec.default_gain
    )


def _check_sides(found: BeatsSurvey, good: list[tuple[SourceRecord, Beats]]) -> None:
    """Raises InputError for a side on which no record or no beat is left."""
    for split in SPLITS:
        beats = [each for source, each in good if source.split == split]
        if not any(len(each.at) for each in beats):
            what = f"no beat of the classes {', '.join(found.spec.classes)}" if beats else "no record is left"
            raise InputError(f"{found.folder}: {what} on the {split} side", "name other records, or another annotator")


def _check_spec(spec: BeatData) -> None:
    for side in SPLITS:
        names: tuple[str, ...] = getattr(spec, side)
        twice = sorted(name for name, times in Counter(names).items() if times > 1)
        unfit = [name for name in names if not RECORD_NAME.fullmatch(name)]
        problem = "" if names else "names no record"
        if twice:
            problem = f"{', '.join(twice)} is there twice"
        elif unfit:
            problem = f"{unfit[0]!r} is no record's name"
        if problem:
            raise InputError(f"data.{side}: {problem}", "list every record once, by name")
    for what, listed in (("leads", spec.leads), ("classes", spec.classes)):
        if not listed or len(set(listed)) != len(listed):
            raise InputError(f"data.{what}: {list(listed)}", "name at least one, each once")
    grouped = Counter(name for group in spec.same_patient or () for name in set(group))
    for name, times in grouped.items():
        if times > 1:
            raise InputError(f"data.same_patient: record {name} is in {times} groups", "one group a patient: join them")
    if min(_window(spec)) < 1:
        raise InputError("data.before_s and after_s: less than one sample", f"a sample lasts {1 / spec.fs_hz:g} s")


def _sides(spec: BeatData) -> tuple[list[SourceRecord], list[str]]:
    """Every record with its side, less those whose patient is on a later side (train < validation < test) as well."""
    group_of = {name: sorted(group)[0] for group in spec.same_patient or () for name in group}
    sides: list[tuple[Split, tuple[str, ...]]] = [
        ("train", spec.train),
        ("validation", spec.validation),
        ("test", spec.test),
    ]
    sources, left_out = [], []
    for place, (split, names) in enumerate(sides):
        later = {group_of.get(name, name): (other, name) for other, some in sides[place + 1 :] for name in some}
        kept = [name for name in names if group_of.get(name, name) not in later]
        for name in names:
            if name not in kept:
                other, twin = later[group_of[name]]
                left_out.append(f"record {name} is left out of {split}: same patient as {twin} ({other})")
        if not kept:
            raise InputError(
                f"data.{split}: no record is left, all share a patient with another side", "name other records"
            )
        sources += [SourceRecord(name, split, _patient(group_of.get(name, name))) for name in kept]
    return sources, left_out


def _patient(name: str) -> int:
    """A number for a patient that depends on nothing but the name of the (first) record."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big")


def _window(spec: BeatData) -> tuple[int, int]:
    return round(spec.before_s * spec.fs_hz), round(spec.after_s * spec.fs_hz)


def _beats(record: Record, source: SourceRecord, spec: BeatData) -> tuple[Beats, RecordFacts]:
    """The usable beats of a record, and what was seen of it."""
    up, down = ratio(spec.fs_hz, record)
    length = record.digital.shape[1]
    before, after = _window(spec)
    marks = read_marks(record.path, spec.annotator, length, record.fs_hz, record.frame)
    at = marks.at
    aami = [AAMI.get(symbol) for symbol in marks.symbols]
    kind = np.array([spec.classes.index(name) if name in spec.classes else -1 for name in aami], np.int64)
    centre = (2 * at * up + down) // (2 * down)  # the nearest sample, in whole numbers
    wanted = kind >= 0
    inside = (centre >= before) & (centre + after <= -(-length * up // down))
    gap = wanted & inside & touched(record, spec.fs_hz, centre - before, centre + after - 1)
    usable = wanted & inside & ~gap
    beats = Beats(at=at[usable], centre=centre[usable], kind=kind[usable])
    seen = RecordFacts(
        name=source.name,
        split=source.split,
        marks=marks,
        counts=tuple(np.bincount(beats.kind, minlength=len(spec.classes)).tolist()),
        at_edge=int((wanted & ~inside).sum()),
        beside_gap=int(gap.sum()),
        missing=int(record.missing.any(axis=0).sum()),
        other_class=sum(name is not None and name not in spec.classes for name in aami),
        paced=sum(symbol in ("/", "f") for symbol in marks.symbols),
        taken=record.taken,
        assumed=bool(record.assumed),
        shared=record.shared,
    )
    return beats, seen
