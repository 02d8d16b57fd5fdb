"""The answers as text: for a terminal, and as Markdown for a README.

In come :class:`~report.answers.types.Answers`; out come the questions with their sentences, the evidence of each beside
it, said once where several in a row share it. A question on which the statistics carry nothing says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pulseproof.core.markdown import markdown
from pulseproof.report.answers.types import Answers, Sentence

NOTHING = "The statistics carry no sentence on this."
SAME = "likewise"


def as_text(answers: Answers) -> str:
    """One question after the other, a line a sentence, its evidence below it."""
    parts = []
    for question in answers.questions:
        told = [f"  - {text}\n    ({evidence})" for text, evidence in _told(question.sentences)]
        parts.append("\n".join([question.title, *(told or [f"  {NOTHING}"])]))
    return "\n\n".join(parts) + "\n"


def as_markdown(answers: Answers) -> str:
    """A paragraph in bold a question, then a list; evidence in small italics."""
    parts = []
    for question in answers.questions:
        told = [f"- {markdown(text)} *({markdown(evidence)})*" for text, evidence in _told(question.sentences)]
        parts.append("\n".join([f"**{markdown(question.title)}**", "", *(told or [NOTHING])]))
    return "\n\n".join(parts) + "\n"


def _told(sentences: Sequence[Sentence]) -> Iterator[tuple[str, str]]:
    """Each sentence with its evidence; with one word where it is that of the sentence before."""
    before = None
    for each in sentences:
        yield each.text, SAME if each.evidence == before else each.evidence
        before = each.evidence
