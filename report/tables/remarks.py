"""What must stand above and below a table: warnings, reasons, and what the columns mean.

In comes an :class:`~report.numbers.evaluation.Evaluation`; out come sentences, for every form that a table has.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pulseproof.bench.wire.results import GONE
from pulseproof.core.terminal.hints import command
from pulseproof.report.numbers.attacked_through import QUERIES, WORDS, Made, Through
from pulseproof.report.numbers.classes import over
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.flagged import sentences
from pulseproof.report.numbers.loss_budgets import Crossing
from pulseproof.report.numbers.pivot import TOLERANCE, BudgetCell, DeviceLine, by_device
from pulseproof.report.numbers.resampled import WORST
from pulseproof.report.numbers.rows import ENGINE_MARKS, Row, engine_mark
from pulseproof.report.numbers.texts import auc_text, budget_text, signed, span

NOISE = 0.02  # a control further than this from the clean AUC says that the budget itself disturbs
LETTERS: dict[Made, str] = {
    "white-box": "w",
    "twin": "g",
    "from its float parent": "p",
    "queries": "q",
    "another file": "f",
    "ensemble": "e",
    "transfer": "t",
}
NOISES = {"random-sign": "s", "gaussian": "n", "noise-bw": "b", "noise-em": "m", "noise-ma": "a"}


PROVED = (
    " Proved: what no disturbance within the budget brings the AUC below, by bounds through the file's own operators; "
    "the truth lies between it and the worst case."
)


def any_proved(lines: Sequence[DeviceLine]) -> bool:
    """Whether anything is proved of any of the lines."""
    return any(cell.proved is not None for line in lines for cell in line.cells.values())


def remarks(evaluation: Evaluation, device: str) -> list[str]:
    """The sentences that must stand below the table of one device, most weighty first."""
    lines = by_device(evaluation).get(device, [])
    rows = [row for row in evaluation.rows if row.device == device and row.method != WORST]
    said = _engines(lines) + _notes(evaluation, lines) + _failures(rows) + _classes(rows) + _doubtful(lines)
    if any(cell.attacked is not None for line in lines for cell in line.cells.values()):
        said += _sources(evaluation, lines) + _through(lines, evaluation.delta)
    said += _moved(lines) + _proofs(lines)
    # What the study no longer asks for is nobody's missing number; it waits there should the study ask again.
    stale = [each for each in evaluation.stale if each.path.parent.parent.name == device and each.reason != GONE]
    if stale:
        reasons = ", ".join(sorted({each.reason for each in stale}))
        said.append(f"{len(stale)} stale result{'s' * (len(stale) != 1)} not used ({reasons}): run {command('bench')}.")
    missing = sum(row.auc is None and not row.failed for row in rows)
    if missing:
        said.append(f"{missing} of {len(rows)} runs without a number: run {command('bench')}.")
    return said


def _engines(lines: Sequence[DeviceLine]) -> list[str]:
    """Which files have scores on this device that are not their own, a sentence a mark."""
    said = []
    for mark in ENGINE_MARKS:
        off = [line.clean for line in lines if engine_mark(line.clean) == mark]
        if off:
            names = ", ".join(
                f"{row.artifact} (up to {row.engine_difference:.1f} steps)" if row.engine_difference else row.artifact
                for row in off
            )
            features = off[0].processor_features or "features unknown"
            said.append(
                f"{mark}: on this processor ({features}) the engine does not give the exact scores of {names}; what it "
                "adds is no cost of quantization, and no difference to the float file is given."
            )
    return said


def _doubtful(lines: Sequence[DeviceLine]) -> list[str]:
    """Which latencies are not to be believed, a sentence a reason."""
    why = {"noisy": "this machine was restless while it was measured", "throttled": "its clock was held down meanwhile"}
    said = []
    for mark, reason in why.items():
        names = [line.clean.artifact for line in lines if mark in (line.clean.marks or "").split(", ")]
        if names:
            listed = "all" if len(names) == len(lines) else ", ".join(names)
            said.append(f"? Latency of {listed}: not to be believed ({mark}: {reason}).")
    return said


def banner(evaluation: Evaluation) -> str:
    """What must stand above every table and picture, in full; empty for whole real databases."""
    note = evaluation.note or ""
    if evaluation.head.synthetic:
        note = note.replace("SYNTHETIC", "SYNTHETIC recordings: nothing here is about patients", 1)
    return note


def not_applicable(evaluation: Evaluation) -> list[str]:
    """One sentence a reason why there is no such file or no such signal set, with the names that it holds for."""
    files: dict[str, list[str]] = {}
    for row in evaluation.rows:
        if row.device is None:
            files.setdefault(str(row.not_applicable), []).append(row.artifact)
    sets: dict[str, list[str]] = {}
    for each in evaluation.head.not_made:
        sets.setdefault(each.reason, []).append(re.sub(r"-[\d.]+(e-\d+)?mV$", "", each.name))
    reasons = [*files.items(), *((reason, list(dict.fromkeys(names))) for reason, names in sets.items())]
    return [f"{', '.join(names)}: {reason}" for reason, names in reasons]


def audited(evaluation: Evaluation) -> list[str]:
    """What is said against the attacks: a line a flag and attack, or that there is none; whether they were repeated."""
    return sentences(evaluation.flags, evaluation.audit, evaluation.no_audit)


def legend(evaluation: Evaluation) -> str:
    """What the columns mean, in the words of the table."""
    return (
        f"AUC: macro one-vs-rest, [95 % interval], {evaluation.resamples:,} bootstrap resamples of "
        f"{evaluation.patients:,} patients. Latency: batch 1, clean recordings. Attack: the lowest over all sources "
        "and methods; w white-box, g through the file's own graph, p made on the float parent, q by queries, f made on "
        "another file of the model, e on the ensemble of the other models, t transfer from another model; <= a source "
        "was not measured; ! a check of the attacks raised a flag. Worst: each recording as the attack that hurts it "
        "most. Noise: the most harmful of the same budget; s random signs, n white, b baseline wander, m electrode "
        "motion, a muscle (all but s have its energy, not its bound). -.05 at, .5 at: the budget (mV) at which the "
        "worst case has lost .05 of the clean AUC, and at which it crosses .5, [95 % interval], interpolated on the "
        "log axis; < below the smallest budget, > above the largest; ^ held to a file that was attacked through its "
        "own graph."
    ) + (PROVED if evaluation.proofs.proved else "")


def attacked_text(cell: BudgetCell) -> str:
    """``.312w``: the lowest AUC and where its attack was made; ``<=`` before it when a source is missing, ``!`` after
    it when a flag concerns it."""
    if cell.attacked is None or cell.made is None:
        return "-"
    flag = "!" if cell.flags else ""
    return f"{'' if cell.complete else '<='}{auc_text(cell.attacked)}{LETTERS[cell.made]}{flag}"


def noise_text(cell: BudgetCell) -> str:
    """``.880s``: the most harmful control and which it was."""
    return "-" if cell.noise is None else f"{auc_text(cell.control)}{NOISES.get(cell.noise, '')}"


def loss_text(line: DeviceLine, number: Crossing) -> str:
    """``0.0123 [0.0101, > 0.05]`` in mV; ``^`` behind it where the file is held to another."""
    held = any(cell.counted is not None and cell.counted.held_to is not None for cell in line.cells.values())
    return number.text.replace(" mV", "") + ("^" if held and number.estimate is not None else "")


def _notes(evaluation: Evaluation, lines: Sequence[DeviceLine]) -> list[str]:
    """What is odd about an artifact, those far from their float parent first."""
    notes = {artifact.name: artifact.note for artifact in evaluation.head.artifacts}
    said: list[str] = []
    told: dict[str, list[str]] = {}
    for line in lines:
        name, difference, note = line.clean.artifact, line.difference, notes.get(line.clean.artifact)
        if line.marked and difference is not None:
            reason = note or "no reason is known: compare its scores before shipping it"
            said.append(
                f"* {name}: clean AUC differs from {difference.parent} by {signed(difference.estimate)} "
                f"{span(difference.low, difference.high, sign=True)}, more than {TOLERANCE:g}: {reason}."
            )
        elif note:
            told.setdefault(note, []).append(name)
    return said + [f"{', '.join(names)}: {note}." for note, names in told.items()]


def _failures(rows: Sequence[Row]) -> list[str]:
    """One sentence an artifact and reason, however many signal sets it failed on."""
    counts: dict[tuple[str, str], int] = {}
    for row in rows:
        if row.failed and row.not_applicable:
            counts[row.artifact, row.not_applicable] = counts.get((row.artifact, row.not_applicable), 0) + 1
    return [
        f"{artifact}: {reason}" + (f" (on {count} signal sets)" if count > 1 else "")
        for (artifact, reason), count in counts.items()
    ]


def _classes(rows: Sequence[Row]) -> list[str]:
    """Which classes the means leave out and what is empty, a sentence a reason and number of recordings."""
    said = []
    for n in sorted({row.n for row in rows if row.n is not None}, reverse=True):
        some = [row for row in rows if row.n == n and row.undefined]
        for classes, reason in dict.fromkeys((row.classes, str(row.undefined)) for row in some):
            part = over(classes, len(some[0].class_aucs or {}))
            mean = f"macro AUC, F1 and the other means are {part} ({reason})" if part else reason
            said.append(f"On {n:,} recordings: {mean}.")
    return list(dict.fromkeys(said))


def _sources(evaluation: Evaluation, lines: Sequence[DeviceLine]) -> list[str]:
    """Which models were not attacked themselves, or by queries alone: that is no robustness."""
    attacks = [each for each in evaluation.head.signals if each.source is not None]
    met = {str(each.source).partition("/")[0] for each in attacks}
    followed = {str(each.source).partition("/")[0] for each in attacks if each.method not in QUERIES}
    models = {line.clean.model for line in lines}
    said = []
    for names, how in (
        (models - met, "by transfer only, not on the model itself"),
        (models & met - followed, "by transfer and queries only, without its gradient"),
    ):
        if names:
            said.append(f"{', '.join(sorted(names))}: attacked {how}; the worst case may be lower.")
    return said


def _through(lines: Sequence[DeviceLine], delta: float) -> list[str]:
    """Which files were not attacked through their own graph, and for how much they count where that is lower than what
    was measured on them by at least ``delta``."""
    found: dict[Through, dict[str, list[float]]] = {}
    held: dict[str, list[str]] = {}
    for line in lines:
        for budget, cell in line.cells.items():
            if cell.counted is not None and cell.counted.held_to is not None:
                found.setdefault(cell.counted.through, {}).setdefault(line.clean.artifact, []).append(budget)
                if cell.worst is not None and cell.worst - float(cell.counted.values[0]) >= delta:
                    counted = f"{auc_text(float(cell.counted.values[0]))} at {budget_text(budget)}"
                    held.setdefault(line.clean.artifact, []).append(counted)
    said = []
    every = {line.clean.artifact: len(line.cells) for line in lines}
    for through, files in found.items():
        named = [
            name if len(budgets) == every[name] else f"{name} (at {', '.join(budget_text(each) for each in budgets)})"
            for name, budgets in files.items()
        ]
        kin = "their float file" if through == "parent" else "a sibling that was attacked"
        lower = [f"{name} for {' and '.join(counted)}" for name, counted in held.items() if name in files]
        text = f"^ {', '.join(named)}: {WORDS[through]}; recommendation, gate and loss budgets count them for at most "
        text += f"what {kin} keeps" + (f" (lower than their own: {', '.join(lower)})" if lower else "")
        said.append(f"{text}.")
    return said


def _proofs(lines: Sequence[DeviceLine]) -> list[str]:
    """Of which files nothing is proved on this device, a sentence a reason; nothing where no file was certified."""
    reasons: dict[str, list[str]] = {}
    for line in lines:
        if line.clean.proof not in (None, "proved"):
            reasons.setdefault(str(line.clean.proof), []).append(line.clean.artifact)
    return [f"No proof of {', '.join(names)}: {reason}." for reason, names in reasons.items()]


def _moved(lines: Sequence[DeviceLine]) -> list[str]:
    """Where noise of the budget's size disturbs by itself."""
    moved: dict[str, list[str]] = {}
    for line in lines:
        for budget, cell in line.cells.items():
            if cell.control is None or line.clean.auc is None or abs(cell.control - line.clean.auc) <= NOISE:
                continue
            moved.setdefault(f"{line.clean.model} at {budget_text(budget)} ({cell.noise})", []).append(
                line.clean.recipe
            )
    if not moved:
        return []
    named = [f"{where}: {', '.join(recipes)}" for where, recipes in moved.items()]
    return [
        f"Noise alone (one draw) moves the AUC by more than {NOISE:g} for {'; '.join(named)}: there the attack is "
        "partly plain noise."
    ]
