"""Results that come home from a device: what may come, where it waits, and how it takes the place of what is there.

In come a bundle and a folder of files that a device sent, or that were carried home: a stranger's. Each result (a JSON
with its scores and its times) is checked against the bundle and beside what is at home; those that hold are swapped in
one by one, and the others are named, with a reason, and left out. Nothing is moved before everything was checked.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pulseproof.bench.timings import MOST_TIMES_BYTES, SUSTAINED, read_sustained, read_times
from pulseproof.bench.wire.results import (
    MAX_HEAD_BYTES,
    MAX_RESULT_BYTES,
    REMEASURE,
    HostBundle,
    MeasuredResult,
    expect_evidence,
    key_of,
    mixed,
    paths_of,
    read_result,
)
from pulseproof.core.errors import InputError
from pulseproof.runtime.wire.bundle import SET_NAME
from pulseproof.runtime.wire.outfolder import UsageError, locked
from pulseproof.runtime.wire.stream import NAME
from pulseproof.runtime.wire.untrusted import BundleError, read_fields

MOST_BYTES = 2 << 30  # of all results of a device
AGAIN = "delete it there, and run it there again"
NAMED = 10  # of what is left out; of more, the number


@dataclass(frozen=True)
class Arrived:
    """Which results, (artifact, signal set), took their places, in how many files; what was left out, and why."""

    results: tuple[tuple[str, str], ...]
    files: int
    left_out: tuple[tuple[str, str], ...]

    def lines(self) -> list[str]:
        """What was left out, in words."""
        named = [f"{what} is left out: {why}" for what, why in self.left_out[:NAMED]]
        more = len(self.left_out) - NAMED
        return [*named, f"and {more} more are left out"] if more > 0 else named


def may_come(bundle: HostBundle) -> dict[str, int]:
    """The names of all files that results of this bundle can have, and how many bytes each may have at most."""
    head, n, classes = bundle.head, bundle.signals, bundle.labels.shape[1]
    calls = max(n, head.run.min_runs) + int(1e6 * head.run.min_s)  # none takes less than a microsecond
    found = {"device.json": MAX_RESULT_BYTES}
    for artifact in head.artifacts:
        place = artifact.name.replace("/", "__")
        found[f"{place}/{SUSTAINED}"] = MAX_HEAD_BYTES
        for each in head.signals:
            if each.is_for(artifact):
                found[f"{place}/{each.name}.json"] = MAX_RESULT_BYTES
                found[f"{place}/{each.name}.npy"] = 8 * n * classes + 4096
                found[f"{place}/_{each.name}.times.npy"] = min(8 * calls + 4096, MOST_TIMES_BYTES)
    return found


def is_result(name: str) -> bool:
    """Names that the results of some bundle have: ``device.json``, and JSON and arrays in one folder an artifact."""
    parts = name.split("/")
    if len(name) > 300 or not NAME.fullmatch(name):
        return False
    return name == "device.json" or (len(parts) == 2 and parts[1].endswith((".json", ".npy")))


@contextlib.contextmanager
def waiting_room(bundle: Path) -> Iterator[Path]:
    """A folder beside the bundle for what comes, of this command alone: it is gone at the end. That of a command that
    was killed, of which the kernel let go, is removed by the next."""
    rooms = bundle.parent / "incoming"
    rooms.mkdir(parents=True, exist_ok=True)
    with _held(rooms, fcntl.LOCK_EX):
        for left in rooms.iterdir():
            with contextlib.suppress(OSError), _held(left, fcntl.LOCK_EX | fcntl.LOCK_NB):
                shutil.rmtree(left)
        room = Path(tempfile.mkdtemp(prefix=".", dir=rooms))
        handle = os.open(room, os.O_RDONLY)
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield room
    finally:
        shutil.rmtree(room, ignore_errors=True)
        os.close(handle)


@contextlib.contextmanager
def _held(folder: Path, how: int) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        try:
            fcntl.flock(handle, how)
        except OSError:
            if how & fcntl.LOCK_NB:
                raise
            # A file system without such locks, as some of networks: two at once then make folders of other names.
        yield
    finally:
        os.close(handle)


def accept(bundle: HostBundle, incoming: Path, results: Path, left_out: Sequence[tuple[str, str]] = ()) -> Arrived:
    """Check what came as results of ``bundle`` in ``incoming``, a folder that is called as its device, and put what
    holds into ``results/<device>``. ``left_out``: what was left out before.

    A result that is not of this bundle's bytes, or of another engine version or processor than most of its device
    would then be, is left out; what is there stays. Raises InputError when something that came is damaged, or of
    another evidence than what is there: then nothing is changed.
    """
    try:
        found, refused = _checked(bundle, incoming)
        courses = _courses(bundle, incoming)
    except InputError as error:
        mend = AGAIN if error.mend == REMEASURE else error.mend
        raise InputError(error.what.replace(f"{incoming}{os.sep}", ""), mend) from None
    if not found and not courses:
        return Arrived((), 0, (*left_out, *refused))
    target = results / incoming.name
    if target.is_symlink():
        raise InputError(f"{target}: a link", "put the device's results themselves there")
    with _alone(target):
        there = _there(bundle, target)
        for key, each in found.items():
            expect_evidence(there, each, Path(_place(key)))
        for key, reason in mixed(there | found).items():
            if found.pop(key, None) is not None:
                refused.append((_words(key), reason))
        files = 0
        for key in found:
            files += _swap(incoming / _place(key), target / _place(key))
        for path in [*courses, *([incoming / "device.json"] if found else [])]:
            if path.exists():
                place = target / path.relative_to(incoming)
                place.parent.mkdir(parents=True, exist_ok=True)
                path.replace(place)
                files += 1
    return Arrived(tuple(found), files, (*left_out, *refused))


def _checked(bundle: HostBundle, incoming: Path) -> tuple[dict[tuple[str, str], MeasuredResult], list[tuple[str, str]]]:
    """The results in ``incoming`` that hold, and what does not belong, with the reason."""
    found: dict[tuple[str, str], MeasuredResult] = {}
    refused: list[tuple[str, str]] = []
    for path in paths_of(incoming):
        key, each = key_of(path), read_result(bundle, path)
        if not isinstance(each, MeasuredResult):
            refused.append((_words(key), each.reason if each else "it was taken away"))
        elif each.result.status == "ok" and each.scores is None:
            refused.append((_words(key), str(each.failure)))
        else:
            expect_evidence(found, each, path)
            if each.result.times is not None and read_times(each.result, path.parent) is None:
                raise InputError(f"{path.parent / each.result.times.file}: missing, but {path.name} names it", AGAIN)
            found[key] = each
    about = incoming / "device.json"
    if about.exists():
        try:
            name = read_fields(about).name("name", SET_NAME)
        except BundleError as error:
            raise InputError(str(error), AGAIN) from None
        if name != incoming.name:
            raise InputError(f"{about}: of the device {name}, not of {incoming.name}", AGAIN)
    return found, refused


def _courses(bundle: HostBundle, incoming: Path) -> list[Path]:
    """The latencies over minutes that are of the bundle's artifacts."""
    found = []
    for artifact in bundle.head.artifacts:
        path = incoming / artifact.name.replace("/", "__") / SUSTAINED
        course = read_sustained(path, bundle.head.files[artifact.file].sha256)
        if course is not None and course.artifact.name == artifact.name:
            found.append(path)
    return found


def _there(bundle: HostBundle, target: Path) -> dict[tuple[str, str], MeasuredResult]:
    """What is at home of this device and good; what is damaged or stale there may be replaced."""
    found: dict[tuple[str, str], MeasuredResult] = {}
    for path in paths_of(target):
        with contextlib.suppress(InputError):
            each = read_result(bundle, path)
            if isinstance(each, MeasuredResult):
                found[key_of(path)] = each
    return found


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Hold a device's results against another command that brings some, and against a run that writes them."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(target))
        except UsageError as error:
            raise InputError(str(error), "wait until it has ended") from None
        yield


def _swap(come: Path, there: Path) -> int:
    """Put a result in its place; ``come`` and ``there`` are the paths of its JSON. Returns how many files it has.

    The old JSON goes first and the new one comes last: whoever looks meanwhile, or after a power cut, finds the old
    result, none, or the new one.
    """
    if there.parent.is_symlink():
        raise InputError(f"{there.parent}: a link", "put the device's results themselves there")
    there.parent.mkdir(parents=True, exist_ok=True)
    there.unlink(missing_ok=True)
    count = 1
    for name in (f"{come.stem}.npy", f"_{come.stem}.times.npy"):
        there.with_name(name).unlink(missing_ok=True)
        if come.with_name(name).exists():
            come.with_name(name).replace(there.with_name(name))
            count += 1
    come.replace(there)
    return count


def _place(key: tuple[str, str]) -> str:
    return f"{key[0].replace('/', '__')}/{key[1]}.json"


def _words(key: tuple[str, str]) -> str:
    return f"{key[0]} on {key[1]}"
