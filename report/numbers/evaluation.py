"""An evaluation: everything that is said about one bundle, from its files alone.

In come ``build/<study>/bundle``, the results of its devices and the audit of its attacks; out comes an
:class:`Evaluation`: the rows (:mod:`report.numbers.rows`), the difference of each quantized artifact to its float
parent, and any other paired difference that a table asks for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulseproof.attacks.audit.file import Audit
from pulseproof.bench.wire.results import DeviceResults, Stale, read_bundle, read_results
from pulseproof.bench.wire.schema import BundleHead, Device
from pulseproof.core.statistics import Interval, percentiles
from pulseproof.report.numbers.attacked_through import CountedWorst, Losses, counted_worst, losses, with_counted
from pulseproof.report.numbers.classes import ClassCount, class_counts, over
from pulseproof.report.numbers.flagged import Flags, audit_of, together
from pulseproof.report.numbers.fuller_run import Fuller, fuller_runs
from pulseproof.report.numbers.measured_flags import measured_flags
from pulseproof.report.numbers.proofs import Proofs, proofs_of, with_proofs
from pulseproof.report.numbers.resampled import WORST, Kept, Resampled, kept_numbers
from pulseproof.report.numbers.rows import HOST, Row, is_quantized, known, parent_of, rows_of
from pulseproof.report.numbers.score_difference import host_of, score_differences


@dataclass(frozen=True)
class Difference:
    """Clean macro AUC of a quantized artifact minus that of ``parent`` (same model, same format, float), in pairs, with
    its 95 % interval."""

    device: str
    artifact: str
    parent: str
    estimate: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Evaluation:
    """Everything that is said about one bundle. ``note`` is what must stand beside every number of it. ``audit`` is
    None when none was made of these attacks; ``no_audit`` then says so; ``flags`` are those of what was measured and of
    the audit. Intervals are made from ``kept``. ``delta`` is
    the study's largest difference of AUC that does not matter; ``recordings`` and ``patients`` are those of the bundle,
    ``patients_of`` the patients of the first n recordings by n, for every n that was run; ``runners`` how many versions
    of the runner measured the results of each device. ``counted``: the worst case that each file counts for;
    ``losses``: the budgets at which it loses AUC; ``fuller``: by device, the fuller run of another; ``proofs``: what is
    proved of each file on each device.
    """

    head: BundleHead
    note: str | None
    devices: tuple[Device, ...]
    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]
    stale: tuple[Stale, ...]
    resamples: int
    patients: int
    flags: Flags = field(default_factory=Flags)
    audit: Audit | None = None
    no_audit: str | None = None
    delta: float = 0.01
    recordings: int = 0
    class_counts: tuple[ClassCount, ...] = ()
    patients_of: dict[int, int] = field(default_factory=dict, compare=False)
    runners: dict[str, int] = field(default_factory=dict)
    kept: Kept = field(default_factory=Kept, compare=False, repr=False)
    counted: CountedWorst = field(default_factory=dict, compare=False, repr=False)
    losses: Losses = field(default_factory=dict, compare=False, repr=False)
    fuller: dict[str, Fuller] = field(default_factory=dict)
    proofs: Proofs = field(default_factory=Proofs, compare=False, repr=False)

    @property
    def resampled(self) -> Resampled:
        """The macro AUC of all recordings and of every resample, by device, artifact and signal set."""
        return self.kept.aucs

    def paired(self, row: Row | None, other: Row | None) -> NDArray[np.float64] | None:
        """AUC of ``row`` minus that of ``other`` on the same recordings, float64 (1 + resamples,): of all, then of each
        resample. This machine's AUC is that on the recordings that the other device ran, where these are fewer. None
        where one was not measured or they have other recordings."""
        if row is None or other is None or row.auc is None or other.auc is None:
            return None
        sides = [self.resampled.get(_key(each)) for each in (row, other)]
        if row.n != other.n:
            same_run = (row.artifact, row.signals) == (other.artifact, other.signals)
            sides[1] = self.kept.on_host.get(_key(row)) if same_run and other.evidence == HOST else None
        return None if sides[0] is None or sides[1] is None else sides[0] - sides[1]  # the same resamples on both sides

    def auc_device(self, device: str, artifact: str) -> str:
        """The device whose AUCs count for a file on ``device``: that of the fuller run whose scores agree, else its
        own."""
        fuller = self.fuller.get(device)
        return fuller.device if fuller is not None and artifact in fuller.agreed else device

    def counted_values(self, row: Row) -> NDArray[np.float64] | None:
        """The AUC that a row counts for, float64 (1 + resamples,): its own, of a worst case what the file is held
        to. None where it was not measured."""
        found = self.counted.get((str(row.device), row.artifact, row.budget_mv or 0.0))
        if found is not None and row.method == WORST:
            return found.values
        return self.resampled.get(_key(row))

    def paired_counted(self, row: Row, other: Row) -> NDArray[np.float64] | None:
        """As :meth:`paired`, of what the two rows count for; None for rows of other recordings."""
        sides = [self.counted_values(each) for each in (row, other)]
        return None if row.n != other.n or sides[0] is None or sides[1] is None else sides[0] - sides[1]

    def difference(self, row: Row | None, other: Row | None) -> Interval | None:
        """:meth:`paired` as an estimate with its 95 % interval."""
        values = self.paired(row, other)
        return None if values is None else Interval(float(values[0]), *percentiles(values[1:]))


def evaluate(build: Path, resamples: int = 2000, seed: int = 1, delta: float = 0.01) -> Evaluation:
    """Turn ``build/<study>/bundle`` and ``build/<study>/results`` into rows.

    ``resamples``, ``seed`` and ``delta`` are the study's ``bench.bootstrap``, ``seed`` and ``bench.delta``. Raises
    InputError for a damaged file; a missing or stale result is a row with nothing measured.
    """
    build = Path(build)
    bundle = read_bundle(build / "bundle")
    devices = read_results(bundle, build / "results")
    kept = kept_numbers(bundle, devices, build / "rows", resamples, seed)
    audit, no_audit = audit_of(bundle.head, build)
    flags = together(audit, measured_flags(bundle, devices, kept))
    numbers = {each.n for device in devices for each in device.results.values() if each.n is not None}
    counts = {n: class_counts(bundle, n) for n in numbers}
    whole = class_counts(bundle, len(bundle.labels))
    note = _note(bundle.head, whole)
    host = host_of(devices)
    apart = {each.name: score_differences(bundle, each, host) for each in devices}
    rows = [
        row
        for each in devices
        for artifact in bundle.head.artifacts
        for row in rows_of(bundle.head, each, artifact, kept, flags, note, apart[each.name], counts)
    ]
    counted = counted_worst(rows, kept.aucs)
    lost = losses(rows, kept.aucs, counted)
    proofs = proofs_of(bundle, devices, build, resamples, seed)
    rows = with_proofs(with_counted(rows, counted, lost), proofs)
    rows += [
        Row(model=each.model, recipe=each.recipe, not_applicable=each.reason, note=note)
        for each in bundle.head.not_applicable
    ]
    return Evaluation(
        head=bundle.head,
        note=note,
        devices=tuple(each.device for each in devices if each.device is not None),
        rows=tuple(rows),
        differences=tuple(_differences(bundle.head, devices, kept.aucs)),
        stale=tuple(stale for each in devices for stale in each.stale),
        resamples=resamples,
        patients=len(np.unique(bundle.patients)),
        flags=flags,
        audit=audit,
        no_audit=no_audit,
        delta=delta,
        recordings=len(bundle.labels),
        class_counts=whole,
        runners={each.name: len(each.runners) for each in devices},
        patients_of={n: len(np.unique(bundle.patients[:n])) for n in {row.n for row in rows if row.n is not None}},
        kept=kept,
        counted=counted,
        losses=lost,
        fuller=fuller_runs(bundle, devices),
        proofs=proofs,
    )


def _note(head: BundleHead, counts: Sequence[ClassCount]) -> str | None:
    """What must stand beside every number: what the data are, and which classes no mean over classes is over."""
    parts = [head.note] if head.note and head.note.strip() else []
    if head.synthetic and not any("SYNTHETIC" in part for part in parts):
        parts.insert(0, "SYNTHETIC")
    reasons = [each.undefined for each in counts if each.undefined]
    part = over(len(counts) - len(reasons), len(counts))
    if part:
        parts.append(f"means over classes are {part} ({'; '.join(reasons)})")
    return "; ".join(parts) or None


def _key(row: Row) -> tuple[str, str, str]:
    return str(row.device), row.artifact, str(row.signals)


def _differences(head: BundleHead, devices: Sequence[DeviceResults], resampled: Resampled) -> list[Difference]:
    """Clean AUC of every quantized artifact minus its float parent's, where both were measured on one device."""
    clean = next((each.name for each in head.signals if each.method == "clean"), "clean")
    found = []
    for device in devices:
        for artifact in head.artifacts:
            parent = parent_of(artifact)
            child_values = resampled.get((device.name, artifact.name, clean))
            parent_values = resampled.get((device.name, parent, clean))
            if not is_quantized(artifact.recipe) or child_values is None or parent_values is None:
                continue
            ran = [device.results[name, clean].n for name in (artifact.name, parent)]
            if ran[0] != ran[1]:  # other recordings are no pair
                continue
            values = child_values - parent_values  # the same resamples on both sides: in pairs
            if not math.isfinite(values[0]):
                continue
            low, high = percentiles(values[1:])
            found.append(
                Difference(device.name, artifact.name, parent, float(values[0]), known(low), known(high)),
            )
    return found
