"""Results to rows: one frozen row an (artifact, signal set, device), with intervals, and the paired differences.

In come a bundle and the results of its devices (:mod:`bench.results`); out comes an :class:`Evaluation`: the rows that
every table, picture and file is made from, the difference of each quantized artifact to its float parent, and what was
not used and why. Macro AUCs of the resamples are kept under ``build/<study>/rows/``, one step an artifact, so that a
second look computes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from bench.results import Bundle, DeviceResults, Measured, Stale, read_bundle, read_results
from bench.schema import ArtifactEntry, BundleHead, Device, SignalEntry
from core.console import follow
from core.statistics import Resamples, draw_resamples, percentiles, resampled_macro_auc
from core.steps import Step
from runtime.auc import macro_auc
from runtime.files import read_array, write_array

STATISTICS = 1  # raise it when core.statistics gives other numbers, so that kept ones are not used


class Row(BaseModel):
    """One line of ``results.json``; the keys and their order are the contract. None where nothing was measured.

    ``auc_low`` and ``auc_high`` are the 95 % interval, ``size_bytes`` of the artifact's file, ``not_applicable`` the
    reason when there is no file, or ``failed: reason`` when the device could not run it. ``note`` is what must be said
    wherever the numbers appear: SYNTHETIC, a subset, what is odd about the artifact.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    device: str | None = None
    evidence: str | None = None
    model: str
    recipe: str
    source: str | None = None
    method: str | None = None
    epsilon_mv: float | None = None
    n: int | None = None
    auc: float | None = None
    auc_low: float | None = None
    auc_high: float | None = None
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None
    load_ms: float | None = None
    peak_rss_mb: float | None = None
    size_bytes: int | None = None
    runtime: str | None = None
    not_applicable: str | None = None
    note: str | None = None

    @property
    def artifact(self) -> str:
        return f"{self.model}/{self.recipe}"

    @property
    def failed(self) -> bool:
        return self.device is not None and self.not_applicable is not None


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
    """Everything that is said about one bundle. ``note`` is what must stand beside every number of it."""

    head: BundleHead
    note: str | None
    devices: tuple[Device, ...]
    rows: tuple[Row, ...]
    differences: tuple[Difference, ...]
    stale: tuple[Stale, ...]
    resamples: int
    patients: int


def evaluate(build: Path, resamples: int = 1000, seed: int = 1) -> Evaluation:
    """Turn ``build/<study>/bundle`` and ``build/<study>/results`` into rows.

    ``resamples`` and ``seed`` are the study's ``bench.bootstrap`` and ``bench.seed``. Raises InputError for a damaged
    file; a missing or stale result is a row with nothing measured.
    """
    build = Path(build)
    bundle = read_bundle(build / "bundle")
    devices = read_results(bundle, build / "results")
    resampled = _resampled_aucs(bundle, devices, build / "rows", resamples, seed)
    note = _note(bundle.head)
    rows = [
        _row(each, artifact, signals, resampled, note)
        for each in devices
        for artifact in bundle.head.artifacts
        for signals in bundle.head.signals
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
    )


def is_quantized(recipe: str) -> bool:
    """True for a recipe with narrower numbers than its float parent's (``onnx-int8-static``, ``tflite-fp16``)."""
    return "-int" in recipe or recipe.endswith("fp16")


def _note(head: BundleHead) -> str | None:
    parts = [head.note] if head.note and head.note.strip() else []
    if head.synthetic and not any("SYNTHETIC" in part for part in parts):
        parts.insert(0, "SYNTHETIC")
    return "; ".join(parts) or None


# By device, artifact and signal set: the macro AUC of all recordings first, then that of every resample.
Resampled = dict[tuple[str, str, str], NDArray[np.float64]]


def _row(
    device: DeviceResults, artifact: ArtifactEntry, signals: SignalEntry, resampled: Resampled, note: str | None
) -> Row:
    """The row of one run: measured, failed, stale or missing."""
    key = (artifact.name, signals.name)
    measured = device.results.get(key)
    stale = [f"stale, not used: {each.reason}" for each in device.stale if each.key == key]
    said = [part for part in (note, artifact.note, *stale) if part]
    facts: dict[str, Any] = {
        "device": device.name,
        "model": artifact.model,
        "recipe": artifact.recipe,
        "source": signals.source,
        "method": signals.method,
        "epsilon_mv": signals.epsilon_mv,
        "note": "; ".join(said) or None,
    }
    if measured is None:
        return Row(**facts)
    result = measured.result
    engine, latency = result.engine, result.latency_ms
    facts |= {
        "evidence": result.device.evidence,
        "size_bytes": result.artifact.size_bytes,
        "runtime": f"{engine.name} {engine.version or ''}".strip() if engine else None,
    }
    if measured.failure is not None:
        return Row(**facts, not_applicable=f"failed: {measured.failure}")
    values = resampled[(device.name, *key)]
    low, high = percentiles(values[1:])
    return Row(
        **facts,
        n=result.n,
        auc=_known(values[0]),
        auc_low=_known(low),
        auc_high=_known(high),
        latency_p50_ms=latency.p50 if latency else None,
        latency_p99_ms=latency.p99 if latency else None,
        load_ms=result.load_ms,
        peak_rss_mb=result.peak_rss_mb,
    )


def _differences(head: BundleHead, devices: Sequence[DeviceResults], resampled: Resampled) -> list[Difference]:
    """Clean AUC of every quantized artifact minus its float parent's, where both were measured on one device."""
    clean = next((each.name for each in head.signals if each.method == "clean"), "clean")
    found = []
    for device in devices:
        for artifact in head.artifacts:
            parent = f"{artifact.model}/{artifact.format}-fp32"
            child_values = resampled.get((device.name, artifact.name, clean))
            parent_values = resampled.get((device.name, parent, clean))
            if not is_quantized(artifact.recipe) or child_values is None or parent_values is None:
                continue
            values = child_values - parent_values  # the same resamples on both sides: in pairs
            if not math.isfinite(values[0]):
                continue
            low, high = percentiles(values[1:])
            found.append(
                Difference(device.name, artifact.name, parent, float(values[0]), _known(low), _known(high)),
            )
    return found


def _known(value: float) -> float | None:
    """None for NaN: JSON has no NaN, and a number that is not defined was not measured."""
    return float(value) if math.isfinite(value) else None


def _resampled_aucs(bundle: Bundle, devices: Sequence[DeviceResults], cache: Path, count: int, seed: int) -> Resampled:
    """The AUCs of every measured result on all resamples, read from the cache where its scores are unchanged."""
    files = bundle.head.files
    data = {"labels": files["labels.npy"].sha256, "patients": files["patients.npy"].sha256}
    settings = {"resamples": count, "seed": seed, "statistics": STATISTICS, **data}
    jobs: list[tuple[Step, Path, str, str, dict[str, Measured]]] = []
    for device in devices:
        for artifact in bundle.head.artifacts:
            measured = {
                signals.name: each
                for signals in bundle.head.signals
                if (each := device.results.get((artifact.name, signals.name))) is not None and each.scores is not None
            }
            if measured:
                hashes = [[name, each.result.scores.sha256] for name, each in measured.items() if each.result.scores]
                name = artifact.name.replace("/", "__")
                step = Step(cache / device.name, name, {**settings, "scores": hashes})
                jobs.append((step, step.folder / f"{name}.npy", device.name, artifact.name, measured))
    _fill([(step, file, measured) for step, file, *_, measured in jobs if not step.fresh()], bundle, count, seed)
    return {
        (device, artifact, signals): values
        for _, file, device, artifact, measured in jobs
        for signals, values in zip(measured, read_array(file), strict=True)
    }


def _fill(jobs: list[tuple[Step, Path, dict[str, Measured]]], bundle: Bundle, count: int, seed: int) -> None:
    """Compute and keep float64 (signal sets, 1 + resamples) of each artifact; all share one set of resamples."""
    if not jobs:
        return
    resamples: Resamples = draw_resamples(bundle.patients, count, seed)
    for step, file, measured in follow(jobs, "intervals"):
        aucs = np.empty((len(measured), 1 + count))
        for line, each in zip(aucs, measured.values(), strict=True):
            assert each.scores is not None
            line[0] = macro_auc(each.scores, bundle.labels)
            line[1:] = resampled_macro_auc(each.scores, bundle.labels, resamples)
        write_array(file, aucs)
        step.done([file])
