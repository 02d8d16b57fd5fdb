"""The answers of a study in a few lines, for the first page that a stranger reads: one file a model, three answers, and
the one caveat that weighs most.

In come :class:`~report.answers.types.Answers` and the note of the recordings; out comes Markdown. Of each model stands
the file that the rule of the recommendation picks among its own (:func:`report.answers.front.choose`).
"""

from __future__ import annotations

from collections.abc import Iterator

from pulseproof.core.markdown import markdown, markdown_table
from pulseproof.report.answers.front import choose
from pulseproof.report.answers.types import Answers, FrontPoint, QuestionId, Recommendation
from pulseproof.report.numbers.texts import auc_text, budget_text, milliseconds, size_text

SHORT: tuple[QuestionId, ...] = ("quantization", "classical")


def as_short_markdown(answers: Answers, delta: float, note: str | None) -> str:
    """The table and a list. ``delta``: the study's, within which two AUCs count as one; ``note``: what a table must say
    beside a number of these recordings."""
    chosen = answers.recommendation
    if chosen is None:
        return "No file has a latency, a size and a clean AUC.\n"
    said = {question.id: question.sentences for question in answers.questions}
    sentences = [chosen.reason, *(said[name][0].text for name in SHORT if said[name])]
    caveats = [*([f"All this is of a {note}"] if note else []), *(doubt.sentence for doubt in chosen.doubts)]
    if caveats:
        sentences.append(f"But: {caveats[0].rstrip('.')}.")
    listed = "\n".join(f"- {markdown(each)}" for each in sentences)
    return f"{markdown_table(_columns(chosen), list(_lines(chosen, delta)), left=1)}\n\n{listed}\n"


def _columns(chosen: Recommendation) -> list[str]:
    cost = "p50 ms" if chosen.cost == "latency_p50_ms" else "M instructions"
    attacked = [] if chosen.budget_mv is None else ["loses .05 at", f"worst at {budget_text(chosen.budget_mv)}"]
    return ["file", "size", f"{cost} ({chosen.device})", "clean AUC", *attacked]


def _lines(chosen: Recommendation, delta: float) -> Iterator[list[str]]:
    """The recommended file first, then those of the other models in the order of the study."""
    models = dict.fromkeys(point.artifact.partition("/")[0] for point in chosen.front)
    picked = [_of_model(chosen, model, delta) for model in models]
    for point in sorted(filter(None, picked), key=lambda point: point.artifact != chosen.artifact):
        cost = None if point.cost is None else point.cost / (1 if chosen.cost == "latency_p50_ms" else 1e6)
        line = [point.artifact, size_text(point.size_bytes), milliseconds(cost), auc_text(point.auc_clean)]
        if chosen.budget_mv is not None:
            line += ["-" if point.losses is None else point.losses.lost.text, auc_text(point.auc_attacked)]
        yield line


def _of_model(chosen: Recommendation, model: str, delta: float) -> FrontPoint | None:
    own = [point for point in chosen.front if point.artifact.partition("/")[0] == model]
    whole = [
        point
        for point in own
        if None not in (point.cost, point.size_bytes, point.auc_clean)
        and (chosen.budget_mv is None or point.auc_attacked is not None)
    ]
    return choose(whole, delta)
