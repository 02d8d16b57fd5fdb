"""What every chart is made of: scales and ticks, lines, boxes, marks, words, and the keys of a legend.

In come numbers; out come parts of a :class:`Drawing`, in px, y downwards. A part has classes and no colors: how a class
looks stands in ``charts.css``. Nothing is told by color alone: recipes have markers of their own
(:attr:`core.recipes.Recipe.marker`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from pulseproof.core.recipes import recipe_of

Point = tuple[float, float]


@dataclass(frozen=True)
class Path:
    """A line through ``points``; ``closed`` is an area. ``says`` is shown where the pointer rests on it."""

    points: tuple[Point, ...]
    classes: str
    closed: bool = False
    says: str = ""
    kind: str = "path"


@dataclass(frozen=True)
class Box:
    """A rectangle by its upper left corner."""

    x: float
    y: float
    width: float
    height: float
    classes: str
    kind: str = "box"


@dataclass(frozen=True)
class Disc:
    """A circle. ``says`` as of :class:`Path`."""

    center: Point
    radius: float
    classes: str
    says: str = ""
    kind: str = "disc"


@dataclass(frozen=True)
class Words:
    """Text on its baseline at ``point``, which is its ``anchor``: start, middle or end. ``turn``: degrees,
    anticlockwise."""

    point: Point
    text: str
    classes: str = ""
    anchor: str = "middle"
    turn: float = 0.0
    kind: str = "words"


Part = Path | Box | Disc | Words


@dataclass(frozen=True)
class Drawing:
    """Parts on a sheet of ``width`` by ``height`` px; ``label`` says it to those who do not see it (empty: what stands
    beside it does)."""

    width: float
    height: float
    parts: tuple[Part, ...]
    label: str = ""

    def at(self, x: float, y: float) -> list[Part]:
        """The parts as they stand in a larger drawing, this one's corner at ``x``, ``y``."""
        return [_moved(part, x, y) for part in self.parts]


@dataclass(frozen=True)
class Key:
    """An entry of a legend: a small drawing and what it stands for."""

    drawing: Drawing
    name: str


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


def line(start: Point, end: Point, classes: str) -> Path:
    """A straight line."""
    return Path((start, end), classes)


def polyline(points: Sequence[Point], classes: str) -> list[Part]:
    """A line through all points; nothing for fewer than two."""
    return [Path(tuple(points), classes)] if len(points) > 1 else []


def area(upper: Iterable[Point], lower: Iterable[Point], classes: str) -> Path:
    """What lies between two lines."""
    return Path((*upper, *reversed(tuple(lower))), classes, closed=True)


def mark(point: Point, recipe: str, says: str = "", classes: str = "", size: float = 1.0) -> Path | Disc:
    """The marker of a recipe, ``size`` times as large as usual."""
    shape = SHAPES.get(recipe_of(recipe).marker, SHAPES["."])
    named = " ".join(part for part in ("mark", color_class(recipe), classes) if part)
    if isinstance(shape, float):
        return Disc(point, shape * size, named, says)
    return Path(tuple((point[0] + size * x, point[1] + size * y) for x, y in shape), named, closed=True, says=says)


def color_class(recipe: str) -> str:
    """The class of a recipe's format: ``onnx`` or ``tflite``."""
    return recipe_of(recipe).format


def mark_key(recipe: str) -> Key:
    """The marker of a recipe and its name."""
    return Key(Drawing(14, 14, (mark((7, 7), recipe),)), recipe)


def line_key(classes: str, name: str) -> Key:
    """A piece of line."""
    return Key(Drawing(26, 12, (line((0, 6), (26, 6), classes),)), name)


def area_key(classes: str, name: str) -> Key:
    """A piece of a filled area."""
    return Key(Drawing(26, 12, (Box(0, 2, 26, 8, classes),)), name)


def _moved(part: Part, x: float, y: float) -> Part:
    if isinstance(part, Path):
        return replace(part, points=tuple((px + x, py + y) for px, py in part.points))
    if isinstance(part, Box):
        return replace(part, x=part.x + x, y=part.y + y)
    if isinstance(part, Disc):
        return replace(part, center=(part.center[0] + x, part.center[1] + y))
    return replace(part, point=(part.point[0] + x, part.point[1] + y))


def _polygon(corners: int, turn: float = 0.0, radius: float = 4.6, inner: float | None = None) -> tuple[Point, ...]:
    """A regular polygon, or a star where there is an ``inner`` radius; ``turn`` in degrees, 0: a corner on top."""
    count = corners if inner is None else 2 * corners
    points = []
    for at in range(count):
        angle = math.radians(turn - 90 + 360 * at / count)
        reach = radius if inner is None or at % 2 == 0 else inner
        points.append((reach * math.cos(angle), reach * math.sin(angle)))
    return tuple(points)


def _cross(arm: float, half: float, turn: float) -> tuple[Point, ...]:
    """A thick cross, upright or turned by ``turn`` degrees."""
    upright = [(-half, -arm), (half, -arm), (half, -half), (arm, -half), (arm, half), (half, half)]
    whole = [*upright, *((-x, -y) for x, y in upright)]
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    return tuple((x * cos - y * sin, x * sin + y * cos) for x, y in whole)


# By matplotlib's letters of markers, as a recipe names its own: a circle's radius, or corners around the middle.
SHAPES: dict[str, float | tuple[Point, ...]] = {
    "o": 4.0,
    ".": 2.0,
    "s": _polygon(4, 45, 5.2),
    "D": _polygon(4, 0, 5.4),
    "d": ((0, -5.6), (3.4, 0), (0, 5.6), (-3.4, 0)),
    "^": _polygon(3, 0, 5.6),
    "v": _polygon(3, 180, 5.6),
    "<": _polygon(3, 270, 5.6),
    ">": _polygon(3, 90, 5.6),
    "p": _polygon(5, 0, 5),
    "h": _polygon(6, 0, 5),
    "H": _polygon(6, 30, 5),
    "8": _polygon(8, 22.5, 5),
    "*": _polygon(5, 0, 6, 2.5),
    "P": _cross(4.8, 1.6, 0),
    "X": _cross(4.8, 1.6, 45),
}
