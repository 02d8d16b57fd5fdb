"""The answers on top of the page: the recommendation, and the questions in words.

In come :class:`~report.answers.types.Answers`; out comes HTML. Nothing is concluded here: a question for which the
statistics carry no sentence says just that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pulseproof.report.answers.types import Answers, Doubt, Question, Recommendation
from pulseproof.report.answers.words import CARD
from pulseproof.report.numbers.loss_budgets import CHANCE, LOST
from pulseproof.report.numbers.texts import auc_text, budget_text, size_text
from pulseproof.report.page.charts.cost import cost_text
from pulseproof.report.page.markup import Section, esc, paragraph

SILENT = "The results carry no sentence about this."
NONE = "No file has all that a recommendation needs (a cost, a size and a clean AUC), so none is given."


def answers_section(answers: Answers) -> Section:
    """What the study answers, one question after the other."""
    recommendation = answers.recommendation
    if recommendation is None:
        return Section("answers", "The answer", paragraph(NONE) + "".join(map(_question, answers.questions)))
    # The reason stands in large letters already: the sentence that repeats it is not written twice.
    said = [each for question in answers.questions for each in question.sentences if recommendation.reason in each.text]
    on_card = [each for question in answers.questions for each in question.sentences if each.text.startswith(CARD)]
    rest = [
        replace(question, sentences=tuple(each for each in question.sentences if each not in (*said, *on_card)))
        for question in answers.questions
    ]
    top = _recommended(recommendation, said[0].evidence if said else "")
    return Section("answers", "The answer", top + "".join(map(_question, rest)))


def _recommended(recommendation: Recommendation, evidence: str) -> str:
    """The file to ship, in large letters, why, and its numbers."""
    point = next((each for each in recommendation.front if each.artifact == recommendation.artifact), None)
    facts: list[tuple[str, str]] = []
    if point is not None:
        name = "latency, median" if recommendation.cost == "latency_p50_ms" else "cost"
        facts = [
            (name, cost_text(point.cost, recommendation)),
            ("size", size_text(point.size_bytes)),
            ("clean AUC", auc_text(point.auc_clean)),
        ]
        if recommendation.budget_mv is not None:
            counted = auc_text(point.auc_attacked)
            if point.auc_measured is not None and point.auc_measured != point.auc_attacked:
                counted += f" ({auc_text(point.auc_measured)} measured on it)"
            facts.append((f"worst-case AUC at {budget_text(recommendation.budget_mv)}", counted))
        if point.losses is not None:
            facts += [
                (f"{LOST:g} of AUC is lost at", point.losses.lost.text),
                (f"an AUC of {CHANCE:g} is crossed at", point.losses.chance.text),
            ]
    numbers = "".join(f"<div><dt>{esc(name)}</dt><dd>{_fact(value)}</dd></div>" for name, value in facts)
    return (
        '<div class="answer"><p class="kicker">Recommended file, judged by '
        f'{esc(recommendation.judged_on)}</p><p class="chosen">{esc(recommendation.artifact)}</p>'
        f"<p>{esc(recommendation.reason)}</p><dl>{numbers}</dl>{_doubts(recommendation.doubts)}"
        f"{paragraph(evidence, 'evidence')}</div>"
    )


def _fact(value: str) -> str:
    """A number, its interval (or what else stands behind it) smaller."""
    number, bracket, rest = value.partition(" [")
    return esc(number) + (f" <small>[{esc(rest)}</small>" if bracket else "")


def _doubts(doubts: Sequence[Doubt]) -> str:
    """What speaks against these numbers: a word and its sentence each; nothing where nothing does."""
    items = "".join(
        f'<li><strong class="tag doubt">{esc(each.word)}</strong> {esc(each.sentence)}</li>' for each in doubts
    )
    return f'<ul class="doubts" aria-label="Doubts about this file">{items}</ul>' if items else ""


def _question(question: Question) -> str:
    said = []
    for at, each in enumerate(question.sentences):
        following = question.sentences[at + 1].evidence if at + 1 < len(question.sentences) else None
        # Sentences that rest on the same are followed by it once.
        evidence = (
            f' <span class="evidence">{esc(each.evidence)}</span>' if each.evidence not in ("", following) else ""
        )
        said.append(f"<li>{esc(each.text)}{evidence}</li>")
    body = f"<ul>{''.join(said)}</ul>" if said else paragraph(SILENT, "dim")
    return f'<div class="question"><h3>{esc(question.title)}</h3>{body}</div>'
