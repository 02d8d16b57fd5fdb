"""What a file counts for: through what it was attacked, to which file it is held, and the interval of that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pulseproof.core.statistics import percentiles
from pulseproof.report.answers.questions import answers
from pulseproof.report.numbers.attacked_through import Through, counted_worst, lower_of, made_of, through_of
from pulseproof.report.numbers.evaluation import Evaluation, evaluate
from pulseproof.report.numbers.rows import Row
from pulseproof.report.tables.remarks import remarks
from tests.bench.making import audit, give, make_build
from tests.report.making_answers import set_latency

FP32, INT8, DYNAMIC = "cnn/onnx-fp32", "cnn/onnx-int8-static", "cnn/onnx-int8-dynamic"
TFLITE = "cnn/tflite-fp32"


def attack(recipe: str, method: str, source: str, auc: float | None = 0.6) -> Row:
    return Row(
        device="host",
        model="cnn",
        recipe=recipe,
        method=method,
        source=source,
        budget_mv=0.02,
        linf_mv=0.02,
        auc=auc,
        signals=f"{method}-{source}",
    )


@pytest.mark.parametrize(
    ("recipe", "attacks", "through"),
    [
        ("onnx-fp32", [("pgd", "cnn")], "itself"),
        ("tflite-fp32", [("pgd", "cnn")], "itself"),
        ("onnx-int8-static", [("pgd", "cnn")], "parent"),
        ("onnx-int8-static", [("pgd", "cnn"), ("twin", "cnn/onnx-int8-static")], "itself"),
        ("onnx-int8-static", [("pgd", "cnn"), ("square", "cnn/onnx-int8-static")], "parent"),
        ("onnx-int8-static", [("twin", "cnn/tflite-int8-static")], "sibling"),
        ("onnx-fp32", [("square", "cnn/onnx-fp32"), ("pgd", "lstm")], "others"),
        ("onnx-fp32", [("square", "cnn")], "others"),
        ("onnx-fp32", [("ensemble", "without-cnn")], "others"),
        ("onnx-fp32", [], "others"),
        ("tflite-as-given", [("twin", "cnn")], "itself"),  # the file is the model
    ],
)
def test_through_what_a_file_was_attacked(recipe: str, attacks: list[tuple[str, str]], through: Through) -> None:
    assert through_of([attack(recipe, *each) for each in attacks]) == through
    assert through_of([attack(recipe, *each, auc=None) for each in attacks]) == "others"  # asked for and not measured


def test_queries_on_the_model_are_queries() -> None:
    assert made_of(attack("onnx-fp32", "square", "cnn")) == "queries"


def test_the_lower_of_two_runs_is_taken_in_pairs() -> None:
    one, other = np.array([0.6, 0.5, 0.7]), np.array([0.65, 0.45, 0.6])
    assert lower_of(one, 10, other, 10).tolist() == [0.6, 0.45, 0.6]
    assert lower_of(one, 10, other, 9) is one  # other recordings are no pair
    assert lower_of(other, 10, one, 9) is one


def counted_rows(evaluation: Evaluation) -> dict[str, Row]:
    return {row.artifact: row for row in evaluation.rows if row.method == "worst-case"}


def test_a_file_is_held_to_its_float_parent_in_pairs_over_patients(tmp_path: Path) -> None:
    head = make_build(tmp_path, budgets=(0.02,), n=400, patients=200)
    give(tmp_path, head, FP32, "pgd-cnn-0.02mV", 0.6)
    give(tmp_path, head, INT8, "pgd-cnn-0.02mV", 0.7)
    evaluation = evaluate(tmp_path, 200)
    rows = counted_rows(evaluation)
    own, parent = (evaluation.resampled["host", name, "worst-case-0.02mV"] for name in (INT8, FP32))
    together = np.minimum(own, parent)
    assert rows[INT8].auc == own[0] and rows[INT8].auc_counted == together[0] == rows[FP32].auc
    assert (rows[INT8].auc_counted_low, rows[INT8].auc_counted_high) == percentiles(together[1:])
    assert (rows[INT8].attacked_through, rows[FP32].attacked_through) == ("parent", "itself")
    assert rows[FP32].auc_counted == rows[FP32].auc
    (said,) = [each for each in remarks(evaluation, "host") if each.startswith("^")]
    assert f"{INT8}: attacked through its float parent only" in said and "at 0.02 mV" in said


def test_a_file_that_keeps_less_than_its_parent_counts_what_it_keeps(tmp_path: Path) -> None:
    head = make_build(tmp_path, budgets=(0.02,), n=400, patients=200)
    give(tmp_path, head, FP32, "pgd-cnn-0.02mV", 0.7)
    give(tmp_path, head, INT8, "pgd-cnn-0.02mV", 0.6)
    row = counted_rows(evaluate(tmp_path, 200))[INT8]
    assert row.auc_counted == row.auc


def test_each_budget_is_held_by_itself_and_the_loss_budgets_are_held_too(tmp_path: Path) -> None:
    head = make_build(tmp_path, budgets=(0.005, 0.02), further=[("twin", INT8)], n=400, patients=200)
    for name in (FP32, INT8):
        give(tmp_path, head, name, "clean", 0.9)
        for budget, float_auc, own in ((0.005, 0.8, 0.89), (0.02, 0.6, 0.7)):
            for method in (f"pgd-cnn-{budget:g}mV", f"twin-cnn.onnx-int8-static-{budget:g}mV"):
                give(tmp_path, head, name, method, float_auc if name == FP32 else own)
    (tmp_path / "results/host/cnn__onnx-int8-static/twin-cnn.onnx-int8-static-0.005mV.json").unlink()
    evaluation = evaluate(tmp_path, 200)
    by_budget = {row.budget_mv: row for row in evaluation.rows if row.artifact == INT8 and row.method == "worst-case"}
    assert {budget: row.attacked_through for budget, row in by_budget.items()} == {0.005: "parent", 0.02: "itself"}
    assert by_budget[0.02].auc_counted == by_budget[0.02].auc
    clean = {row.artifact: row for row in evaluation.rows if row.method == "clean"}
    assert clean[INT8].loss_budget == "< 0.005 mV" == clean[FP32].loss_budget  # by itself: .89 at .005 mV
    assert clean[INT8].loss_budget_mv is None
    assert clean[INT8].attacked_through == "parent"
    assert clean[INT8].chance_budget is not None and clean[INT8].chance_budget.startswith("> 0.02 mV")


def test_without_an_attacked_parent_the_sibling_that_was_attacked_hardest_bounds_it(tmp_path: Path) -> None:
    options = {"recipes": ("onnx-int8-static", "onnx-int8-dynamic"), "sources": ("lstm",)}
    head = make_build(tmp_path, budgets=(0.02,), further=[("twin", INT8)], n=400, patients=200, **options)
    for signals in ("pgd-lstm-0.02mV", "twin-cnn.onnx-int8-static-0.02mV"):
        give(tmp_path, head, INT8, signals, 0.55)
        give(tmp_path, head, DYNAMIC, signals, 0.7)
    evaluation = evaluate(tmp_path, 200)
    found = evaluation.counted["host", DYNAMIC, 0.02]
    assert (found.through, found.held_to) == ("sibling", INT8)
    assert found.values[0] == counted_rows(evaluation)[INT8].auc


def test_the_float_file_of_the_same_format_comes_before_another(tmp_path: Path) -> None:
    recipes = ("onnx-fp32", "tflite-fp32", "tflite-int8-static")
    make_build(tmp_path, budgets=(0.02,), recipes=recipes)
    evaluation = evaluate(tmp_path, 100)
    assert evaluation.counted["host", "cnn/tflite-int8-static", 0.02].held_to == TFLITE
    rows = [row for row in evaluation.rows if row.artifact != TFLITE]
    assert counted_worst(rows, evaluation.resampled)["host", "cnn/tflite-int8-static", 0.02].held_to == FP32


def test_a_model_that_nobody_attacked_by_gradient_does_not_win_for_that(tmp_path: Path) -> None:
    """It seems to keep .85 because nothing was made on it; the one that was attacked keeps .7 and is faster."""
    models = ("cnn", "random-forest")
    options = {"models": models, "recipes": ("onnx-fp32",), "synthetic": False, "note": None}
    head = make_build(tmp_path, budgets=(0.02,), n=2000, patients=1000, **options)
    for name, attacked in (("cnn/onnx-fp32", 0.7), ("random-forest/onnx-fp32", 0.85)):
        give(tmp_path, head, name, "clean", 0.9)
        give(tmp_path, head, name, "pgd-cnn-0.02mV", attacked)
    audit(tmp_path)
    set_latency(tmp_path, onnx_fp32=1.0)
    found = answers(evaluate(tmp_path, 200)).recommendation
    assert found is not None
    points = {each.artifact: each for each in found.front}
    forest = points["random-forest/onnx-fp32"]
    assert (forest.through, forest.held_to) == ("others", None)
    assert forest.auc_attacked == points["cnn/onnx-fp32"].auc_attacked
    assert forest.auc_measured == pytest.approx(0.85, abs=0.01)
