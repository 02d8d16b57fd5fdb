"""What was tried against the recommended file, and what is left of it: a line an attack, strongest first.

In come the rows of the file on the device whose AUCs count; out comes HTML. Below the attacks stand what all of them
leave together, the noise of the same size, and what is proved; then what was not tried.
"""

from __future__ import annotations

from collections.abc import Sequence

from pulseproof.report.answers.types import Recommendation
from pulseproof.report.numbers.attacked_through import made_of
from pulseproof.report.numbers.compare import CountingRows
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.resampled import WORST
from pulseproof.report.numbers.rows import Row
from pulseproof.report.numbers.texts import auc_text, budget_text, span
from pulseproof.report.page.markup import HeadCell, HtmlCell, HtmlTable, Section, section
from pulseproof.report.page.table import MADE

NOTHING = HtmlCell("-")


def tried_section(evaluation: Evaluation, card: Recommendation | None) -> Section | None:
    """None without a recommendation, or where nothing was tried against its file."""
    if card is None or card.budget_mv is None:
        return None
    rows = [row for (name, _), row in CountingRows(evaluation, card.device).of(card.artifact).by_key.items()
            if name == card.artifact]
    attacks = [row for row in rows if row.attack]
    if not attacks:
        return None
    budgets = sorted({row.budget_mv for row in rows if row.budget_mv})
    clean = next((row.auc for row in rows if row.method == "clean"), None)
    worst = next((row for row in rows if row.method == WORST and row.budget_mv == card.budget_mv), None)
    count = sum(row.budget_mv == card.budget_mv for row in attacks)
    gist = f"{count} attack{'s' * (count != 1)} of {budget_text(card.budget_mv)} were tried"
    if worst is not None:
        gist += f" and together leave an AUC of {auc_text(worst.auc)}, of {auc_text(clean)}"
    through = {made_of(row) for row in attacks}
    own = through & {"white-box", "twin"}
    gist += "." if own else "; none went through the file's own graph."
    left = [each.sentence for each in card.doubts if each.about == "attacked"]
    return section(
        "tried",
        "What was tried against it, and what is left",
        gist,
        table=_table(card, rows, attacks, budgets),
        left=left or ["Nothing speaks against these attacks; a stronger one than all of them is never excluded."],
    )


def _table(card: Recommendation, rows: Sequence[Row], attacks: Sequence[Row], budgets: Sequence[float]) -> HtmlTable:
    heads: list[str | HeadCell] = ["attack", HeadCell("made on"), HeadCell("which is")]
    heads += [HeadCell(budget_text(budget), budget=f"{budget:g}") for budget in budgets]
    groups: dict[tuple[str, str], dict[float, Row]] = {}
    for row in attacks:
        groups.setdefault((str(row.method), str(row.source)), {})[row.budget_mv or 0.0] = row
    lines = []
    for (method, source), own in sorted(groups.items(), key=lambda each: _lowest(each[1].values())):
        made = MADE[made_of(next(iter(own.values())))]
        names = [HtmlCell(method, method), HtmlCell(source, source, "left key"), HtmlCell(made[0], made[0], "left key")]
        lines.append([*names, *(_auc(own.get(budget), budget == card.budget_mv) for budget in budgets)])
    for name, said, some in (
        ("all of them", "each recording as what hurts it most", [row for row in rows if row.method == WORST]),
        ("noise", "the most harmful of the same size", [row for row in rows if row.control]),
    ):
        if some:
            lines.append(_summary(card, name, said, some, budgets))
    proofs = [row for row in rows if row.method == WORST and row.proved_auc is not None]
    if proofs:
        of = {row.budget_mv: row for row in proofs}
        cells = [
            NOTHING
            if (row := of.get(budget)) is None
            else HtmlCell(
                auc_text(row.proved_auc),
                row.proved_auc,
                "key" if budget == card.budget_mv else "",
                small=(span(row.proved_auc_low, row.proved_auc_high),),
            )
            for budget in budgets
        ]
        names = [HtmlCell("proved", "proved"), HtmlCell("no disturbance brings it below", classes="left key"), HtmlCell("", classes="left")]
        lines.append([*names, *cells])
    caption = f"Macro AUC of {card.artifact} under each attack, a column a budget, the strongest first."
    return HtmlTable(caption, heads, lines, "Attacks on the recommended file", "sortable cards", left=3)


def _lowest(rows: object) -> float:
    return min((row.auc for row in rows if row.auc is not None), default=2.0)  # type: ignore[attr-defined]


def _auc(row: Row | None, key: bool) -> HtmlCell:
    if row is None or row.auc is None:
        return HtmlCell("-", classes="key" if key else "")
    interval = span(row.auc_low, row.auc_high)
    return HtmlCell(auc_text(row.auc), row.auc, "key" if key else "", small=(interval,), tag="flag" if row.flags else "")


def _summary(card: Recommendation, name: str, said: str, some: Sequence[Row], budgets: Sequence[float]) -> list[HtmlCell]:
    """A line of the lowest of ``some`` at each budget."""
    cells = []
    for budget in budgets:
        own = [row for row in some if row.budget_mv == budget and row.auc is not None]
        lowest = min(own, key=lambda row: row.auc or 0.0, default=None)
        cells.append(_auc(lowest, budget == card.budget_mv))
    return [HtmlCell(name, name), HtmlCell(said, classes="left key"), HtmlCell("", classes="left"), *cells]
