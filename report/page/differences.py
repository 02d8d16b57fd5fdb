"""The section of the paired differences: a table a kind, with a small picture in each line.

In come :class:`~report.answers.types.Comparison` objects; out comes HTML. A line is one difference with its 95 %
interval, drawn on the scale that all lines of a table share (:mod:`report.charts.forest`), and the same in figures
beside it, so that the picture adds nothing that a screen reader misses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pulseproof.report.answers.types import Comparison, Verdict
from pulseproof.report.charts.forest import WORDS, difference_axis, difference_picture, shared_scale
from pulseproof.report.numbers.texts import signed, span
from pulseproof.report.page.markup import HeadCell, HtmlCell, HtmlTable, Section, artifact_cell, section, text_cell

TITLES = {
    "quantized-minus-float": "Quantized minus float",
    "tflite-minus-onnx": "TFLite minus ONNX",
    "device-minus-host": "Another device minus this machine",
    "attacked-minus-clean": "Attacked minus clean",
    "deep-minus-classical": "Deep minus classical",
    "defended-minus-plain": "Trained with a defence minus the same net without",
    "attack-minus-control": "Attack from another model minus noise of the same bound",
    "other-minus-recommended": "Every other file minus the recommended one, by what they count for",
}
OPEN = ("quantized-minus-float", "deep-minus-classical", "defended-minus-plain")  # the others are folded away


@dataclass(frozen=True)
class ForestLine:
    """One difference: what is compared, in the cells before the picture, and the numbers."""

    before: tuple[HtmlCell, ...]
    estimate: float
    low: float
    high: float
    p: float
    verdict: Verdict


@dataclass(frozen=True)
class ForestTable:
    """A table of differences and how it stands on the page: under its title, folded away under it, or by itself."""

    title: str
    shown: Literal["open", "folded", "plain"]
    table: HtmlTable


def differences_section(comparisons: Sequence[Comparison], delta: float) -> Section | None:
    """All comparisons, by kind; None without any."""
    kinds = list(dict.fromkeys(each.kind for each in comparisons))
    if not kinds:
        return None
    said = (
        "Macro AUC of the first file minus that of the second, in pairs: both on the same recordings and on the same "
        "bootstrap resamples of patients. Dot: the difference; bar: its 95 % interval; shaded: differences of at most "
        f"{delta:g}, which do not matter here. Better and worse hold after Holm's correction over all comparisons of a "
        f"table; no difference: an equivalence test excludes one as large as {delta:g}."
    )
    tables = []
    for kind in sorted(kinds, key=lambda each: OPEN.index(each) if each in OPEN else len(OPEN)):
        own = [each for each in comparisons if each.kind == kind]
        title = TITLES.get(kind, kind.replace("-", " "))
        tables.append(ForestTable(title, "open" if kind in OPEN else "folded", _kind(own, delta, title)))
    counts = {name: sum(each.verdict == name for each in comparisons) for name in WORDS}
    told = ", ".join(f"{count:,} {WORDS[name]}" for name, count in counts.items())
    gist = f"{len(comparisons):,} comparisons of files in pairs on the same recordings: {told}."
    return section("differences", "Paired differences", gist, off_paper=True, said=said, tables=tables)


def forest_table(
    lines: Sequence[ForestLine], heads: Sequence[str], delta: float, label: str, caption: str, left: int
) -> HtmlTable:
    """Differences as a table with pictures. ``heads`` are those of the cells before the picture, of which the first
    ``left`` are texts."""
    scale = shared_scale(lines, delta)
    rows = [
        [
            *each.before,
            HtmlCell(value=each.estimate, drawing=difference_picture(each, scale, delta)),
            HtmlCell(f"{signed(each.estimate)} {span(each.low, each.high, sign=True)}", each.estimate),
            HtmlCell("< .001" if each.p < 0.001 else f"{each.p:.3f}".removeprefix("0"), each.p),
            HtmlCell(WORDS[each.verdict], each.verdict, kind="verdict"),
        ]
        for each in lines
    ]
    every: list[str | HeadCell] = [
        *heads,
        HeadCell(drawing=difference_axis(scale)),
        "difference [95 %]",
        "p",
        "verdict",
    ]
    counts = [f"{sum(each.verdict == name for each in lines)} {said}" for name, said in WORDS.items()]
    caption = f"{caption}: {len(lines)} comparisons, of which {', '.join(counts)}. p is corrected."
    return HtmlTable(caption, every, rows, label, "sortable forest", left=left)


def _kind(comparisons: Sequence[Comparison], delta: float, title: str) -> HtmlTable:
    """One kind of comparison; what is the same in every line is said once, in the caption."""
    devices = list(dict.fromkeys(each.device for each in comparisons))
    seconds = list(dict.fromkeys(each.b for each in comparisons))
    many, alone = len(devices) > 1, len(seconds) == 1 and len(comparisons) > 1
    heads = ["first file", *([] if alone else ["second file"]), *(["device"] if many else []), "recordings"]
    lines = [
        ForestLine(
            (
                artifact_cell(each.a),
                *(() if alone else (HtmlCell(_short(each), each.b),)),
                *((text_cell(each.device),) if many else ()),
                text_cell(each.signals),
            ),
            each.estimate,
            each.low,
            each.high,
            each.p_adjusted,
            each.verdict,
        )
        for each in comparisons
    ]
    caption = title + (f", {seconds[0]}," if alone else "") + ("" if many else f" on {devices[0]}")
    return forest_table(lines, heads, delta, title, caption, len(heads))


def _short(each: Comparison) -> str:
    """The second file, without the model where that is the first file's."""
    model, _, recipe = each.b.partition("/")
    return recipe if recipe and each.a.startswith(f"{model}/") else each.b
