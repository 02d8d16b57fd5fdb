"""The table of defences: each model as it is and as it was trained, what it costs, and what attacks leave of it.

In comes an :class:`~report.numbers.evaluation.Evaluation` whose bundle has defended models; out comes Markdown for the
first device that was measured. A file stands here with its worst case over every attack that was tried on it, through
its own graph or not as the last column says: without that nothing is called a defence.
"""

from __future__ import annotations

from pulseproof.core.markdown import markdown, markdown_table
from pulseproof.core.recipes import recipe_of
from pulseproof.report.numbers.attacked_through import WORDS
from pulseproof.report.numbers.compare import Rows, devices_by_weight
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.pivot import budgets
from pulseproof.report.numbers.rows import Row
from pulseproof.report.numbers.texts import auc_text, budget_text, difference_text, span
from pulseproof.report.tables.remarks import banner


def has_defences(evaluation: Evaluation) -> bool:
    """True where a model was trained with a defence."""
    return any(each.defence for each in evaluation.head.artifacts)


def defences_markdown(evaluation: Evaluation) -> str:
    """A line for each float and fixed-integer file of a model with a defence and of the plain ones: clean AUC and its
    paired difference to the plain file of that recipe, the worst case at each budget and below it, where the study was
    certified, what is proved there, and the time that its training took beside the plain one's."""
    rows = Rows(evaluation, devices_by_weight(evaluation)[0])
    entries = {each.name: each for each in evaluation.head.artifacts}
    plains = {each.defence.plain for each in entries.values() if each.defence and each.defence.plain}
    asked = budgets([row for row in evaluation.rows if row.device == rows.device])
    columns = ["file", "trained", "epochs", "time of training", "clean AUC", "- plain"]
    certified = any(row.proof is not None for row in evaluation.rows)
    bracket = "worst / proved" if certified else "worst"
    columns += [f"{bracket} at {budget_text(budget)}" for budget in asked] + ["attacked through"]
    lines = []
    for name, entry in entries.items():
        recipe, clean = recipe_of(entry.recipe), rows.clean(name)
        if (
            clean is None
            or not (entry.defence or entry.model in plains)
            or (recipe.quantized and not recipe.calibrated)
        ):
            continue
        plain = entry.defence.plain if entry.defence else None
        before = entries.get(f"{plain}/{entry.recipe}")
        ratio = "-"
        if before is not None and before.training and entry.training and before.training.processor_seconds:
            ratio = f"{entry.training.processor_seconds / before.training.processor_seconds:.1f} times"
        worst = [rows.worst(name, budget) for budget in asked]
        through = {each.through for budget in asked if (each := evaluation.counted.get((rows.device, name, budget)))}
        said = WORDS[through.pop()].removeprefix("attacked ") if len(through) == 1 else "-"
        lines.append(
            [
                name,
                f"{entry.defence.kind}, {budget_text(entry.defence.budget_mv)}" if entry.defence else "plain",
                "-" if entry.training is None else str(entry.training.epochs),
                ratio,
                f"{auc_text(clean.auc)} {span(clean.auc_low, clean.auc_high)}".strip(),
                "-" if before is None else difference_text(evaluation.difference(clean, rows.clean(before.name))),
                *(_bracket(row, certified) for row in worst),
                said.removeprefix("through "),
            ]
        )
    note = f"**{markdown(banner(evaluation))}**\n\n" if evaluation.note else ""
    return f"{note}{markdown_table(columns, lines)}\n"


def _bracket(row: Row | None, certified: bool) -> str:
    """What attacks left, and where files were certified what no disturbance brings lower."""
    if row is None:
        return "-"
    attacked = auc_text(row.auc)
    return f"{attacked} / {'-' if row.proved_auc is None else auc_text(row.proved_auc)}" if certified else attacked
