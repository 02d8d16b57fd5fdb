"""Paired differences as a forest plot: a table with a small picture in each line.

In come :class:`~report.answers.types.Comparison` objects; out comes HTML. A line is one difference with its 95 %
interval, drawn on the scale that all lines of a table share, and the same in figures beside it, so that the picture
adds nothing that a screen reader misses. The band around zero is the study's delta: differences within it do not
matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pulseproof.report.answers.types import Comparison, Verdict
from pulseproof.report.numbers.texts import signed, span
from pulseproof.report.page.charts.svg import AxisScale, line, linear_ticks, rectangle, words
from pulseproof.report.page.markup import HtmlCell, Section, breakable, details, esc, paragraph, table

WIDTH, HEIGHT, MARGIN = 240, 24, 12
TITLES = {
    "quantized-minus-float": "Quantized minus float",
    "tflite-minus-onnx": "TFLite minus ONNX",
    "device-minus-host": "Another device minus this machine",
    "attacked-minus-clean": "Attacked minus clean",
    "deep-minus-classical": "Deep minus classical",
    "attack-minus-control": "Attack from another model minus noise of the same bound",
    "other-minus-recommended": "Every other file minus the recommended one, by what they count for",
}
OPEN = ("quantized-minus-float", "deep-minus-classical")  # the others are folded away
WORDS = {"better": "better", "worse": "worse", "no-difference": "no difference", "undecided": "undecided"}


@dataclass(frozen=True)
class ForestLine:
    """One difference: what is compared, in the cells before the picture, and the numbers."""

    before: tuple[HtmlCell, ...]
    estimate: float
    low: float
    high: float
    p: float
    verdict: Verdict


def forest_section(comparisons: Sequence[Comparison], delta: float) -> Section | None:
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
    body = paragraph(said, "dim measure")
    for kind in sorted(kinds, key=lambda each: OPEN.index(each) if each in OPEN else len(OPEN)):
        own = [each for each in comparisons if each.kind == kind]
        title = TITLES.get(kind, kind.replace("-", " "))
        drawn = _kind(own, delta, title)
        body += f"<h3>{esc(title)}</h3>{drawn}" if kind in OPEN else details(f"{title} ({len(own)})", drawn)
    return Section("differences", "Paired differences", body)


def forest_table(
    lines: Sequence[ForestLine], heads: Sequence[str], delta: float, label: str, caption: str, left: int
) -> str:
    """Differences as a table with pictures. ``heads`` (HTML) are those of the cells before the picture, of which the
    first ``left`` are texts."""
    low = min([-2 * delta, *(min(each.low, each.estimate) for each in lines)])
    high = max([2 * delta, *(max(each.high, each.estimate) for each in lines)])
    scale = AxisScale(low, high, MARGIN, WIDTH - MARGIN)
    rows = [
        [
            *each.before,
            HtmlCell(_picture(each, scale, delta), each.estimate),
            HtmlCell(f"{signed(each.estimate)} {esc(span(each.low, each.high, sign=True))}", each.estimate),
            HtmlCell(_p(each.p), each.p),
            HtmlCell(f'<span class="verdict {each.verdict}">{WORDS[each.verdict]}</span>', each.verdict),
        ]
        for each in lines
    ]
    every = [*heads, _axis(scale), "difference [95 %]", "p", "verdict"]
    counts = [f"{sum(each.verdict == name for each in lines)} {said}" for name, said in WORDS.items()]
    caption = f"{caption}: {len(lines)} comparisons, of which {', '.join(counts)}. p is corrected."
    return table(caption, every, rows, label=label, classes="sortable forest", left=left)


def _kind(comparisons: Sequence[Comparison], delta: float, title: str) -> str:
    """One kind of comparison; what is the same in every line is said once, in the caption."""
    devices = list(dict.fromkeys(each.device for each in comparisons))
    seconds = list(dict.fromkeys(each.b for each in comparisons))
    many, alone = len(devices) > 1, len(seconds) == 1 and len(comparisons) > 1
    heads = ["first file", *([] if alone else ["second file"]), *(["device"] if many else []), "recordings"]
    lines = [
        ForestLine(
            (
                HtmlCell(breakable(each.a), each.a),
                *(() if alone else (HtmlCell(esc(_short(each)), each.b),)),
                *((HtmlCell(esc(each.device), each.device),) if many else ()),
                HtmlCell(esc(each.signals), each.signals),
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


def _axis(scale: AxisScale) -> str:
    """The head of the column: the scale's own labels."""
    parts = [
        words((scale(value), 12), signed(value) if value else "0", "tick")
        for value in linear_ticks(scale.low, scale.high, 5)
    ]
    drawn = f'<svg class="chart" viewBox="0 0 {WIDTH} 16" width="{WIDTH}" height="16" aria-hidden="true">'
    return f'<span class="unseen">picture</span>{drawn}{"".join(parts)}</svg>'


def _picture(each: ForestLine, scale: AxisScale, delta: float) -> str:
    middle = HEIGHT / 2
    clear = each.low > 0 or each.high < 0
    at = scale(each.estimate)
    parts = [
        rectangle(scale(-delta), 0, scale(delta) - scale(-delta), HEIGHT, "band"),
        line((scale(0), 0), (scale(0), HEIGHT), "zero"),
        line((scale(each.low), middle), (scale(each.high), middle), "interval"),
        f'<circle class="estimate{"" if clear else " hollow"}" cx="{at:.1f}" cy="{middle:.1f}" r="4"/>',
    ]
    drawn = f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" aria-hidden="true">'
    return f"{drawn}{''.join(parts)}</svg>"


def _short(each: Comparison) -> str:
    """The second file, without the model where that is the first file's."""
    model, _, recipe = each.b.partition("/")
    return recipe if recipe and each.a.startswith(f"{model}/") else each.b


def _p(value: float) -> str:
    return "&lt; .001" if value < 0.001 else f"{value:.3f}".removeprefix("0")
