"""Latency over time: the clean recordings one after the other, for as many minutes as were asked for.

In come an opened artifact and its recordings; out comes ``_sustained.json``: a line of numbers for about each second,
with the clock and the temperature at its end. A board without a fan is as fast in its twentieth minute as its cooling
allows, not as fast as in its first second.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Callable

import numpy as np

from pulseproof.runtime.condition.probe import UNAVAILABLE, clock_and_temperature
from pulseproof.runtime.files import read_json, write_json
from pulseproof.runtime.measure import Run, Source, timed

NAME = "_sustained.json"
WINDOW_S = 1.0


def run(
    inference: Run, recording: Source, n: int, seconds: float, beat: Callable[[float], None]
) -> list[dict[str, Any]]:
    """Run for ``seconds``; return for each window ``t_s`` (its end), ``count``, ``p50``, ``p90`` and ``max`` in ms,
    ``frequency_mhz`` and ``temperature_c``. ``beat`` gets the seconds so far after each inference."""
    windows: list[dict[str, Any]] = []
    begun = opened = time.monotonic()
    times: list[int] = []
    index = 0
    while True:
        times.append(timed(inference, recording(index % n))[1])
        index += 1
        now = time.monotonic()
        beat(now - begun)
        if now - opened >= WINDOW_S or now - begun >= seconds:
            windows.append(_window(now - begun, times))
            times, opened = [], now
        if now - begun >= seconds:
            return windows


def write(path: Path, head: dict[str, Any], minutes: float, windows: list[dict[str, Any]]) -> None:
    """Write ``_sustained.json``: the head of the clean result, the minutes and the windows."""
    write_json(path, {**head, "minutes": minutes, "windows": windows})


def is_good(path: Path, head: dict[str, Any], minutes: float) -> bool:
    """True when what is there is of the same artifact, engine and device, and of as many minutes."""
    try:
        there = read_json(path)
        same = all(there[key] == head[key] for key in head if key != "device")
        return bool(same and there["device"]["name"] == head["device"]["name"] and there["minutes"] == minutes)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _window(at: float, times: list[int]) -> dict[str, Any]:
    p50, p90 = np.percentile(times, (50, 90)) / 1e6
    frequency, temperature = clock_and_temperature()
    return {
        "t_s": round(at, 3),
        "count": len(times),
        "p50": round(float(p50), 6),
        "p90": round(float(p90), 6),
        "max": round(max(times) / 1e6, 6),
        "frequency_mhz": None if frequency == UNAVAILABLE else frequency,
        "temperature_c": None if temperature == UNAVAILABLE else temperature,
    }
