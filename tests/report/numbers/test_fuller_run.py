"""Which run of another device is fuller, and on which files its scores agree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulseproof.report.answers.questions import answers
from pulseproof.report.gate.bounds import Bounds, gate
from pulseproof.report.numbers.evaluation import evaluate
from pulseproof.report.numbers.fuller_run import Fuller
from tests.bench.making import audit, give, make_build, scores_of_auc, write_result

FP32, INT8 = "cnn/onnx-fp32", "cnn/onnx-int8-static"
PI4 = {"name": "pi4", "evidence": "measured-on-device", "fingerprint": {"cpu": "Cortex-A72"}}
Change = Callable[[str, np.ndarray], np.ndarray | None]


def on_pi4(build: Path, head: dict[str, Any], change: Change, sets: tuple[str, ...] | None = None) -> None:
    """The host's scores on pi4, as ``change(artifact, scores)`` makes them."""
    for artifact in head["artifacts"]:
        for signals in head["signals"]:
            path = build / "results/host" / artifact["name"].replace("/", "__") / f"{signals['name']}.npy"
            scores = change(artifact["name"], np.load(path))
            if scores is not None and (sets is None or signals["name"] in sets):
                write_result(build / "results/pi4", head, artifact, signals, scores, device=PI4)


CASES: dict[str, tuple[Change, tuple[str, ...] | None, tuple[set[str], set[str]] | None]] = {
    "fewer recordings": (lambda _, scores: scores[:40], None, ({FP32, INT8}, set())),
    "fewer sets": (lambda _, scores: scores, ("clean", "pgd-cnn-0.02mV"), ({FP32, INT8}, set())),
    "all of it": (lambda _, scores: scores, None, None),
    "within the order of additions": (
        lambda _, scores: (scores[:40] + np.float32(2e-7)).astype(np.float32),
        None,
        ({FP32, INT8}, set()),
    ),
    "one file is another model there": (
        lambda name, scores: scores[:40] + np.float32(0.1 * (name == INT8)),
        None,
        ({FP32}, {INT8}),
    ),
    "one file alone": (lambda name, scores: scores[:40] if name == FP32 else None, None, ({FP32}, set())),
}


@pytest.mark.parametrize("case", CASES)
def test_the_fuller_run_and_the_files_on_which_both_agree(tmp_path: Path, case: str) -> None:
    change, sets, expected = CASES[case]
    head = make_build(tmp_path)
    on_pi4(tmp_path, head, change, sets)
    evaluation = evaluate(tmp_path, 50)
    if expected is None:
        assert evaluation.fuller == {}
        return
    found = evaluation.fuller["pi4"]
    assert (found.device, set(found.agreed), set(found.apart)) == ("host", *expected)
    assert "host" not in evaluation.fuller
    assert {evaluation.auc_device("pi4", name) for name in expected[0]} == {"host"}
    assert {evaluation.auc_device("pi4", name) for name in expected[1]} <= {"pi4"}


def test_the_largest_difference_is_kept(tmp_path: Path) -> None:
    head = make_build(tmp_path)
    on_pi4(tmp_path, head, lambda _, scores: scores[:40] + np.float32(0.25))
    found = evaluate(tmp_path, 50).fuller["pi4"]
    assert isinstance(found, Fuller) and not found.agreed
    assert found.apart[FP32] == pytest.approx(0.25, rel=1e-5)


def test_neither_has_all_of_the_other(tmp_path: Path) -> None:
    """More recordings here, another signal set there: no run is fuller."""
    head = make_build(tmp_path)
    on_pi4(tmp_path, head, lambda _, scores: scores[:40])
    for path in (tmp_path / "results/host").glob("*/random-sign*"):
        path.unlink()
    assert evaluate(tmp_path, 50).fuller == {}


def test_the_gate_holds_a_device_by_the_fuller_run_and_says_so(tmp_path: Path) -> None:
    head = make_build(tmp_path)
    on_pi4(tmp_path, head, lambda _, scores: scores[:40], ("clean",))
    (auc, p50, attacked) = gate(
        evaluate(tmp_path, 50), Bounds(0.5, max_p50_ms=50.0, min_attacked_auc=((0.005, 0.1),)), [FP32], ["pi4"]
    )
    where = "(on host, 60 recordings; its scores on pi4 are the same)"
    assert (auc.held, p50.held, attacked.held) == (True, True, True)
    assert auc.found.endswith(where) and attacked.found.endswith(where) and where not in p50.found


def test_few_attacks_on_a_device_do_not_make_a_file_stronger_than_many_elsewhere(tmp_path: Path) -> None:
    """Its scores there are others, so its own AUCs count; under attack at most what the fuller run found."""
    head = make_build(tmp_path, budgets=(0.02,), n=400, patients=200, synthetic=False, note=None)
    for name in (FP32, INT8):
        give(tmp_path, head, name, "clean", 0.9)
        give(tmp_path, head, name, "pgd-cnn-0.02mV", 0.6)
    audit(tmp_path)
    on_pi4(tmp_path, head, lambda _, scores: np.where(scores > 0, 2, scores)[:100].astype(np.float32))
    for artifact in head["artifacts"]:  # a weaker attack there
        attack = next(each for each in head["signals"] if each["method"] == "pgd")
        labels = np.load(tmp_path / "bundle/labels.npy")
        scores = scores_of_auc(labels, 0.8)[:100]
        write_result(tmp_path / "results/pi4", head, artifact, attack, scores, device=PI4)
    evaluation = evaluate(tmp_path, 100)
    assert set(evaluation.fuller["pi4"].apart) == {FP32, INT8}
    found = answers(evaluation).recommendation
    assert found is not None and (found.device, found.auc_device, found.recordings) == ("pi4", "pi4", 100)
    (point,) = [each for each in found.front if each.artifact == found.artifact]
    assert point.auc_measured is not None and point.auc_measured > 0.7
    assert point.auc_attacked == evaluation.counted["host", found.artifact, 0.02].values[0]
    (said,) = [each for each in found.doubts if each.word == "other scores"]
    assert "Its scores on pi4 differ from those on host" in said.sentence
