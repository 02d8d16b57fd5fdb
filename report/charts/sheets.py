"""A chart that stands alone in a file: with the title of its study, its device, the note, a legend and a caption.

In come an :class:`~report.numbers.evaluation.Evaluation` and what the chart shows; out comes a
:class:`~report.charts.drawing.Drawing` of the very pictures that the page has, for :mod:`report.charts.png`. None where
nothing was measured: then there is no file.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from pulseproof.report.answers.types import Comparison
from pulseproof.report.answers.words import is_attacked
from pulseproof.report.charts import budget as budget_chart
from pulseproof.report.charts.cost import CostPicture, drawn
from pulseproof.report.charts.drawing import Drawing, Key, Part, Words, area_key, line_key, mark_key
from pulseproof.report.charts.forest import (
    AXIS_HEIGHT,
    HEIGHT,
    SIGNS,
    WIDTH,
    WORDS,
    difference_axis,
    difference_picture,
    shared_scale,
)
from pulseproof.report.charts.heat import heat_picture
from pulseproof.report.charts.png import width_of, write_png
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.pivot import DeviceLine
from pulseproof.report.numbers.resampled import WORST
from pulseproof.report.numbers.texts import budget_text, signed, span
from pulseproof.report.tables.matrix import Matrix
from pulseproof.report.tables.remarks import banner

MARGIN = 16.0
COLUMNS = 3  # panels side by side
NARROWEST = 520.0  # a sheet: a title and a caption have to be read
LETTER = 6.9  # px of one of 12 px, on average, for the lines of a title and a caption
CAPTION = "Dot: the difference of macro AUC, hollow where its 95 % interval holds zero; bar: that interval."


def budget_sheet(evaluation: Evaluation, lines: Sequence[DeviceLine]) -> Drawing | None:
    """The panels of one device, three in a line."""
    curves = budget_chart.budget_curves(lines)
    if curves is None:
        return None
    parts: list[Part] = []
    wide, high = budget_chart.WIDTH + 16, budget_chart.HEIGHT + 34
    for at, panel in enumerate(curves.panels):
        x, y = wide * (at % COLUMNS), high * (at // COLUMNS)
        told = f"{panel.model} (by transfer only)" if panel.transfer_only else panel.model
        parts += [Words((x + budget_chart.LEFT, y + 12), told, "name", "start"), *panel.drawing.at(x, y + 18)]
    count = len(curves.panels)
    body = Drawing(wide * min(COLUMNS, count), high * -(-count // COLUMNS), tuple(parts))
    return _sheet(evaluation, lines[0].device, "AUC under attack", body, curves.keys, curves.caption)


def cost_sheet(evaluation: Evaluation, device: str, picture: CostPicture | None) -> Drawing | None:
    """Latency against AUC of one device."""
    if picture is None:
        return None
    body = drawn(picture, 760, 430)
    keys = [*map(mark_key, picture.recipes), line_key("joined", "one model")]
    caption = "Up and to the left is better. Hollow: attacked by transfer alone, which is no robustness."
    return _sheet(evaluation, device, "Latency and AUC", body, keys, caption)


def forest_sheet(evaluation: Evaluation, comparisons: Sequence[Comparison], device: str) -> Drawing | None:
    """Quantized minus float of one device: a line a file, clean and in the worst case side by side on one scale."""
    some = [each for each in comparisons if each.kind == "quantized-minus-float" and each.device == device]
    if not some:
        return None
    files = list(dict.fromkeys(each.a for each in some))
    attacked = [each for each in some if is_attacked(each)]
    budget = attacked[0].signals.removeprefix(f"{WORST}-").replace("mV", " mV") if attacked else ""
    sides = [("clean", [each for each in some if not is_attacked(each)]), (f"worst case at {budget}", attacked)]
    scale = shared_scale(some, evaluation.delta)
    parts: list[Part] = []
    x = max(width_of(name) for name in files) + 12
    parts += [Words((x - 12, _row(at) + HEIGHT / 2 + 4), name, anchor="end") for at, name in enumerate(files)]
    for title, own in sides:
        if not own:
            continue
        told = {each.a: f"{signed(each.estimate)} {span(each.low, each.high, sign=True)}" for each in own}
        numbers = max(map(width_of, told.values()))
        verdicts = max(width_of(f"{SIGNS[each.verdict]} {WORDS[each.verdict]}", bold=True) for each in own)
        parts.append(Words((x + WIDTH / 2, 12), title, "name"))
        parts += difference_axis(scale).at(x, 18)
        for each in own:
            y = _row(files.index(each.a))
            parts += difference_picture(each, scale, evaluation.delta).at(x, y)
            parts.append(Words((x + WIDTH + 8 + numbers, y + HEIGHT / 2 + 4), told[each.a], anchor="end"))
            said = f"{SIGNS[each.verdict]} {WORDS[each.verdict]}"
            classes = each.verdict if each.verdict in ("better", "worse") else "far"
            parts.append(Words((x + WIDTH + 20 + numbers, y + HEIGHT / 2 + 4), said, classes, "start"))
        x += WIDTH + 44 + numbers + verdicts
    body = Drawing(x, _row(len(files)), tuple(parts))
    keys = [area_key("band", f"at most {evaluation.delta:g}, which does not matter")]
    return _sheet(evaluation, device, "Quantized minus float", body, keys, CAPTION)


def matrix_sheet(evaluation: Evaluation, matrix: Matrix) -> Drawing | None:
    """The matrix of one device."""
    body = heat_picture(matrix, width_of)
    if body is None:
        return None
    what = f"Macro AUC at {budget_text(matrix.budget_mv)}, source and target"
    caption = (
        "A line a target (the file that is run), a column a source (what the attack was made on). Dark is a strong "
        "attack. Frame: made on this model or this very file; star: the strongest attack of the line."
    )
    return _sheet(evaluation, matrix.device, what, body, [], caption)


def write_sheet(sheet: Drawing | None, path: Path) -> bool:
    """Write ``path``; False, and no file, without a sheet."""
    if sheet is not None:
        write_png(sheet, path)
    return sheet is not None


def _row(at: int) -> float:
    """The upper edge of a line of the forest."""
    return 18 + AXIS_HEIGHT + 6 + at * HEIGHT


def _sheet(evaluation: Evaluation, device: str, what: str, body: Drawing, keys: Sequence[Key], caption: str) -> Drawing:
    """``body`` below a title, the device and the note (loud for synthetic recordings), above its legend and caption."""
    width = max(body.width, NARROWEST)
    evidence = next((each.evidence for each in evaluation.devices if each.name == device), "")
    loud = " loud" if evaluation.head.synthetic else ""
    heads = [
        (f"{what}: {evaluation.head.title}", f"title{loud}", 14.0),
        (f"{device}, {evidence}" if evidence else device, loud.strip(), 12.0),
        (banner(evaluation), loud.strip(), 12.0),
    ]
    parts: list[Part] = []
    y = MARGIN
    for text, classes, size in heads:
        for told in _wrapped(text, width, size):
            y += size + 5
            parts.append(Words((MARGIN, y), told, classes, "start"))
    y += 14
    parts += body.at(MARGIN, y)
    y += body.height + 8
    x = MARGIN
    for key in keys:
        room = key.drawing.width + 6 + width_of(key.name) + 18
        if x > MARGIN and x + room > MARGIN + width:
            x, y = MARGIN, y + 20
        parts += key.drawing.at(x, y + 10 - key.drawing.height / 2)
        parts.append(Words((x + key.drawing.width + 6, y + 14), key.name, anchor="start"))
        x += room
    y += 22 if keys else 0
    for told in _wrapped(caption, width, 12):
        y += 16
        parts.append(Words((MARGIN, y), told, "far", "start"))
    return Drawing(width + 2 * MARGIN, y + MARGIN, tuple(parts))


def _wrapped(text: str, width: float, size: float) -> list[str]:
    """The lines of a text that fit into ``width`` px."""
    letters = int(width / (LETTER * size / 12))
    while lines := textwrap.wrap(text, letters):
        if letters < 20 or max(width_of(each, size, bold=True) for each in lines) <= width:
            return lines
        letters -= 4
    return []
