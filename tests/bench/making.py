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

from runtime.files import write_array, write_bytes, write_json

CLASSES = ("NORM", "MI", "STTC")
BUDGETS = (0.005, 0.02)
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
    budgets: Sequence[float] = BUDGETS,
    n: int = 60,
    patients: int = 40,
    synthetic: bool = True,
    note: str | None = "SYNTHETIC",
    seed: int = 1,
) -> dict[str, Any]:
    """Write a bundle to ``folder`` and return its head."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, len(CLASSES))) < 0.35).astype(np.uint8)
    labels[0], labels[1] = 0, 1
    write_array(folder / "labels.npy", labels)
    write_array(folder / "patients.npy", rng.integers(0, patients, n).astype(np.int64))
    signals: list[dict[str, Any]] = [{"name": "clean", "source": None, "method": "clean", "epsilon_mv": 0.0}]
    for budget in budgets:
        signals += [
            {"name": f"pgd-{source}-{budget:g}mV", "source": source, "method": "pgd", "epsilon_mv": budget}
            for source in sources
        ]
        name = f"random-sign-{budget:g}mV"
        signals.append({"name": name, "source": None, "method": "random-sign", "epsilon_mv": budget})
    for each in signals:
        each |= {"file": f"signals/{each['name']}.npy", "l2_mv": 0.0, "snr_db": None}
        write_array(folder / each["file"], rng.integers(-500, 500, (n, 1, 4)).astype(np.int16))
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
            )
    names = ["labels.npy", "patients.npy", *(each["file"] for each in (*artifacts, *signals))]
    head = {
        "format": 1,
        "study": "made",
        "title": "A made study",
        "note": note,
        "synthetic": synthetic,
        "task": {"classes": list(CLASSES), "leads": ["I"], "fs_hz": 100.0, "samples": 4, "adc_step_mv": 0.001},
        "files": {name: entry(folder / name) for name in names},
        "artifacts": artifacts,
        "signals": signals,
        "not_applicable": left_out,
        "run": {"threads": 1, "warmup_s": 0.2, "min_runs": 200, "min_s": 2.0},
    }
    write_json(folder / "bundle.json", head)
    return head


def make_scores(
    labels: np.ndarray, artifact: dict[str, Any], signals: dict[str, Any], strength: float = 2.0
) -> np.ndarray:
    """float32 (n, classes): labels plus noise. The noise is the model's own, so its artifacts differ little."""
    rng = np.random.default_rng(sum(map(ord, artifact["model"])))
    noise, rounding = rng.normal(size=labels.shape), rng.normal(size=labels.shape)
    hurt = (
        0.0
        if signals["source"] is None
        else signals["epsilon_mv"] * (120 if signals["source"] in artifact["name"] else 40)
    )
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
        "signals": {key: signals[key] for key in ("name", "source", "method", "epsilon_mv")}
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
