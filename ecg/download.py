"""Recordings from PhysioNet, every file checked: the databases of :mod:`ecg.physionet`, and any by name and version.

In comes a database's name and the folder of all databases (``DATA``); out comes ``DATA/<slug>`` in PhysioNet's layout,
which the readers take as it is. PhysioNet lists every file of a version in ``SHA256SUMS.txt``: that list is fetched
first and kept, the files of it that a reader needs are fetched by several workers, and a file gets its name only after
its hash was found right. A run that was killed or failed goes on where it stopped; a complete one costs one request.

pooch is not used: it neither resumes a partial file nor fetches in parallel, and PTB-XL is 43,600 files.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from pulseproof.core.errors import InputError
from pulseproof.core.terminal.console import follow, say
from pulseproof.ecg.physionet import BASE_URL, SET_ASIDE, SUMS, Database, named, read_sums
from pulseproof.ecg.transfer import (
    KeptSession,
    Retry,
    StoppedError,
    TransferError,
    fetch,
    partial_path,
    publish,
    receive,
)
from pulseproof.runtime.files import read_json, sha256_file, write_json

MEMO = ".verified.json"
MEMO_EVERY_S = 30.0
# So many files in a row that the network failed: the server is gone, and 43,000 files need not each find that out.
GIVE_UP_AFTER = 16


@dataclass(frozen=True)
class Summary:
    """Files ``fetched`` now and ``kept`` from before; ``bytes`` is the size of those fetched."""

    fetched: int
    kept: int
    bytes: int


@dataclass(frozen=True)
class _Outcome:
    """What became of one file. ``seen`` (SHA-256, bytes, mtime in ns) is None when it is missing, for ``reason``."""

    path: str
    seen: tuple[str, int, int] | None
    fetched: bool = False
    reason: str = ""
    unreachable: bool = False


def download(
    database: str,
    folder: Path,
    *,
    base_url: str = BASE_URL,
    workers: int = 8,
    attempts: int = 5,
    timeout_s: float = 30.0,
    backoff_s: float = 1.0,
) -> Summary:
    """Make ``folder/<slug>`` hold every wanted file of ``database``, a key of
    :data:`ecg.physionet.DATABASES` or any other name and
    version (``afdb@1.0.0``: all of its files), with its listed hash.

    ``base_url`` is a file tree like PhysioNet's: ``<base_url>/<slug>/<version>/SHA256SUMS.txt``. A file that is there
    with another hash than listed is replaced. Retries: :class:`ecg.transfer.Retry`.

    Raises InputError for an unknown name, a bad address or list, a full or unwritable disk, another download into the
    same folder, and for files that could not be fetched: it says how many and the first reasons, after all others were
    fetched (or after ``GIVE_UP_AFTER`` files in a row found no server). What has arrived stays.
    """
    about = named(database)
    if min(workers, attempts) < 1 or timeout_s <= 0 or backoff_s < 0:
        raise InputError(
            f"download settings: workers {workers}, attempts {attempts}, timeout {timeout_s} s, backoff {backoff_s} s",
            "workers and attempts are at least 1, the timeout is above 0 s, the backoff not below",
        )
    home = Path(folder) / about.slug
    address = _tree_address(base_url, about)
    retry = Retry(attempts, timeout_s, backoff_s)
    try:
        home.mkdir(parents=True, exist_ok=True)
        with _only_one(home):
            sums = _fetch_sums(about, address, home, retry)
            say(f"{about.title} {about.version}: {len(sums)} files from {address}")
            say(f"  licence: {about.licence}; cite: {about.citation}{', doi:' if about.doi else ''}{about.doi}")
            return _fetch_all(about, address, home, sums, workers, retry)
    except OSError as error:  # of the disk: those of the network became TransferError
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise InputError(
            f"{error.filename or home}: {'the disk is full' if full else error.strerror or error}",
            "make room, then run the same command: it goes on from here"
            if full
            else "the data folder must be a folder that you may write to",
        ) from None


def _tree_address(base_url: str, about: Database) -> str:
    try:
        parts = urlsplit(base_url)
        good = parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.fragment)
    except ValueError:
        good = False
    if not good:
        raise InputError(f"{base_url!r} is not the address of a file tree", f"give one like {BASE_URL}")
    return f"{base_url.rstrip('/')}/{about.slug}/{about.version}/"


@contextlib.contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Hold the folder: two downloads that add to the same partial file would spoil it after its check."""
    handle = os.open(home, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{home}: another download works in this folder", "wait until it has ended") from None
        yield
    finally:
        os.close(handle)


def _fetch_sums(about: Database, address: str, home: Path, retry: Retry) -> dict[str, str]:
    """Fetch the list of all files, keep it, and return its wanted part."""
    url, target = address + SUMS, home / SUMS
    partial = partial_path(target)
    partial.unlink(missing_ok=True)  # it has no hash to tell whether a rest of another day fits
    try:
        with KeptSession() as session:
            receive(session, url, partial, retry, threading.Event())
    except TransferError as error:
        raise InputError(f"{url}: {error}", "check the network and the address; then run the same command") from None
    try:
        text = partial.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{url}: not text", "is the address PhysioNet's file tree?") from None
    sums = {path: sha256 for path, sha256 in read_sums(text, url).items() if about.wants(path)}
    missing = [path for path in about.needed if path not in sums]
    if missing:
        raise InputError(f"{url}: does not list {', '.join(missing)}", f"is the address {about.title}'s?")
    if not sums:
        raise InputError(f"{url}: lists no file", f"is the address {about.title}'s?")
    publish(partial, target)
    return sums


def _fetch_all(about: Database, address: str, home: Path, sums: dict[str, str], workers: int, retry: Retry) -> Summary:
    """Check or fetch every file of ``sums``. Daemon threads: one that waits for a server must not hold Ctrl-C."""
    known = _read_memo(home)
    stop = threading.Event()
    jobs: queue.SimpleQueue[str] = queue.SimpleQueue()
    for path in sums:
        jobs.put(path)
    results: queue.SimpleQueue[_Outcome | Exception] = queue.SimpleQueue()

    def work() -> None:
        with KeptSession() as session:
            while not stop.is_set():
                try:
                    path = jobs.get_nowait()
                    results.put(_one_file(session, address, home, path, sums[path], known.get(path), retry, stop))
                except (queue.Empty, StoppedError):
                    return
                except Exception as error:
                    results.put(error)
                    return

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(workers, len(sums)))]
    for thread in threads:
        thread.start()
    outcomes: dict[str, _Outcome] = {}
    unreachable = 0
    saved = time.monotonic()
    try:
        for result in follow((results.get() for _ in sums), about.slug, total=len(sums)):
            if isinstance(result, Exception):
                raise result
            outcomes[result.path] = result
            unreachable = unreachable + 1 if result.unreachable else 0
            if unreachable >= GIVE_UP_AFTER:
                break
            if time.monotonic() - saved > MEMO_EVERY_S:
                _write_memo(home, known, outcomes)
                saved = time.monotonic()
    finally:
        stop.set()
        patience = time.monotonic() + 2.0
        for thread in threads:
            thread.join(max(0.0, patience - time.monotonic()))
        while not results.empty():  # what the others ended while this loop was left
            result = results.get()
            if isinstance(result, _Outcome):
                outcomes[result.path] = result
        _write_memo(home, known, outcomes)
    here = [outcome for outcome in outcomes.values() if outcome.seen]
    failed = [outcome for outcome in outcomes.values() if not outcome.seen]
    if failed:
        reasons = "".join(f"\n    {outcome.path}: {outcome.reason}" for outcome in failed[:3])
        raise InputError(
            f"{home}: {len(sums) - len(here)} of {len(sums)} files are missing; the first reasons:{reasons}",
            f"what has arrived stays and the same command goes on from here; the address is {address}",
        )
    fetched = [outcome.seen[1] for outcome in here if outcome.seen and outcome.fetched]
    return Summary(len(fetched), len(here) - len(fetched), sum(fetched))


def _one_file(
    session: KeptSession,
    address: str,
    home: Path,
    path: str,
    sha256: str,
    known: tuple[str, int, int] | None,
    retry: Retry,
    stop: threading.Event,
) -> _Outcome:
    """Keep the file when it is right, else fetch it. A network failure is an outcome, a disk failure an OSError."""
    target = home / path
    seen = _stamp(target, sha256)
    if seen is not None:
        if seen == known or sha256_file(target) == sha256:
            return _Outcome(path, seen)
        # Not deleted: it may be somebody's own work (a resampled or corrected record) put where PhysioNet's would be.
        aside = target.with_name(target.name + SET_ASIDE)
        target.replace(aside)
        say(f"{target}: not PhysioNet's bytes, kept as {aside.name}")
    try:
        fetch(session, address + quote(path), target, sha256, retry, stop)
    except TransferError as error:
        return _Outcome(path, None, reason=str(error), unreachable=error.unreachable)
    return _Outcome(path, _stamp(target, sha256), fetched=True)


def _stamp(target: Path, sha256: str) -> tuple[str, int, int] | None:
    try:
        status = target.stat()
    except FileNotFoundError:
        return None
    return sha256, status.st_size, status.st_mtime_ns


def _read_memo(home: Path) -> dict[str, tuple[str, int, int]]:
    """The files whose hash was found right before. It only saves time: when it is damaged all are hashed again."""
    try:
        return {
            str(path): (str(sha), int(size), int(time_ns))
            for path, (sha, size, time_ns) in read_json(home / MEMO).items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write_memo(home: Path, known: dict[str, tuple[str, int, int]], outcomes: dict[str, _Outcome]) -> None:
    memo = known | {path: outcome.seen for path, outcome in outcomes.items() if outcome.seen}
    if memo != known:
        write_json(home / MEMO, memo)
