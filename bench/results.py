"""Result files in, as untrusted input: schema, sizes, hashes and paths are checked before a number is believed.

In come a bundle (its head, labels and patients) and the results folder of one or several devices, both laid out as
``docs/formats.md`` says. Out come frozen objects: the bundle, and for each device the results that belong to it. A
result made from other bytes (another artifact, another signal set) is *stale*: it is listed with its reason and never
used; so is one of another engine version or another processor than most of its device: numbers of two versions are
never mixed under one name. A damaged one is an :class:`~core.errors.InputError`. Nothing is unpickled and no link is
followed.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from bench.schema import BundleHead, Device, Result, Wire, plain
from core.errors import InputError
from runtime.untrusted import BundleError, read_npy

MAX_HEAD_BYTES = 16 << 20
MAX_RESULT_BYTES = 1 << 20
GONE = "no longer in the bundle"  # the study asked for it once
REMAKE = "make it again: make bundle"
REMEASURE = "delete it; make bench measures it again"

W = TypeVar("W", bound=Wire)


@dataclass(frozen=True)
class Bundle:
    """A bundle as the statistics need it: ``labels`` uint8 (n, classes), ``patients`` int64 (n,)."""

    folder: Path
    head: BundleHead
    labels: NDArray[np.uint8]
    patients: NDArray[np.int64]


@dataclass(frozen=True)
class Measured:
    """One result that belongs to the bundle. ``scores`` float (n, classes), of the first n recordings of the bundle;
    None when the run failed. ``failure`` says why: the device's reason, or what is wrong with its scores."""

    result: Result
    scores: NDArray[np.floating[Any]] | None
    failure: str | None


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
    results: dict[tuple[str, str], Measured]
    stale: tuple[Stale, ...]

    @property
    def runners(self) -> Counter[str]:
        """How many of the results were measured by each version of the runner, those that do not say left out."""
        return Counter(each.result.runner for each in self.results.values() if each.result.runner is not None)


def read_bundle(folder: Path) -> Bundle:
    """Read ``bundle.json``, ``labels.npy`` and ``patients.npy``. Raises InputError that names the file."""
    folder = Path(folder)
    path = folder / "bundle.json"
    head = _parse(BundleHead, _read(path, MAX_HEAD_BYTES, REMAKE), path, REMAKE)
    labels = _bundle_array(folder, head, "labels.npy", np.uint8)
    patients = _bundle_array(folder, head, "patients.npy", np.int64)
    classes = len(head.task.classes)
    if labels.ndim != 2 or labels.shape[1] != classes or not len(labels) or labels.max() > 1:
        raise InputError(f"{folder / 'labels.npy'}: {labels.shape}, not 0 and 1 of shape (n, {classes})", REMAKE)
    if patients.shape != labels.shape[:1]:
        raise InputError(f"{folder / 'patients.npy'}: {patients.shape}, but labels.npy has {len(labels)} rows", REMAKE)
    return Bundle(folder, head, labels, patients)


def read_results(bundle: Bundle, folder: Path) -> tuple[DeviceResults, ...]:
    """Read ``results/``: one folder a device. Empty when there is none yet.

    Raises InputError for a file that is damaged, misplaced, or does not agree with itself; stale results are listed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return ()
    return tuple(read_device(bundle, each) for each in sorted(folder.iterdir()) if each.is_dir())


def read_device(bundle: Bundle, folder: Path) -> DeviceResults:
    """Read the results of one device, ``results/<device>/``."""
    folder = Path(folder)
    if folder.is_symlink():
        raise InputError(f"{folder}: a link", "put the device's results themselves there")
    results: dict[tuple[str, str], Measured] = {}
    paths: dict[tuple[str, str], Path] = {}
    stale: list[Stale] = []
    device: Device | None = None
    for path in sorted(folder.glob("*/*.json")):
        if path.name.startswith((".", "_")):  # the temporary of a write that was killed; latency over time
            continue
        if path.parent.is_symlink():
            raise InputError(f"{path.parent}: a link", REMEASURE)
        result = _parse(Result, _read(path, MAX_RESULT_BYTES, REMEASURE), path, REMEASURE)
        key = (path.parent.name.replace("__", "/", 1), path.stem)
        said = (result.artifact.name, result.signals.name)
        if said != key or result.device.name != folder.name:
            raise InputError(
                f"{path}: says it is {said[0]} on {said[1]}, device {result.device.name}, but lies in another's place",
                "put it back where it came from, or delete it",
            )
        reason = _staleness(bundle, result)
        if reason is not None:
            stale.append(Stale(path, key, reason))
            continue
        if device is not None and result.device.evidence != device.evidence:
            raise InputError(
                f"{path}: evidence {result.device.evidence!r}, but other results of {folder.name} say "
                f"{device.evidence!r}",
                "keep each kind of evidence under a device name of its own",
            )
        device = device or result.device
        results[key] = _with_scores(bundle, result, path)
        paths[key] = path
    for key, reason in _mixed(results).items():
        del results[key]
        stale.append(Stale(paths[key], key, reason))
    return DeviceResults(folder.name, device if results else None, results, tuple(stale))


def _mixed(results: dict[tuple[str, str], Measured]) -> dict[tuple[str, str], str]:
    """Why results are not of the same run as most of their device: measured with another version of an engine, or on
    another processor under the same name. Of versions with equally many results the last by name stays, so that the
    answer does not depend on the order of files. A failed run carries no number and is left alone."""
    found: dict[tuple[str, str], str] = {}
    measured = {key: each.result for key, each in results.items() if each.result.status == "ok"}
    facts = {key: {f"engine {r.engine.name}": str(r.engine.version)} if r.engine else {} for key, r in measured.items()}
    for key, result in measured.items():
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


def _staleness(bundle: Bundle, result: Result) -> str | None:
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
        "on more recordings than there are": result.status == "ok" and (result.n or 0) > len(bundle.labels),
        "with another number of threads": threads is not None and threads != head.run.threads,
        "for another time or number of runs": any(
            said not in (None, rule) for said, rule in zip(told, rules, strict=False)
        ),
    }
    return next((f"measured {what}" for what, true in differs.items() if true), None)


def _with_scores(bundle: Bundle, result: Result, path: Path) -> Measured:
    """Read the scores beside a result and check them against its hash and the labels."""
    if result.status == "failed" or result.scores is None:
        return Measured(result, None, result.reason or "no reason given")
    file = path.parent / result.scores.file
    shape = (result.n or 0, bundle.labels.shape[1])
    data = _read(file, shape[0] * shape[1] * 8 + 4096, REMEASURE)
    if hashlib.sha256(data).hexdigest() != result.scores.sha256:
        raise InputError(f"{file}: not the bytes that {path.name} names (SHA-256 differs)", REMEASURE)
    scores = _array(file, REMEASURE)
    if scores.shape != shape or scores.dtype.kind != "f":
        raise InputError(f"{file}: {scores.dtype} {scores.shape}, not float {shape}", REMEASURE)
    wrong = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if len(wrong):
        what = "NaN" if np.isnan(scores).any() else "infinite"
        return Measured(
            result, None, f"its scores are {what} in {len(wrong)} of {len(scores)} recordings (the first: {wrong[0]})"
        )
    return Measured(result, scores, None)


def _bundle_array(folder: Path, head: BundleHead, name: str, dtype: type[np.generic]) -> NDArray[Any]:
    """One ``.npy`` of the bundle, with the size, the hash and the type that the head states."""
    path, listed = folder / name, head.files[name]
    data = _read(path, listed.size_bytes, REMAKE)
    if len(data) != listed.size_bytes or hashlib.sha256(data).hexdigest() != listed.sha256:
        raise InputError(f"{path}: not the bytes that bundle.json lists (size or SHA-256 differs)", REMAKE)
    array = _array(path, REMAKE)
    if array.dtype != dtype:
        raise InputError(f"{path}: holds {array.dtype}, not {np.dtype(dtype)}", REMAKE)
    return array


def _array(path: Path, mend: str) -> NDArray[Any]:
    try:
        return read_npy(path)
    except (BundleError, OSError) as error:
        raise InputError(str(error), mend) from None


def _read(path: Path, limit: int, mend: str) -> bytes:
    """The bytes of a plain file of at most ``limit`` bytes; a link could name any file of this machine."""
    try:
        if path.is_symlink() or not path.is_file():
            raise InputError(f"{path}: {'a link' if path.is_symlink() else 'missing'}", mend)
        size = path.stat().st_size
        if size > limit:
            raise InputError(f"{path}: {size:,} bytes, at most {limit:,} were expected", mend)
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error})", mend) from None


def _parse(model: type[W], data: bytes, path: Path, mend: str) -> W:
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, each['loc'])) or 'file'}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors()[:3]
        ]
        raise InputError(f"{path}: {'; '.join(problems)}", mend) from None
