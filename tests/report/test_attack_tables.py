"""The tables of the attacks for the docs: which numbers meet in a line, and that differences are paired."""

from __future__ import annotations

from pathlib import Path

from pulseproof.core.markdown import markdown
from pulseproof.report.numbers.evaluation import Evaluation, evaluate
from pulseproof.report.numbers.rows import Row
from pulseproof.report.numbers.texts import auc_text, difference_text, span
from pulseproof.report.tables.attacks import controls_markdown, methods_markdown, twins_markdown
from tests.bench.making import give, make_build

FILE = "cnn/onnx-int8-static"


def row(evaluation: Evaluation, artifact: str, method: str, source: str | None, budget: float = 0.02) -> Row:
    (found,) = [
        each
        for each in evaluation.rows
        if (each.artifact, each.method, each.source, each.budget_mv) == (artifact, method, source, budget)
    ]
    return found


def lines(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("|")
    ]


def test_a_file_attacked_itself_beside_transfer_and_queries(tmp_path: Path) -> None:
    further = [("twin", FILE), ("square", FILE), ("twin", "cnn/tflite-int8-static")]
    recipes = ("onnx-fp32", "onnx-int8-static", "tflite-int8-static")
    head = make_build(tmp_path, models=("cnn", "lstm"), recipes=recipes, sources=("cnn", "lstm"), further=further)
    for name, share in (("pgd-cnn", 0.4), ("twin-cnn.onnx-int8-static", 0.5), ("square-cnn.onnx-int8-static", 0.2)):
        give(tmp_path, head, FILE, f"{name}-0.02mV", share)
    evaluation = evaluate(tmp_path, 100)
    table = lines(twins_markdown(evaluation))
    assert [line[:2] for line in table[2:]] == [
        [name, f"{budget:g} mV"] for name in (FILE, "cnn/tflite-int8-static") for budget in (0.005, 0.02)
    ]
    twin, parent = row(evaluation, FILE, "twin", FILE), row(evaluation, FILE, "pgd", "cnn")
    square, noise = row(evaluation, FILE, "square", FILE), row(evaluation, FILE, "random-sign", None)
    assert table[3][:-2] == [
        FILE,
        "0.02 mV",
        "52 uV",
        auc_text(row(evaluation, FILE, "clean", None, 0.0).auc),
        auc_text(noise.auc),
        f"{auc_text(square.auc)} (480)",
        auc_text(parent.auc),
        auc_text(twin.auc),
        auc_text(parent.auc),  # the lower of twin and transfer; queries are an alarm, not the reported number
        markdown(difference_text(evaluation.difference(twin, parent))),
        markdown(difference_text(evaluation.difference(square, noise))),
    ]
    assert table[3][-2:] == [f"{row(evaluation, FILE, 'clean', None, 0.0).disagreement:.1%}", "-"]
    assert table[5][5] == "-"  # no queries of that file


def test_without_an_attacked_file_the_page_says_so(tmp_path: Path) -> None:
    make_build(tmp_path)
    text = twins_markdown(evaluate(tmp_path, 100))
    assert "No deployed file was attacked itself." in text
    assert "SYNTHETIC" in text


def test_each_model_beside_its_controls(tmp_path: Path) -> None:
    controls = ("random-sign", "noise-bw")
    head = make_build(tmp_path, models=("cnn", "lstm"), sources=("cnn", "lstm"), controls=controls, budgets=(0.02,))
    give(tmp_path, head, "cnn/onnx-fp32", "pgd-lstm-0.02mV", 0.05)
    give(tmp_path, head, "cnn/onnx-fp32", "noise-bw-0.02mV", 0.4)
    evaluation = evaluate(tmp_path, 100)
    table = lines(controls_markdown(evaluation))
    assert [line[0] for line in table[2:]] == ["cnn/onnx-fp32", "lstm/onnx-fp32"]
    assert table[0][5:8] == ["worst case", "random-sign", "noise-bw"]
    attack, noise = row(evaluation, "cnn/onnx-fp32", "pgd", "lstm"), row(evaluation, "cnn/onnx-fp32", "noise-bw", None)
    assert table[2][3:5] == [auc_text(attack.auc), "pgd, transfer"]
    assert table[2][7] == auc_text(noise.auc)
    assert table[2][8] == difference_text(evaluation.difference(attack, noise))


def test_methods_on_the_model_itself_with_how_far_and_how_plausible_they_are(tmp_path: Path) -> None:
    further = [("pgd-l2", "cnn"), ("smooth", "cnn"), ("twin", FILE), ("smooth", "lstm")]
    make_build(tmp_path, models=("cnn", "lstm"), sources=("cnn", "lstm"), further=further)
    evaluation = evaluate(tmp_path, 100)
    table = lines(methods_markdown(evaluation, 0.02))
    assert [line[:2] for line in table[2:]] == [
        *(["cnn/onnx-fp32", method] for method in ("pgd", "pgd-l2", "smooth", "random-sign", "worst-case")),
        *(["lstm/onnx-fp32", method] for method in ("pgd", "smooth", "random-sign", "worst-case")),
    ]
    smooth = row(evaluation, "cnn/onnx-fp32", "smooth", "cnn")
    numbers = [auc_text(smooth.auc), span(smooth.auc_low, smooth.auc_high), "0.04", "20.5", "0.75", "0.01"]
    assert table[4][2:] == numbers
    assert table[6][4:] == ["-"] * 4  # a worst case is no single signal set
