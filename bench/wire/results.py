"""Result files in, as untrusted input: schema, sizes, hashes and paths are checked before a number is believed.

In come a bundle (its head, labels and patients) and the results folder of one or several devices, both laid out as
``docs/formats.md`` says. Out come frozen objects: the bundle, and for each device the results that belong to it. A
result made from other bytes (another artifact, another signal set) is *stale*: it is listed with its reason and never
used; so is one of another engine version or another processor than most of its device: numbers of two versions are
never mixed under one name. A damaged one is an :class:`~core.errors.InputError`. Nothing is unpickled and no link is
followed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseproof.bench.wire.fields import plain
from pulseproof.bench.wire.head import WHOLES, BundleHead
from pulseproof.bench.wire.reading import parsed, read_file, read_hashed
from pulseproof.bench.wire.result import Device, Result
from pulseproof.core.errors import InputError
from pulseproof.core.scores import join_scores, starts_of
from pulseproof.core.terminal.hints import command
from pulseproof.runtime.wire.untrusted import MAX_JSON_BYTES

MAX_HEAD_BYTES = MAX_JSON_BYTES
MAX_RESULT_BYTES = 1 << 20
MAX_RESULT_PARTS = 10_000
LOOKS = 5  # at a result that is being replaced
GONE = "no longer in the bundle"  # the study asked for it once
REMAKE = f"make it again: {command('bundle')}"
REMEASURE = f"delete it; {command('bench')} measures it again"


@dataclass(frozen=True)
class HostBundle:
    """A bundle as the statistics need it: ``labels`` uint8 (n, classes), ``patients`` int64 (n,). Where a recording's
    score is joined from those of its windows, n are recordings and ``wholes``, int64 (windows,), says which recording
    each window is of; else None."""

    folder: Path
    head: BundleHead
    labels: NDArray[np.uint8]
    patients: NDArray[np.int64]
    wholes: NDArray[np.int64] | None = None

    @property
    def signals(self) -> int:
        """How many signals, recordings or windows of such, a set holds."""
        return len(self.labels if self.wholes is None else self.wholes)

    def first_signals(self, rows: Sequence[int]) -> list[int]:
        """The signal of each of these recordings, its first window where it has several."""
        return list(rows) if self.wholes is None else [int(starts_of(self.wholes)[row]) for row in rows]


@dataclass(frozen=True)
class MeasuredResult:
    """One result that belongs to the bundle. ``scores`` float (n, classes), of the first n recordings of the bundle,
    joined where they are; None when the run failed or the device cannot do it. ``failure`` says why: the device's
    reason, or what is wrong with its scores."""

    result: Result
    scores: NDArray[np.floating[Any]] | None
    failure: str | None

    @property
    def n(self) -> int | None:
        """Of how many recordings it is."""
        return self.result.n if self.scores is None else len(self.scores)


@dataclass(frozen=True)
class Stale:
    """A result that was not used: made from other bytes or by other rules. ``key`` is (artifact, signal set)."""

    path: Path
    key: tuple[str, str]
    reason: str


@dataclass(frozen=True)
class DeviceResults:
    """What one device sent home, by (artifact, signal set); ``device`` is None when nothing of it is usable."""

    name: str
    device: Device | None
    results: dict[tuple[str, str], MeasuredResult]
    stale: tuple[Stale, ...]

    @property
    def runners(self) -> Counter[str]:
        """How many of the results were measured by each version of the runner, those that do not say left out."""
        return Counter(each.result.runner for each in self.results.values() if each.result.runner is not None)


def read_bundle(folder: Path) -> HostBundle:
    """Read ``bundle.json``, ``labels.npy`` and ``patients.npy``. Raises InputError that names the file."""
    folder = Path(folder)
    path = folder / "bundle.json"
    head = parsed(BundleHead, read_file(path, MAX_HEAD_BYTES, REMAKE), path, REMAKE)
    labels = _bundle_array(folder, head, "labels.npy", np.uint8)
    patients = _bundle_array(folder, head, "patients.npy", np.int64)
    classes = len(head.task.classes)
    if labels.ndim != 2 or labels.shape[1] != classes or not len(labels) or labels.max() > 1:
        raise InputError(f"{folder / 'labels.npy'}: {labels.shape}, not 0 and 1 of shape (n, {classes})", REMAKE)
    if patients.shape != labels.shape[:1]:
        raise InputError(f"{folder / 'patients.npy'}: {patients.shape}, but labels.npy has {len(labels)} rows", REMAKE)
    if head.task.join is None:
        return HostBundle(folder, head, labels, patients)
    wholes = _bundle_array(folder, head, WHOLES, np.int64)
    if wholes.shape != patients.shape or wholes[0] != 0 or not np.isin(np.diff(wholes), (0, 1)).all():
        raise InputError(f"{folder / WHOLES}: {wholes.shape}, not 0, 0, 1, ... of each window", REMAKE)
    firsts = starts_of(wholes)
    if (labels != labels[firsts][wholes]).any() or (patients != patients[firsts][wholes]).any():
        raise InputError(f"{folder / WHOLES}: windows of one recording differ in label or patient", REMAKE)
    return HostBundle(folder, head, labels[firsts], patients[firsts], wholes)


def read_results(bundle: HostBundle, folder: Path) -> tuple[DeviceResults, ...]:
    """Read ``results/``: one folder a device. Empty when there is none yet.

    Raises InputError for a file that is damaged, misplaced, or does not agree with itself; stale results are listed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return ()
    return tuple(read_device(bundle, each) for each in sorted(folder.iterdir()) if each.is_dir())


def read_device(bundle: HostBundle, folder: Path) -> DeviceResults:
    """Read the results of one device, ``results/<device>/``."""
    folder = Path(folder)
    results: dict[tuple[str, str], MeasuredResult] = {}
    stale: list[Stale] = []
    for path in paths_of(folder):
        found = read_result(bundle, path)
        if isinstance(found, Stale):
            stale.append(found)
        elif found is not None:
            expect_evidence(results, found, path)
            results[key_of(path)] = found
    for key, reason in mixed(results).items():
        del results[key]
        stale.append(Stale(folder / key[0].replace("/", "__") / f"{key[1]}.json", key, reason))
    device = next((each.result.device for each in results.values()), None)
    return DeviceResults(folder.name, device, results, tuple(stale))


def paths_of(folder: Path) -> list[Path]:
    """The JSON files of a device's results. Raises InputError for a link: it could name any folder of this machine."""
    paths = sorted(folder.glob("*/*.json"))
    for link in (folder, *dict.fromkeys(path.parent for path in paths)):
        if link.is_symlink():
            raise InputError(f"{link}: a link", "put the device's results themselves there")
    # Left out: the temporary of a write that was killed; latency over time.
    return [path for path in paths if not path.name.startswith((".", "_"))]


def key_of(path: Path) -> tuple[str, str]:
    """Of which (artifact, signal set) the result in this place is."""
    return path.parent.name.replace("__", "/", 1), path.stem


def expect_evidence(results: Mapping[tuple[str, str], MeasuredResult], found: MeasuredResult, path: Path) -> None:
    """Raise InputError for a result of another evidence than the others of its device."""
    device = found.result.device
    other = next((each.result.device.evidence for each in results.values()), device.evidence)
    if device.evidence != other:
        raise InputError(
            f"{path}: evidence {device.evidence!r}, but other results of {device.name} say {other!r}",
            "keep each kind of evidence under a device name of its own",
        )


def read_result(bundle: HostBundle, path: Path) -> MeasuredResult | Stale | None:
    """Read one result, its scores too; None when it was taken away meanwhile. Raises InputError for a damaged one."""
    for look in range(LOOKS):
        seen = _identity(path)
        if seen is None:
            return None
        try:
            data = read_file(path, MAX_RESULT_BYTES, REMEASURE)
            return _checked(bundle, parsed(Result, data, path, REMEASURE, MAX_RESULT_PARTS), path)
        except InputError:
            # Another process may be replacing it: the JSON goes first, then its arrays, and the new JSON comes last. By
            # its bytes nobody could tell: it may have been replaced twice.
            if look == LOOKS - 1 or _identity(path) == seen:
                raise
            time.sleep(0.01)
    return None


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file lies there now, of all that had this name; None for none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_ino, found.st_ctime_ns


def _checked(bundle: HostBundle, result: Result, path: Path) -> MeasuredResult | Stale:
    key, said = key_of(path), (result.artifact.name, result.signals.name)
    device = path.parents[1].name
    if said != key or result.device.name != device:
        raise InputError(
            f"{path}: says it is {said[0]} on {said[1]}, device {result.device.name}, but lies in another's place",
            "put it back where it came from, or delete it",
        )
    reason = _staleness(bundle, result)
    return _with_scores(bundle, result, path) if reason is None else Stale(path, key, reason)


def mixed(results: Mapping[tuple[str, str], MeasuredResult]) -> dict[tuple[str, str], str]:
    """Why results are not of the same run as most of their device: measured with another version of an engine, or on
    another processor under the same name. Of versions with equally many results the last by name stays, so that the
    answer does not depend on the order of files. A failed run carries no number and is left alone."""
    found: dict[tuple[str, str], str] = {}
    measured = {key: each.result for key, each in results.items() if each.result.status == "ok"}
    facts = {key: {f"engine {r.engine.name}": str(r.engine.version)} if r.engine else {} for key, r in measured.items()}
    for key, result in measured.items():
        facts[key]["provider"] = (result.engine and result.engine.provider) or "as the engine chooses"
        fingerprint = result.device.fingerprint
        facts[key]["processor"] = " ".join(str(fingerprint.get(name, "unknown")) for name in ("machine", "cpu"))
        if "features" in fingerprint:  # older results have none
            facts[key]["processor features"] = str(fingerprint["features"])
    for fact in sorted({name for each in facts.values() for name in each}):
        values = Counter(each[fact] for each in facts.values() if fact in each)
        usual = max(values, key=lambda value: (values[value], value))
        for key, each in facts.items():
            if each.get(fact, usual) != usual:
                what = fact.removeprefix("engine ")
                found[key] = f"measured with {what} {plain(each[fact])}, most of this device with {plain(usual)}"
    return found


def _staleness(bundle: HostBundle, result: Result) -> str | None:
    """Why a result does not belong to this bundle, or None when it does."""
    head = bundle.head
    artifact = next((each for each in head.artifacts if each.name == result.artifact.name), None)
    signals = next((each for each in head.signals if each.name == result.signals.name), None)
    if result.study != head.study:
        return f"measured for the study {result.study}"
    if artifact is None or signals is None or not signals.is_for(artifact):
        return GONE
    threads = result.engine.threads if result.engine else None
    asked = result.asked
    told = () if asked is None else (asked.warmup_s, asked.min_runs, asked.min_s)
    rules = (head.run.warmup_s, head.run.min_runs, head.run.min_s)
    differs = {
        "on another version of the artifact": result.artifact.sha256 != head.files[artifact.file].sha256,
        "on another version of the signal set": result.signals.sha256 != head.files[signals.file].sha256,
        "with another recorder step": asked is not None and asked.adc_step_mv != head.task.adc_step_mv,
        "on more recordings than there are": result.status == "ok" and (result.n or 0) > bundle.signals,
        "with another number of threads": threads is not None and threads != head.run.threads,
        "for another time or number of runs": any(
            said not in (None, rule) for said, rule in zip(told, rules, strict=False)
        ),
    }
    return next((f"measured {what}" for what, true in differs.items() if true), None)


def _with_scores(bundle: HostBundle, result: Result, path: Path) -> MeasuredResult:
    """Read the scores beside a result and check them against its hash and the labels."""
    if result.status != "ok" or result.scores is None:
        return MeasuredResult(result, None, result.reason or "no reason given")
    file = path.with_suffix(".npy")
    if result.scores.file != file.name:
        raise InputError(f"{path}: names the scores {result.scores.file}, not {file.name}", REMEASURE)
    shape = (result.n or 0, bundle.labels.shape[1])
    scores = read_hashed(file, shape[0] * shape[1] * 8 + 4096, result.scores.sha256, f"{path.name} names", REMEASURE)
    if scores.shape != shape or scores.dtype.kind != "f":
        raise InputError(f"{file}: {scores.dtype} {scores.shape}, not float {shape}", REMEASURE)
    wrong = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if len(wrong):
        what = "NaN" if np.isnan(scores).any() else "infinite"
        return MeasuredResult(
            result, None, f"its scores are {what} in {len(wrong)} of {len(scores)} recordings (the first: {wrong[0]})"
        )
    return _joined(bundle, result, scores)


def _joined(bundle: HostBundle, result: Result, scores: NDArray[np.floating[Any]]) -> MeasuredResult:
    """One score a recording. Of a run that ended inside a recording only those that are whole."""
    if bundle.wholes is None or bundle.head.task.join is None:
        return MeasuredResult(result, scores, None)
    n = len(scores)
    whole = n if n == len(bundle.wholes) else int(np.searchsorted(bundle.wholes, bundle.wholes[n]))
    if not whole:
        return MeasuredResult(result, None, f"it ran {n} windows, not all of the first recording's")
    return MeasuredResult(result, join_scores(scores[:whole], bundle.wholes[:whole], bundle.head.task.join), None)


def _bundle_array(folder: Path, head: BundleHead, name: str, dtype: type[np.generic]) -> NDArray[Any]:
    """One ``.npy`` of the bundle, with the size, the hash and the type that the head states."""
    path, listed = folder / name, head.files[name]
    array = read_hashed(path, listed.size_bytes, listed.sha256, "bundle.json lists", REMAKE, listed.size_bytes)
    if array.dtype != dtype:
        raise InputError(f"{path}: holds {array.dtype}, not {np.dtype(dtype)}", REMAKE)
    return array
