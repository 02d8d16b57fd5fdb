"""What every section of the page is made of: its pieces as data, and the templates that write them.

In come texts, numbers and drawings, many of them a stranger's; out comes HTML in which they are text and nothing else.
HTML is written in ``templates/`` alone, by Jinja2 with autoescape: what a template is given becomes text, without
control, format and bidirectional characters, unless another template of this package wrote it. Data for the page's
script goes through :func:`data_block`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pulseproof.report.charts.drawing import Drawing, Path
from pulseproof.runtime.words import printable, printable_lines


@dataclass(frozen=True)
class Section:
    """One section of the page: ``anchor`` (also its id), ``title``, and its HTML. ``gist``: what it says, in a
    sentence; with one it folds, and stands open on paper unless it is left ``off_paper``."""

    anchor: str
    title: str
    body: Markup
    gist: str = ""
    off_paper: bool = False


@dataclass(frozen=True)
class HtmlCell:
    """One cell of a table. ``value``: what it is sorted by (None: by its text, empty: last); ``small``: lines below
    its text; ``tag``: a word in a frame beside it; ``hint``: what is shown where the pointer rests; ``unseen``: what is
    read aloud too. An artifact's name may be broken after its model, and nowhere else; of a verdict ``value`` is its
    class."""

    text: str = ""
    value: float | str | None = None
    classes: str = ""
    kind: Literal["text", "artifact", "verdict", "code", "dim"] = "text"
    small: tuple[str, ...] = ()
    tag: str = ""
    hint: str = ""
    star: bool = False
    unseen: str = ""
    drawing: Drawing | None = None


@dataclass(frozen=True)
class HeadCell:
    """The head of a column. ``budget``: that of the column, by which the script hides it; ``tall``: written upwards;
    ``best``: large is good, so that the first click sorts the largest to the top."""

    text: str = ""
    small: tuple[str, ...] = ()
    budget: str = ""
    tall: bool = False
    best: bool = False
    drawing: Drawing | None = None


@dataclass(frozen=True)
class HtmlTable:
    """A table in a region called ``label`` that scrolls sideways. The first cell of a row is its header; the first
    ``left`` columns stand left, the others, which are numbers, right. ``data``: the data attributes of each row. Of the
    class ``cards`` each row is a card on a phone, which shows the cells of the class ``key``."""

    caption: str
    heads: Sequence[str | HeadCell]
    rows: Sequence[Sequence[HtmlCell]]
    label: str
    classes: str = ""
    data: Sequence[Mapping[str, str]] = ()
    left: int = 1

    @property
    def columns(self) -> list[HeadCell]:
        """The heads, each as a cell."""
        return [HeadCell(each) if isinstance(each, str) else each for each in self.heads]

    def label_of(self, column: int) -> str:
        """What stands beside a cell of that column where its row is a card."""
        if column == 0 or "cards" not in self.classes.split():
            return ""
        head = self.columns[column]
        return f"AUC at {head.text}" if head.budget else " ".join(filter(None, (head.text, *head.small)))


def artifact_cell(name: str, tag: str = "") -> HtmlCell:
    """The name of a file, by which its row is sorted."""
    return HtmlCell(name, name, kind="artifact", tag=tag)


def text_cell(text: str) -> HtmlCell:
    """A text that is sorted by itself."""
    return HtmlCell(text, text)


def render(template: str, /, **values: Any) -> Markup:
    """The HTML of a template of this package, which alone may hold HTML."""
    return Markup(_environment().get_template(template).render(**values))


def section(
    anchor: str, title: str, gist: str = "", /, template: str = "", off_paper: bool = False, **values: Any
) -> Section:
    """The section that ``templates/<template>.html`` writes, the one called as its anchor unless another is named."""
    return Section(anchor, title, render(f"{template or anchor}.html", **values), gist, off_paper)


def data_block(anchor: str, value: Any) -> Markup:
    """Data for the page's script: JSON that cannot end its element, whatever texts are in it."""
    text = printable(json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")))
    for sign, written in (("<", "\\u003c"), (">", "\\u003e")):
        text = text.replace(sign, written)
    return render("data.html", anchor=anchor, data=Markup(text))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pulseproof.report.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalized,
    )
    environment.filters |= {"px": lambda value: f"{value:.1f}", "g": lambda value: f"{value:g}", "path": _path}
    return environment


def _finalized(value: Any) -> Any:
    return value if isinstance(value, Markup) else printable_lines(str(value))


def _path(part: Path) -> str:
    """The ``d`` of an SVG path."""
    points = "L".join(f"{x:.1f},{y:.1f}" for x, y in part.points)
    return f"M{points}{'Z' if part.closed else ''}"
