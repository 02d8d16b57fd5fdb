"""A file whose engine is off its exact arithmetic on a device: marked in every row, no cost of quantization."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulseproof.report.gate.bounds import Bounds, gate
from pulseproof.report.numbers.compare import comparisons
from pulseproof.report.numbers.evaluation import Evaluation, evaluate
from pulseproof.report.numbers.pivot import lines_of
from pulseproof.report.numbers.rows import engine_mark, latency_marks
from pulseproof.report.tables.remarks import remarks
from pulseproof.report.tables.table import as_csv, as_markdown
from tests.bench.making import change_json, make_build, make_scores, write_result

INT8, FLOAT = "cnn/onnx-int8-static", "cnn/onnx-fp32"
FOUND = {"mode": "unoptimized", "recordings": 16, "within": 0.1, "reason": None}
SATURATES = {**FOUND, "largest": 12.5, "mark": "engine-saturates", "features": ["avx2", "fma"]}
EXACT = {**FOUND, "largest": 0.5, "mark": None, "features": ["avx2", "avx512_vnni"]}


def marked(build: Path, exact: dict[str, Any], marks: list[str], device: str = "host") -> None:
    """Every result of the int8 file with what a device found."""
    for path in (build / "results" / device / INT8.replace("/", "__")).glob("*.json"):
        change_json(path, exact=exact, marks=marks)


@pytest.fixture
def build(tmp_path: Path) -> Path:
    make_build(tmp_path)
    return tmp_path


def rows_of(evaluation: Evaluation, artifact: str) -> list[Any]:
    return [row for row in evaluation.rows if row.artifact == artifact]


def test_every_row_of_the_file_carries_the_mark_and_the_processor(build: Path) -> None:
    marked(build, SATURATES, ["noisy", "engine-saturates"])
    evaluation = evaluate(build, 100)
    found = rows_of(evaluation, INT8)
    assert found and {engine_mark(row) for row in found} == {"engine-saturates"}
    assert {(row.engine_difference, row.processor_features) for row in found} == {(12.5, "avx2 fma")}
    assert {tuple(latency_marks(row)) for row in found if row.method == "clean"} == {("noisy",)}
    assert {engine_mark(row) for row in rows_of(evaluation, FLOAT)} == {None}
    assert "engine-saturates" in as_csv(evaluation.rows) and "12.5" in as_csv(evaluation.rows)


@pytest.mark.parametrize("off", [True, False])
def test_what_the_engine_adds_is_no_cost_of_quantization(build: Path, off: bool) -> None:
    marked(build, SATURATES if off else EXACT, ["engine-saturates"] if off else [])
    evaluation = evaluate(build, 100)
    claimed = [each for each in comparisons(evaluation, 0.02) if each.kind == "quantized-minus-float"]
    assert (INT8 in {each.a for each in claimed}) == (not off)
    (line,) = [line for line in lines_of(evaluation) if line.clean.artifact == INT8]
    assert (line.difference is None) == off
    said = " ".join(remarks(evaluation, "host"))
    assert ("no cost of quantization" in said) == off and ("up to 12.5 steps" in said) == off
    (check,) = [one for one in gate(evaluation, Bounds(max_auc_drop=0.9)) if one.artifact == INT8]
    assert check.held == (not off) and ("cannot be told here: engine-saturates" in check.found) == off


def test_a_mark_of_the_scores_is_no_doubt_of_the_latency(build: Path) -> None:
    marked(build, SATURATES, ["engine-saturates"])
    evaluation = evaluate(build, 100)
    table = [line for line in as_markdown(evaluation).splitlines() if line.startswith("|")]
    assert not any("?" in line for line in table)
    (check,) = [one for one in gate(evaluation, Bounds(max_p50_ms=5.0)) if one.artifact == INT8]
    assert check.held and "engine" not in check.found


def test_a_device_with_another_processor_has_its_own(build: Path) -> None:
    """Marked on one device, exact on the other: each row says what is so there."""
    head = make_build(build)
    labels = np.load(build / "bundle" / "labels.npy")
    device = {"name": "board", "evidence": "measured-on-device", "fingerprint": {"cpu": "Cortex-A72"}}
    for artifact in head["artifacts"]:
        for each in head["signals"]:
            scores = make_scores(labels, artifact, each)
            write_result(build / "results" / "board", head, artifact, each, scores, device=device)
    marked(build, EXACT, [])
    marked(build, SATURATES, ["engine-saturates"], "board")
    evaluation = evaluate(build, 100)
    by_device = {(row.device, engine_mark(row)) for row in rows_of(evaluation, INT8)}
    assert by_device == {("host", None), ("board", "engine-saturates")}


def test_older_results_say_nothing_of_it(build: Path) -> None:
    evaluation = evaluate(build, 100)
    assert {(row.engine_difference, row.processor_features) for row in evaluation.rows} == {(None, None)}
