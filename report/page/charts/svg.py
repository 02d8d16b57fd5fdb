"""Drawing in SVG: scales, axes, markers.

In come numbers; out come SVG elements as text. Colors are classes, which the page's style sheet gives a light, a dark
and a printed form. Nothing is told by color alone: recipes have markers of their own, the same as in the PNG files
(:attr:`core.recipes.Recipe.marker`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pulseproof.core.recipes import recipe_of
from pulseproof.report.page.markup import esc

Point = tuple[float, float]


@dataclass(frozen=True)
class AxisScale:
    """From a value in [``low``, ``high``] to a place between ``start`` and ``end`` (px); logarithmic or not."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        turn: Callable[[float], float] = math.log if self.log else float
        low, high = turn(self.low), turn(self.high)
        share = (turn(value) - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)


def log_ticks(low: float, high: float) -> list[float]:
    """Round values between ``low`` and ``high``, so many that a narrow axis has room for their labels."""
    decades = math.log10(high / low)
    factors = (1, 1.5, 2, 3, 5, 7) if decades < 0.8 else (1, 2, 5) if decades < 3 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [factor * 10.0**power for power in powers for factor in factors if low <= factor * 10.0**power <= high]


def linear_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round values between ``low`` and ``high``, at most about ``most``."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [at * step for at in range(first, last + 1)]


def svg(width: float, height: float, label: str, parts: Iterable[str], classes: str = "") -> str:
    """A drawing with its name for those who do not see it."""
    return (
        f'<svg class="chart {classes}" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" '
        f'role="img" aria-label="{esc(label)}">{"".join(parts)}</svg>'
    )


def line(start: Point, end: Point, classes: str) -> str:
    """A straight line."""
    return f'<path class="{classes}" d="M{_at(start)}L{_at(end)}"/>'


def polyline(points: Sequence[Point], classes: str) -> str:
    """A line through all points; nothing for fewer than two."""
    return f'<path class="{classes}" d="M{"L".join(map(_at, points))}"/>' if len(points) > 1 else ""


def area(upper: Sequence[Point], lower: Sequence[Point], classes: str) -> str:
    """What lies between two lines."""
    return f'<path class="{classes}" d="M{"L".join(map(_at, [*upper, *reversed(lower)]))}Z"/>'


def rectangle(x: float, y: float, width: float, height: float, classes: str) -> str:
    """A rectangle by its upper left corner."""
    return f'<rect class="{classes}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}"/>'


def words(point: Point, content: str, classes: str = "", anchor: str = "middle") -> str:
    """Text at a point: its ``anchor`` is start, middle or end."""
    x, y = point
    return f'<text class="{classes}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{esc(content)}</text>'


def mark(point: Point, recipe: str, says: str, classes: str = "", size: float = 1.0) -> str:
    """The marker of a recipe, ``size`` times as large as usual; ``says`` is shown where the pointer rests on it."""
    shape = SHAPES.get(recipe_of(recipe).marker, SHAPES["."])
    told = f"<title>{esc(says)}</title>" if says else ""
    place = f'transform="translate({_at(point)}){"" if size == 1 else f" scale({size:g})"}"'
    return f'<path class="mark {color_class(recipe)} {classes}" d="{shape}" {place}>{told}</path>'


def color_class(recipe: str) -> str:
    """The class of a recipe's format: ``onnx`` or ``tflite``."""
    return recipe_of(recipe).format


def legend_mark(recipe: str) -> str:
    """The marker of a recipe for a legend."""
    drawn = mark((0, 0), recipe, "")
    return f'<svg class="key" viewBox="-6 -6 12 12" width="14" height="14" aria-hidden="true">{drawn}</svg>'


def legend_line(classes: str, filled: bool = False) -> str:
    """A piece of line, or of a filled area, for a legend."""
    drawn = rectangle(0, 2, 26, 8, classes) if filled else line((0, 6), (26, 6), classes)
    return f'<svg class="key" viewBox="0 0 26 12" width="26" height="12" aria-hidden="true">{drawn}</svg>'


def legend(entries: Iterable[tuple[str, str]]) -> str:
    """A legend below a picture: a drawing and its name each."""
    return '<ul class="legend">' + "".join(f"<li>{drawn} {esc(name)}</li>" for drawn, name in entries) + "</ul>"


def _polygon(corners: int, turn: float = 0.0, radius: float = 4.6, inner: float | None = None) -> str:
    """A regular polygon, or a star where there is an ``inner`` radius; ``turn`` in degrees, 0: a corner on top."""
    count = corners if inner is None else 2 * corners
    points = []
    for at in range(count):
        angle = math.radians(turn - 90 + 360 * at / count)
        reach = radius if inner is None or at % 2 == 0 else inner
        points.append((reach * math.cos(angle), reach * math.sin(angle)))
    return f"M{'L'.join(map(_at, points))}Z"


_PLUS = "M-1.6,-4.8H1.6V-1.6H4.8V1.6H1.6V4.8H-1.6V1.6H-4.8V-1.6H-1.6Z"
_CROSS = "M-4.4,-2.2L-2.2,-4.4L0,-2.2L2.2,-4.4L4.4,-2.2L2.2,0L4.4,2.2L2.2,4.4L0,2.2L-2.2,4.4L-4.4,2.2L-2.2,0Z"


def _at(point: Point) -> str:
    return f"{point[0]:.1f},{point[1]:.1f}"


# By matplotlib's names of markers.
SHAPES = {
    "o": "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0Z",
    ".": "M-2,0a2,2 0 1,0 4,0a2,2 0 1,0 -4,0Z",
    "s": _polygon(4, 45, 5.2),
    "D": _polygon(4, 0, 5.4),
    "d": "M0,-5.6L3.4,0L0,5.6L-3.4,0Z",
    "^": _polygon(3, 0, 5.6),
    "v": _polygon(3, 180, 5.6),
    "<": _polygon(3, 270, 5.6),
    ">": _polygon(3, 90, 5.6),
    "p": _polygon(5, 0, 5),
    "h": _polygon(6, 0, 5),
    "H": _polygon(6, 30, 5),
    "8": _polygon(8, 22.5, 5),
    "*": _polygon(5, 0, 6, 2.5),
    "P": _PLUS,
    "X": _CROSS,
}
