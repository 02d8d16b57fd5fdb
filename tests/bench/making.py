"""Bundles and results for the tests, written by the contract of ``docs/formats.md`` from numpy scores.

``make_build`` gives ``build/<study>`` with a bundle and one device's results; single files are then changed, removed
or damaged by the test. The scores are drawn: labels plus noise, less the budget's effect. They are nobody's result.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pulseproof.attacks.audit.file import Audit, FlagEntry, write_audit
from pulseproof.runtime.auc import macro_auc
from pulseproof.runtime.files import write_array, write_bytes, write_json

CLASSES = ("NORM", "MI", "STTC")
BUDGETS = (0.005, 0.02)
CONTROLS = ("random-sign",)
INPUT_STEP_MV = 0.052  # of quantized files
RECIPES = ("onnx-fp32", "onnx-int8-static")


def entry(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}


def make_bundle(
    folder: Path,
    *,
    models: Sequence[str] = ("cnn",),
    recipes: Sequence[str] = RECIPES,
    sources: Sequence[str] = ("cnn",),
    controls: Sequence[str] = CONTROLS,
    further: Sequence[tuple[str, str]] = (),
    budgets: Sequence[float] = BUDGETS,
    n: int = 60,
    patients: int = 40,
    leads: Sequence[str] = ("I",),
    samples: int = 4,
    synthetic: bool = True,
    note: str | None = "SYNTHETIC",
    seed: int = 1,
) -> dict[str, Any]:
    """Write a bundle to ``folder`` and return its head. Each source is attacked by PGD at each budget; ``further`` are
    (method, source) beside it."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, len(CLASSES))) < 0.35).astype(np.uint8)
    labels[0], labels[1] = 0, 1
    write_array(folder / "labels.npy", labels)
    write_array(folder / "patients.npy", rng.integers(0, patients, n).astype(np.int64))
    signals: list[dict[str, Any]] = [_signal_set("clean", None, 0.0)]
    for budget in budgets:
        asked = [("pgd", source) for source in sources] + list(further) + [(control, None) for control in controls]
        signals += [_signal_set(method, source, budget) for method, source in asked]
    for each in signals:
        write_array(folder / each["file"], rng.integers(-500, 500, (n, len(leads), samples)).astype(np.int16))
    artifacts, left_out = [], []
    for model in models:
        for recipe in recipes:
            name, kind = f"{model}/{recipe}", recipe.split("-")[0]
            if "int8" in recipe and model in ("decision-tree", "random-forest"):
                left_out.append({"name": name, "model": model, "recipe": recipe, "reason": "no int8 tree"})
                continue
            file = f"artifacts/{name}.{kind}"
            write_bytes(folder / file, rng.bytes(400 if "int8" in recipe else 1300))
            artifacts.append(
                {"name": name, "model": model, "recipe": recipe, "format": kind, "file": file, "note": None}
                | {"input_step_mv": INPUT_STEP_MV if "int8-static" in recipe else None, "thresholds": [0.5, 0.6, 0.7]}
            )
    names = ["labels.npy", "patients.npy", *(each["file"] for each in (*artifacts, *signals))]
    head = {
        "format": 1,
        "study": "made",
        "title": "A made study",
        "note": note,
        "synthetic": synthetic,
        "task": {"classes": list(CLASSES), "leads": list(leads), "fs_hz": 100.0, "samples": samples}
        | {"adc_step_mv": 0.001},
        "files": {name: entry(folder / name) for name in names},
        "artifacts": artifacts,
        "signals": signals,
        "not_applicable": left_out,
        "run": {"threads": 1, "warmup_s": 0.2, "min_runs": 200, "min_s": 2.0},
    }
    write_json(folder / "bundle.json", head)
    return head


def _signal_set(method: str, source: str | None, budget: float) -> dict[str, Any]:
    """The entry of one signal set, as bench.bundle writes it."""
    parts = [method, (source or "").replace("/", "."), f"{budget:g}mV" if budget else ""]
    name = "-".join(part for part in parts if part)
    bounded = method in ("pgd", "random-sign", "twin", "square", "ensemble")
    return {
        "name": name,
        "file": f"signals/{name}.npy",
        "source": source,
        "method": method,
        "budget_mv": budget,
        "only": [source.partition("/")[0]] if source and "/" in source else None,
        "linf_mv": budget if bounded else 4 * budget,
        "l2_mv": 2 * budget,
        "rms_mv": budget,
        "snr_db": 20.5 if budget else None,
        "sigma": budget / 0.25,
        "outside_band": 0.75,
        "second_difference": 0.5 * budget,
        "facts": {"queries": 480.5} if method == "square" else {},
    }


def make_scores(
    labels: np.ndarray, artifact: dict[str, Any], signals: dict[str, Any], strength: float = 2.0
) -> np.ndarray:
    """float32 (n, classes): labels plus noise. The noise is the model's own, so its artifacts differ little."""
    rng = np.random.default_rng(sum(map(ord, artifact["model"])))
    noise, rounding = rng.normal(size=labels.shape), rng.normal(size=labels.shape)
    source = signals["source"]
    power = 0 if source is None else 125 if source == artifact["name"] else 120 if source in artifact["name"] else 40
    hurt = signals["budget_mv"] * power
    step = 0.03 if "int8" in artifact["recipe"] else 0.0
    return (labels * (strength - hurt) + noise + step * rounding).astype(np.float32)


def write_result(
    folder: Path,
    head: dict[str, Any],
    artifact: dict[str, Any],
    signals: dict[str, Any],
    scores: np.ndarray | None,
    **changed: Any,
) -> Path:
    """Write one result below ``results/<device>`` = ``folder``; no scores: a failure. ``changed`` replaces keys."""
    place = folder / artifact["name"].replace("/", "__")
    path, file = place / f"{signals['name']}.json", place / f"{signals['name']}.npy"
    latency = 0.4 + 0.01 * (sum(map(ord, artifact["name"])) % 97)
    result: dict[str, Any] = {
        "format": 1,
        "study": head["study"],
        "device": {
            "name": folder.name,
            "evidence": "measured-on-host",
            "fingerprint": {"machine": "x86_64", "cpu": "Test CPU", "system": "Linux", "numpy": np.__version__},
        },
        "artifact": {key: artifact[key] for key in ("name", "model", "recipe")} | head["files"][artifact["file"]],
        "signals": {key: signals[key] for key in ("name", "source", "method", "budget_mv")}
        | {"sha256": head["files"][signals["file"]]["sha256"]},
        "engine": {"name": "onnxruntime", "version": "1.31.1", "threads": 1},
        "status": "ok",
        "reason": None,
        "n": None if scores is None else len(scores),
        "scores": None,
        "auc_macro": None,
        "latency_ms": None,
        "load_ms": None,
        "first_ms": None,
        "peak_rss_mb": None,
    }
    if scores is None:
        result |= {"status": "failed", "reason": "engine: operator not known"}
    else:
        write_array(file, scores)
        result |= {
            "scores": {"file": file.name, "sha256": entry(file)["sha256"]},
            "latency_ms": {"count": 200, "p50": latency, "p90": latency * 1.1, "p99": latency * 1.4, "mean": latency},
            "load_ms": 12.0,
            "first_ms": 3.0,
            "peak_rss_mb": 80.5,
        }
    write_json(path, result | changed)
    return path


def make_build(folder: Path, device: str = "host", **options: Any) -> dict[str, Any]:
    """Write ``folder/bundle`` and ``folder/results/<device>`` with every result; return the bundle's head."""
    head = make_bundle(folder / "bundle", **options)
    labels = np.load(folder / "bundle" / "labels.npy")
    for artifact in head["artifacts"]:
        for signals in head["signals"]:
            if signals["only"] and artifact["model"] not in signals["only"]:
                continue
            write_result(folder / "results" / device, head, artifact, signals, make_scores(labels, artifact, signals))
    return head


def change_json(path: Path, **changed: Any) -> None:
    """Replace keys of a JSON file; a dotted key reaches into objects (``artifact.sha256`` is ``artifact__sha256``)."""
    value = json.loads(path.read_text())
    for key, new in changed.items():
        inner, *names = value, *key.split("__")
        for name in names[:-1]:
            inner = inner[name]
        inner[names[-1]] = new
    path.write_text(json.dumps(value))


def scores_of_auc(labels: np.ndarray, share: float) -> np.ndarray:
    """Scores that put the share ``share`` of each class's positives above all negatives and the rest below all: their
    AUC is that share, rounded to whole recordings."""
    scores = np.zeros(labels.shape, np.float32)
    for k in range(labels.shape[1]):
        positives = np.flatnonzero(labels[:, k])
        won = round(share * len(positives))
        scores[positives[:won], k], scores[positives[won:], k] = 1, -1
    return scores


def give(build: Path, head: dict[str, Any], artifact: str, signals: str, share: float, device: str = "host") -> float:
    """Replace one result by scores of about the AUC ``share``, and return that AUC."""
    labels = np.load(build / "bundle" / "labels.npy")
    scores = scores_of_auc(labels, share)
    tag = next(each for each in head["artifacts"] if each["name"] == artifact)
    made_on = next(each for each in head["signals"] if each["name"] == signals)
    write_result(build / "results" / device, head, tag, made_on, scores)
    return macro_auc(scores, labels)


def flag(name: str, target: str, **facts: Any) -> FlagEntry:
    return FlagEntry(name=name, sentence=f"about {target}", target=target, **facts)


def audit(build: Path, *flags: FlagEntry, study: str = "made", lost: str = "") -> None:
    """Write an audit of the bundle's signal sets, but ``lost``."""
    head = json.loads((build / "bundle" / "bundle.json").read_text())
    sets = {each["name"]: head["files"][each["file"]]["sha256"] for each in head["signals"] if each["name"] != lost}
    facts: dict[str, Any] = {"study": study, "note": "", "recordings": 60, "patients": 40, "rechecked": 60}
    facts |= {"resamples": 100, "sets": sets, "engines": {}, "cells": (), "rechecks": (), "unchecked": ()}
    write_audit(build / "audit.json", Audit(**facts, flags=flags))
