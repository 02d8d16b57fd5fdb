"""The pieces that every section of the page is made of, as HTML text.

In come texts and numbers, many of them a stranger's; out comes HTML in which they are text and nothing else: all that
is not written in this package goes through :func:`esc`, all data for the page's script through :func:`data_block`.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pulseproof.runtime.words import printable, printable_lines


@dataclass(frozen=True)
class Section:
    """One section of the page: ``anchor`` (also its id), ``title``, and its HTML."""

    anchor: str
    title: str
    body: str


@dataclass(frozen=True)
class HtmlCell:
    """One cell of a table: its HTML, what it is sorted by (None: by its text, empty: last), and its classes."""

    body: str
    value: float | str | None = None
    classes: str = ""


def esc(value: object) -> str:
    """``value`` as text of HTML, inside attributes too, without control, format and bidirectional characters."""
    return html.escape(printable_lines(str(value)))


def breakable(name: str) -> str:
    """The name of an artifact, which may be broken after its model and nowhere else."""
    model, slash, recipe = name.partition("/")
    return f'<span class="part">{esc(model + slash)}</span><wbr><span class="part">{esc(recipe)}</span>'


def paragraph(text: str, classes: str = "") -> str:
    """A paragraph of plain ``text``."""
    return f"<p{_class(classes)}>{esc(text)}</p>" if text else ""


def bullets(texts: Iterable[str], classes: str = "") -> str:
    """A list of plain texts; nothing for none."""
    items = "".join(f"<li>{esc(text)}</li>" for text in texts)
    return f"<ul{_class(classes)}>{items}</ul>" if items else ""


def scrolling(label: str, body: str) -> str:
    """``body`` in a region of its own that scrolls sideways, by keyboard too; the page itself never does."""
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{esc(label)}">{body}</div>'


def table(
    caption: str,
    heads: Sequence[str],
    rows: Iterable[Sequence[HtmlCell]],
    *,
    label: str,
    classes: str = "",
    attributes: Sequence[str] = (),
    left: int = 1,
) -> str:
    """A table in a scrolling region called ``label``. ``heads`` and cells are HTML, ``caption`` is text. The first cell
    of a row is its header; the first ``left`` columns stand left, the others, which are numbers, right. ``attributes``
    are those of each row."""
    top = "".join(
        f'<th scope="col"{_class("left" if at < left else "")}>{head or _NO_HEAD}</th>' for at, head in enumerate(heads)
    )
    body = []
    for at, row in enumerate(rows):
        given = f" {attributes[at]}" if attributes else ""
        cells = "".join(_cell(cell, head=column == 0, left=column < left) for column, cell in enumerate(row))
        body.append(f"<tr{given}>{cells}</tr>")
    return scrolling(
        label,
        f"<table{_class(classes)}><caption>{esc(caption)}</caption>\n<thead><tr>{top}</tr></thead>\n<tbody>\n"
        + "\n".join(body)
        + "\n</tbody></table>",
    )


_NO_HEAD = '<span class="unseen">nothing</span>'  # a header cell without a text has no name for a screen reader


def figure(body: str, caption: str, classes: str = "") -> str:
    """A figure with its caption, which is text."""
    return f"<figure{_class(classes)}>{body}<figcaption>{esc(caption)}</figcaption></figure>\n"


def details(summary: str, body: str) -> str:
    """What is folded away until it is asked for."""
    return f"<details><summary>{esc(summary)}</summary>{body}</details>\n"


def data_block(anchor: str, value: Any) -> str:
    """Data for the page's script: JSON that cannot end its element, whatever texts are in it."""
    text = printable(json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")))
    for sign, written in (("<", "\\u003c"), (">", "\\u003e")):
        text = text.replace(sign, written)
    return f'<script type="application/json" id="{esc(anchor)}">{text}</script>\n'


def _cell(cell: HtmlCell, *, head: bool, left: bool) -> str:
    value = "" if cell.value is None else f' data-value="{esc(cell.value)}"'
    kind = ("th", ' scope="row"') if head else ("td", "")
    classes = " ".join(part for part in ("left" if left else "", cell.classes) if part)
    return f"<{kind[0]}{kind[1]}{_class(classes)}{value}>{cell.body}</{kind[0]}>"


def _class(classes: str) -> str:
    return f' class="{classes}"' if classes else ""
