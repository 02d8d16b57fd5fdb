"""The gate for a team's CI: which of what was asked of the files does not hold, and why.

In come an :class:`~bench.evaluation.Evaluation` and bounds; out comes a :class:`Check` for each file, device and bound.
A number that is missing or not to be believed holds nothing: an attack that is flagged may be weak, so an AUC
above the bound proves nothing. A doubtful latency (noisy, throttled) only errs upwards, so one below its bound holds.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass

from bench.answers_words import auc_words
from bench.evaluation import Evaluation
from bench.flagged import hint
from bench.pivot import Line, lines_of
from bench.rows import HOST, engine_mark, is_quantized, latency_marks
from bench.texts import auc_text, budget_text, milliseconds, signed, span
from core.errors import InputError


@dataclass(frozen=True)
class Bounds:
    """What is asked of every file; None where nothing is. ``min_auc``: clean macro AUC; ``max_auc_drop``: clean macro
    AUC of the float parent minus that of a quantized file; ``max_p50_ms``, ``max_p99_ms``: latency in ms, batch 1;
    ``max_size_bytes``; ``min_attacked_auc``: budget in mV to the lowest macro AUC under any attack; ``strict``: AUCs by
    the unfavourable end of their 95 % interval, not by the estimate."""

    min_auc: float | None = None
    max_auc_drop: float | None = None
    max_p50_ms: float | None = None
    max_p99_ms: float | None = None
    max_size_bytes: int | None = None
    min_attacked_auc: tuple[tuple[float, float], ...] = ()
    strict: bool = False


@dataclass(frozen=True)
class Check:
    """One bound of one file on one device: whether it ``held``, and what was ``found`` in half a sentence."""

    device: str
    artifact: str
    bound: str
    held: bool
    found: str


AT_BUDGET = re.compile(r"(?P<auc>[\d.]+)@(?P<budget>[\d.]+) ?mV")


def attacked_bound(text: str) -> tuple[float, float]:
    """``.6@0.01mV`` as (budget in mV, AUC). Raises InputError."""
    found = AT_BUDGET.fullmatch(text)
    try:
        budget, auc = float(found["budget"]), float(found["auc"])  # type: ignore[index]
        if 0 <= auc <= 1 and budget > 0:
            return budget, auc
    except (TypeError, ValueError):
        pass
    raise InputError(f"--min-attacked-auc {text!r}: not an AUC at a budget", "as .6@0.01mV")


def gate(
    evaluation: Evaluation, bounds: Bounds, only: Sequence[str] = (), devices: Sequence[str] = ()
) -> tuple[Check, ...]:
    """Hold every file that matches ``only`` (patterns as ``cnn/*``; none is all) on every device of ``devices`` (none
    is all) against ``bounds``. Raises InputError when nothing is asked, or nothing matches."""
    if bounds == Bounds(strict=bounds.strict):
        raise InputError("no bound is given", "as --max-auc-drop .01 --max-p99-ms 20 --min-attacked-auc .6@0.01mV")
    every = lines_of(evaluation)
    known = {"artifact": [line.clean.artifact for line in every], "device": [line.device for line in every]}
    for what, patterns in (("artifact", only), ("device", devices)):
        for pattern in patterns:
            if not any(fnmatch.fnmatchcase(name, pattern) for name in known[what]):
                there = ", ".join(dict.fromkeys(known[what])) or "none; make bench runs the study"
                raise InputError(f"no {what} matches {pattern!r}", f"there are: {there}")
    lines = [line for line in every if _matches(line.clean.artifact, only) and _matches(line.device, devices)]
    if not lines:
        raise InputError("there are no results to hold against anything", "make bench runs the study")
    return tuple(check for line in lines for check in _checks(evaluation, line, bounds))


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _checks(evaluation: Evaluation, line: Line, bounds: Bounds) -> list[Check]:
    row = line.clean
    if row.failed:
        return [Check(line.device, row.artifact, "runs", False, str(row.not_applicable))]
    found: list[tuple[str, bool, str]] = []
    if bounds.min_auc is not None:
        value = row.auc_low if bounds.strict else row.auc
        said = f"clean {auc_words(row)}"
        found.append((f"clean AUC at least {auc_text(bounds.min_auc)}", _least(value, bounds.min_auc), said))
    if bounds.max_auc_drop is not None and is_quantized(row.recipe):
        found.append(_drop(line, bounds.max_auc_drop, bounds.strict))
    for name, bound, latency in (
        ("p50", bounds.max_p50_ms, row.latency_p50_ms),
        ("p99", bounds.max_p99_ms, row.latency_p99_ms),
    ):
        if bound is not None:
            doubt = ", ".join(latency_marks(row))
            said = f"{name} {milliseconds(latency)} ms{f' ({doubt})' if doubt else ''}"
            if latency is None:
                said = f"no latency ({row.evidence or 'not measured'})"
            found.append((f"{name} at most {bound:g} ms", latency is not None and latency <= bound, said))
    if bounds.max_size_bytes is not None:
        size = row.size_bytes
        said = "no size" if size is None else f"{size:,} bytes"
        found.append(
            (f"at most {bounds.max_size_bytes:,} bytes", size is not None and size <= bounds.max_size_bytes, said)
        )
    for budget, least in bounds.min_attacked_auc:
        found.append(_attacked(evaluation, line, budget, least, bounds.strict))
    return [Check(line.device, row.artifact, *each) for each in found]


def _least(value: float | None, bound: float) -> bool:
    return value is not None and value >= bound


def _drop(line: Line, bound: float, strict: bool) -> tuple[str, bool, str]:
    """Clean AUC lost by quantization, in pairs."""
    asked, lost = f"clean AUC at most {auc_text(bound)} below its float parent's", line.difference
    mark = engine_mark(line.clean)
    if mark is not None:
        return asked, False, f"cannot be told here: {mark}, its scores on this processor are not the file's own"
    if lost is None:
        return asked, False, "its float parent was not measured here"
    value = lost.low if strict else lost.estimate
    said = f"{signed(lost.estimate)} {span(lost.low, lost.high, sign=True)} against {lost.parent}"
    return asked, value is not None and value >= -bound, said


def _attacked(evaluation: Evaluation, line: Line, budget: float, least: float, strict: bool) -> tuple[str, bool, str]:
    """The lowest AUC under any attack at a budget."""
    asked = f"attacked AUC at least {auc_text(least)} at {budget_text(budget)}"
    rows = [
        row
        for row in evaluation.rows
        if row.device == line.device and row.artifact == line.clean.artifact and row.attack and row.epsilon_mv == budget
    ]
    measured = [row for row in rows if row.auc is not None]
    cell = line.cells.get(budget)
    if not measured or cell is None:
        there = ", ".join(budget_text(each) for each in line.cells) or "none"
        return asked, False, f"no attack was measured at this budget (there are: {there})"
    worst = min(measured, key=lambda row: row.auc or 0.0)
    value = worst.auc_low if strict else worst.auc
    said = f"{auc_text(worst.auc)} {span(worst.auc_low, worst.auc_high)} under {worst.method} on {worst.source}"
    if not _least(value, least):
        return asked, False, said
    if not cell.on_itself:
        return asked, False, f"{said}, but no attack on this model itself was measured"
    if cell.flags:
        return asked, False, f"{said}, but it is flagged: {', '.join(cell.flags)}{hint(cell.flags)}"
    if not cell.complete and line.clean.evidence == HOST:
        return asked, False, f"{said}, but not every attack at this budget was measured"
    return asked, True, said if cell.complete else f"{said}, of {len(measured)} attacks that this device got"
