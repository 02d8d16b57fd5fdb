"""The gate for a team's CI: which of what was asked of the files does not hold, and why.

In come an :class:`~report.numbers.evaluation.Evaluation` and bounds; out comes a :class:`Check` for each file, device
and bound. A number that is missing or not to be believed holds nothing: an attack that is flagged may be weak, so an
AUC above the bound proves nothing. A doubtful latency (noisy, throttled) only errs upwards, so one below its bound
holds.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pulseproof.core.errors import InputError
from pulseproof.core.statistics import percentiles
from pulseproof.core.terminal.hints import command
from pulseproof.report.answers.words import auc_words
from pulseproof.report.gate.proofs import proved_at
from pulseproof.report.numbers.attacked_through import WORDS, counted_curve, lower_of, weakest
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.flagged import hint
from pulseproof.report.numbers.loss_budgets import CHANCE, crossing
from pulseproof.report.numbers.pivot import DeviceLine, lines_of, lowest
from pulseproof.report.numbers.rows import HOST, Row, engine_mark, is_quantized, latency_marks
from pulseproof.report.numbers.texts import auc_text, budget_text, milliseconds, signed, span


@dataclass(frozen=True)
class BudgetBound:
    """``budget_mv`` is the least at which ``loss`` of the clean AUC may be lost or, where that is None, ``auc`` be
    crossed."""

    budget_mv: float
    loss: float | None = None
    auc: float = CHANCE


@dataclass(frozen=True)
class Bounds:
    """What is asked of every file; None where nothing is. ``min_auc``: clean macro AUC; ``max_auc_drop``: clean macro
    AUC of the float parent minus that of a quantized file; ``max_p50_ms``, ``max_p99_ms``: latency in ms, batch 1;
    ``max_size_bytes``; ``min_attacked_auc``: budget in mV to the lowest macro AUC under any attack; ``strict``: AUCs by
    the unfavourable end of their 95 % interval, not by the estimate; ``min_budget``: the budgets at which AUC may be
    lost; ``min_certified_auc``: budget in mV to the lowest macro AUC that is proved."""

    min_auc: float | None = None
    max_auc_drop: float | None = None
    max_p50_ms: float | None = None
    max_p99_ms: float | None = None
    max_size_bytes: int | None = None
    min_attacked_auc: tuple[tuple[float, float], ...] = ()
    strict: bool = False
    min_budget: tuple[BudgetBound, ...] = ()
    min_certified_auc: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Check:
    """One bound of one file on one device: whether it ``held``, and what was ``found`` in half a sentence."""

    device: str
    artifact: str
    bound: str
    held: bool
    found: str


AT_BUDGET = re.compile(r"(?P<auc>[\d.]+)@(?P<budget>[\d.]+) ?mV")


def attacked_bound(text: str, option: str = "--min-attacked-auc") -> tuple[float, float]:
    """``.6@0.01mV`` as (budget in mV, AUC). Raises InputError, which names the ``option``."""
    found = AT_BUDGET.fullmatch(text)
    try:
        budget, auc = float(found["budget"]), float(found["auc"])  # type: ignore[index]
        if 0 <= auc <= 1 and budget > 0:
            return budget, auc
    except (TypeError, ValueError):
        pass
    raise InputError(f"{option} {text!r}: not an AUC at a budget", "as .6@0.01mV")


AT_LOSS = re.compile(r"(?P<budget>[\d.]+) ?mV@(?P<level>-?[\d.]+)")


def budget_bound(text: str) -> BudgetBound:
    """``.01mV@-.05`` (a loss of .05) or ``.02mV@.5`` (an AUC of .5). Raises InputError."""
    found = AT_LOSS.fullmatch(text)
    try:
        budget, level = float(found["budget"]), float(found["level"])  # type: ignore[index]
        if budget > 0 and 0 < abs(level) < 1:
            return BudgetBound(budget, loss=-level) if level < 0 else BudgetBound(budget, auc=level)
    except (TypeError, ValueError):
        pass
    raise InputError(f"--min-budget {text!r}: not a budget at a loss of AUC or at an AUC", "as .01mV@-.05 or .02mV@.5")


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
                there = ", ".join(dict.fromkeys(known[what])) or f"none; {command('bench')} runs the study"
                raise InputError(f"no {what} matches {pattern!r}", f"there are: {there}")
    lines = [line for line in every if _matches(line.clean.artifact, only) and _matches(line.device, devices)]
    if not lines:
        raise InputError("there are no results to hold against anything", f"{command('bench')} runs the study")
    by_file = {(line.device, line.clean.artifact): line for line in every}

    def judged(line: DeviceLine) -> DeviceLine:
        """The line whose AUCs count: that of a fuller run whose scores agree, else itself."""
        artifact = line.clean.artifact
        return by_file[evaluation.auc_device(line.device, artifact), artifact]

    return tuple(check for line in lines for check in _checks(evaluation, line, judged(line), bounds))


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _checks(evaluation: Evaluation, line: DeviceLine, judged: DeviceLine, bounds: Bounds) -> list[Check]:
    """The checks of a file: latency and size by ``line``, AUCs by ``judged``."""
    row = line.clean
    if row.failed:
        return [Check(line.device, row.artifact, "runs", False, str(row.not_applicable))]
    clean, attacked = _clean(judged, bounds), _under_attack(evaluation, judged, line.device, bounds)
    if judged is not line:
        where = f"on {judged.device}, {judged.clean.n:,} recordings; its scores on {line.device} are the same"
        clean, attacked = (
            [(asked, held, f"{said} ({where})") for asked, held, said in some] for some in (clean, attacked)
        )
    return [Check(line.device, row.artifact, *each) for each in [*clean, *_measured(row, bounds), *attacked]]


def _clean(line: DeviceLine, bounds: Bounds) -> list[tuple[str, bool, str]]:
    row = line.clean
    found: list[tuple[str, bool, str]] = []
    if bounds.min_auc is not None:
        value = row.auc_low if bounds.strict else row.auc
        said = f"clean {auc_words(row)}"
        found.append((f"clean AUC at least {auc_text(bounds.min_auc)}", _least(value, bounds.min_auc), said))
    if bounds.max_auc_drop is not None and is_quantized(row.recipe):
        found.append(_drop(line, bounds.max_auc_drop, bounds.strict))
    return found


def _under_attack(evaluation: Evaluation, line: DeviceLine, device: str, bounds: Bounds) -> list[tuple[str, bool, str]]:
    """By attacks and by proofs: ``line`` is of the run whose AUCs count for ``device``."""
    return [
        *(_attacked(evaluation, line, budget, least, bounds.strict) for budget, least in bounds.min_attacked_auc),
        *(_budget(evaluation, line, each, bounds.strict) for each in bounds.min_budget),
        *(proved_at(evaluation, line, device, *each, bounds.strict) for each in bounds.min_certified_auc),
    ]


def _measured(row: Row, bounds: Bounds) -> list[tuple[str, bool, str]]:
    """Latency and size."""
    found: list[tuple[str, bool, str]] = []
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
    return found


def _least(value: float | None, bound: float) -> bool:
    return value is not None and value >= bound


def _drop(line: DeviceLine, bound: float, strict: bool) -> tuple[str, bool, str]:
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


def _attacked(
    evaluation: Evaluation, line: DeviceLine, budget: float, least: float, strict: bool
) -> tuple[str, bool, str]:
    """The lowest AUC under any attack at a budget; of a file whose own graph was not attacked, at most that of the file
    it is held to."""
    asked = f"attacked AUC at least {auc_text(least)} at {budget_text(budget)}"
    worst, cell = _lowest(evaluation, line.device, line.clean.artifact, budget), line.cells.get(budget)
    if worst is None or cell is None:
        there = ", ".join(budget_text(at) for at, each in line.cells.items() if each.attacked is not None) or "none"
        return asked, False, f"no attack was measured at this budget (there are: {there})"
    said = f"{auc_text(worst.auc)} {span(worst.auc_low, worst.auc_high)} under {worst.method} on {worst.source}"
    value = worst.auc_low if strict else worst.auc
    counted = cell.counted
    bound = None
    if counted is not None and counted.held_to is not None:
        bound = _lowest(evaluation, line.device, counted.held_to, budget)
    own, other = (None if row is None else evaluation.counted_values(row) for row in (worst, bound))
    if counted is not None and bound is not None and own is not None and other is not None:
        values = lower_of(own, worst.n, other, bound.n)
        if values[0] < own[0]:
            said += f"; {counted.held_to}, to which it is held, keeps {auc_text(bound.auc)}"
        value = percentiles(values[1:])[0] if strict else float(values[0])
    if counted is not None and counted.through != "itself":
        said += f"; {WORDS[counted.through]}"
    if not _least(value, least):
        return asked, False, said
    doubt = _doubt(line, [budget])
    if doubt is not None:
        return asked, False, f"{said}, but {doubt}"
    measured = sum(row.auc is not None for row in _attacks(evaluation, line.device, line.clean.artifact, budget))
    return asked, True, said if cell.complete else f"{said}, of {measured} attacks that this device got"


def _attacks(evaluation: Evaluation, device: str, artifact: str, budget: float) -> list[Row]:
    key = (device, artifact, budget)
    return [row for row in evaluation.rows if row.attack and (row.device, row.artifact, row.budget_mv) == key]


def _lowest(evaluation: Evaluation, device: str, artifact: str, budget: float) -> Row | None:
    return lowest(_attacks(evaluation, device, artifact, budget))


def _doubt(line: DeviceLine, budgets: Sequence[float]) -> str | None:
    """Why what was measured under attack at these budgets proves nothing; None where it does."""
    cells = [line.cells[budget] for budget in budgets]
    if all(cell.counted is None or not cell.on_model for cell in cells):
        return "no attack on this model itself was measured"
    flags = dict.fromkeys(flag for cell in cells for flag in cell.flags)
    if flags:
        return f"it is flagged: {', '.join(flags)}{hint(list(flags))}"
    if line.clean.evidence == HOST and not all(cell.complete for cell in cells):
        return f"not every attack at {'this budget' if len(cells) == 1 else 'these budgets'} was measured"
    return None


def _through(line: DeviceLine) -> str:
    """Through what the file was attacked, where that was not its own graph; where only at some budgets, at which."""
    counted = {budget: cell.counted.through for budget, cell in line.cells.items() if cell.counted is not None}
    through = weakest(counted.values())
    if through is None or through == "itself":
        return ""
    there = [budget_text(budget) for budget, each in counted.items() if each == through]
    return f"; {WORDS[through]}" + (f" at {', '.join(there)}" if len(there) < len(counted) else "")


def _budget(evaluation: Evaluation, line: DeviceLine, bound: BudgetBound, strict: bool) -> tuple[str, bool, str]:
    """The budget at which a file loses so much of its AUC, or crosses an AUC."""
    what = f"loses {bound.loss:g} of AUC" if bound.loss is not None else f"crosses an AUC of {bound.auc:g}"
    asked = f"{what} at no less than {budget_text(bound.budget_mv)}"
    clean = evaluation.counted_values(line.clean)
    budgets, curve = counted_curve(line.clean, evaluation.rows, evaluation.counted)
    if clean is None or not budgets:
        return asked, False, "no clean AUC and worst case of the same recordings were measured"
    found = crossing(budgets, curve, clean, loss=bound.loss, auc=bound.auc)
    value = found.low if strict else found.estimate
    if value is None:
        return asked, False, f"there is no such budget: {found.reason}"
    said = f"{what} {found.sentence}"
    said += _through(line)
    if bound.budget_mv > found.largest:
        return asked, False, f"{said}, and nothing was measured above {budget_text(found.largest)}"
    if value < bound.budget_mv:
        return asked, False, said
    # What the number rests on: every budget up to the first that is not smaller than the one asked for.
    doubt = _doubt(line, [budget for budget in budgets if budget <= min(b for b in budgets if b >= bound.budget_mv)])
    return asked, doubt is None, said if doubt is None else f"{said}, but {doubt}"
