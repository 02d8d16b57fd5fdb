"""The tables of this room: what can be made of which system, and what was made, at which price.

In: :data:`export.recipes.TABLE` or a manifest. Out: Markdown for the docs and a table for a terminal. Nothing here is
typed by hand: a cell says what the code does, a number what a manifest holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from pulseproof.core.markdown import code, markdown
from pulseproof.core.recipes import RECIPES, base_of
from pulseproof.export.gate.alike import CLASS_NOISE
from pulseproof.export.gate.bounds import STEPS, Bound, bound_of
from pulseproof.export.manifest import Manifest, ManifestEntry, Price
from pulseproof.export.recipes import TABLE, Kind

# Column of the docs -> kind of system.
COLUMNS: Mapping[str, Kind] = {
    "decision tree": "trees",
    "random forest": "trees",
    "logistic regression": "logistic",
    "other estimator": "estimator",
    "CNN": "net",
    "LSTM": "lstm",
    "ECG-Lens": "net",
    "own net": "net",
    "own recurrent net": "recurrent",
    "own ONNX file": "onnx-file",
    "own TFLite file": "tflite-file",
}
HEADS = (
    "artifact",
    "kB",
    "parameters",
    "MACs",
    "activations kB",
    "MCU arena kB",
    "U55 cycles",
    "fits",
    "C kB",
    "compared on",
    "largest difference",
    "AUC of file",
    "change [95 %]",
    "engines",
    "note",
)


def recipe_table() -> str:
    """Markdown: system x recipe, each cell "yes" or the number of the reason below why there is no such file."""
    reasons: dict[str, int] = {}
    lines = [f"| recipe | {' | '.join(COLUMNS)} |", f"| --- |{' --- |' * len(COLUMNS)}"]
    for recipe in RECIPES:
        cells = []
        for kind in COLUMNS.values():
            cell = TABLE[kind][recipe]
            number = reasons.setdefault(cell, len(reasons) + 1) if isinstance(cell, str) else 0
            cells.append(f"no ({number})" if number else "yes")
        lines.append(f"| `{recipe}` | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *(f"{number}. {reason}." for reason, number in reasons.items())])


def bounds_table() -> str:
    """Markdown: how far the scores of each recipe may be from its source's, as :mod:`export.gate.bounds` has it."""
    rows: dict[str, list[str]] = {}
    for recipe in RECIPES:
        rows.setdefault(_bound_text(bound_of(recipe, steps=False)), []).append(f"`{recipe}`")
    rows[_bound_text(STEPS)] = ["`onnx-fp32`, `tflite-fp32` of trees"]
    lines = ["| recipe | refused when | noted when |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {', '.join(names)} | {text} |" for text, names in rows.items())])


def _bound_text(bound: Bound) -> str:
    refused, unit = [], "standard deviations of the class's scores"
    if bound.moved is not None:
        least = "any score differs" if bound.moved == 0 else f"more than {bound.moved:.0%} of the recordings differ"
        refused.append(f"{least} by more than {bound.tolerance:g} {unit}")
    if bound.noise is not None:
        refused.append(
            f"the differences' root mean square is above {bound.noise:g} {unit}, over the classes, or above "
            f"{CLASS_NOISE:g} in any"
        )
    surely = "surely " if bound.auc_sure else ""
    if bound.auc_refused is not None:
        refused.append(f"macro AUC {surely}falls by more than {bound.auc_refused:g}")
    noted = "" if bound.auc_noted is None else f"macro AUC {surely}falls by more than {bound.auc_noted:g}"
    return f"{'; '.join(refused)} | {noted}"


def files_markdown(manifest: Manifest) -> str:
    """Markdown: one row a file of the manifest, then one sentence a reason for those that there are not."""
    lines = [f"| {' | '.join(HEADS)} |", f"| --- |{' ---: |' * 12} --- | --- |"]
    lines += [f"| {' | '.join(_row(entry))} |" for entry in manifest.made()]
    without: dict[tuple[str, str], list[str]] = {}
    for entry in manifest.entries:
        if entry.status != "ok":
            without.setdefault((entry.status, str(entry.reason)), []).append(code(entry.name))
    lines += [
        "",
        *(f"- {', '.join(names)}: {status}: {markdown(reason)}." for (status, reason), names in without.items()),
    ]
    spread = [f"- {code(name)}: {said}." for name, said in spreads(manifest).items()]
    return "\n".join(
        [*lines, *(["", *spread] if spread else []), "", f"Engines: {markdown(_engines(manifest))}.{_tools(manifest)}"]
    )


def manifest_table(manifest: Manifest) -> Table:
    """The manifest for a terminal: one row an artifact; the last column is its note, or why there is no file."""
    drawn = Table("artifact", "kB", "difference", "AUC of file (change)", "engines", "note", title=manifest.study)
    for entry in manifest.entries:
        first = entry.parity[0] if entry.parity else None
        auc = "" if first is None or first.auc_change is None else f"{first.auc_file:.3f} ({first.auc_change:+.3f})"
        drawn.add_row(
            entry.name,
            "" if entry.size_bytes is None else f"{entry.size_bytes / 1000:,.0f}",
            "" if first is None or first.max_difference is None else f"{first.max_difference:.1g}",
            auc,
            _verdicts(entry) if entry.status == "ok" else "",
            f"{entry.status}: {entry.reason}" if entry.reason else entry.note or "",
        )
    return drawn


def spreads(manifest: Manifest) -> dict[str, str]:
    """{artifact: what its AUC did over the calibration seeds}, for recipes that were made with several."""
    changes: dict[str, list[float]] = {}
    for entry in manifest.made():
        change = entry.parity[0].auc_change
        if change is not None:
            changes.setdefault(f"{entry.model}/{base_of(entry.recipe)}", []).append(change)
    return {
        name: f"over {len(each)} calibration seeds its AUC changed by {min(each):+.4f} to {max(each):+.4f}"
        for name, each in changes.items()
        if len(each) > 1
    }


def _row(entry: ManifestEntry) -> Sequence[str]:
    first, price = entry.parity[0], entry.price
    assert price is not None and entry.size_bytes is not None
    change = ""
    if first.auc_change is not None:
        change = f"{first.auc_change:+.4f}"
        if first.auc_change_low is not None and first.auc_change_high is not None:
            change += f" [{first.auc_change_low:+.4f}, {first.auc_change_high:+.4f}]"
    return (
        code(entry.name),
        f"{entry.size_bytes / 1000:,.1f}",
        f"{price.parameters:,}",
        f"{price.macs:,}",
        f"{price.activation_bytes / 1000:,.1f}",
        "" if price.micro is None else f"{price.micro.arena_bytes / 1000:,.1f}",
        "" if price.ethos is None or price.ethos.cycles is None else f"{price.ethos.cycles:,}",
        _fits(price),
        "" if price.c_code is None else f"{price.c_code.text_bytes / 1000:,.1f}",
        f"{first.records}",
        "" if first.max_difference is None else f"{first.max_difference:.1g}",
        "" if first.auc_file is None else f"{first.auc_file:.3f}",
        change,
        markdown(_verdicts(entry)),
        markdown(entry.note or ""),
    )


def _fits(price: Price) -> str:
    """ "fits a 256 KiB RAM / 1 MiB flash wearable", on the processor (CPU) and on the accelerator (U55)."""
    asked = (("CPU", price.micro), ("U55", price.ethos))
    return ", ".join(f"{name} {'yes' if one.fits else 'no'}" for name, one in asked if one is not None)


def _verdicts(entry: ManifestEntry) -> str:
    return ", ".join(one.engine if one.reason is None else f"not {one.engine}: {one.reason}" for one in entry.parity)


def _engines(manifest: Manifest) -> str:
    return ", ".join(f"{name} {version}" for name, version in manifest.engines.items())


def _tools(manifest: Manifest) -> str:
    """What the estimates were made by."""
    prices = [entry.price for entry in manifest.made() if entry.price is not None]
    named = {f"C by {one.c_code.compiler}" for one in prices if one.c_code}
    named |= {
        f"{one.ethos.accelerator} ({one.ethos.system}) by vela {one.ethos.version}" for one in prices if one.ethos
    }
    named |= {f"TFLite Micro {one.micro.version}" for one in prices if one.micro}
    return f" Prices: {markdown('; '.join(sorted(named)))}." if named else ""
