"""The machine's noise floor: how much the time of one and the same piece of work varies, whatever the artifact does.

Nothing comes in; out comes a share. The work is a loop of whole numbers in Python: no memory to speak of, no library,
no thread. What varies is the machine: another program, interrupts, a clock that rises and falls. A latency's spread
below that floor says nothing about the artifact.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

REPEATS = 200
STEPS = 4000  # about .1 ms here, .5 ms on a Cortex-A72
LIMIT = 0.05  # (p90 - p10) / p50 above which a run is called noisy


def times_ns() -> list[int]:
    """How long the work took, each time."""
    taken = []
    for _ in range(REPEATS):
        start = time.perf_counter_ns()
        _work()
        taken.append(time.perf_counter_ns() - start)
    return taken


def share(taken: list[int]) -> float:
    """(p90 - p10) / p50."""
    p10, p50, p90 = np.percentile(taken, (10, 50, 90))
    return float((p90 - p10) / p50)


def floor(before: list[int], after: list[int], limit: float) -> dict[str, Any]:
    """``share``, the larger one of before and after an artifact, and the ``limit`` that it is held against."""
    return {"share": round(max(share(before), share(after)), 4), "limit": limit}


def _work() -> int:
    total = 0
    for number in range(STEPS):
        total ^= number
    return total
