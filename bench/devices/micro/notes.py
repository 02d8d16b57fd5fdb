"""``device.json`` of an emulated microcontroller: what it is, and each run on it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pulseproof.runtime.files import read_json, write_json


@contextlib.contextmanager
def noted_run(out: Path, device: Mapping[str, Any], engines: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Note the start of a run and its end. Gives the note, to count ``results`` and ``failed`` in."""
    path = out / "device.json"
    head = {"format": 1, **device, "engines": dict(engines)}
    try:
        runs = list(read_json(path)["runs"])
    except (OSError, ValueError, KeyError, TypeError):
        runs = []
    note: dict[str, Any] = {"started": _now(), "ended": None, "threads": 1, "results": 0, "failed": 0}
    write_json(path, {**head, "runs": [*runs, note]})
    yield note
    note["ended"] = _now()
    write_json(path, {**head, "runs": [*runs, note]})


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
