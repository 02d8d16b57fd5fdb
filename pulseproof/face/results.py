"""What the face gives back: frozen dataclasses that print as a table. Nothing is computed here.

All AUCs are macro one-vs-rest (``pulseproof.runtime.auc.macro_auc``), all signals float32 ``(n, leads, samples)``
in millivolts, in whole steps of the recorder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.errors import InputError

if TYPE_CHECKING:  # they bring torch, and nothing here computes
    from pulseproof.attacks.audit.flags import Flag
    from pulseproof.export.manifest import Parity

Way = Literal["module", "twin", "queries"]
WAYS: Mapping[Way, str] = {
    "module": "white box on the module",
    "twin": "white box through the file's own graph",
    "queries": "queries of the file alone",
}


@dataclass(frozen=True, eq=False, repr=False)
class AttackedBudget:
    """What is left at one budget.

    Attributes:
        budget_mv: the largest change of any sample, millivolts.
        auc: macro AUC under the attack that hurts most.
        auc_low: lower end of its 95 % interval over patients; None where no patients were given.
        auc_high: upper end.
        control_auc: macro AUC under random signs of the same budget, which know nothing of the model.
        method: the attack that hurts most.
        by_method: macro AUC under each attack.
        signals_mv: the recordings attacked by ``method``, float32 (n, leads, samples) in millivolts.
        scores: of the model or file on them, float32 (n, classes).
    """

    budget_mv: float
    auc: float
    auc_low: float | None
    auc_high: float | None
    control_auc: float
    method: str
    by_method: Mapping[str, float]
    signals_mv: NDArray[np.float32]
    scores: NDArray[np.float32]

    def __repr__(self) -> str:
        under = f"{self.method} {_auc(self.auc, self.auc_low, self.auc_high)}, random signs {self.control_auc:.3f}"
        return f"{self.budget_mv:g} mV: AUC under {under}"


@dataclass(frozen=True, eq=False, repr=False)
class AttackResult:
    """AUC at each budget, the attacked recordings, and what must not be believed.

    Attributes:
        way: what the attacker has: the ``module``, the file's ``twin``, or ``queries``.
        clean_auc: macro AUC without attack, on the recordings as a recorder gives them.
        clean_low: lower end of its 95 % interval over patients; None where no patients were given.
        clean_high: upper end.
        clean_scores: float32 (n, classes).
        budgets: one ``AttackedBudget`` a budget, rising.
        flags: those of the audit that a single run can raise (``pulseproof.attacks.audit.flags``), each with its
            name and a sentence. Without ``patients`` each recording counts as a patient there.
        notes: what must be said beside the numbers.
        recordings: how many.
        patients: how many; None where none were given.
    """

    way: Way
    clean_auc: float
    clean_low: float | None
    clean_high: float | None
    clean_scores: NDArray[np.float32]
    budgets: tuple[AttackedBudget, ...]
    flags: tuple[Flag, ...]
    notes: tuple[str, ...]
    recordings: int
    patients: int | None

    def at(self, budget_mv: float) -> AttackedBudget:
        """The result of one budget in millivolts. Raises InputError for one that was not asked for."""
        for one in self.budgets:
            if abs(one.budget_mv - budget_mv) <= 1e-9 * one.budget_mv:
                return one
        have = ", ".join(f"{one.budget_mv:g}" for one in self.budgets)
        raise InputError(f"no result at {budget_mv:g} mV", f"budgets_mv were {have}")

    def __repr__(self) -> str:
        whose = "" if self.patients is None else f" of {self.patients:,} patients"
        rows = [("0", _auc(self.clean_auc, self.clean_low, self.clean_high), "", "clean")]
        rows += [
            (f"{one.budget_mv:g}", _auc(one.auc, one.auc_low, one.auc_high), f"{one.control_auc:.3f}", one.method)
            for one in self.budgets
        ]
        lines = [f"{WAYS[self.way]}, {self.recordings:,} recordings{whose}"]
        lines += _columns([("mV", "AUC", "random signs", "strongest"), *rows])
        lines += [f"flag {flag.name}: {flag.sentence}" for flag in self.flags]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


@dataclass(frozen=True)
class FileLatency:
    """Time of one inference, batch 1, by the runner's own clock and process on this host.

    Attributes:
        p50_ms: median, milliseconds.
        p99_ms: what 99 of 100 inferences stay below.
        count: timed inferences, after warming up.
        threads: of the engine.
        marks: why not to believe it: ``noisy``, ``throttled``.
    """

    p50_ms: float
    p99_ms: float
    count: int
    threads: int
    marks: tuple[str, ...]

    def __str__(self) -> str:
        doubt = f" ({', '.join(self.marks)})" if self.marks else ""
        return f"p50 {self.p50_ms:.3f} ms, p99 {self.p99_ms:.3f} ms over {self.count:,} inferences{doubt}"


@dataclass(frozen=True, eq=False, repr=False)
class FileReport:
    """All that is known of one file after it was run and attacked.

    Attributes:
        path: as it was given.
        sha256: of its bytes, hexadecimal.
        size_bytes: its size.
        engine: which ran it: the one that decides about such files here.
        quantized: whether it holds integers or half floats.
        parity: its scores on each engine installed here beside those on ``engine``, one
            ``pulseproof.export.manifest.Parity`` an engine; one with a ``reason`` must not run it.
        latency: on this host.
        attack: clean and attacked AUC, attacked recordings, flags.
        notes: what must be said beside the numbers.
    """

    path: Path
    sha256: str
    size_bytes: int
    engine: str
    quantized: bool
    parity: tuple[Parity, ...]
    latency: FileLatency
    attack: AttackResult
    notes: tuple[str, ...]

    @property
    def clean_auc(self) -> float:
        """Macro AUC without attack."""
        return self.attack.clean_auc

    def at(self, budget_mv: float) -> AttackedBudget:
        """The result of one budget in millivolts. Raises InputError for one that was not asked for."""
        return self.attack.at(budget_mv)

    def __repr__(self) -> str:
        kind = "quantized" if self.quantized else "float"
        lines = [
            f"{self.path.name}: {kind}, {self.size_bytes / 1000:,.1f} kB, {self.engine}",
            f"latency {self.latency}",
        ]
        for one in self.parity[1:]:
            said = f"not to be run there: {one.reason}" if one.reason else f"scores within {one.max_difference:.2g}"
            lines.append(f"on {one.engine} {one.version}: {said}")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes), str(self.attack)])


@dataclass(frozen=True, eq=False, repr=False)
class ExportedFile:
    """What became of one recipe.

    Attributes:
        recipe: such as ``onnx-int8-static``.
        status: ``ok``, ``refused`` (it could not be made, or did not pass the gate) or ``not-applicable``.
        path: the file; None unless the status is ``ok``.
        size_bytes: its size.
        sha256: of its bytes, hexadecimal.
        parity: its scores on each engine installed here beside the module's, one
            ``pulseproof.export.manifest.Parity`` an engine, the one that decides first.
        reason: why there is no file, one sentence.
        note: what must be said beside its numbers.
    """

    recipe: str
    status: Literal["ok", "refused", "not-applicable"]
    path: Path | None
    size_bytes: int | None
    sha256: str | None
    parity: tuple[Parity, ...]
    reason: str | None
    note: str | None

    def __repr__(self) -> str:
        if self.path is None or self.size_bytes is None:
            return f"{self.recipe}: {self.status}: {self.reason}"
        first = self.parity[0]
        said = f"{self.recipe}: {self.path}, {self.size_bytes / 1000:,.1f} kB, scores within {first.max_difference:.2g}"
        if first.auc_change is not None:
            said += f", AUC {first.auc_file:.3f} ({first.auc_change:+.4f})"
        return said + (f"; {self.note}" if self.note else "")


def _auc(auc: float, low: float | None, high: float | None) -> str:
    return f"{auc:.3f}" + ("" if low is None or high is None else f" [{low:.3f}, {high:.3f}]")


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of text, columns aligned to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
