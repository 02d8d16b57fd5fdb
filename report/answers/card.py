"""What speaks against the numbers of the recommended file: its card carries its own doubts.

In come an :class:`~report.numbers.evaluation.Evaluation` and the recommendation; out come words, each with its
sentence, the weightiest first. They are of this file alone; what is doubtful about the study is
:mod:`report.answers.doubt`.
"""

from __future__ import annotations

from collections.abc import Iterator

from pulseproof.report.answers.proved import lost_proof
from pulseproof.report.answers.types import Doubt, FrontPoint, Recommendation
from pulseproof.report.numbers.attacked_through import WORDS
from pulseproof.report.numbers.compare import CountingRows, Rows
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.loss_budgets import CHANCE
from pulseproof.report.numbers.rows import Row
from pulseproof.report.numbers.texts import auc_text, budget_text, span

FEW_PATIENTS = 50  # below, 95 % intervals were simulated to hold the truth less often than 93 % (docs/numbers.md)
# By the mark that a run has in its rows: the word and the sentence.
MARKS = {
    "noisy": Doubt("noisy latency", "The machine was restless while its latency was measured.", "latency", "noisy"),
    "throttled": Doubt("throttled", "The clock was held down while its latency was measured.", "latency"),
    "engine-saturates": Doubt(
        "engine saturates",
        "The engine's integer arithmetic saturates on this processor: its scores are not those of the file's exact "
        "arithmetic.",
        "clean",
    ),
}
BRIEF = {"parent": "through its parent only", "sibling": "through a sibling only", "others": "by transfer only"}


def card_doubts(evaluation: Evaluation, chosen: Recommendation, timed: Rows, rows: CountingRows) -> Iterator[Doubt]:
    """The doubts about ``chosen``: ``timed`` are the rows of its device, ``rows`` those whose AUCs count."""
    point = next(each for each in chosen.front if each.artifact == chosen.artifact)
    clean = rows.clean(chosen.artifact)
    worst = None if chosen.budget_mv is None else rows.worst(chosen.artifact, chosen.budget_mv)
    yield from _chance(clean, worst)
    if evaluation.head.synthetic:
        yield Doubt("synthetic", "The recordings are synthetic: nothing here is about patients.")
    yield from _attacks(evaluation, point, worst)
    yield from _marks(timed.clean(chosen.artifact), clean)
    lost = lost_proof(evaluation, chosen.device, chosen.artifact)
    if lost is not None:
        yield lost
    yield from _recordings(evaluation, chosen, clean)


def _chance(clean: Row | None, worst: Row | None) -> Iterator[Doubt]:
    if clean is not None and clean.auc is not None and (clean.auc_low or 0.0) <= CHANCE:
        text = f"Its clean AUC is not surely above chance: {auc_text(clean.auc)} {span(clean.auc_low, clean.auc_high)}"
        word, brief = ("worse than chance", "below chance") if clean.auc < CHANCE else ("near chance", "")
        yield Doubt(word, f"{text.strip()}.", "clean", brief)
    elif worst is not None and worst.auc_high is not None and worst.auc_high < CHANCE:
        text = f"Attacks of {budget_text(worst.budget_mv or 0)} make its ranking worse than chance: "
        text += f"{auc_text(worst.auc)} {span(worst.auc_low, worst.auc_high)}"
        yield Doubt("worse than chance under attack", f"{text.strip()}.", "attacked", "below chance")


def _attacks(evaluation: Evaluation, point: FrontPoint, worst: Row | None) -> Iterator[Doubt]:
    if worst is None:
        yield Doubt("not attacked", "No attack was measured on it.", "attacked")
        return
    if point.through not in (None, "itself"):
        text = f"It was {WORDS[point.through]}: the true worst case may be lower."
        if point.held_to is not None:
            text = (
                f"It was {WORDS[point.through]}: it counts at most what {point.held_to} keeps, "
                f"{auc_text(point.auc_attacked)} (measured on it: {auc_text(point.auc_measured)}); the true worst case "
                "may be lower."
            )
        yield Doubt(WORDS[point.through], text, "attacked", BRIEF[point.through])
    if evaluation.audit is None and evaluation.no_audit is not None:
        yield Doubt("not audited", f"Its attacks were not audited. {evaluation.no_audit}", "attacked")
    if worst.flags:
        text = f"The flags on its attacks say that they may be weak: {worst.flags}."
        yield Doubt("flagged attacks", text, "attacked", "flagged")


def _marks(timed: Row | None, clean: Row | None) -> Iterator[Doubt]:
    """Those of the run whose latency counts, then those of the run whose AUC counts that are not about its latency."""
    marks = ((timed.marks if timed else None) or "").split(", ")
    if clean is not None and clean.device != (timed.device if timed else None):
        marks += [mark for mark in (clean.marks or "").split(", ") if mark not in ("noisy", "throttled")]
    for mark in dict.fromkeys(filter(None, marks)):
        yield MARKS.get(mark) or Doubt(mark.replace("-", " "), f"Its run is marked {mark}.", "clean")


def _recordings(evaluation: Evaluation, chosen: Recommendation, clean: Row | None) -> Iterator[Doubt]:
    fuller = evaluation.fuller.get(chosen.device)
    if fuller is not None and chosen.artifact in fuller.apart:
        text = f"Its scores on {chosen.device} differ from those on {fuller.device} by up to "
        text += f"{fuller.apart[chosen.artifact]:.2g}: its AUC is that of {chosen.device}, "
        text += f"and under attack at most what was found on {fuller.device}"
        yield Doubt("other scores", f"{text}.", "clean")
    count = evaluation.recordings
    if clean is not None and clean.n is not None and count and clean.n < count:
        yield Doubt("a sample", f"Its AUC is of {clean.n:,} of the {count:,} recordings.", "clean")
    if evaluation.head.note and not evaluation.head.synthetic:
        text = f"The data are part of a database ({evaluation.head.note}): numbers on the whole one will differ."
        yield Doubt("a part of the data", text)
    others = len({row.artifact for row in evaluation.rows if row.device is not None and row.auc is not None})
    ran = len(chosen.front)
    if ran < others:
        yield Doubt("not all files", f"{ran} of {others} files that were measured were run on {chosen.device}.")
    patients = evaluation.patients_of.get(clean.n or 0) if clean is not None else None
    if patients is not None and patients < FEW_PATIENTS:
        text = f"Its AUC is of {patients} patients: intervals are narrower than they should be, and verdicts weaker."
        yield Doubt("few patients", text, "clean")
