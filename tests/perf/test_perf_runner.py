"""The runner beside the load generators of the field: the real ones, on real files."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from perf.runner import Beside, measure_runner, runner_table
from pulseproof.core.errors import InputError
from tests.bench.devices.test_ssh import write_bundle


def beside(ours: float, theirs: float, ratios: tuple[float, ...], percentile: str = "p50") -> Beside:
    return Beside("cnn/onnx-fp32", "mlcommons-loadgen", percentile, ours, theirs, ratios)


@pytest.mark.parametrize(
    ("one", "held"),
    [
        (beside(5.0, 5.0, (1.0, 1.02, 0.98)), True),
        (beside(5.0, 4.8, (1.04, 1.05, 0.9)), False),  # the median counts, not the best round
        (beside(4.8, 5.0, (0.96, 0.96, 0.96)), False),  # faster than the referee is no better: something is not timed
        (beside(0.065, 0.05, (1.3, 1.3, 1.3)), True),  # 15 us: a referee's own calls
        (beside(0.075, 0.05, (1.5, 1.5, 1.5)), False),
        (beside(1.02, 1.0, (1.04, 1.04, 1.04)), False),  # not under 1 ms
        (beside(9.0, 5.0, (1.8, 1.8, 1.8), "p99"), True),  # not claimed
    ],
)
def test_what_holds(one: Beside, held: bool) -> None:
    assert one.held is held


@pytest.mark.slow
def test_the_referees_run_the_same_files(tmp_path: Path) -> None:
    names = ("one/onnx-fp32", "one/tflite-fp32")
    found = measure_runner(write_bundle(tmp_path / "bundle"), names, rounds=1)
    assert [(each.artifact, each.percentile) for each in found] == [
        ("one/onnx-fp32", "p50"),
        ("one/onnx-fp32", "p95"),
        ("one/onnx-fp32", "p99"),
        ("one/tflite-fp32", "p50"),
        ("one/tflite-fp32", "p95"),
    ]
    assert {each.referee for each in found} == {"litert-benchmark", "mlcommons-loadgen"}
    assert all(each.ours_ms > 0 and each.theirs_ms >= 0 for each in found)
    text = io.StringIO()
    Console(file=text, width=80).print(runner_table(found))
    assert all(name in text.getvalue() for name in names)


def test_a_file_that_the_bundle_lacks(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no cnn/onnx-fp32"):
        measure_runner(write_bundle(tmp_path / "bundle"), ("cnn/onnx-fp32",))
