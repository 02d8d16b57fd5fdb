"""Arrays of one's own as a folder of recordings: what a study reads with ``source = "arrays"``, made from Python.

    import pulseproof
    pulseproof.write_recordings("data/mine", signals_mv, labels, classes=["N", "AF"], leads=["I"], fs_hz=100,
                                adc_step_mv=0.001, patients=patients, splits=splits)

In come signals in millivolts and what is known of each, out comes the folder. What cannot be told apart from a mistake
(a patient on two sides, a sample that is no number or beyond the recorder) is refused before anything is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pulseproof.core.errors import InputError
from pulseproof.ecg.recordings import SPLITS, About, RecordingsWriter, Split

LIMIT = 32767  # of a step in int16


def write_recordings(
    folder: str | Path,
    signals_mv: Iterable[ArrayLike],
    labels: ArrayLike,
    *,
    classes: Sequence[str],
    leads: Sequence[str],
    fs_hz: float,
    adc_step_mv: float,
    patients: Sequence[Any] | NDArray[Any],
    splits: Sequence[Any] | NDArray[Any],
    ids: Sequence[str] | None = None,
    note: str = "",
) -> Path:
    """Write recordings into ``folder``; returns it. It is published whole, or not at all.

    ``signals_mv``: (n, leads, samples) millivolts, or anything that gives n arrays (leads, samples) one by one; rounded
    to ``adc_step_mv``. ``labels``: (n, classes) of 0 and 1, or n names of ``classes``. ``patients``: n numbers or
    names; ``splits``: n of ``"train"``, ``"validation"``, ``"test"``; ``ids``: what the recordings are called. ``note``
    stands over every table.

    Raises InputError for what does not fit together.
    """
    folder = Path(folder)
    rows = _labels(labels, tuple(classes))
    count = len(rows)
    people, sides = list(np.asarray(patients).tolist()), list(np.asarray(splits).tolist())
    names = [f"{place:06d}" for place in range(count)] if ids is None else [str(each) for each in ids]
    for what, listed in (("patients", people), ("splits", sides), ("ids", names)):
        if len(listed) != count:
            raise InputError(f"{what}: {len(listed):,} for {count:,} labels", "give one a recording")
    if len(set(names)) < count:
        raise InputError("ids: some recordings have the same", "give each recording a name of its own")
    _check_sides(people, sides)
    about = About(
        database=folder.resolve().name,
        classes=tuple(classes),
        leads=tuple(leads),
        fs_hz=float(fs_hz),
        adc_step_mv=float(adc_step_mv),
        adc_range=(-LIMIT, LIMIT),
        synthetic=False,
        exclusive=bool((rows.sum(axis=1) == 1).all()),
        note=note,
    )
    check_about(str(folder), about)
    made = hashlib.sha256(rows.tobytes())
    signals = iter(signals_mv)
    first = next(signals, None)
    if first is None or not count:
        raise InputError("signals_mv: no recording", "give at least one")
    samples = int(np.asarray(first).shape[-1])
    with RecordingsWriter(folder, about, count, samples) as writer:
        place = 0
        for values in _chained(first, signals):
            if place == count:
                raise InputError(f"signals_mv: more than {count:,} recordings", "give as many as labels")
            steps = _steps(values, (len(about.leads), samples), about.adc_step_mv, names[place])
            made.update(steps.tobytes())
            writer.add(steps, rows[place], patient_number(people[place]), sides[place], names[place])
            place += 1
        if place < count:
            raise InputError(f"signals_mv: {place:,} recordings for {count:,} labels", "give as many as labels")
        writer.close(made.hexdigest())
    return folder


def patient_number(patient: Any) -> int:
    """A patient as int64: a whole number as it is, a name by its hash."""
    if isinstance(patient, int) and not isinstance(patient, bool) and abs(patient) < 2**62:
        return patient
    return int.from_bytes(hashlib.sha256(str(patient).encode()).digest()[:6], "big")


def check_about(where: str, about: About) -> None:
    """Raises InputError for a task that cannot be: names that cannot be printed or are there twice, a rate, a step or a
    range that no recorder has."""
    for what, names in (("classes", about.classes), ("leads", about.leads)):
        fit = all(isinstance(name, str) and 0 < len(name) <= 200 and name.isprintable() for name in names)
        least = 2 if what == "classes" else 1
        if not fit or len({name.upper() for name in names}) < len(names) or not least <= len(names) <= 1024:
            shown = ", ".join(repr(str(name)[:40]) for name in names[:12])
            raise InputError(f"{where}: {what}: {shown or 'none'}", f"at least {least}, each a name of its own")
    low, high = about.adc_range
    if not (1e-3 <= about.fs_hz <= 1e6 and 1e-9 <= about.adc_step_mv <= 1e3):
        raise InputError(
            f"{where}: {about.fs_hz:g} Hz, steps of {about.adc_step_mv:g} mV", "give fs_hz in Hz and adc_step_mv in mV"
        )
    if not -LIMIT - 1 <= low < high <= LIMIT:
        raise InputError(f"{where}: a range of {low} to {high} steps", f"steps are -{LIMIT:,} to {LIMIT:,}")


def _labels(labels: ArrayLike, classes: tuple[str, ...]) -> NDArray[np.uint8]:
    given = np.asarray(labels)
    if given.ndim == 1 and given.dtype.kind in "UO":
        unknown = sorted({str(name) for name in given.tolist()} - set(classes))
        if unknown:
            raise InputError(f"labels: {', '.join(map(repr, unknown[:10]))} is in no class", f"classes: {classes}")
        return np.eye(len(classes), dtype=np.uint8)[[classes.index(str(name)) for name in given.tolist()]]
    if given.ndim != 2 or given.shape[1] != len(classes) or not np.isin(given, (0, 1)).all():
        raise InputError(
            f"labels: an array {given.shape} of {given.dtype}",
            f"give (recordings, {len(classes)}) of 0 and 1, or the name of a class for each",
        )
    return given.astype(np.uint8)


def _check_sides(people: Sequence[Any], sides: Sequence[Any]) -> None:
    strange = next((side for side in sides if side not in SPLITS), None)
    if strange is not None:
        raise InputError(f"splits: {strange!r}", f"each is one of {', '.join(SPLITS)}")
    empty = [side for side in SPLITS if side not in sides]
    if empty:
        raise InputError(f"splits: no recording is on the {' and the '.join(empty)} side", "give each side some")
    first: dict[Any, Split] = {}
    for person, side in zip(people, sides, strict=True):
        if first.setdefault(person, side) != side:
            raise InputError(
                f"patients: {person!r} is on the {first[person]} and on the {side} side",
                "put all recordings of a patient on one side",
            )


def _chained(first: ArrayLike, rest: Iterable[ArrayLike]) -> Iterable[ArrayLike]:
    yield first
    yield from rest


def _steps(values: ArrayLike, shape: tuple[int, int], step_mv: float, name: str) -> NDArray[np.int16]:
    signal = np.asarray(values, np.float64)
    if signal.shape != shape:
        raise InputError(f"signals_mv: recording {name} is {signal.shape}, not (leads, samples) {shape}", "cut it")
    if not np.isfinite(signal).all():
        raise InputError(f"signals_mv: recording {name} has samples that are no number", "leave it out, or mend it")
    steps = np.rint(signal / step_mv)
    if np.abs(steps).max(initial=0) > LIMIT:
        raise InputError(
            f"signals_mv: recording {name} has a sample of {np.abs(signal).max():.4g} mV, more than"
            f" {LIMIT * step_mv:.4g} mV",
            "give millivolts, or a larger adc_step_mv",
        )
    return steps.astype(np.int16)
