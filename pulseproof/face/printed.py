"""Answers that print as text: what :func:`pulseproof.answers_of` gives.

In: the answers of an evaluation. Out: the same, whose ``str`` is what ``pulseproof answers`` prints.
"""

from __future__ import annotations

from dataclasses import dataclass

from pulseproof.report.answers.text import as_text
from pulseproof.report.answers.types import Answers


@dataclass(frozen=True)
class PrintedAnswers(Answers):
    """All that is answered about a study."""

    def __str__(self) -> str:
        return as_text(self)


def printed(found: Answers) -> PrintedAnswers:
    """The same answers, to be printed."""
    return PrintedAnswers(found.recommendation, found.questions, found.comparisons)
