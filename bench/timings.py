"""The times that lie beside a device's results, as untrusted input: every timed call, and latency over minutes.

In come ``_<signal set>.times.npy`` (int64, ns) and ``_sustained.json`` (a line of numbers for about each second), both
as ``docs/formats.md`` says; out come an array and a model, None where there is no such file. A damaged one is an
:class:`~core.errors.InputError`.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pulseproof.bench.wire.reading import parsed, read_file, read_hashed
from pulseproof.bench.wire.results import MAX_HEAD_BYTES, REMEASURE
from pulseproof.bench.wire.schema import ArtifactTag, Positive, Result, Wire
from pulseproof.core.errors import InputError

SUSTAINED = "_sustained.json"
MOST_TIMES_BYTES = 256 << 20


class Window(Wire):
    t_s: Positive
    p50: Positive
    p90: Positive
    frequency_mhz: float | None = None
    temperature_c: float | None = None


class Sustained(Wire):
    """``_sustained.json``: the head of a clean result, and a window for about each second of ``minutes``."""

    artifact: ArtifactTag
    minutes: Positive
    windows: tuple[Window, ...] = Field(max_length=100_000)


def read_times(result: Result, place: Path) -> NDArray[np.float64] | None:
    """Every timed call in ms, checked against the hash that the result names; None where none were kept."""
    if result.times is None or not os.path.lexists(place / result.times.file):
        return None
    path = place / result.times.file
    count = result.latency_ms.count if result.latency_ms else 0
    most = min(8 * count + 4096, MOST_TIMES_BYTES)
    times = read_hashed(path, most, result.times.sha256, "its result names", REMEASURE)
    if times.dtype != np.int64 or times.shape != (count,) or (times < 0).any():
        raise InputError(f"{path}: {times.dtype} {times.shape}, not the int64 ({count},) of its result", REMEASURE)
    return np.asarray(times / 1e6)


def read_sustained(path: Path, sha256: str) -> Sustained | None:
    """The course over minutes; None where there is none, or it is of another version of the artifact."""
    if not os.path.lexists(path):
        return None
    found = parsed(Sustained, read_file(path, MAX_HEAD_BYTES, REMEASURE), path, REMEASURE, parts=1_000_000)
    return found if found.artifact.sha256 == sha256 else None
