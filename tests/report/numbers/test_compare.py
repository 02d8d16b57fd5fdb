"""Comparisons: what is subtracted from what, the same numbers as a bootstrap written out, and what is no pair."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulseproof.core.statistics import difference
from pulseproof.core.statistics_verdict import holm
from pulseproof.report.answers.types import Comparison
from pulseproof.report.numbers.compare import Pair, Rows, compared, comparisons, devices_by_weight, with_recommended
from pulseproof.report.numbers.evaluation import Evaluation
from tests.bench.making import change_json
from tests.report.making_answers import BUDGET, evaluated, put, study

NAMES = ("cnn", "lstm", "random-forest")


def falling(artifact: dict[str, Any], signals: dict[str, Any]) -> float:
    """Attacks on the model itself hurt most, noise not at all."""
    if signals["source"] is None:
        return 2.0
    return 0.2 if signals["source"] == artifact["model"] else 1.0


def of(found: list[Comparison], kind: str) -> dict[tuple[str, str, str], Comparison]:
    return {(each.a, each.b, each.signals): each for each in found if each.kind == kind}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compare")
    recipes = ("onnx-fp32", "onnx-int8-static", "tflite-fp32")
    study(folder, falling, models=NAMES, recipes=recipes, sources=("cnn", "lstm"))
    return folder


@pytest.fixture(scope="module")
def evaluation(built: Path) -> Evaluation:
    return evaluated(built)


@pytest.fixture(scope="module")
def found(evaluation: Evaluation) -> list[Comparison]:
    return comparisons(evaluation, BUDGET)


WORST = f"worst-case-{BUDGET:g}mV"


def test_what_is_subtracted_from_what(found: list[Comparison]) -> None:
    assert set(of(found, "quantized-minus-float")) == {
        (f"{model}/onnx-int8-static", f"{model}/onnx-fp32", signals)
        for model in ("cnn", "lstm")  # the forest has no int8 file
        for signals in ("clean", WORST)
    }
    assert set(of(found, "tflite-minus-onnx")) == {
        (f"{model}/tflite-fp32", f"{model}/onnx-fp32", signals) for model in NAMES for signals in ("clean", WORST)
    }
    assert set(of(found, "deep-minus-classical")) == {
        (f"{deep}/onnx-fp32", "random-forest/onnx-fp32", signals)
        for deep in ("cnn", "lstm")
        for signals in ("clean", WORST)
    }
    files = ("onnx-fp32", "onnx-int8-static", "tflite-fp32")
    artifacts = {f"{model}/{recipe}" for model in ("cnn", "lstm") for recipe in files}
    artifacts |= {"random-forest/onnx-fp32", "random-forest/tflite-fp32"}
    assert set(of(found, "attacked-minus-clean")) == {(name, name, f"{WORST} minus clean") for name in artifacts}
    noise = f"random-sign-{BUDGET:g}mV"
    assert set(of(found, "attack-minus-control")) == {
        (f"{target}/onnx-fp32", f"{target}/onnx-fp32", f"pgd-{source}-{BUDGET:g}mV minus {noise}")
        for source in ("cnn", "lstm")
        for target in NAMES
        if source != target
    }
    assert not of(found, "device-minus-host")


def test_a_comparison_is_the_paired_bootstrap_of_its_scores(built: Path, found: list[Comparison]) -> None:
    labels, patients = np.load(built / "bundle/labels.npy"), np.load(built / "bundle/patients.npy")
    folder = built / "results" / "host"
    a, b = (np.load(folder / f"cnn__onnx-{name}" / "clean.npy") for name in ("int8-static", "fp32"))
    expected = difference(a, b, labels, patients, count=400, seed=1)
    each = of(found, "quantized-minus-float")["cnn/onnx-int8-static", "cnn/onnx-fp32", "clean"]
    assert (each.estimate, each.low, each.high) == (expected.estimate, expected.low, expected.high)
    assert each.low <= each.low90 <= each.high90 <= each.high
    assert (each.n, each.patients, each.device) == (600, len(np.unique(patients)), "host")


def test_p_values_are_corrected_for_all_of_a_kind(found: list[Comparison]) -> None:
    for kind in {each.kind for each in found}:
        family = [each for each in found if each.kind == kind]
        assert [each.p_adjusted for each in family] == holm([each.p for each in family])


def test_every_other_file_is_compared_with_the_recommended_one(evaluation: Evaluation) -> None:
    found = with_recommended(evaluation, "host", "cnn/onnx-fp32", BUDGET)
    assert {each.b for each in found} == {"cnn/onnx-fp32"}
    assert {(each.a, each.signals) for each in found} == {
        (name, signals)
        for name in Rows(evaluation, "host").artifacts
        if name != "cnn/onnx-fp32"
        for signals in ("clean", WORST)
    }


def test_without_attacks_there_is_only_what_is_clean(tmp_path: Path) -> None:
    study(tmp_path, falling, models=NAMES, budgets=(), controls=(), n=120)
    found = comparisons(evaluated(tmp_path), None)
    assert {each.kind for each in found} == {"quantized-minus-float", "deep-minus-classical"}
    assert {each.signals for each in found} == {"clean"}


DEVICE = {"name": "pi4", "evidence": "measured-on-device", "fingerprint": {"machine": "aarch64", "cpu": "A72"}}


def add_device(folder: Path, head: dict[str, Any], first: int | None, jitter: float = 0.0) -> None:
    for artifact in head["artifacts"]:
        put(folder, head, artifact, head["signals"][0], 2.0, jitter, "pi4", first, device=DEVICE)


@pytest.mark.parametrize("first", [None, 90])
def test_another_processor_is_compared_on_the_recordings_that_it_ran(tmp_path: Path, first: int | None) -> None:
    head = study(tmp_path, falling, n=200, jitter=0.1)
    add_device(tmp_path, head, first)
    evaluation = evaluated(tmp_path)
    found = of(comparisons(evaluation, BUDGET), "device-minus-host")
    each = found["cnn/onnx-fp32 on pi4", "cnn/onnx-fp32 on host", "clean"]
    labels, patients = np.load(tmp_path / "bundle/labels.npy"), np.load(tmp_path / "bundle/patients.npy")
    a, b = (np.load(tmp_path / f"results/{name}/cnn__onnx-fp32/clean.npy")[:first] for name in ("pi4", "host"))
    n = first or 200
    expected = difference(a, b, labels[:n], patients[:n], count=400, seed=1)
    assert (each.estimate, each.low, each.high) == (expected.estimate, expected.low, expected.high)
    assert (each.n, each.device, each.patients) == (n, "pi4", len(np.unique(patients[:n])))
    assert each.estimate != 0


def test_what_a_device_measured_weighs_more_than_this_machine(tmp_path: Path) -> None:
    head = study(tmp_path, falling, n=120)
    add_device(tmp_path, head, None)
    evaluation = evaluated(tmp_path)
    assert devices_by_weight(evaluation) == ["pi4", "host"]
    found = comparisons(evaluation, BUDGET)
    assert {each.device for each in found if each.kind == "quantized-minus-float"} == {"pi4"}
    assert {each.device for each in found if each.kind == "attacked-minus-clean"} == {"host"}  # it ran no attack


def test_rows_of_other_recordings_are_no_pair(tmp_path: Path) -> None:
    head = study(tmp_path, falling, n=120)
    put(tmp_path, head, head["artifacts"][1], head["signals"][0], 2.0, first=80)
    evaluation = evaluated(tmp_path)
    rows = Rows(evaluation, "host")
    a, b = rows.clean("cnn/onnx-int8-static"), rows.clean("cnn/onnx-fp32")
    assert a is not None and b is not None and (a.n, b.n) == (80, 120)
    assert compared(evaluation, [Pair("quantized-minus-float", a, b)]) == []


def test_one_patient_allows_no_comparison(tmp_path: Path) -> None:
    study(tmp_path, falling, n=60, patients=1)
    assert comparisons(evaluated(tmp_path), BUDGET) == []


def test_a_stale_result_is_in_no_comparison(tmp_path: Path) -> None:
    study(tmp_path, falling, n=120)
    path = tmp_path / "results/host/cnn__onnx-int8-static/clean.json"
    change_json(path, artifact__sha256="0" * 64)
    found = of(comparisons(evaluated(tmp_path), BUDGET), "quantized-minus-float")
    assert {signals for _, _, signals in found} == {WORST}
