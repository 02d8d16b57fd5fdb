"""What was tried against the recommended file, and what is left of it: a line an attack, strongest first.

In come the rows of the file on the device whose AUCs count; out comes HTML. Below the attacks stand what all of them
leave together, the noise of the same size, and what is proved; then what was not tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pulseproof.report.answers.types import Recommendation
from pulseproof.report.numbers.attacked_through import made_of
from pulseproof.report.numbers.compare import CountingRows
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.resampled import WORST
from pulseproof.report.numbers.rows import Row
from pulseproof.report.numbers.texts import auc_text, budget_text, span
from pulseproof.report.page.markup import HtmlCell, HtmlTable, Section, section
from pulseproof.report.page.words import MADE


def tried_section(evaluation: Evaluation, card: Recommendation | None) -> Section | None:
    """None without a recommendation, or where nothing was tried against its file."""
    if card is None or card.budget_mv is None:
        return None
    every = CountingRows(evaluation, card.device).of(card.artifact).by_key.items()
    rows = [row for (name, _), row in every if name == card.artifact]
    attacks = [row for row in rows if row.attack]
    if not attacks:
        return None
    budgets = sorted({row.budget_mv for row in rows if row.budget_mv})
    clean = next((row.auc for row in rows if row.method == "clean"), None)
    worst = next((row for row in rows if row.method == WORST and row.budget_mv == card.budget_mv), None)
    count = sum(row.budget_mv == card.budget_mv for row in attacks)
    gist = f"{count} attacks of {budget_text(card.budget_mv)} were tried"
    if count == 1:
        gist = f"1 attack of {budget_text(card.budget_mv)} was tried"
    if worst is not None:
        verb = "leaves" if count == 1 else "together leave"
        gist += f" and {verb} an AUC of {auc_text(worst.auc)} (clean {auc_text(clean)})"
    own = {made_of(row) for row in attacks} & {"white-box", "twin"}
    gist += "." if own else "; none went through the file's own graph."
    left = [each.sentence for each in card.doubts if each.about == "attacked"]
    flags = dict.fromkeys(flag for row in attacks for flag in (row.flags or "").split(", ") if flag)
    if flags and not any(each.word == "flagged attacks" for each in card.doubts):
        left.append(f"The checks raised flags on single attacks ({', '.join(flags)}): those may be weak.")
    return section(
        "tried",
        "What was tried against it, and what is left",
        gist,
        table=_table(card, rows, attacks, budgets),
        left=left or ["Nothing speaks against these attacks; a stronger one than all of them is never excluded."],
    )


def _table(card: Recommendation, rows: Sequence[Row], attacks: Sequence[Row], budgets: Sequence[float]) -> HtmlTable:
    groups: dict[tuple[str, str], dict[float, Row]] = {}
    for row in attacks:
        groups.setdefault((str(row.method), str(row.source)), {})[row.budget_mv or 0.0] = row
    lines = []
    for (method, source), own in sorted(groups.items(), key=lambda each: _lowest(each[1].values())):
        made = MADE[made_of(next(iter(own.values())))][0]
        name = HtmlCell(f"{method} from {source}", f"{method} {source}", small=(made,))
        lines.append([name, *(_auc(own.get(budget)) for budget in budgets)])
    worst = {row.budget_mv or 0.0: row for row in rows if row.method == WORST}
    lines.append(
        [_named("all of them", "each recording as what hurts it most"), *(_auc(worst.get(at)) for at in budgets)]
    )
    noise = [row for row in rows if row.control]
    if noise:
        lowest = {at: min((row for row in noise if row.budget_mv == at), key=_value, default=None) for at in budgets}
        lines.append([_named("noise", "the most harmful of the same size"), *(_auc(lowest[at]) for at in budgets)])
    if any(row.proved_auc is not None for row in worst.values()):
        lines.append([_named("proved", "no disturbance brings it below"), *(_proved(worst.get(at)) for at in budgets)])
    heads = ["attack", *(budget_text(budget) for budget in budgets)]
    caption = f"Macro AUC of {card.artifact} under each attack, a column a budget, the strongest first."
    return HtmlTable(caption, heads, lines, "Attacks on the recommended file", "sortable")


def _value(row: Row) -> float:
    return 2.0 if row.auc is None else row.auc


def _lowest(rows: Iterable[Row]) -> float:
    return min(map(_value, rows), default=2.0)


def _named(name: str, said: str) -> HtmlCell:
    return HtmlCell(name, name, small=(said,))


def _auc(row: Row | None) -> HtmlCell:
    if row is None or row.auc is None:
        return HtmlCell("-")
    interval = span(row.auc_low, row.auc_high)
    return HtmlCell(auc_text(row.auc), row.auc, small=(interval,), tag="flag" if row.flags else "")


def _proved(row: Row | None) -> HtmlCell:
    if row is None or row.proved_auc is None:
        return HtmlCell("-")
    return HtmlCell(auc_text(row.proved_auc), row.proved_auc, small=(span(row.proved_auc_low, row.proved_auc_high),))
