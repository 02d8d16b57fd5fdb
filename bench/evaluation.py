"""An evaluation: everything that is said about one bundle, from its files alone.

In come ``build/<study>/bundle``, the results of its devices and the audit of its attacks; out comes an
:class:`Evaluation`: the rows (:mod:`bench.rows`), the difference of each quantized artifact to its float parent, and
any other paired difference that a table asks for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from attacks.audit_file import Audit
from bench.flagged import audit_of
from bench.resampled import Resampled, resampled_aucs
from bench.results import DeviceResults, Stale, read_bundle, read_results
from bench.rows import Row, is_quantized, known, parent_of, rows_of
from bench.schema import BundleHead, Device
from bench.score_difference import host_of, score_differences
from core.statistics import Interval, percentiles


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
    None when none was made of these attacks; ``no_audit`` then says so. Intervals are made from ``resampled``."""

    head: BundleHead
    note: str | None
    devices: tuple[Device, ...]
    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]
    stale: tuple[Stale, ...]
    resamples: int
    patients: int
    audit: Audit | None = None
    no_audit: str | None = None
    resampled: Resampled = field(default_factory=dict, compare=False, repr=False)

    def difference(self, row: Row | None, other: Row | None) -> Interval | None:
        """AUC of ``row`` minus that of ``other`` on the same recordings, in pairs; None where one was not measured."""
        if row is None or other is None or row.auc is None or other.auc is None or row.n != other.n:
            return None
        values = self.resampled[_key(row)] - self.resampled[_key(other)]  # the same resamples on both sides
        return Interval(float(values[0]), *percentiles(values[1:]))


def evaluate(build: Path, resamples: int = 1000, seed: int = 1) -> Evaluation:
    """Turn ``build/<study>/bundle`` and ``build/<study>/results`` into rows.

    ``resamples`` and ``seed`` are the study's ``bench.bootstrap`` and ``bench.seed``. Raises InputError for a damaged
    file; a missing or stale result is a row with nothing measured.
    """
    build = Path(build)
    bundle = read_bundle(build / "bundle")
    devices = read_results(bundle, build / "results")
    resampled = resampled_aucs(bundle, devices, build / "rows", resamples, seed)
    audit, no_audit = audit_of(bundle.head, build)
    note = _note(bundle.head)
    host = host_of(devices)
    apart = {each.name: score_differences(bundle, each, host) for each in devices}
    rows = [
        row
        for each in devices
        for artifact in bundle.head.artifacts
        for row in rows_of(bundle.head, each, artifact, resampled, audit, note, apart[each.name])
    ]
    rows += [
        Row(model=each.model, recipe=each.recipe, not_applicable=each.reason, note=note)
        for each in bundle.head.not_applicable
    ]
    return Evaluation(
        head=bundle.head,
        note=note,
        devices=tuple(each.device for each in devices if each.device is not None),
        rows=tuple(rows),
        differences=tuple(_differences(bundle.head, devices, resampled)),
        stale=tuple(stale for each in devices for stale in each.stale),
        resamples=resamples,
        patients=len(np.unique(bundle.patients)),
        audit=audit,
        no_audit=no_audit,
        resampled=resampled,
    )


def _note(head: BundleHead) -> str | None:
    parts = [head.note] if head.note and head.note.strip() else []
    if head.synthetic and not any("SYNTHETIC" in part for part in parts):
        parts.insert(0, "SYNTHETIC")
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
            ran = [device.results[name, clean].result.n for name in (artifact.name, parent)]
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
