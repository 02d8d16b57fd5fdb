"""A large study: 60 artifacts by 60 signal sets of twelve leads still make one page that can be sent by mail."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pulseproof.report.page import write_report
from pulseproof.runtime.files import write_array
from tests.bench.making import BUDGETS, change_json, entry, make_build
from tests.report.making_report import evaluated

LIMIT_BYTES = 15_000_000
LEADS = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")
MODELS = tuple(f"model-{number}" for number in range(10))
RECIPES = (
    "onnx-fp32",
    "onnx-int8-static",
    "onnx-int8-dynamic",
    "tflite-fp32",
    "tflite-int8-static",
    "tflite-int8-dynamic",
)
N = 24


@pytest.mark.slow
@pytest.mark.parametrize("noise_steps", [20, 2000], ids=["small changes", "changes that do not compress"])
def test_sixty_by_sixty_stays_below_fifteen_megabytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noise_steps: int
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # thousands of files that no power cut can harm
    further = [(f"method-{number}", MODELS[number % len(MODELS)]) for number in range(19)]
    head = make_build(
        tmp_path,
        models=MODELS,
        recipes=RECIPES,
        sources=MODELS,
        further=further,
        n=N,
        patients=20,
        leads=LEADS,
        samples=1000,
    )
    assert len(head["artifacts"]) == 60
    assert len(head["signals"]) == 1 + len(BUDGETS) * (10 + 19 + 1) == 61
    rng = np.random.default_rng(1)
    for each in head["signals"][1:]:  # an adversarial recording is a small change of a recording
        path = tmp_path / "bundle" / each["file"]
        change = rng.integers(-noise_steps, noise_steps + 1, (N, len(LEADS), 1000))
        write_array(path, (np.load(tmp_path / "bundle" / "signals" / "clean.npy") + change).astype(np.int16))
    for each in head["signals"]:
        head["files"][each["file"]] = entry(tmp_path / "bundle" / each["file"])
    change_json(tmp_path / "bundle" / "bundle.json", files=head["files"])
    for path in (tmp_path / "results").glob("*/*/*.json"):
        change_json(path, signals__sha256=head["files"][f"signals/{path.stem}.npy"]["sha256"])
    evaluation, answered = evaluated(tmp_path)
    assert not evaluation.stale
    page = write_report(evaluation, tmp_path / "report", tmp_path, answered)
    assert 2_000_000 < page.stat().st_size < LIMIT_BYTES
    assert ("signal sets had no room" in page.read_text()) == (noise_steps > 1000)
