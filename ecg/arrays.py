"""``source = "arrays"``: a folder of recordings at rest that somebody else wrote, checked as a stranger's.

In comes a folder as :mod:`ecg.recordings` describes it (``signals.npy``, ``labels.npy``, ``patients.npy``,
``splits.npy``, ``ids.npy``, ``recordings.json``), made by :func:`ecg.write_arrays.write_recordings`, by another
Pulseproof or by hand; out comes a folder of our own with the same recordings. Signals go through piece by piece;
whatever the files say of themselves is held against what they are, and nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.data.table import ArrayData
from pulseproof.core.errors import InputError
from pulseproof.core.steps import digest
from pulseproof.core.terminal.console import follow, say
from pulseproof.ecg.origin import database_names
from pulseproof.ecg.recordings import FORMAT, SPLITS, About, RecordingsWriter
from pulseproof.ecg.wfdb.header import size_of_plain
from pulseproof.ecg.write_arrays import check_about
from pulseproof.runtime.files import read_array, read_json, sha256_file
from pulseproof.runtime.words import one_line

NAMES = ("signals", "labels", "patients", "splits", "ids")
MOST_JSON = 1 << 20
MOST_RECORDINGS = 10**8
MAKE = "write the folder with pulseproof.write_recordings, which checks what it writes"
PIECE = 256  # recordings copied at a time


@dataclass(frozen=True)
class ArraysSurvey:
    folder: Path
    spec: ArrayData
    name: str
    fingerprint: str


def survey(spec: ArrayData, folder: Path) -> ArraysSurvey:
    """Look at the files; only the small ones are read. Raises InputError for one that is not there."""
    seen: list[Any] = []
    for name in ("recordings.json", *(f"{name}.npy" for name in NAMES)):
        path = folder / name
        try:
            size = size_of_plain(path)
        except FileNotFoundError:
            raise InputError(f"{path}: no such file; a folder of arrays has one", MAKE) from None
        if name == "recordings.json" and size > MOST_JSON:
            raise InputError(f"{path}: {size:,} bytes, at most {MOST_JSON:,} are read", MAKE)
        seen.append((name, size, path.stat().st_mtime_ns if name == "signals.npy" else sha256_file(path)))
    return ArraysSurvey(folder, spec, database_names(folder, spec.path, [folder.name]), digest(seen))


def read(found: ArraysSurvey, target: Path, fingerprint: str) -> list[Path]:
    """Check every array and copy the recordings into ``target``; returns the files made. On any error nothing is left
    there. Raises one InputError for all recordings that are wrong."""
    folder = found.folder
    about = _about(folder / "recordings.json", found.name)
    arrays = {name: _array(folder / f"{name}.npy") for name in NAMES}
    signals = arrays["signals"]
    problems = [*_shapes(arrays, about)]
    if not problems:
        problems = [*_contents(arrays)]
    if problems:
        raise _refused(folder, problems)
    say(f"{found.name}: reading {len(signals):,} recordings from {folder}")
    about = replace(about, exclusive=bool((arrays["labels"].sum(axis=1) == 1).all()))
    low, high = about.adc_range
    strange: list[str] = []
    with RecordingsWriter(target, about, len(signals), signals.shape[2]) as writer:
        for first in follow(range(0, len(signals), PIECE), found.name):
            piece = np.asarray(signals[first : first + PIECE])
            for place, steps in enumerate(piece, start=first):
                if steps.min() < low or steps.max() > high:
                    strange.append(f"recording {place} ({arrays['ids'][place]}): a step beyond {low} to {high}")
                writer.add(
                    steps,
                    arrays["labels"][place],
                    int(arrays["patients"][place]),
                    SPLITS[arrays["splits"][place]],
                    str(arrays["ids"][place]),
                )
        if strange:
            raise _refused(folder, strange)
        return writer.close(fingerprint)


def _refused(folder: Path, problems: list[str]) -> InputError:
    lines = [f"  {problem}" for problem in problems[:20]]
    if len(problems) > 20:
        lines.append(f"  and {len(problems) - 20:,} more")
    return InputError("\n".join([f"{folder}: these arrays are no recordings:", *lines]), MAKE)


def _about(path: Path, database: str) -> About:
    """What the JSON says, every field of its type. It calls itself what its folder is called."""
    try:
        head = read_json(path)
        if not isinstance(head, dict) or head.get("format") != FORMAT:
            raise ValueError(f"it is not of format {FORMAT}")
        given = head.get("about")
        if not isinstance(given, dict):
            raise ValueError("it has no 'about'")
        unknown = sorted(set(given) - {each.name for each in fields(About)})
        if unknown:
            raise ValueError(f"unknown key {unknown[0]!r}")
        if given.get("join"):
            raise ValueError("its rows are windows whose scores are joined, which source = 'table' alone reads")
        words = {key: _words(given, key) for key in ("classes", "leads", "facts", "doubts")}
        low, high = given.get("adc_range", (-32767, 32767))
        made = About(
            database=database,
            classes=words["classes"],
            leads=words["leads"],
            fs_hz=_number(given, "fs_hz"),
            adc_step_mv=_number(given, "adc_step_mv"),
            adc_range=(int(low), int(high)),
            synthetic=given.get("synthetic") is True,
            exclusive=False,  # the labels say it
            note=_text(given.get("note", "")),
            part=_text(given.get("part", "")),
            facts=words["facts"],
            doubts=words["doubts"],
        )
    except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise InputError(f"{path}: not the head of a folder of recordings ({one_line(error)})", MAKE) from None
    check_about(str(path), made)
    return made


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 2000 or not value.isprintable():
        raise ValueError(f"{str(value)[:60]!r} is no text that can be printed")
    return value


def _words(given: dict[str, Any], key: str) -> tuple[str, ...]:
    listed = given.get(key, [])
    if not isinstance(listed, list) or len(listed) > 10_000:
        raise ValueError(f"{key} is no list of texts")
    return tuple(_text(each) for each in listed)


def _number(given: dict[str, Any], key: str) -> float:
    value = given.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{key} is {value!r}, not a number")
    return float(value)


def _array(path: Path) -> NDArray[Any]:
    """Mapped, all of them: what a header claims is then held against the file before room is made for it."""
    try:
        return np.asanyarray(read_array(path, mapped=True))
    except (OSError, ValueError, MemoryError) as error:
        raise InputError(f"{path}: not a readable array ({one_line(error)})", MAKE) from None


def _shapes(arrays: dict[str, NDArray[Any]], about: About) -> Iterator[str]:
    """What is wrong with types and shapes."""
    signals, count = arrays["signals"], len(arrays["signals"]) if arrays["signals"].ndim else 0
    if signals.dtype != np.int16 or signals.ndim != 3 or not signals.size:
        yield f"signals.npy: {signals.dtype} {signals.shape}, not int16 (recordings, leads, samples)"
        return
    if signals.shape[1] != len(about.leads):
        yield f"signals.npy: {signals.shape[1]} leads, recordings.json names {len(about.leads)}"
    if count > MOST_RECORDINGS:
        yield f"signals.npy: {count:,} recordings, at most {MOST_RECORDINGS:,} are read"
    wanted: dict[str, tuple[str, tuple[int, ...]]] = {
        "labels": ("u1", (count, len(about.classes))),
        "patients": ("i8", (count,)),
        "splits": ("u1", (count,)),
        "ids": ("U", (count,)),
    }
    for name, (kind, shape) in wanted.items():
        array = arrays[name]
        fits = array.dtype.kind == "U" if kind == "U" else array.dtype == np.dtype(kind)
        if not fits or array.shape != shape:
            said = "text" if kind == "U" else str(np.dtype(kind))
            yield f"{name}.npy: {array.dtype} {array.shape}, not {said} {shape}"


def _contents(arrays: dict[str, NDArray[Any]]) -> Iterator[str]:
    """What is wrong with labels, sides, people and names."""
    if (arrays["labels"] > 1).any():
        yield f"labels.npy: recording {int((arrays['labels'] > 1).any(axis=1).argmax())} has a label that is not 0 or 1"
    splits = arrays["splits"]
    if (splits >= len(SPLITS)).any():
        yield f"splits.npy: recording {int((splits >= len(SPLITS)).argmax())} is on no side (0, 1 or 2)"
        return
    for number, side in enumerate(SPLITS):
        if not (splits == number).any():
            yield f"splits.npy: no recording is on the {side} side ({number})"
    pairs = np.unique(np.stack([arrays["patients"], splits.astype(np.int64)]), axis=1)
    people, times = np.unique(pairs[0], return_counts=True)
    for person in people[times > 1][:20]:
        yield f"patients.npy: patient {person} is on {int(times[people == person][0])} sides"
    ids = arrays["ids"]
    if len(np.unique(ids)) < len(ids):
        yield "ids.npy: some recordings are called the same"
    unfit = next((str(name) for name in ids.tolist() if not 0 < len(name) <= 1000 or not name.isprintable()), None)
    if unfit is not None:
        yield f"ids.npy: {unfit[:60]!r} is no name that can be printed"
