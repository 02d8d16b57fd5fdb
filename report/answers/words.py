"""How the answers are worded: lists of names with their differences, and what stands behind verdicts.

In come :class:`~report.answers.types.Comparison` objects; out come parts of sentences. Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized

from pulseproof.core.statistics import Interval
from pulseproof.report.answers.types import Comparison
from pulseproof.report.numbers.classes import over
from pulseproof.report.numbers.resampled import WORST
from pulseproof.report.numbers.rows import Row
from pulseproof.report.numbers.texts import auc_text, difference_text, span

NAMED = 6  # names in a sentence; more are counted
CARD = "On its card"  # begins what a page has on the card of the recommended file


def it(names: Sized) -> str:
    return "it" if len(names) == 1 else "them"


def listed(some: Sequence[Comparison], models: bool = False, second: bool = False) -> str:
    """Names with their differences and intervals, at most :data:`NAMED` of them."""
    names = [(each.b if second else each.a) for each in some]
    named = [
        f"{name.partition('/')[0] if models else name} ({difference_text(interval_of(each))})"
        for name, each in zip(names[:NAMED], some, strict=False)
    ]
    return conjunction([*named, *([f"{len(some) - NAMED} more"] if len(some) > NAMED else [])])


def conjunction(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def undecided(some: Sequence[Comparison]) -> str:
    count = sum(each.verdict == "undecided" for each in some)
    return f"; {count} of {len(some)} undecided" if count else ""


def tested(family: Sequence[Comparison]) -> str:
    """What stands behind verdicts that were made together."""
    first = family[0]
    return (
        f"paired bootstrap over {first.patients:,} patients ({first.n:,} recordings) on {first.device}; "
        f"95 % intervals; p-values by Holm over {len(family)} comparisons"
    )


def is_attacked(each: Comparison) -> bool:
    return each.signals.startswith(WORST)


def interval_of(each: Comparison) -> Interval:
    return Interval(each.estimate, each.low, each.high)


def auc_words(row: Row | None) -> str:
    if row is None:
        return "-"
    part = over(row.classes, len(row.class_aucs or {}))
    return " ".join(each for each in ("AUC", auc_text(row.auc), span(row.auc_low, row.auc_high), part) if each)
