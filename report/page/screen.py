"""The first screen of the page: the file, its numbers and their doubts, two pictures, three sentences.

In come an :class:`~report.numbers.evaluation.Evaluation` and its answers; out comes the HTML above everything that
folds. Each picture is drawn twice, for a wide and for a narrow screen, since letters must not shrink with it.
"""

from __future__ import annotations

from markupsafe import Markup

from pulseproof.report.answers.screen import first_screen
from pulseproof.report.answers.types import Answers, Recommendation
from pulseproof.report.charts.cost import drawn, screen_picture
from pulseproof.report.charts.drawing import Drawing
from pulseproof.report.charts.file_curve import file_curve
from pulseproof.report.numbers.compare import CountingRows
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.pivot import DeviceLine, lines_of
from pulseproof.report.numbers.resampled import WORST
from pulseproof.report.page.markup import Section, render

NONE = "No file has all that a recommendation needs (a cost, a size and a clean AUC), so none is given."
WIDE, NARROW = (430, 330), (358, 152)
# Where the questions that are asked next are answered: a section's anchor, and what stands there.
NEXT = (
    ("answers", "why, and the doubts"),
    ("classes", "each class"),
    ("tried", "what was tried against it"),
    ("results", "all files"),
    ("files", "CSV, JSON, PNG"),
)


def answer_screen(evaluation: Evaluation, answers: Answers, sections: list[Section]) -> Markup:
    """The screen; its links lead to those of ``sections`` that there are."""
    card = answers.recommendation
    screen = None if card is None else first_screen(evaluation, card)
    there = {each.anchor for each in sections}
    pictures: list[tuple[str, str, Drawing, Drawing]] = []
    if card is not None and screen is not None:
        pictures = [*_cost(evaluation, card), *_curve(evaluation, card)]
    return render(
        "answer.html",
        screen=screen,
        card=card,
        nothing=NONE,
        pictures=pictures,
        links=[(anchor, said) for anchor, said in NEXT if anchor in there],
    )


def shipped_line(evaluation: Evaluation, card: Recommendation) -> DeviceLine | None:
    """The line of the recommended file on the device whose AUCs count."""
    device = evaluation.auc_device(card.device, card.artifact)
    lines = (line for line in lines_of(evaluation) if line.clean.artifact == card.artifact)
    return next((line for line in lines if line.device == device), None)


def _cost(evaluation: Evaluation, card: Recommendation) -> list[tuple[str, str, Drawing, Drawing]]:
    picture = screen_picture(card, evaluation.delta)
    if picture is None:
        return []
    alone = len(picture.joined[0][1]) < 2
    said = (
        "Ringed: this file; filled: the cheapest." if alone else "Ringed: this file; dashed: the best for their cost."
    )
    return [("screen-cost", said, drawn(picture, *WIDE), drawn(picture, *NARROW))]


def _curve(evaluation: Evaluation, card: Recommendation) -> list[tuple[str, str, Drawing, Drawing]]:
    line = shipped_line(evaluation, card)
    if line is None:
        return []
    rows = CountingRows(evaluation, card.device).of(card.artifact)
    intervals = {
        row.budget_mv: (row.auc_low, row.auc_high)
        for (name, _), row in rows.by_key.items()
        if name == card.artifact and row.method == WORST and row.budget_mv
        if row.auc_low is not None and row.auc_high is not None
    }
    wide, narrow = file_curve(line, intervals, *WIDE), file_curve(line, intervals, *NARROW)
    if wide is None or narrow is None:
        return []
    said = "This file under attacks and under noise of each size"
    said += "; dashed: proved." if any(cell.proved is not None for cell in line.cells.values()) else "."
    return [("screen-curve", said, wide, narrow)]
