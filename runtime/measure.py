"""Time one inference, honestly: warm up until it is steady, then time nothing but the call.

In come a function from float32 ``(1, leads, samples)`` to scores, and a source of recordings; out come the scores and
the time of every call. Reading a recording and turning its int16 steps into millivolts is done before the clock
starts: a wearable's driver delivers millivolts. The clock is ``time.perf_counter_ns``, which is monotonic.
"""

from __future__ import annotations

import resource
import sys
import time
from array import array
from typing import Any, Callable

import numpy as np

Run = Callable[[np.ndarray], np.ndarray]
Source = Callable[[int], np.ndarray]  # index of a recording -> float32 (1, leads, samples) mV

WINDOW = 10  # calls whose median is compared with that of the calls before
STEADY = 0.05  # relative change of that median at which the machine counts as warm


def timed(run: Run, x: np.ndarray) -> tuple[np.ndarray, int]:
    """Return (what ``run(x)`` gave, how long it took in ns)."""
    start = time.perf_counter_ns()
    scores = run(x)
    return scores, time.perf_counter_ns() - start


def overhead_us() -> float:
    """Return the median time in us of a timed call that does nothing: what the clock itself adds to a latency."""
    x = np.empty(0, np.float32)
    return round(float(np.median([timed(_nothing, x)[1] for _ in range(1001)])) / 1e3, 4)


def _nothing(x: np.ndarray) -> np.ndarray:
    return x


def warm_up(run: Run, recording: Source, n: int, warmup_s: float, beat: Callable[[], None]) -> int:
    """Call ``run`` for at least ``warmup_s`` and until the running median is steady; return the number of calls.

    Bounded by ten times ``warmup_s``, for a machine that never settles. Caches fill, memory is allocated and the
    governor raises the clock meanwhile. ``beat`` is called after every inference.
    """
    times = array("q")
    begun = time.monotonic()
    while warmup_s > 0:
        times.append(timed(run, recording(len(times) % n))[1])
        beat()
        spent = time.monotonic() - begun
        if spent >= 10 * warmup_s or (spent >= warmup_s and len(times) % WINDOW == 0 and steady(times)):
            break
    return len(times)


def steady(times: array[int]) -> bool:
    """True when the median of the last WINDOW times is within STEADY of that of the WINDOW before."""
    if len(times) < 2 * WINDOW:
        return False
    before, now = np.median(times[-2 * WINDOW : -WINDOW]), np.median(times[-WINDOW:])
    return bool(abs(now - before) <= STEADY * before)


def score_all(
    run: Run,
    recording: Source,
    n: int,
    classes: int,
    *,
    min_runs: int = 0,
    min_s: float = 0.0,
    beat: Callable[[int], None] | None = None,
) -> tuple[np.ndarray, array[int]]:
    """Run all ``n`` recordings once, then go round again until ``min_runs`` calls and ``min_s`` seconds were timed.

    Returns the scores of the first round, float32 (n, classes), and the time of every call in ns. ``beat`` gets the
    number of calls so far after each. Raises ``ValueError`` when the scores are not float32 (1, classes).
    """
    scores = np.empty((n, classes), np.float32)
    times = array("q")
    timed_ns = 0
    while len(times) < max(n, min_runs) or timed_ns < min_s * 1e9:
        index = len(times)
        given, taken = timed(run, recording(index % n))
        if index < n:
            if given.shape != (1, classes) or given.dtype != np.float32:
                raise ValueError(f"it gave {given.dtype} {given.shape}, expected float32 {(1, classes)}")
            scores[index] = given[0]
        times.append(taken)
        timed_ns += taken
        if beat is not None:
            beat(index + 1)
    return scores, times


def summary(times_ns: array[int]) -> dict[str, Any]:
    """Return count, p50, p90, p95, p99, mean, std, min and max of the times, in ms.

    Percentiles are interpolated linearly, the standard deviation is that of the calls made (divided by count).
    """
    times = np.frombuffer(times_ns, np.int64) / 1e6
    p50, p90, p95, p99 = np.percentile(times, (50, 90, 95, 99))
    values = {"p50": p50, "p90": p90, "p95": p95, "p99": p99, "mean": times.mean(), "std": times.std()}
    values.update(min=times.min(), max=times.max())
    return {"count": len(times), **{key: round(float(value), 6) for key, value in values.items()}}


def peak_rss_mb() -> float:
    """Return the peak resident memory of this process in MB (10^6 bytes).

    Linux tells it as VmHWM. ``getrusage`` is asked only elsewhere: its ``ru_maxrss`` also remembers the process that
    started this one, from the moment between fork and exec.
    """
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return round(int(line.split()[1]) * 1024 / 1e6, 3)
    except OSError:
        pass
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 3)
