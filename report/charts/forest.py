"""Paired differences, a small picture in each line, and the axis that all of them share.

In come numbers; out come drawings of :data:`WIDTH` px, for a table of the page and for the lines of a sheet. The band
around zero is the study's delta: differences within it do not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from pulseproof.report.answers.types import Verdict
from pulseproof.report.charts.drawing import AxisScale, Box, Disc, Drawing, Part, Words, line, linear_ticks
from pulseproof.report.numbers.texts import signed

WIDTH, HEIGHT, MARGIN = 240, 24, 22
AXIS_HEIGHT = 16
WORDS: dict[Verdict, str] = {
    "better": "better",
    "worse": "worse",
    "no-difference": "no difference",
    "undecided": "undecided",
}
SIGNS: dict[Verdict, str] = {"better": "\N{BLACK UP-POINTING TRIANGLE}", "worse": "\N{BLACK DOWN-POINTING TRIANGLE}"}
SIGNS |= {"no-difference": "=", "undecided": "?"}


class PairedDifference(Protocol):
    """An estimate and its 95 % interval."""

    @property
    def estimate(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


def shared_scale(lines: Iterable[PairedDifference], delta: float) -> AxisScale:
    """A scale that holds every interval, and twice the delta at least."""
    some = list(lines)
    low = min([-2 * delta, *(min(each.low, each.estimate) for each in some)])
    high = max([2 * delta, *(max(each.high, each.estimate) for each in some)])
    return AxisScale(low, high, MARGIN, WIDTH - MARGIN)


def difference_picture(each: PairedDifference, scale: AxisScale, delta: float) -> Drawing:
    """One difference: the band, zero, the interval, and the dot, hollow where the interval holds zero."""
    middle = HEIGHT / 2
    hollow = "" if each.low > 0 or each.high < 0 else " hollow"
    parts: Sequence[Part] = (
        Box(scale(-delta), 0, scale(delta) - scale(-delta), HEIGHT, "band"),
        line((scale(0), 0), (scale(0), HEIGHT), "zero"),
        line((scale(each.low), middle), (scale(each.high), middle), "interval"),
        Disc((scale(each.estimate), middle), 4, f"estimate{hollow}"),
    )
    return Drawing(WIDTH, HEIGHT, tuple(parts))


def difference_axis(scale: AxisScale) -> Drawing:
    """The scale's own labels."""
    ticks = linear_ticks(scale.low, scale.high, 4)
    parts = tuple(Words((scale(value), 12), signed(value) if value else "0", "tick") for value in ticks)
    return Drawing(WIDTH, AXIS_HEIGHT, parts)
