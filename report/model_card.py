"""A model card of one file, in Markdown: what whoever takes the file should know before he trusts it.

In come an :class:`~report.numbers.evaluation.Evaluation` and the name of an artifact; out comes text with the front
matter that model hubs read (``model-index``, as Papers with Code defined it and Hugging Face documents it): what the
file is, what it was measured on, clean and attacked AUC with their intervals, each class, which attacks were made, what
is proved, which flags they raised, what the numbers do not say. The headings are those of Mitchell et al. 2019 as far
as they are measured here; what the file is meant for is its owner's to write.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, cast

from pulseproof.core.errors import InputError
from pulseproof.core.markdown import code, markdown, markdown_table
from pulseproof.core.recipes import recipe_of
from pulseproof.report.numbers.attacked_through import WORDS, Through
from pulseproof.report.numbers.classes import over
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.resampled import WORST
from pulseproof.report.numbers.rows import HOST, Row
from pulseproof.report.numbers.texts import auc_text, budget_text, milliseconds, size_text, span

MEASURES = {"accuracy": "accuracy", "F1": "f1", "sensitivity": "recall", "specificity": "specificity"}


def model_card(evaluation: Evaluation, artifact: str, device: str | None = None) -> str:
    """The card of ``artifact`` as it was measured on ``device`` (default: on this machine, else on the first that ran
    it). Raises InputError for a file that was not measured there."""
    rows = _rows(evaluation, artifact, device)
    clean = next((row for row in rows if row.method == "clean"), None)
    if clean is None or clean.auc is None:
        raise InputError(f"{artifact}: its clean AUC was not measured on {rows[0].device}", "run make bench")
    worst = [row for row in rows if row.method == WORST and row.auc is not None]
    parts = [
        _front_matter(evaluation, clean, worst),
        f"# {markdown(artifact)}",
        *_file(evaluation, clean),
        "## Recordings",
        *_recordings(evaluation, clean),
        "## Clean",
        _class_table(evaluation, clean, worst),
        "## Under attack",
        *_attacked(evaluation, rows, worst),
        "## What these numbers do not say",
        *_limits(evaluation, clean, worst),
    ]
    return "\n\n".join(parts) + "\n"


def _rows(evaluation: Evaluation, artifact: str, device: str | None) -> list[Row]:
    own = [row for row in evaluation.rows if row.artifact == artifact and row.device is not None]
    names = list(dict.fromkeys(str(row.device) for row in own))
    if not own:
        have = ", ".join(dict.fromkeys(row.artifact for row in evaluation.rows if row.device is not None)) or "none"
        raise InputError(f"{artifact}: no such file was measured", f"there are {have}")
    if device is None:
        device = next((str(row.device) for row in own if row.evidence == HOST), names[0])
    if device not in names:
        raise InputError(f"{artifact}: not measured on {device}", f"it was on {', '.join(names)}")
    return [row for row in own if row.device == device]


def _front_matter(evaluation: Evaluation, clean: Row, worst: Sequence[Row]) -> str:
    """YAML, of which JSON is a part: texts of strangers stay texts."""
    head = evaluation.head
    results = [_metric("macro AUC", clean.auc)]
    results += [_metric(f"worst-case macro AUC at {budget_text(row.budget_mv or 0)}", row.auc) for row in worst]
    results += [
        _metric(f"proved macro AUC at {budget_text(row.budget_mv or 0)}", row.proved_auc)
        for row in worst
        if row.proved_auc is not None
    ]
    dataset = {"type": "ecg", "name": f"{head.title}{' (synthetic)' if head.synthetic else ''}", "split": "test"}
    fields: dict[str, Any] = {
        "library_name": recipe_of(clean.recipe).format,
        "tags": ["ecg", "time-series-classification", "adversarial-robustness", *(["synthetic"] * head.synthetic)],
        "metrics": ["roc_auc"],
        "model-index": [
            {
                "name": clean.artifact,
                "results": [
                    {"task": {"type": "time-series-classification"}, "dataset": dataset, "metrics": results},
                ],
            }
        ],
    }
    lines = [f"{name}: {json.dumps(value)}" for name, value in fields.items()]
    return "\n".join(["---", *lines, "---"])


def _metric(name: str, value: float | None) -> dict[str, Any]:
    return {"type": "roc_auc", "name": name, "value": None if value is None else round(value, 4)}


def _file(evaluation: Evaluation, clean: Row) -> Iterator[str]:
    head = evaluation.head
    entry = next((each for each in head.artifacts if each.name == clean.artifact), None)
    recipe = recipe_of(clean.recipe)
    kind = "integers" if recipe.quantized else "floats"
    task = head.task
    takes = f"{len(task.leads)} leads ({', '.join(map(markdown, task.leads))}), {task.samples:,} samples at "
    takes += f"{task.fs_hz:g} Hz, in millivolts, steps of {task.adc_step_mv:g} mV"
    lines = [
        ("file", f"{recipe.format.upper()} of {kind}, {size_text(clean.size_bytes)}"),
        ("takes", takes),
        ("gives", f"one score a class: {', '.join(map(markdown, task.classes))}"),
    ]
    if entry is not None:
        lines.append(("SHA-256", code(head.files[entry.file].sha256)))
        if entry.note:
            lines.append(("note", markdown(entry.note)))
        if entry.defence is not None:
            defence = entry.defence
            lines.append(("trained", f"against disturbances: {defence.kind}, {budget_text(defence.budget_mv)}"))
    lines.append(("engine", markdown(clean.runtime or "not said")))
    if clean.latency_p50_ms is not None:
        marks = f" ({markdown(clean.marks)})" if clean.marks else ""
        times = f"{milliseconds(clean.latency_p50_ms)} ms at the median, {milliseconds(clean.latency_p99_ms)} ms p99"
        lines.append(("latency", f"{times}, batch 1{marks}"))
    if clean.instructions is not None:
        lines.append(("instructions", f"{clean.instructions / 1e6:.2f} million an inference"))
    lines.append(("measured on", f"{markdown(str(clean.device))}, {markdown(clean.evidence or '')}"))
    yield "| | |\n| --- | --- |\n" + "\n".join(f"| {name} | {value} |" for name, value in lines)


def _recordings(evaluation: Evaluation, clean: Row) -> Iterator[str]:
    head = evaluation.head
    if head.synthetic:
        yield "**Synthetic: nothing here is about patients.**"
    patients = evaluation.patients_of.get(clean.n or 0)
    whose = "" if patients is None else f" of {patients:,} patients"
    yield f"{markdown(head.title)}: {clean.n or 0:,} test recordings{whose}, none of them used in training."
    if head.note and not head.synthetic:
        yield markdown(head.note)


def _class_table(evaluation: Evaluation, clean: Row, worst: Sequence[Row]) -> str:
    """Macro and each class, clean and in the worst case at the largest budget."""
    last = worst[-1] if worst else None
    heads = ["class", "recordings", "patients", "clean AUC", "interval"]
    heads += [] if last is None else [f"AUC at {budget_text(last.budget_mv or 0)}", "interval"]

    def cells(name: str, count: Sequence[str], values: Sequence[Any]) -> list[str]:
        parts = [part for auc, low, high in values for part in (auc_text(auc), span(low, high))]
        return [name, *count, *parts]

    both = [clean, *([] if last is None else [last])]
    patients = evaluation.patients_of.get(clean.n or 0)
    lines = [
        cells(
            "macro",
            (f"{clean.n or 0:,}", "" if patients is None else f"{patients:,}"),
            [(row.auc, row.auc_low, row.auc_high) for row in both],
        )
    ]
    for name, value in (clean.class_aucs or {}).items():
        of = [(row.class_aucs or {}).get(name) for row in both]
        counts = (f"{value.recordings:,}", f"{value.patients:,}")
        lines.append(
            cells(name, counts, [(None,) * 3 if one is None else (one.auc, one.auc_low, one.auc_high) for one in of])
        )
    rest = [f"{label} {getattr(clean, key):.3f}" for label, key in MEASURES.items() if getattr(clean, key) is not None]
    means = over(clean.classes, len(evaluation.head.task.classes)) if clean.classes is not None else ""
    said = (
        f"\n\nAt the thresholds of validation recordings: {', '.join(rest)}{means and f' ({means})'}." if rest else ""
    )
    return markdown_table(heads, lines, left=1) + said


def _attacked(evaluation: Evaluation, rows: Sequence[Row], worst: Sequence[Row]) -> Iterator[str]:
    if not worst:
        yield "No attack was measured on it."
        return
    proofs = any(row.proved_auc is not None for row in worst)
    heads = ["any sample moved by at most", "worst-case AUC", "interval", "noise of the same size"]
    lines = []
    for row in worst:
        controls = [one.auc for one in rows if one.control and one.budget_mv == row.budget_mv and one.auc is not None]
        line = [budget_text(row.budget_mv or 0), auc_text(row.auc), span(row.auc_low, row.auc_high)]
        line.append(auc_text(min(controls)) if controls else "-")
        lines.append([*line, auc_text(row.proved_auc)] if proofs else line)
    yield markdown_table([*heads, "proved"] if proofs else heads, lines, left=1)
    last = worst[-1]
    if last.loss_budget:
        at, crossed = markdown(last.loss_budget), markdown(last.chance_budget or "-")
        yield f"Budget at which .05 of AUC is lost: {at}; at which an AUC of .5 is crossed: {crossed}."
    methods = sorted({str(row.method) for row in rows if row.attack})
    sources = sorted({str(row.source) for row in rows if row.attack})
    yield f"Attacks: {', '.join(map(markdown, methods))}; made on {', '.join(map(markdown, sources))}."
    if last.attacked_through not in (None, "itself"):
        yield f"It was {WORDS[cast('Through', last.attacked_through)]}: the true worst case may be lower."


def _limits(evaluation: Evaluation, clean: Row, worst: Sequence[Row]) -> Iterator[str]:
    said = ["An attacked AUC is what these attacks leave, not a proof that others leave as much."] if worst else []
    flags = sorted({flag for row in worst for flag in (row.flags or "").split(", ") if flag})
    if flags:
        said.append(f"Flags on its attacks say that they may be weak: {', '.join(map(markdown, flags))}.")
    if worst and evaluation.audit is None:
        said.append("Its attacks were not audited.")
    if clean.proof not in (None, "proved"):
        said.append(f"Nothing is proved of it: {markdown(str(clean.proof))}.")
    if clean.undefined:
        said.append(markdown(clean.undefined))
    said.append("A macro AUC is no clinical endpoint. What the file is meant for, and for whom, its owner has to say.")
    yield "\n".join(f"* {each}" for each in said)
