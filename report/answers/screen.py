"""The answer on one screen: the file, its four numbers with their doubts beside them, and three sentences.

In come an :class:`~report.numbers.evaluation.Evaluation` and its recommendation; out comes what stands on the first
screen of the page. Nothing is concluded here: the numbers are those of :mod:`report.answers.front`, the doubts those of
:mod:`report.answers.card`. The sentences say why this file, what attacks leave of it, and which numbers to trust.
"""

from __future__ import annotations

from dataclasses import dataclass

from pulseproof.report.answers.front import rule_steps
from pulseproof.report.answers.types import About, Doubt, FrontPoint, Recommendation
from pulseproof.report.answers.words import conjunction
from pulseproof.report.numbers.compare import CountingRows, Rows
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.loss_budgets import ABOVE, CHANCE, LOST, Crossing
from pulseproof.report.numbers.resampled import WORST
from pulseproof.report.numbers.rows import Row
from pulseproof.report.numbers.texts import auc_text, budget_text, milliseconds, size_text, span


@dataclass(frozen=True)
class ScreenNumber:
    """One number of the file: what it is called, its text, what else belongs to it (an interval), and its doubts."""

    name: str
    text: str
    detail: str = ""
    doubts: tuple[Doubt, ...] = ()


@dataclass(frozen=True)
class FirstScreen:
    """``numbers``: cost, size, clean AUC and attacked AUC (the last without attacks: that there were none); ``doubts``:
    those of the study, beside the file's name; ``sentences``: three."""

    artifact: str
    numbers: tuple[ScreenNumber, ...]
    doubts: tuple[Doubt, ...]
    sentences: tuple[str, str, str]


def first_screen(evaluation: Evaluation, chosen: Recommendation) -> FirstScreen | None:
    """The screen of a recommendation; None for one whose file is not on its own front, which is nobody's result."""
    point = next((each for each in chosen.front if each.artifact == chosen.artifact), None)
    if point is None:
        return None
    of = {about: tuple(each for each in chosen.doubts if each.about == about) for about in ABOUT}
    timed, rows = Rows(evaluation, chosen.device), CountingRows(evaluation, chosen.device)
    here, clean = timed.clean(chosen.artifact), rows.clean(chosen.artifact)
    worst = None if chosen.budget_mv is None else rows.worst(chosen.artifact, chosen.budget_mv)
    return FirstScreen(
        artifact=chosen.artifact,
        numbers=(
            _cost(chosen, point, here, of["latency"]),
            ScreenNumber("size", size_text(point.size_bytes)),
            ScreenNumber("clean AUC", auc_text(point.auc_clean), _interval(clean, point.auc_clean), of["clean"]),
            _attacked(chosen, point, worst, of["attacked"]),
        ),
        # That recordings are synthetic, or a part, stands above all numbers, in letters that nobody overlooks.
        doubts=tuple(each for each in of["study"] if each.word not in ("synthetic", "a part of the data")),
        sentences=(
            _why(evaluation, chosen),
            _withstands(evaluation, chosen, point, rows),
            _trust(chosen, of),
        ),
    )


ABOUT: tuple[About, ...] = ("latency", "clean", "attacked", "study")


def _cost(chosen: Recommendation, point: FrontPoint, row: Row | None, doubts: tuple[Doubt, ...]) -> ScreenNumber:
    if chosen.cost == "instructions":
        count = "-" if point.cost is None else f"{point.cost / 1e6:.3g} million"
        return ScreenNumber(f"instructions, {chosen.device}", count, "an emulator's count, no time", doubts)
    tail = "" if row is None or row.latency_p99_ms is None else f"p99 {milliseconds(row.latency_p99_ms)}"
    return ScreenNumber(f"p50 on {chosen.device}", f"{milliseconds(point.cost)} ms", tail, doubts)


def _attacked(chosen: Recommendation, point: FrontPoint, row: Row | None, doubts: tuple[Doubt, ...]) -> ScreenNumber:
    if chosen.budget_mv is None:
        return ScreenNumber("attacked AUC", "-", "no attack was made", doubts)
    detail = _interval(row, point.auc_attacked)
    if point.auc_measured is not None and point.auc_measured != point.auc_attacked:
        detail = f"({auc_text(point.auc_measured)} measured on it)"
    detail = f"{detail} at {budget_text(chosen.budget_mv)}".strip()
    return ScreenNumber("attacked AUC", auc_text(point.auc_attacked), detail, doubts)


def _interval(row: Row | None, value: float | None) -> str:
    """The interval of a row, where the number that is shown is the row's."""
    return span(row.auc_low, row.auc_high) if row is not None and row.auc == value else ""


def _why(evaluation: Evaluation, chosen: Recommendation) -> str:
    steps = rule_steps(chosen.front, evaluation.delta, chosen.budget_mv)
    least = "fastest" if chosen.cost == "latency_p50_ms" else "one of the fewest instructions"
    kept, every, within = len(steps.kept), len(steps.complete), f"within {evaluation.delta:g} of the best"
    if kept == 1:
        said = f"It is the only one of {every} files with a clean AUC {within}"
        none = "it does not stay"
    else:
        these = f"all {every} files," if kept == every else f"the {kept} files, of {every},"
        said = f"It is the {least} of {these} whose clean AUC is {within}"
        none = "none of them stays"
    if steps.broken:
        return f"{said}; {none} above chance at {budget_text(chosen.budget_mv or 0)}."
    return f"{said}{'' if chosen.budget_mv is None else ', and so is what attacks leave of it'}."


def _withstands(evaluation: Evaluation, chosen: Recommendation, point: FrontPoint, rows: CountingRows) -> str:
    """Where it loses AUC, and up to where it is proved to keep some."""
    if chosen.budget_mv is None:
        return "What attacks leave of it is not known: none was made."
    told = []
    if point.losses is not None:
        told = [
            *_crossed(point.losses.lost, f"loses {LOST:g} of AUC", f"does not lose {LOST:g} of AUC"),
            *_crossed(point.losses.chance, "falls to chance", "stays above chance"),
        ]
    said = f"Attacked, it {conjunction(told)}" if told else f"Attacks leave it {auc_text(point.auc_attacked)}"
    proved = [
        row
        for row in evaluation.rows
        if (row.device, row.artifact, row.method) == (rows.of(chosen.artifact).device, chosen.artifact, WORST)
        and (row.proved_auc or 0.0) > CHANCE
    ]
    if proved and evaluation.proofs.lost(chosen.device, chosen.artifact) is None:
        largest = max(proved, key=lambda row: row.budget_mv or 0.0)
        said += f"; proved: nothing within {budget_text(largest.budget_mv or 0)} brings it below "
        said += auc_text(largest.proved_auc)
    return f"{said}."


def _crossed(number: Crossing, falls: str, stays: str) -> list[str]:
    """What happens at a budget, in words; nothing where it is not known."""
    if number.estimate is None:
        return []
    if number.estimate != ABOVE:
        return [f"{falls} {number.sentence}"]
    _, bracket, interval = number.text.partition(" [")
    return [f"{stays} up to {number.largest:g} mV" + (f" [{interval}" if bracket else "")]


def _trust(chosen: Recommendation, of: dict[About, tuple[Doubt, ...]]) -> str:
    """Which of its numbers to trust, the latency first: it is what is asked first."""

    def words(about: About) -> str:
        return ", ".join(each.tag for each in of[about] if each.tag != "below chance")

    named = {"clean": "clean AUC", "attacked": "attacked AUC"}
    told = "Its count of instructions is no time"
    if chosen.cost == "latency_p50_ms":
        told = f"Trust its ms only roughly ({words('latency')})" if of["latency"] else "Nothing was seen against its ms"
    doubtful = [f"its {name} ({words(about)})" for about, name in named.items() if words(about)]  # type: ignore[arg-type]
    if not doubtful:
        return f"{told}; nor against its AUCs." if told.startswith("Nothing") else f"{told}; nothing against its AUCs."
    return f"{told}; doubt {conjunction(doubtful)}."
