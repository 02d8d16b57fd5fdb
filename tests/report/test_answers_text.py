"""The answers as text."""

from __future__ import annotations

from pulseproof.report.answers.text import NOTHING, SAME, as_markdown, as_text
from pulseproof.report.answers.types import Answers, Question, Sentence

FOUND = Answers(
    None,
    (
        Question("ship", "Which file?", (Sentence("Ship a|b.", "AUC .9 [.8, .95]"), Sentence("It is *fast*.", "1 ms"))),
        Question("doubt", "What not to believe?", ()),
    ),
    (),
)


def test_evidence_is_said_once_where_it_is_the_same() -> None:
    three = tuple(Sentence(text, evidence) for text, evidence in [("A.", "x"), ("B.", "x"), ("C.", "y")])
    found = Answers(None, (Question("ship", "Which?", three),), ())
    assert as_text(found) == f"Which?\n  - A.\n    (x)\n  - B.\n    ({SAME})\n  - C.\n    (y)\n"


def test_text() -> None:
    assert as_text(FOUND) == (
        "Which file?\n  - Ship a|b.\n    (AUC .9 [.8, .95])\n  - It is *fast*.\n    (1 ms)\n\n"
        f"What not to believe?\n  {NOTHING}\n"
    )


def test_markdown_shows_what_it_was_given() -> None:
    assert as_markdown(FOUND) == (
        "**Which file?**\n\n- Ship a\\|b. *(AUC .9 [.8, .95])*\n- It is \\*fast\\*. *(1 ms)*\n\n"
        f"**What not to believe?**\n\n{NOTHING}\n"
    )
