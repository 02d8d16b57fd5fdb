"""The gate: each bound on either side of a known number, what is missing or doubted, and what a CI system reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from typer.testing import CliRunner

from pulseproof.core.errors import InputError
from pulseproof.main import app
from pulseproof.report.gate.bounds import Bounds, BudgetBound, Check, attacked_bound, budget_bound, gate
from pulseproof.report.gate.report import as_junit, as_summary
from pulseproof.report.numbers.evaluation import evaluate
from tests.bench.making import audit, change_json, flag, give, make_build, scores_of_auc, write_result

FLOAT, INT8 = "cnn/onnx-fp32", "cnn/onnx-int8-static"


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """Known numbers: float .9 clean, int8 .8; both .6 under PGD at .005 mV and .4 at .02 mV."""
    folder = tmp_path / "made"
    head = make_build(folder)
    for artifact, clean in ((FLOAT, 0.9), (INT8, 0.8)):
        give(folder, head, artifact, "clean", clean)
        give(folder, head, artifact, "pgd-cnn-0.005mV", 0.6)
        give(folder, head, artifact, "pgd-cnn-0.02mV", 0.4)
    return folder


def held(build: Path, **bounds: Any) -> dict[str, bool]:
    return {check.artifact: check.held for check in gate(evaluate(build, 100), Bounds(**bounds))}


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"min_auc": 0.7}, {FLOAT: True, INT8: True}),
        ({"min_auc": 0.85}, {FLOAT: True, INT8: False}),
        ({"max_auc_drop": 0.2}, {INT8: True}),  # a float file has no parent to lose anything to
        ({"max_auc_drop": 0.05}, {INT8: False}),
        ({"max_p50_ms": 5.0}, {FLOAT: True, INT8: True}),
        ({"max_p50_ms": 0.3}, {FLOAT: False, INT8: False}),
        ({"max_p99_ms": 5.0}, {FLOAT: True, INT8: True}),
        ({"max_p99_ms": 0.3}, {FLOAT: False, INT8: False}),
        ({"max_size_bytes": 1000}, {FLOAT: False, INT8: True}),
        ({"min_attacked_auc": ((0.005, 0.5),)}, {FLOAT: True, INT8: True}),
        ({"min_attacked_auc": ((0.02, 0.5),)}, {FLOAT: False, INT8: False}),
        ({"min_attacked_auc": ((0.01, 0.1),)}, {FLOAT: False, INT8: False}),  # nothing was measured there
    ],
)
def test_bounds(build: Path, bounds: dict[str, Any], expected: dict[str, bool]) -> None:
    assert held(build, **bounds) == expected


def test_strict_takes_the_unfavourable_end(build: Path) -> None:
    row = next(row for row in evaluate(build, 100).rows if row.artifact == FLOAT and row.method == "clean")
    assert row.auc is not None and row.auc_low is not None and row.auc_low < row.auc
    bound = (row.auc + row.auc_low) / 2
    assert held(build, min_auc=bound)[FLOAT]
    assert not held(build, min_auc=bound, strict=True)[FLOAT]


def test_a_doubtful_attack_holds_nothing(build: Path) -> None:
    asked = {"min_attacked_auc": ((0.005, 0.5),)}
    audit(build, flag("zero-gradient", FLOAT, source="cnn", method="pgd", budget_mv=0.005))
    assert held(build, **asked) == {FLOAT: False, INT8: True}
    (check,) = gate(evaluate(build, 100), Bounds(**asked), [FLOAT])
    assert "but it is flagged: zero-gradient" in check.found
    audit(build, flag("zero-gradient", FLOAT, source="cnn", method="pgd", budget_mv=0.02))
    assert held(build, **asked) == {FLOAT: True, INT8: True}


def test_a_run_that_is_missing_holds_nothing(tmp_path: Path) -> None:
    head = make_build(tmp_path / "made", sources=("cnn", "lstm"), models=("cnn", "lstm"))
    give(tmp_path / "made", head, FLOAT, "pgd-cnn-0.005mV", 0.6)
    bounds = Bounds(min_attacked_auc=((0.005, 0.1),))
    assert all(check.held for check in gate(evaluate(tmp_path / "made", 100), bounds, [FLOAT]))
    (tmp_path / "made/results/host/cnn__onnx-fp32/pgd-lstm-0.005mV.json").unlink()
    (check,) = gate(evaluate(tmp_path / "made", 100), bounds, [FLOAT])
    assert (check.held, "not every attack at this budget was measured" in check.found) == (False, True)


def test_transfer_alone_holds_nothing(tmp_path: Path) -> None:
    make_build(tmp_path / "made", sources=("lstm",), models=("cnn", "lstm"))
    checks = gate(evaluate(tmp_path / "made", 100), Bounds(min_attacked_auc=((0.005, 0.1),)), ["*/onnx-fp32"])
    found = {check.artifact: check for check in checks}
    assert found["lstm/onnx-fp32"].held
    assert not found[FLOAT].held
    assert "no attack on this model itself was measured" in found[FLOAT].found


def test_a_device_that_got_a_part_and_gives_no_latency(build: Path) -> None:
    head = json.loads((build / "bundle/bundle.json").read_text())
    labels = np.load(build / "bundle/labels.npy")
    artifact = next(each for each in head["artifacts"] if each["name"] == FLOAT)
    for signals in head["signals"]:
        if signals["name"] in ("clean", "pgd-cnn-0.005mV"):
            path = write_result(build / "results/arm", head, artifact, signals, scores_of_auc(labels, 0.7))
            change_json(path, device__evidence="emulated-count", latency_ms=None, load_ms=None, first_ms=None)
    bounds = Bounds(max_p99_ms=100.0, min_attacked_auc=((0.005, 0.5),))
    latency, attacked = gate(evaluate(build, 100), bounds, [FLOAT], ["arm"])
    assert (latency.held, latency.found) == (False, "no latency (emulated-count)")
    assert attacked.held


def test_a_file_that_does_not_run_holds_nothing(build: Path) -> None:
    head = json.loads((build / "bundle/bundle.json").read_text())
    artifact = next(each for each in head["artifacts"] if each["name"] == FLOAT)
    for signals in head["signals"]:
        write_result(build / "results/host", head, artifact, signals, None)
    (check,) = gate(evaluate(build, 100), Bounds(min_auc=0.1), [FLOAT])
    assert check == Check("host", FLOAT, "runs", False, "failed: engine: operator not known")


@pytest.mark.parametrize(("text", "expected"), [(".6@0.01mV", (0.01, 0.6)), ("0.55@1 mV", (1.0, 0.55))])
def test_attacked_bounds(text: str, expected: tuple[float, float]) -> None:
    assert attacked_bound(text) == expected


@pytest.mark.parametrize("text", ["", ".6", "6@0.01mV", ".6@0mV", ".6@0.01", "x@0.01mV", ".6.6@0.01mV", "-.6@0.01mV"])
def test_what_is_no_attacked_bound(text: str) -> None:
    with pytest.raises(InputError, match="not an AUC at a budget"):
        attacked_bound(text)


def test_wrong_use(build: Path, tmp_path: Path) -> None:
    evaluation = evaluate(build, 100)
    with pytest.raises(InputError, match="no bound is given"):
        gate(evaluation, Bounds(strict=True))
    with pytest.raises(InputError, match="no artifact matches 'lstm/"):
        gate(evaluation, Bounds(min_auc=0.5), ["lstm/*"])
    with pytest.raises(InputError, match="no device matches 'pi'"):
        gate(evaluation, Bounds(min_auc=0.5), devices=["pi"])


CHECKS = (
    Check("pi4", FLOAT, "p99 at most 20 ms", True, "p99 3.1 ms"),
    Check("pi4", INT8, "clean AUC at least .900", False, "clean AUC .8 <&> | .9"),
    Check("host", INT8, "p99 at most 20 ms", True, "p99 1.1 ms"),
)


def test_junit() -> None:
    root = ElementTree.fromstring(as_junit(CHECKS, "a study"))
    assert (root.tag, root.attrib) == ("testsuites", {"name": "a study", "tests": "3", "failures": "1"})
    assert [(suite.get("name"), suite.get("tests"), suite.get("failures")) for suite in root] == [
        ("pi4", "2", "1"),
        ("host", "1", "0"),
    ]
    (failure,) = root.iter("failure")
    assert failure.get("message") == "clean AUC .8 <&> | .9"
    assert [case.get("classname") for case in root.iter("testcase")] == [FLOAT, INT8, INT8]


def test_summary() -> None:
    said = as_summary(CHECKS, "a study").splitlines()
    assert said[2] == "1 of 3 checks do not hold."
    assert said[6] == r"| cnn/onnx-int8-static | pi4 | clean AUC at least .900 | clean AUC .8 \<&\> \| .9 | **no** |"
    assert "All 2 checks hold." in as_summary((CHECKS[0], CHECKS[2]), "a study")


def test_the_command(build: Path, tmp_path: Path) -> None:
    study = tmp_path / "made.toml"
    study.write_text('name = "made"\ntitle = "A made study"\n[data]\nsource = "synthetic"\n[models.cnn]\n')
    common = ["gate", "--study", str(study), "--build", str(tmp_path), "--artifact", INT8]
    summary, junit = tmp_path / "summary.md", tmp_path / "junit.xml"
    summary.write_text("before\n")
    run = CliRunner(env={"GITHUB_STEP_SUMMARY": str(summary)})
    done = run.invoke(app, [*common, "--max-size-bytes", "1000"])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"ok     {INT8} on host: at most 1,000 bytes: 400 bytes")
    done = run.invoke(app, [*common, "--max-size-bytes", "10", "--max-p99-ms", "20", "--junit", str(junit)])
    assert done.exit_code == 1
    assert "1 of 2 checks do not hold" in str(done.exception)
    assert ElementTree.parse(junit).getroot().get("failures") == "1"
    assert summary.read_text().startswith("before\n### Pulseproof gate: A made study")


@pytest.fixture
def curve(tmp_path: Path) -> Path:
    """The float file: .9 clean, .8 at .01 mV, .6 at .1 mV, .05 at 1 mV, so .05 is lost below .01 mV, .2 at 10 ** -1.5
    mV, and .5 is crossed at .15 mV. The int8 file, attacked through its float parent alone, seems to lose nothing."""
    folder = tmp_path / "made"
    head = make_build(folder, budgets=(0.01, 0.1, 1.0), n=1000, patients=500)
    for artifact, aucs in ((FLOAT, (0.9, 0.8, 0.6, 0.05)), (INT8, (0.9, 0.9, 0.9, 0.9))):
        for signals, auc in zip(("clean", "pgd-cnn-0.01mV", "pgd-cnn-0.1mV", "pgd-cnn-1mV"), aucs, strict=True):
            give(folder, head, artifact, signals, auc)
    audit(folder)
    return folder


@pytest.mark.parametrize(
    ("asked", "held", "said"),
    [
        (".01mV@-.2", True, "loses 0.2 of AUC at 0.03"),
        (".03mV@-.2", True, "loses 0.2 of AUC at 0.03"),
        (".034mV@-.2", False, "loses 0.2 of AUC at 0.03"),
        (".01mV@-.05", False, "loses 0.05 of AUC below 0.01 mV"),
        (".001mV@-.05", False, "loses 0.05 of AUC below 0.01 mV"),  # not known to be lost only above that
        (".02mV@.5", True, "crosses an AUC of 0.5 at 0.15"),
        (".1mV@.5", True, "crosses an AUC of 0.5 at 0.15"),
        (".2mV@.5", False, "crosses an AUC of 0.5 at 0.15"),
        (".02mV@.01", True, "crosses an AUC of 0.01 not up to 1 mV"),
        ("2mV@.01", False, "nothing was measured above 1 mV"),
        (".03mV@.7", True, "crosses an AUC of 0.7 at 0.03"),
        (".02mV@.95", False, "there is no such budget: its clean AUC is not above 0.95"),
    ],
)
def test_the_budget_at_which_auc_is_lost(curve: Path, asked: str, held: bool, said: str) -> None:
    for name in (FLOAT, INT8):  # which is held to its parent
        (check,) = gate(evaluate(curve, 100), Bounds(min_budget=(budget_bound(asked),)), [name])
        assert (check.held, said in check.found) == (held, True), check.found
        assert ("attacked through its float parent only" in check.found) == (
            name == INT8 and "no such budget" not in check.found
        )


def test_strict_takes_the_lower_end_of_a_budget(curve: Path) -> None:
    bounds = {"min_budget": (budget_bound(".031mV@-.2"),)}
    assert gate(evaluate(curve, 100), Bounds(**bounds), [FLOAT])[0].held
    assert not gate(evaluate(curve, 100), Bounds(**bounds, strict=True), [FLOAT])[0].held


def test_a_doubtful_attack_below_the_budget_holds_nothing(curve: Path) -> None:
    bounds = Bounds(min_budget=(budget_bound(".01mV@-.2"),))
    audit(curve, flag("zero-gradient", FLOAT, source="cnn", method="pgd", budget_mv=0.01))
    (check,) = gate(evaluate(curve, 100), bounds, [FLOAT])
    assert (check.held, "it is flagged: zero-gradient" in check.found) == (False, True)
    audit(curve, flag("zero-gradient", FLOAT, source="cnn", method="pgd", budget_mv=0.1))
    assert gate(evaluate(curve, 100), bounds, [FLOAT])[0].held  # the budget asked for rests on .01 mV alone


def test_a_budget_up_to_which_the_attack_never_broke_the_model_holds_nothing(tmp_path: Path) -> None:
    head = make_build(tmp_path / "made", budgets=(0.01, 0.1), n=1000, patients=500)
    for signals, auc in zip(("clean", "pgd-cnn-0.01mV", "pgd-cnn-0.1mV"), (0.9, 0.8, 0.6), strict=True):
        give(tmp_path / "made", head, FLOAT, signals, auc)
    audit(tmp_path / "made")
    (check,) = gate(evaluate(tmp_path / "made", 100), Bounds(min_budget=(budget_bound(".1mV@.5"),)), [FLOAT])
    assert not check.held
    assert "crosses an AUC of 0.5 not up to 0.1 mV, but it is flagged: not-at-collapse" in check.found
    (check,) = gate(evaluate(tmp_path / "made", 100), Bounds(min_budget=(budget_bound(".01mV@.8"),)), [FLOAT])
    assert "not-at-collapse" not in check.found  # which rests on the smaller budget alone


def test_the_attacked_auc_of_a_file_is_at_most_its_parents(curve: Path) -> None:
    (check,) = gate(evaluate(curve, 100), Bounds(min_attacked_auc=((0.01, 0.85),)), [INT8])
    assert not check.held
    assert f"{FLOAT}, to which it is held, keeps .80" in check.found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (".01mV@-.05", BudgetBound(0.01, loss=0.05)),
        (".02mV@.5", BudgetBound(0.02, auc=0.5)),
        ("1 mV@0.6", BudgetBound(1, auc=0.6)),
    ],
)
def test_budget_bounds(text: str, expected: BudgetBound) -> None:
    assert budget_bound(text) == expected


@pytest.mark.parametrize("text", ["", ".01mV", ".01@-.05", "0mV@-.05", ".01mV@0", ".01mV@1.5", ".01mV@-1", "x"])
def test_what_is_no_budget_bound(text: str) -> None:
    with pytest.raises(InputError, match="not a budget at a loss"):
        budget_bound(text)


def test_the_gate_says_at_which_budgets_only_the_float_parent_was_attacked(tmp_path: Path) -> None:
    head = make_build(tmp_path / "made", budgets=(0.01, 0.1), further=[("twin", INT8)], n=400, patients=200)
    for signals, auc in zip(("clean", "pgd-cnn-0.01mV", "pgd-cnn-0.1mV"), (0.9, 0.8, 0.6), strict=True):
        give(tmp_path / "made", head, INT8, signals, auc)
    (tmp_path / "made/results/host/cnn__onnx-int8-static/twin-cnn.onnx-int8-static-0.01mV.json").unlink()
    (check,) = gate(evaluate(tmp_path / "made", 100), Bounds(min_budget=(budget_bound(".01mV@.5"),)), [INT8])
    assert "attacked through its float parent only at 0.01 mV" in check.found
