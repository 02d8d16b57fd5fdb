"""Every system in every recipe, once: a file that its engine runs like the torch module, or a reason."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from core.study import RECIPES
from ecg.recordings import Recordings
from export.manifest import Manifest
from export.recipes import TABLE
from export.run import export_study
from models.run import Trained
from tests.export.making import CLASSICAL, NETS, small_study

FILES = {
    "cnn": set(RECIPES),
    "ecg-lens": set(RECIPES),
    "logistic-regression": set(RECIPES),
    "lstm": {"onnx-fp32", "onnx-int8-dynamic", "tflite-fp32", "tflite-int8-weights"},
    "decision-tree": {"onnx-fp32", "tflite-fp32"},
    "random-forest": {"onnx-fp32", "tflite-fp32"},
}


def test_the_table_has_every_cell() -> None:
    kinds = {kind for kind, _ in TABLE}
    assert set(TABLE) == {(kind, recipe) for kind in kinds for recipe in RECIPES}


@pytest.fixture(scope="module")
def manifest(
    trained: dict[str, Trained], recordings: Recordings, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Manifest, Path]:
    everything = {name: dataclasses.replace(model, recipes=None) for name, model in trained.items()}
    build = tmp_path_factory.mktemp("everything")
    return export_study(small_study(recipes=RECIPES), recordings, everything, build), build


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("system", [*CLASSICAL, *NETS])
def test_every_cell_is_a_file_or_a_reason(system: str, recipe: str, manifest: tuple[Manifest, Path]) -> None:
    entry = next(entry for entry in manifest[0].entries if entry.name == f"{system}/{recipe}")
    if recipe not in FILES[system]:
        assert entry.status == "not-applicable" and len(entry.reason) > 40
        return
    assert entry.status == "ok", entry.reason
    assert (manifest[1] / "small" / entry.file).stat().st_size == entry.size_bytes
    if recipe.endswith("fp32"):
        assert entry.parity.max_difference <= 1e-4 and entry.parity.label_agreement == 1
    else:
        assert entry.parity.max_difference > 0 and entry.parity.label_agreement > 0.9
    assert (entry.calibration is not None) == recipe.endswith("int8-static")


@pytest.mark.slow
@pytest.mark.parametrize("system", ["cnn", "ecg-lens"])
def test_both_formats_round_the_signal_to_the_same_step(system: str, manifest: tuple[Manifest, Path]) -> None:
    steps = [
        entry.calibration.input_step_mv
        for entry in manifest[0].entries
        if entry.model == system and entry.calibration is not None
    ]
    assert len(steps) == 2 and steps[0] == pytest.approx(steps[1], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("system", ["cnn", "ecg-lens"])
def test_int8_tflite_is_int8_from_the_signal_to_the_scores(system: str, manifest: tuple[Manifest, Path]) -> None:
    by_name = {entry.name: entry.operators for entry in manifest[0].entries}
    operators = by_name[f"{system}/tflite-int8-static"]
    assert operators["QUANTIZE"] == operators["DEQUANTIZE"] == 1
    assert operators["CONV_2D"] == by_name[f"{system}/tflite-fp32"]["CONV_2D"]


@pytest.mark.slow
def test_only_the_logistic_layer_is_int8(manifest: tuple[Manifest, Path]) -> None:
    for entry in manifest[0].entries:
        if entry.model == "logistic-regression" and "int8" in entry.recipe:
            assert "only the logistic layer is int8" in entry.note


@pytest.mark.slow
def test_a_second_run_makes_nothing(
    manifest: tuple[Manifest, Path], trained: dict[str, Trained], recordings: Recordings
) -> None:
    everything = {name: dataclasses.replace(model, recipes=None) for name, model in trained.items()}
    before = {path: path.stat().st_mtime_ns for path in manifest[1].rglob("*")}
    assert export_study(small_study(recipes=RECIPES), recordings, everything, manifest[1]) == manifest[0]
    assert {path: path.stat().st_mtime_ns for path in manifest[1].rglob("*")} == before
