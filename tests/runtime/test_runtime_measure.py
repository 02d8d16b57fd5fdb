"""Timing by a clock that only moves when told to, so that what is inside the timed region is certain."""

from __future__ import annotations

import subprocess
import sys
from array import array
from pathlib import Path

import numpy as np
import pytest

from pulseproof.runtime import measure

HOME = Path(__file__).parents[2]


class Clock:
    """Reading a recording takes 1 s, a call of the model ``call_ms``, both on this clock alone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, call_ms: list[float]) -> None:
        self.now_ns = 0
        self.calls = 0
        self.call_ms = call_ms
        monkeypatch.setattr(measure.time, "perf_counter_ns", lambda: self.now_ns)
        monkeypatch.setattr(measure.time, "monotonic", lambda: self.now_ns / 1e9)

    def recording(self, index: int) -> np.ndarray:
        self.now_ns += 10**9
        return np.full((1, 2, 4), index, np.float32)

    def model(self, x: np.ndarray) -> np.ndarray:
        self.now_ns += int(self.call_ms[min(self.calls, len(self.call_ms) - 1)] * 1e6)
        self.calls += 1
        return np.array([[x[0, 0, 0], -x[0, 0, 0]]], np.float32)


def test_only_the_call_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, [3.0, 5.0])
    scores, times = measure.score_all(clock.model, clock.recording, 4, 2)
    np.testing.assert_array_equal(scores, [[0, 0], [1, -1], [2, -2], [3, -3]])
    assert list(times) == [3_000_000, 5_000_000, 5_000_000, 5_000_000]


@pytest.mark.parametrize(
    ("min_runs", "min_s", "calls"),
    [(0, 0.0, 4), (1, 0.0, 4), (11, 0.0, 11), (0, 0.05, 10), (12, 0.05, 12), (8, 0.05, 10)],
)
def test_goes_round_until_enough_was_timed(
    monkeypatch: pytest.MonkeyPatch, min_runs: int, min_s: float, calls: int
) -> None:
    clock = Clock(monkeypatch, [5.0])
    beats: list[int] = []
    scores, times = measure.score_all(
        clock.model, clock.recording, 4, 2, min_runs=min_runs, min_s=min_s, beat=beats.append
    )
    assert len(times) == calls
    assert beats == list(range(1, calls + 1))
    np.testing.assert_array_equal(scores[:, 0], [0, 1, 2, 3])  # of the first round, whatever came after


@pytest.mark.parametrize("given", [np.zeros((1, 3), np.float32), np.zeros(2, np.float32), np.zeros((1, 2))])
def test_other_scores_than_announced(given: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected float32"):
        measure.score_all(lambda x: given, lambda index: np.zeros((1, 2, 4), np.float32), 3, 2)


@pytest.mark.parametrize(
    ("call_ms", "warmup_s", "calls"),
    [
        ([5.0], 0.0, 0),
        ([5.0], 15.0, 20),  # two windows of ten are the least that can be steady
        ([50.0] * 10 + [5.0], 15.0, 30),  # slow at first: one more window
        ([float(2**exponent) for exponent in range(20)], 2.0, 13),  # never steady: 13 s of reading, 8 s of calls
    ],
)
def test_warm_up(monkeypatch: pytest.MonkeyPatch, call_ms: list[float], warmup_s: float, calls: int) -> None:
    clock = Clock(monkeypatch, call_ms)
    beats: list[int] = []
    assert measure.warm_up(clock.model, clock.recording, 4, warmup_s, lambda: beats.append(1)) == calls
    assert clock.calls == len(beats) == calls


def test_summary() -> None:
    times = array("q", [1_000_000 * value for value in range(1, 101)])
    assert measure.summary(times) == {
        "count": 100,
        "p50": 50.5,
        "p90": 90.1,
        "p95": 95.05,
        "p99": 99.01,
        "mean": 50.5,
        "std": pytest.approx(28.866070),
        "min": 1.0,
        "max": 100.0,
    }


def test_peak_memory_is_of_this_process_and_remembers_what_was_freed() -> None:
    ballast = np.ones(300_000_000, np.uint8)  # the child must not inherit it
    program = (
        "from pulseproof.runtime.measure import peak_rss_mb\n"
        "before = peak_rss_mb(); bytearray(b'1' * 80_000_000); print(before, peak_rss_mb())"
    )
    shown = subprocess.run([sys.executable, "-c", program], cwd=HOME, capture_output=True, text=True, check=True)
    before, after = map(float, shown.stdout.split())
    assert ballast.nbytes / 1e6 > before > 5
    assert after - before > 70
