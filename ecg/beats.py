"""Annotated beats of any WFDB database, one recording a beat, in AAMI classes and split by patient.

In comes a folder of records with beat annotations (MIT-BIH and its kin), out comes a folder of recordings at rest.
:func:`survey` looks at (but not into) the record files; :func:`read` goes over the records twice, one at a time: first
to check every file and count the beats, then to write them.

A record is resampled as a whole (``scipy.signal.resample_poly``: zero-phase Kaiser low-pass, cut at the lower
Nyquist rate), then every beat is cut around its annotated sample. Patients are kept apart as de Chazal et al. 2004
(IEEE Trans. Biomed. Eng. 51(7)) ask for: beats of one person on both sides of a split make every figure too good.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from core.console import follow, say
from core.errors import InputError
from core.steps import digest
from core.study import BeatData
from ecg.recordings import SPLITS, About, RecordingsWriter, Split
from ecg.wfdb_files import RECORD_NAME, Record, read_annotations, read_record

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
LIMIT = 32767  # of a step in int16


@dataclass(frozen=True)
class Source:
    """One record of the study: on which side, and whose it is."""

    name: str
    split: Split
    patient: int


@dataclass(frozen=True)
class Survey:
    """The records a study reads. ``left_out``: sentences on those that it names and does not read."""

    folder: Path
    spec: BeatData
    sources: tuple[Source, ...]
    left_out: tuple[str, ...]
    fingerprint: str

    @property
    def database(self) -> str:
        return self.folder.name


@dataclass(frozen=True)
class Beats:
    """The usable beats of one record: ``at`` sample in the record, ``centre`` sample after resampling, ``kind`` row
    in the study's classes; and how many were not usable."""

    at: NDArray[np.int64]
    centre: NDArray[np.int64]
    kind: NDArray[np.int64]
    at_edge: int
    other_class: int
    paced: int


@dataclass(frozen=True)
class Scale:
    """The one recorder that all records are brought to: ADC units a mV, and the range of its converter."""

    gain: float
    low: int
    high: int


def survey(spec: BeatData, folder: Path) -> Survey:
    """Decide which records are read on which side, and look at their files; none is opened.

    Raises InputError for a record without header or annotations, a name that is no record's, and a side left empty.
    """
    _check_spec(spec)
    sources, left_out = _sides(spec)
    files = []
    for source in sources:
        stem = folder / source.name
        for suffix in ("hea", spec.annotator):
            path = stem.with_name(f"{stem.name}.{suffix}")
            if not path.is_file():
                have = sorted(file.stem for file in stem.parent.glob("*.hea"))
                raise InputError(
                    f"{path}: no such file, and the study names record {source.name}",
                    f"fetch it (`make data`), or name other records; there are {', '.join(have) or 'none'}",
                )
        # A header may name its signal files as it likes (.dat, .mat): take all that are called like the record.
        for path in sorted(stem.parent.glob(f"{stem.name}.*")):
            status = path.stat()
            files.append((str(path.relative_to(folder)), status.st_size, status.st_mtime_ns))
    return Survey(folder, spec, tuple(sources), tuple(left_out), digest(files))


def read(found: Survey, target: Path, fingerprint: str) -> list[Path]:
    """Read every surveyed record into ``target``; returns the files made. On any error nothing is left there."""
    spec, name = found.spec, found.database
    say(f"{name}: reading {len(found.sources)} records from {found.folder}")
    for sentence in found.left_out:
        say(f"{name}: {sentence}")
    beats: list[Beats] = []
    scales: list[tuple[Source, Scale, float]] = []
    for source in follow(found.sources, f"{name}: checking"):
        record = read_record(found.folder / source.name, spec.leads)
        beats.append(_beats(record, spec))
        scales.append((source, _scale(record), float(record.gains.max())))
        if beats[-1].paced:
            say(
                f"{name}: warning: record {source.name} has {beats[-1].paced:,} paced beats;"
                " AAMI EC57 leaves out records with paced beats"
            )
    scale = _common(scales, name)
    _tell(found, beats)
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
    )
    writer = RecordingsWriter(target, about, sum(len(some.at) for some in beats), before + after)
    one_hot = np.eye(len(spec.classes), dtype=np.uint8)
    try:
        for source, some in follow(list(zip(found.sources, beats, strict=True)), f"{name}: cutting beats"):
            steps = resampled(read_record(found.folder / source.name, spec.leads), spec.fs_hz, scale)
            for at, centre, kind in zip(some.at, some.centre, some.kind, strict=True):
                cut = steps[:, centre - before : centre + after]
                writer.add(cut, one_hot[kind], source.patient, source.split, f"{source.name}:{at}")
    except BaseException:
        writer.discard()
        raise
    return writer.close(fingerprint)


def resampled(record: Record, fs_hz: float, scale: Scale) -> NDArray[np.int16]:
    """int16 (leads, samples at ``fs_hz``): the whole record in steps of ``scale``, clipped to its range."""
    steps = (record.digital - record.baselines) * (scale.gain / record.gains)
    up, down = _ratio(fs_hz, record)
    if up != down:
        steps = resample_poly(steps, up, down, axis=1, padtype="edge")
    return np.clip(np.rint(steps), scale.low, scale.high).astype(np.int16)


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
    grouped = Counter(name for group in spec.same_patient for name in set(group))
    for name, times in grouped.items():
        if times > 1:
            raise InputError(f"data.same_patient: record {name} is in {times} groups", "one group a patient: join them")
    if min(_window(spec)) < 1:
        raise InputError("data.before_s and after_s: less than one sample", f"a sample lasts {1 / spec.fs_hz:g} s")


def _sides(spec: BeatData) -> tuple[list[Source], list[str]]:
    """Every record with its side, less those whose patient is on a later side (train < validation < test) as well."""
    group_of = {name: sorted(group)[0] for group in spec.same_patient for name in group}
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
        sources += [Source(name, split, _patient(group_of.get(name, name))) for name in kept]
    return sources, left_out


def _patient(name: str) -> int:
    """A number for a patient that depends on nothing but the name of the (first) record."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big")


def _window(spec: BeatData) -> tuple[int, int]:
    return round(spec.before_s * spec.fs_hz), round(spec.after_s * spec.fs_hz)


def _ratio(fs_hz: float, record: Record) -> tuple[int, int]:
    """(up, down) of the resampling. Raises InputError where the two rates have no usable common multiple."""
    ratio = Fraction(str(fs_hz)) / Fraction(str(record.fs_hz))
    if max(ratio.numerator, ratio.denominator) > 10_000:
        raise InputError(
            f"{record.path}.hea: {record.fs_hz:g} Hz cannot be resampled to {fs_hz:g} Hz (ratio {ratio})",
            "choose an fs_hz that is a simple fraction of the record's own rate",
        )
    return ratio.numerator, ratio.denominator


def _beats(record: Record, spec: BeatData) -> Beats:
    up, down = _ratio(spec.fs_hz, record)
    length = record.digital.shape[1]
    before, after = _window(spec)
    at, symbols = read_annotations(record.path, spec.annotator, length)
    aami = [AAMI.get(symbol) for symbol in symbols]
    kind = np.array([spec.classes.index(name) if name in spec.classes else -1 for name in aami], np.int64)
    centre = (2 * at * up + down) // (2 * down)  # the nearest sample, in whole numbers
    wanted = kind >= 0
    inside = (centre >= before) & (centre + after <= -(-length * up // down))
    usable = wanted & inside
    return Beats(
        at=at[usable],
        centre=centre[usable],
        kind=kind[usable],
        at_edge=int((wanted & ~inside).sum()),
        other_class=sum(name is not None and name not in spec.classes for name in aami),
        paced=sum(symbol in ("/", "f") for symbol in symbols),
    )


def _scale(record: Record) -> Scale:
    """The record's own recorder, at its coarsest lead. Its range holds what its header says and its samples show.

    Where the samples need more than 16 bits at that step, the step is coarser: as fine as int16 reaches.
    """
    gain = float(record.gains.min())
    low = np.minimum(record.low, record.digital.min(axis=1, keepdims=True)) - record.baselines
    high = np.maximum(record.high, record.digital.max(axis=1, keepdims=True)) - record.baselines
    peak_mv = float((np.abs(record.digital - record.baselines) / record.gains).max())
    gain = min(gain, LIMIT / peak_mv) if peak_mv > 0 else gain
    lowest, highest = float((low / record.gains).min()) * gain, float((high / record.gains).max()) * gain
    return Scale(gain, math.floor(round(lowest, 6)), math.ceil(round(highest, 6)))


def _common(records: list[tuple[Source, Scale, float]], name: str) -> Scale:
    """The coarsest step of (record, scale, finest gain), and a range that holds every record's, within int16."""
    gain = min(scale.gain for _, scale, _ in records)
    finer = [source.name for source, _, finest in records if finest > gain]
    if finer:
        many = f"{len(finer)} record{'s' * (len(finer) > 1)} (the first is {finer[0]})"
        say(f"{name}: rounded to the coarsest step of all records, {1 / gain:g} mV: {many}")
    low = min(math.floor(round(scale.low * gain / scale.gain, 6)) for _, scale, _ in records)
    high = max(math.ceil(round(scale.high * gain / scale.gain, 6)) for _, scale, _ in records)
    return Scale(gain, max(low, -LIMIT), min(high, LIMIT))


def _tell(found: Survey, beats: list[Beats]) -> None:
    """Say how many beats of each class each side has, and what was left out. Raises InputError for an empty side."""
    spec, name = found.spec, found.database
    for split in SPLITS:
        here = [some for source, some in zip(found.sources, beats, strict=True) if source.split == split]
        counts = np.bincount(np.concatenate([some.kind for some in here]), minlength=len(spec.classes))
        if not counts.any():
            raise InputError(
                f"{found.folder}: no beat of the classes {', '.join(spec.classes)} on the {split} side",
                "name other records, or another annotator",
            )
        listed = ", ".join(f"{label} {count:,}" for label, count in zip(spec.classes, counts, strict=True))
        edge, other = sum(some.at_edge for some in here), sum(some.other_class for some in here)
        say(f"{name}: {split}: {listed}; left out: {edge:,} at a record's edge, {other:,} of other classes")
        for label, count in zip(spec.classes, counts, strict=True):
            if not count:
                say(f"{name}: warning: no beat of class {label} on the {split} side")
