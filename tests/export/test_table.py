"""Every system in every recipe, once: a file that its engines run like the torch module, or a reason."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from pulseproof.core.engines import engines_of
from pulseproof.core.recipes import RECIPES, STANDARD
from pulseproof.ecg.recordings import Recordings
from pulseproof.export.manifest import Manifest, ManifestEntry
from pulseproof.export.run import export_study
from pulseproof.models.run import Trained
from tests.export.making import CLASSICAL, NETS, small_study

MIXED = [name for name, recipe in RECIPES.items() if recipe.mixed]
ASKED = (*STANDARD, *MIXED)
# Systems and the recipes that mean nothing for them; the table of the docs says why.
NO_FILE = {
    "cnn": set(),
    "ecg-lens": set(),
    "logistic-regression": {"tflite-int8-full", *MIXED},
    "decision-tree": {"tflite-int8-full", *MIXED},
    "random-forest": {"tflite-int8-full", *MIXED},
    "lstm": {"onnx-int8-static", "onnx-int8-static-s8s8", "tflite-int16x8", *MIXED},
}
FOUR_BYTES = {"onnx-fp32", "tflite-fp32"}


@pytest.fixture(scope="module")
def manifest(
    trained: dict[str, Trained], recordings: Recordings, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Manifest, Path]:
    everything = {name: dataclasses.replace(model, recipes=None) for name, model in trained.items()}
    build = tmp_path_factory.mktemp("everything")
    return export_study(small_study(recipes=ASKED), recordings, everything, build), build


def entry_of(manifest: Manifest, name: str) -> ManifestEntry:
    return next(entry for entry in manifest.entries if entry.name == name)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ASKED)
@pytest.mark.parametrize("system", [*CLASSICAL, *NETS])
def test_every_cell_is_a_file_or_a_reason(system: str, recipe: str, manifest: tuple[Manifest, Path]) -> None:
    entry = entry_of(manifest[0], f"{system}/{recipe}")
    if recipe in NO_FILE[system]:
        assert entry.status == "not-applicable" and len(entry.reason) > 40
        return
    assert entry.status == "ok", entry.reason
    assert (manifest[1] / "small" / entry.file).stat().st_size == entry.size_bytes
    assert tuple(one.engine for one in entry.parity) == engines_of(entry.format)
    assert entry.not_on == {}
    for parity in entry.parity:
        if recipe in FOUR_BYTES:
            assert parity.max_difference <= 1e-4 and parity.label_agreement == 1
        assert parity.label_agreement > 0.9
        assert parity.auc_change_low <= parity.auc_change <= parity.auc_change_high
    assert (entry.calibration is not None) == (RECIPES[recipe].calibrated)
    assert (len(entry.layers) > 0) == (recipe in MIXED)


@pytest.mark.slow
@pytest.mark.parametrize("file_format", ["onnx", "tflite"])
@pytest.mark.parametrize("system", [*CLASSICAL, *NETS])
def test_all_files_of_a_model_hold_the_same_model(
    system: str, file_format: str, manifest: tuple[Manifest, Path]
) -> None:
    made = [one for one in manifest[0].made() if one.model == system and one.format == file_format]
    source = entry_of(manifest[0], f"{system}/{file_format}-fp32")
    assert len(made) >= 3
    for entry in made:
        # An int8 LSTM has its two biases in one already; a converter makes a bias of the epsilon of a square root.
        assert entry.price.parameters == pytest.approx(source.price.parameters, rel=0.01)
        assert entry.price.macs == source.price.macs
        if entry is not source:
            assert entry.size_bytes < source.size_bytes


@pytest.mark.slow
@pytest.mark.parametrize("system", ["cnn", "ecg-lens"])
def test_both_formats_round_the_signal_to_the_same_step(system: str, manifest: tuple[Manifest, Path]) -> None:
    steps = [
        entry_of(manifest[0], f"{system}/{file_format}-int8-static").calibration.input_step_mv
        for file_format in ("onnx", "tflite")
    ]
    assert steps[0] == pytest.approx(steps[1], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("system", ["cnn", "ecg-lens"])
def test_int8_tflite_is_int8_from_the_signal_to_the_scores(system: str, manifest: tuple[Manifest, Path]) -> None:
    operators = entry_of(manifest[0], f"{system}/tflite-int8-static").operators
    assert operators["QUANTIZE"] == operators["DEQUANTIZE"] == 1
    assert operators["CONV_2D"] == entry_of(manifest[0], f"{system}/tflite-fp32").operators["CONV_2D"]
    full = entry_of(manifest[0], f"{system}/tflite-int8-full")
    assert "QUANTIZE" not in full.operators and "DEQUANTIZE" not in full.operators


@pytest.mark.slow
@pytest.mark.parametrize("system", [*CLASSICAL])
def test_a_quantized_classical_file_says_what_stayed_float(system: str, manifest: tuple[Manifest, Path]) -> None:
    made = [one for one in manifest[0].made() if one.model == system and "-int" in one.recipe]
    assert len(made) >= 5
    for entry in made:
        assert "stay" in entry.note and "float" in entry.note


@pytest.mark.slow
@pytest.mark.parametrize("system", ["cnn", "ecg-lens", "lstm"])
def test_only_full_int8_files_have_a_price_on_the_accelerator(system: str, manifest: tuple[Manifest, Path]) -> None:
    for entry in manifest[0].made():
        if entry.model == system:
            full = entry.recipe == "tflite-int8-full"
            assert (entry.price.ethos is not None) == full
            assert full <= (entry.price.micro is not None)
    ethos = entry_of(manifest[0], f"{system}/tflite-int8-full").price.ethos
    assert ethos.cpu_operators == () and ethos.cycles > 0 and ethos.evidence == "compiler-estimate"


@pytest.mark.slow
def test_mixed_files_keep_the_most_sensitive_layers(manifest: tuple[Manifest, Path]) -> None:
    for recipe in MIXED:
        layers = entry_of(manifest[0], f"ecg-lens/{recipe}").layers
        assert [layer.kept for layer in layers] == [True, True] + [False] * (len(layers) - 2)
        assert [layer.error for layer in layers] == sorted((layer.error for layer in layers), reverse=True)
        assert max(layer.bytes_cost for layer in layers) > 0


@pytest.mark.slow
def test_a_second_run_makes_nothing(
    manifest: tuple[Manifest, Path], trained: dict[str, Trained], recordings: Recordings
) -> None:
    everything = {name: dataclasses.replace(model, recipes=None) for name, model in trained.items()}
    before = {path: path.stat().st_mtime_ns for path in manifest[1].rglob("*")}
    assert export_study(small_study(recipes=ASKED), recordings, everything, manifest[1]) == manifest[0]
    assert {path: path.stat().st_mtime_ns for path in manifest[1].rglob("*")} == before


@pytest.mark.slow
def test_three_seeds_are_three_files(trained: dict[str, Trained], recordings: Recordings, tmp_path: Path) -> None:
    study = small_study(recipes=["onnx-fp32", "onnx-int8-static"], calibration_seeds=3)
    made = {one.recipe: one for one in export_study(study, recordings, {"cnn": trained["cnn"]}, tmp_path).made()}
    names = ["onnx-int8-static", "onnx-int8-static+seed2", "onnx-int8-static+seed3"]
    assert list(made) == ["onnx-fp32", *names]
    assert [made[name].calibration.seed for name in names] == [1, 2, 3]
    assert len({made[name].sha256 for name in names}) == 3
