"""The folder that a run writes to: held by one runner at a time, with ``device.json`` telling of each run.

In come the folder and what is known of the device; out come a lock that lasts as long as anything writes there, and
the notes of docs/formats.md.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import Any, Iterator

from pulseproof.runtime.condition.probe import condition, was_throttled
from pulseproof.runtime.engines import available_engines
from pulseproof.runtime.files import read_json, write_json


class UsageError(Exception):
    """Wrong use of the command, in one sentence."""


@contextlib.contextmanager
def locked(out: Path) -> Iterator[int]:
    """Hold ``out`` for one runner: two would disturb each other's latencies. Gives the open descriptor.

    The child inherits it, so the lock lasts until the orphan of a killed runner is gone; that is waited for.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        handle = os.open(out, os.O_RDONLY)
    except OSError as error:
        raise UsageError(f"{out}: cannot be written to ({error.strerror})") from None
    try:
        for attempt in range(100):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt == 99:
                    raise UsageError(f"{out}: another run is writing there") from None
                time.sleep(0.1)
            except OSError:  # a file system without such locks, as some of networks: nobody can be told apart there
                break
        yield handle
    finally:
        os.close(handle)


@contextlib.contextmanager
def noted(out: Path, device: dict[str, Any], threads: int) -> Iterator[dict[str, Any]]:
    """Keep ``device.json``: note the start of this run, and its end. Gives the note, to count results in."""
    path = out / "device.json"
    head = {"format": 1, **device, "engines": available_engines()}
    try:
        earlier = read_json(path)
        runs = list(earlier["runs"]) if earlier["name"] == device["name"] else []
    except (OSError, ValueError, KeyError, TypeError):
        runs = []
    before = condition()
    note: dict[str, Any] = {
        "started": _now(),
        "ended": None,
        "threads": threads,
        "results": 0,
        "failed": 0,
        "before": before,
        "after": None,
        "was_throttled": None,
    }
    write_json(path, {**head, "runs": [*runs, note]})
    yield note
    after = condition()
    note.update(ended=_now(), after=after, was_throttled=was_throttled(before, after))
    write_json(path, {**head, "runs": [*runs, note]})


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
