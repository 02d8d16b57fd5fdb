"""Tables of the attacks for the docs: deployed files attacked themselves, methods and how plausible they are, controls.

In comes an :class:`~report.numbers.evaluation.Evaluation`; out comes Markdown for the first device that was measured.
Every difference is paired: the same resamples of patients on both sides, so what the two share cancels.
"""

from __future__ import annotations

from collections.abc import Sequence

from pulseproof.core.markdown import markdown, markdown_table
from pulseproof.report.numbers.attacked_through import QUERIES, made_of
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.pivot import budgets, by_device, lowest
from pulseproof.report.numbers.resampled import WORST
from pulseproof.report.numbers.rows import Row, is_quantized
from pulseproof.report.numbers.texts import auc_text, budget_text, difference_text, span
from pulseproof.report.tables.remarks import banner

CONTROL = "random-sign"  # the control within the same bound as the attacks
PGD = "pgd"  # what a twin is compared with: the same method on the float parent


def twins_markdown(evaluation: Evaluation) -> str:
    """A line for each file that was attacked itself and each budget: what its own graph gives beside transfer from its
    float parent and beside queries. ``reported`` is the lowest of twin and transfer, scored on the file. The last
    columns are the share of recordings on which the file decides otherwise than its float parent, clean and attacked to
    that end."""
    columns = ["file", "budget", "input step", "clean", "random signs", "Square (queries)", "from its float parent"]
    columns += ["twin", "reported", "twin - parent", "Square - random signs", "decides otherwise: clean", "disagree"]
    lines = []
    for artifact, rows in _artifacts(evaluation).items():
        if not any(row.source == artifact for row in rows):
            continue
        clean = _first(rows, method="clean")
        for budget in budgets(rows):
            there = [row for row in rows if row.budget_mv == budget]
            own = [row for row in there if row.source == artifact]
            if not own:
                continue
            twin = _first(own, method="twin")
            square = lowest([row for row in own if row.method in QUERIES])
            parent, control = _first(there, method=PGD, source=rows[0].model), _first(there, method=CONTROL)
            reported = lowest([row for row in there if row.attack and row.method not in QUERIES])
            queries = f" ({square.queries:,.0f})" if square is not None and square.queries else ""
            lines.append(
                [
                    artifact,
                    budget_text(budget),
                    "-" if rows[0].input_step_uv is None else f"{rows[0].input_step_uv:.3g} uV",
                    *(_auc(row) for row in (clean, control)),
                    f"{_auc(square)}{queries}",
                    *(_auc(row) for row in (parent, twin, reported)),
                    difference_text(evaluation.difference(twin, parent)),
                    difference_text(evaluation.difference(square, control)),
                    *(_percent(row) for row in (clean, _first(own, method="disagree"))),
                ]
            )
    if not lines:
        return _page(evaluation, "No deployed file was attacked itself.")
    return _page(evaluation, markdown_table(columns, lines, left=1))


def controls_markdown(evaluation: Evaluation) -> str:
    """A line for each model (its first float file) and budget: its lowest attack beside each control, and the paired
    difference to the control that hurts most."""
    rows = [row for found in _artifacts(evaluation).values() for row in found]
    controls = list(dict.fromkeys(str(row.method) for row in rows if row.control))
    columns = [
        "file",
        "budget",
        "clean",
        "lowest attack",
        "made",
        "worst case",
        *controls,
        "attack - strongest control",
    ]
    lines = []
    for artifact, own in _float_files(evaluation).items():
        for budget in budgets(own):
            there = [row for row in own if row.budget_mv == budget]
            attack, control = (
                lowest([row for row in there if row.attack]),
                lowest([row for row in there if row.control]),
            )
            lines.append(
                [
                    artifact,
                    budget_text(budget),
                    _auc(_first(own, method="clean")),
                    _auc(attack),
                    "-" if attack is None else f"{attack.method}, {made_of(attack)}",
                    *(_auc(_first(there, method=name)) for name in (WORST, *controls)),
                    difference_text(evaluation.difference(attack, control)),
                ]
            )
    return _page(evaluation, markdown_table(columns, lines, left=1))


def methods_markdown(evaluation: Evaluation, budget_mv: float) -> str:
    """A line for each model (its first float file) and each method on the model itself at one budget: the AUC, and how
    far and how plausible the change is: L2, SNR, energy outside 0.5 to 40 Hz, mean squared second difference."""
    columns = ["file", "method", "AUC", "interval", "L2 mV", "SNR dB", "outside band", "second difference"]
    lines = []
    for artifact, own in _float_files(evaluation).items():
        for row in own:
            if row.budget_mv != budget_mv or row.source not in (None, row.model):
                continue
            lines.append(
                [
                    artifact,
                    str(row.method),
                    _auc(row),
                    span(row.auc_low, row.auc_high),
                    *(_number(value) for value in (row.l2_mv, row.snr_db, row.outside_band, row.second_difference)),
                ]
            )
    said = f"Made on the model itself, at {budget_text(budget_mv)}:"
    return _page(evaluation, f"{said}\n\n{markdown_table(columns, lines)}")


def _artifacts(evaluation: Evaluation) -> dict[str, list[Row]]:
    """The rows of each artifact on the first device, in the order of the bundle."""
    device = next(iter(by_device(evaluation)), None)
    found: dict[str, list[Row]] = {}
    for row in evaluation.rows:
        if device is not None and row.device == device:
            found.setdefault(row.artifact, []).append(row)
    return found


def _float_files(evaluation: Evaluation) -> dict[str, list[Row]]:
    """The rows of the first file of each model that is not quantized."""
    found: dict[str, list[Row]] = {}
    models = set()
    for artifact, rows in _artifacts(evaluation).items():
        if rows[0].model not in models and not is_quantized(rows[0].recipe):
            models.add(rows[0].model)
            found[artifact] = rows
    return found


def _first(rows: Sequence[Row], **wanted: str) -> Row | None:
    return next((row for row in rows if all(getattr(row, key) == value for key, value in wanted.items())), None)


def _auc(row: Row | None) -> str:
    return auc_text(None if row is None else row.auc)


def _percent(row: Row | None) -> str:
    return "-" if row is None or row.disagreement is None else f"{row.disagreement:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _page(evaluation: Evaluation, text: str) -> str:
    note = f"**{markdown(banner(evaluation))}**\n\n" if evaluation.note else ""
    return f"{note}{text}\n"
