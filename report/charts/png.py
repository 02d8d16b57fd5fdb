"""A drawing as a PNG file.

In comes a :class:`~report.charts.drawing.Drawing`; out comes a file, painted by matplotlib's Agg in the light colors,
on white, at twice the size. How a class looks is read from ``charts.css``, as a browser reads it: of the rules that
fit, the last one counts (one fits when the part has all classes of its last step). Equal drawings are equal bytes.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from pathlib import Path as FilePath
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.patches import Circle, PathPatch, Rectangle
from matplotlib.path import Path as PlotPath
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Affine2D, Transform

from pulseproof.report.charts.drawing import Box, Disc, Drawing, Part, Path, Words
from pulseproof.runtime.files import replacing
from pulseproof.runtime.words import printable_lines

ZOOM = 2  # px of the file for one of the drawing
DPI = 100  # of the drawing: matplotlib counts widths and letters in points
PAPER = "#ffffff"
FONT = "DejaVu Sans"  # matplotlib brings it, so that a picture is the same everywhere
Look = dict[str, str]


def write_png(drawing: Drawing, path: FilePath) -> None:
    """Write ``path``, whole or not at all."""
    figure = Figure(figsize=(drawing.width / DPI, drawing.height / DPI), dpi=DPI * ZOOM, facecolor=PAPER)
    place = Affine2D().scale(ZOOM, -ZOOM).translate(0, drawing.height * ZOOM)
    for part in drawing.parts:
        if isinstance(part, Words):
            _write(figure, part, place)
        else:
            figure.add_artist(_shape(part, place))
    with replacing(path) as temporary:
        # Without the name of the library's version in it, a file is the same after an update that changes nothing.
        figure.savefig(temporary, format="png", dpi=DPI * ZOOM, metadata={"Software": None})


def width_of(text: str, size: float = 12, bold: bool = False) -> float:
    """How wide a text of ``size`` px is, in px."""
    font = get_font(findfont(f"{FONT}:bold" if bold else FONT))
    font.set_size(size, 72)
    font.set_text(printable_lines(text), 0)
    return float(font.get_width_height()[0]) / 64


def look(classes: str) -> Look:
    """What the rules say of a part with these classes, colors as ``#rrggbb``."""
    own = set(classes.split())
    found: Look = {}
    for needed, properties in _rules():
        if needed <= own:
            found |= properties
    return found


@cache
def _rules() -> tuple[tuple[frozenset[str], Look], ...]:
    """The rules of the style sheet, in order: the classes of the last step of a selector, and what it sets."""
    text = files("pulseproof.report.charts").joinpath("charts.css").read_text(encoding="utf-8")
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    blocks = [(name.strip(), body) for name, body in re.findall(r"([^{}]+)\{([^{}]*)\}", text)]
    palette = _properties(next(body for name, body in blocks if name == ":root"), {})
    palette["--paper"] = PAPER
    return tuple(
        (frozenset(name.split()[-1].strip(".").split(".")), _properties(body, palette))
        for name, body in blocks
        if name.startswith(".")
    )


def _properties(body: str, palette: Look) -> Look:
    pairs = [part.partition(":") for part in body.split(";") if part.strip()]
    found = {name.strip(): value.strip() for name, _, value in pairs}
    return {name: re.sub(r"var\((--\w+)\)", lambda at: palette[at[1]], value) for name, value in found.items()}


def _px(text: str) -> float:
    return float(text.removesuffix("px"))


def _shape(part: Path | Box | Disc, place: Transform) -> PathPatch | Circle | Rectangle:
    drawn = look(part.classes)
    width = _px(drawn.get("stroke-width", "1"))
    fill = drawn.get("fill", drawn.get("background", "none"))
    options: dict[str, Any] = {
        "facecolor": fill,
        "edgecolor": drawn.get("stroke", "none"),
        "linewidth": width * 72 / DPI,
        "alpha": float(drawn.get("opacity", "1")),
        "transform": place,
        "capstyle": drawn.get("stroke-linecap", "butt"),
    }
    if "stroke-dasharray" in drawn:  # matplotlib counts dashes in widths of the line
        options["linestyle"] = (0, [float(each) / width for each in drawn["stroke-dasharray"].split()])
    if isinstance(part, Path):
        points = [*part.points, part.points[0]] if part.closed else list(part.points)
        return PathPatch(PlotPath(np.array(points), closed=part.closed), **options)
    if isinstance(part, Disc):
        return Circle(part.center, part.radius, **options)
    return Rectangle((part.x, part.y), max(part.width, 0), part.height, **options)


def _write(figure: Figure, part: Words, place: Transform) -> None:
    drawn = look(f"words {part.classes}")
    text = figure.text(
        *part.point,
        printable_lines(part.text),
        transform=place,
        family=FONT,
        fontsize=_px(drawn["font-size"]) * 72 / DPI,
        fontweight="bold" if int(drawn["font-weight"]) > 400 else "normal",
        color=drawn.get("color", drawn["fill"]),
        ha={"start": "left", "middle": "center", "end": "right"}[part.anchor],
        va="baseline",
        rotation=part.turn,
        rotation_mode="anchor",
        parse_math=False,  # a dollar in a stranger's title is a dollar
    )
    if "stroke" in drawn:
        width = _px(drawn["stroke-width"]) * 72 / DPI
        text.set_path_effects([withStroke(linewidth=width, foreground=drawn["stroke"])])


__all__ = ["DPI", "ZOOM", "Part", "look", "width_of", "write_png"]
