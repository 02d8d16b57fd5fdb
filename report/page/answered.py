"""The answers below the first screen: the recommendation in full with its doubts, and the questions in words.

In come :class:`~report.answers.types.Answers`; out comes HTML. Nothing is concluded here: a question for which the
statistics carry no sentence says just that.
"""

from __future__ import annotations

from dataclasses import replace

from pulseproof.report.answers.types import Answers, Recommendation
from pulseproof.report.answers.words import CARD
from pulseproof.report.charts.cost import cost_text
from pulseproof.report.numbers.loss_budgets import CHANCE, LOST
from pulseproof.report.numbers.texts import auc_text, budget_text, size_text
from pulseproof.report.page.markup import Section, section
from pulseproof.report.page.screen import NONE

SILENT = "The results carry no sentence about this."


def answers_section(answers: Answers) -> Section:
    """What the study answers, one question after the other."""
    card, questions, said = answers.recommendation, list(answers.questions), []
    if card is not None:
        # The reason stands in large letters already: the sentence that repeats it is not written twice.
        all_said = [each for question in questions for each in question.sentences]
        said = [each for each in all_said if card.reason in each.text]
        known = [*said, *(each for each in all_said if each.text.startswith(CARD))]
        questions = [
            replace(question, sentences=tuple(each for each in question.sentences if each not in known))
            for question in questions
        ]
    return section(
        "answers",
        "Why this file, and what to doubt" if card is not None else "What the study answers",
        _gist(answers),
        card=card,
        facts=_facts(card) if card is not None else (),
        evidence=said[0].evidence if said else "",
        questions=questions,
        nothing=NONE,
        silent=SILENT,
    )


def _gist(answers: Answers) -> str:
    told = sum(bool(question.sentences) for question in answers.questions)
    said = f"{told} of {len(answers.questions)} questions have an answer that the statistics carry"
    if answers.recommendation is None:
        return f"{said}."
    count = len(answers.recommendation.doubts)
    doubts = f"{count} doubt{'s' * (count != 1)} about the file" if count else "no doubt about the file was found"
    return f"The reason in full, {doubts}, and {said}."


def _facts(card: Recommendation) -> list[tuple[str, str, str]]:
    """The numbers of the file to ship: a name, the number, and its interval (or what else stands behind it)."""
    point = next((each for each in card.front if each.artifact == card.artifact), None)
    if point is None:
        return []
    facts = [
        ("latency, median" if card.cost == "latency_p50_ms" else "cost", cost_text(point.cost, card.cost)),
        ("size", size_text(point.size_bytes)),
        ("clean AUC", auc_text(point.auc_clean)),
    ]
    if card.budget_mv is not None:
        counted = auc_text(point.auc_attacked)
        if point.auc_measured is not None and point.auc_measured != point.auc_attacked:
            counted += f" ({auc_text(point.auc_measured)} measured on it)"
        facts.append((f"worst-case AUC at {budget_text(card.budget_mv)}", counted))
        if point.auc_proved is not None:
            facts.append((f"proved AUC at {budget_text(card.budget_mv)}", auc_text(point.auc_proved)))
    if point.losses is not None:
        facts += [
            (f"{LOST:g} of AUC is lost at", point.losses.lost.text),
            (f"an AUC of {CHANCE:g} is crossed at", point.losses.chance.text),
        ]
    split = [(name, value.partition(" [")) for name, value in facts]
    return [(name, number, f"[{interval}" if bracket else "") for name, (number, bracket, interval) in split]
