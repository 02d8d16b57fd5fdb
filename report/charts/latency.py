"""How steady latencies are: the distribution of one artifact as a line of a table, and its course over minutes.

In come times and windows (:mod:`bench.timings`); out come drawings.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pulseproof.bench.timings import Window
from pulseproof.report.charts.drawing import (
    AxisScale,
    Box,
    Drawing,
    Part,
    Words,
    area,
    line,
    linear_ticks,
    polyline,
)

NEAREST, FURTHEST, BINS = 0.5, 4.0, 70  # of the distribution's axis, in medians
WIDTH, HEIGHT = 300, 34
SCALE = AxisScale(NEAREST, FURTHEST, 12, WIDTH - 26, log=True)
MOST_WINDOWS = 300  # drawn; of more, every second, third, ...


def latency_axis() -> Drawing:
    """The labels that all distributions share: multiples of the median."""
    parts = tuple(Words((SCALE(value), 12), f"{value:g} x", "tick") for value in (0.5, 1, 2, 4))
    return Drawing(WIDTH, 16, parts)


def latency_picture(median: float, p99: float, samples: NDArray[np.float64] | None) -> Drawing | None:
    """The distribution, or a bar from the median to p99 where the calls were not kept (``samples``, ms, None); None
    without a median."""
    if not median:
        return None
    floor, high = HEIGHT - 4, SCALE(min(FURTHEST, p99 / median))
    parts: list[Part] = []
    if samples is None:
        parts.append(Box(SCALE(1), HEIGHT / 2 - 3, high - SCALE(1), 6, "density"))
    else:
        shares = samples / median
        edges = np.geomspace(NEAREST, FURTHEST, BINS + 1)
        counts = np.histogram(np.clip(shares, NEAREST, None), edges)[0]
        tall = max(int(counts.max()), 1)
        # The square root: a tail of a few calls in a thousand is what a buyer of hardware looks for.
        heights = np.sqrt(counts / tall) * (HEIGHT - 8)
        centers = np.sqrt(edges[1:] * edges[:-1])
        upper = [(SCALE(float(at)), floor - float(height)) for at, height in zip(centers, heights, strict=True)]
        parts.append(area(upper, [(upper[0][0], floor), (upper[-1][0], floor)], "density"))
        beyond = int((shares > FURTHEST).sum())
        if beyond:
            parts.append(Words((WIDTH - 2, HEIGHT / 2 + 4), f"+{beyond}", "tick", "end"))
    parts.append(line((SCALE(1), 2), (SCALE(1), floor), "zero"))
    parts.append(line((high, HEIGHT / 2 - 4), (high, floor), "zero"))
    return Drawing(WIDTH, HEIGHT, tuple(parts))


def course_picture(windows: Sequence[Window], label: str) -> Drawing:
    """Median (solid) and p90 (dotted) of each window, in ms, over minutes or seconds."""
    windows = windows[:: -(-len(windows) // MOST_WINDOWS)]
    across = AxisScale(0, windows[-1].t_s, 44, 340)
    up = AxisScale(0, 1.1 * max(max(one.p50, one.p90) for one in windows) or 1, 170, 10)
    parts: list[Part] = []
    for value in linear_ticks(0, up.high, 4):
        parts.append(line((44, up(value)), (340, up(value)), "grid"))
        parts.append(Words((38, up(value) + 4), f"{value:g}", "tick", "end"))
    minutes = windows[-1].t_s > 180
    unit = 60 if minutes else 1
    for value in linear_ticks(0, across.high / unit, 5):
        parts.append(Words((across(value * unit), 186), f"{value:g}", "tick"))
    parts.append(Words((192, 203), "minutes" if minutes else "seconds", "tick"))
    parts += polyline([(across(one.t_s), up(one.p90)) for one in windows], "curve dotted")
    parts += polyline([(across(one.t_s), up(one.p50)) for one in windows], "curve")
    return Drawing(350, 208, tuple(parts), label)
