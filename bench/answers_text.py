"""The answers as text: for a terminal, and as Markdown for a README.

In come :class:`~bench.answers_types.Answers`; out come the questions with their sentences, the evidence of each beside
it. A question on which the statistics carry nothing says so.
"""

from __future__ import annotations

from bench.answers_types import Answers
from bench.texts import markdown

NOTHING = "The statistics carry no sentence on this."


def as_text(answers: Answers) -> str:
    """One question after the other, a line a sentence, its evidence below it."""
    parts = []
    for question in answers.questions:
        told = [f"  - {each.text}\n    ({each.evidence})" for each in question.sentences]
        parts.append("\n".join([question.title, *(told or [f"  {NOTHING}"])]))
    return "\n\n".join(parts) + "\n"


def as_markdown(answers: Answers) -> str:
    """A paragraph in bold a question, then a list; evidence in small italics."""
    parts = []
    for question in answers.questions:
        told = [f"- {markdown(each.text)} *({markdown(each.evidence)})*" for each in question.sentences]
        parts.append("\n".join([f"**{markdown(question.title)}**", "", *(told or [NOTHING])]))
    return "\n\n".join(parts) + "\n"
