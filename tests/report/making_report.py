"""A study for the tests of the report: two devices, an audit, every timed call, a course over minutes, answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from pulseproof.report.answers.questions import answers
from pulseproof.report.answers.types import Answers
from pulseproof.report.numbers.evaluation import Evaluation, evaluate
from pulseproof.runtime.files import write_array, write_json
from tests.bench.making import audit, change_json, entry, flag, make_build, make_scores, write_result

LEADS = ("I", "II", "V1")
MODELS = ("cnn", "lstm", "decision-tree")
OTHER = "emulated-cortex-a72"


def make_study(folder: Path, **options: Any) -> dict[str, Any]:
    """Write ``folder`` as ``build/<study>``, with all that a report can show; return the bundle's head."""
    wanted: dict[str, Any] = {
        "models": MODELS,
        "recipes": ("onnx-fp32", "onnx-int8-static", "tflite-fp32"),
        "budgets": (0.005, 0.01, 0.02, 0.05),
        "sources": ("cnn", "lstm"),
        "further": (("twin", "cnn/onnx-int8-static"), ("square", "cnn/onnx-int8-static")),
        "leads": LEADS,
        "samples": 250,
    }
    head = make_build(folder, **(wanted | options))
    place = folder / "results" / "host" / "cnn__onnx-fp32"
    add_times(place, 300)
    windows = [{"t_s": 1.0 + at, "count": 900, "p50": 0.5 + 0.002 * at, "p90": 0.9, "max": 2.0} for at in range(120)]
    clean = json.loads((place / "clean.json").read_text())
    write_json(place / "_sustained.json", {"artifact": clean["artifact"], "minutes": 2.0, "windows": windows})
    labels = np.load(folder / "bundle" / "labels.npy")
    artifact = head["artifacts"][0]
    for signals in head["signals"][:2]:
        scores = make_scores(labels, artifact, signals)[:30]
        fingerprint = {"machine": "aarch64", "cpu": "Cortex-A72"}
        device = {"name": OTHER, "evidence": "emulated-count", "fingerprint": fingerprint}
        times: dict[str, Any] = {"latency_ms": None, "load_ms": None, "first_ms": None, "peak_rss_mb": None}
        counts = {"count": 30, "p50": 2.4e6, "min": 2.4e6, "max": 2.5e6}
        write_result(
            folder / "results" / OTHER, head, artifact, signals, scores, device=device, instructions=counts, **times
        )
    audit(folder, flag("unsettled", "cnn", source="cnn", method="pgd", budget_mv=0.02))
    return head


def add_times(place: Path, count: int) -> None:
    """Write the times of every call beside the clean result in ``place``, around its median."""
    result = json.loads((place / "clean.json").read_text())
    median = result["latency_ms"]["p50"]
    times = (1e6 * median * np.random.default_rng(3).gamma(60, 1 / 60, count)).astype(np.int64)
    write_array(place / "_clean.times.npy", times)
    sha256 = entry(place / "_clean.times.npy")["sha256"]
    change_json(
        place / "clean.json",
        times={"file": "_clean.times.npy", "sha256": sha256},
        latency_ms=result["latency_ms"] | {"count": count},
    )


def evaluated(folder: Path) -> tuple[Evaluation, Answers]:
    evaluation = evaluate(folder, 100)
    return evaluation, answers(evaluation)
