"""Source against target: which cells stand where, what is marked, and forms that other programs read back."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pulseproof.core.errors import InputError
from pulseproof.main import app
from pulseproof.report.numbers.evaluation import evaluate
from pulseproof.report.numbers.texts import auc_text, difference_text
from pulseproof.report.tables.matrix import TargetLine, as_csv, as_json, as_markdown, as_text, matrices, outside
from tests.bench.making import change_json, give, make_build

TWIN, SQUARE = ("twin", "cnn/onnx-int8-static"), ("square", "cnn/onnx-int8-static")


def target_of(build: Path, artifact: str, budget: float = 0.02) -> TargetLine:
    (matrix,) = matrices(evaluate(build, 100), budget)
    (found,) = [each for each in matrix.targets if each.artifact == artifact]
    return found


def test_source_against_target(tmp_path: Path) -> None:
    head = make_build(tmp_path, models=("cnn", "lstm"), recipes=("onnx-fp32",), sources=("cnn", "lstm"))
    wanted = {"clean": (0.9, 0.8), "random-sign-0.02mV": (0.85, 0.75), "pgd-cnn-0.02mV": (0.2, 0.5)}
    wanted |= {"pgd-lstm-0.02mV": (0.4, 0.1)}
    texts: dict[str, list[str]] = {"cnn/onnx-fp32": [], "lstm/onnx-fp32": []}
    for signals, shares in wanted.items():
        for artifact, share in zip(texts, shares, strict=True):
            texts[artifact].append(auc_text(give(tmp_path, head, artifact, signals, share)))
    evaluation = evaluate(tmp_path, 100)
    lines = as_text(evaluation, 0.02).splitlines()
    assert lines[0].startswith("Macro AUC at 0.02 mV")
    assert "SYNTHETIC" in lines[1]
    assert lines[3].split() == ["host", "clean", "random-sign", "cnn", "lstm", "worst-case"]
    worst = [auc_text(row.auc) for row in evaluation.rows if row.method == "worst-case" and row.budget_mv == 0.02]
    texts["cnn/onnx-fp32"][2] = f"[{texts['cnn/onnx-fp32'][2]}]*"
    texts["lstm/onnx-fp32"][3] = f"[{texts['lstm/onnx-fp32'][3]}]*"
    expected = [[name, *found, last] for (name, found), last in zip(texts.items(), worst, strict=True)]
    assert [line.split() for line in lines[4:]] == expected
    ends = [[match.end() for match in re.finditer(r"\S+", line)][1:] for line in lines[3:]]
    assert ends[0] == ends[1] == ends[2]  # numbers stand right below their column's name


def test_the_columns_of_a_target_are_those_of_its_own_files_and_of_all_others(tmp_path: Path) -> None:
    further = [("ensemble", "without-cnn"), ("ensemble", "without-lstm"), TWIN, SQUARE, ("pgd-l2", "cnn")]
    controls = ("random-sign", "noise-bw")
    make_build(tmp_path, models=("cnn", "lstm"), sources=("cnn", "lstm"), further=further, controls=controls)
    (matrix,) = matrices(evaluate(tmp_path, 100), 0.02)
    plain = ("clean", "random-sign", "noise-bw")
    files = ("twin:onnx-int8-static", "square:onnx-int8-static")
    assert matrix.columns == (*plain, "cnn", "lstm", "all-others", *files, "worst-case")
    assert matrix.attacks == {"cnn", "lstm", "all-others", *files}
    by_name = {each.artifact: each for each in matrix.targets}
    assert set(by_name["cnn/onnx-fp32"].rows) == set(matrix.columns)
    assert set(by_name["lstm/onnx-fp32"].rows) == set(matrix.columns) - set(files)
    assert by_name["cnn/onnx-fp32"].rows["all-others"].source == "without-cnn"
    assert by_name["lstm/onnx-fp32"].rows["all-others"].source == "without-lstm"
    assert by_name["cnn/onnx-fp32"].rows["cnn"].method == "pgd"  # not the one in the L2 ball
    assert by_name["cnn/onnx-fp32"].own == {"cnn"}
    assert by_name["cnn/onnx-int8-static"].own == {"cnn", *files}
    assert by_name["lstm/onnx-int8-static"].own == {"lstm"}


def test_the_lowest_of_several_methods_stands_in_a_cell(tmp_path: Path) -> None:
    head = make_build(tmp_path, recipes=("onnx-fp32",), budgets=(0.01, 0.02))
    signals = [
        each | ({"method": "smooth", "budget_mv": 0.02} if each["name"] == "pgd-cnn-0.01mV" else {})
        for each in head["signals"]
    ]
    change_json(tmp_path / "bundle" / "bundle.json", signals=signals)
    give(tmp_path, head, "cnn/onnx-fp32", "pgd-cnn-0.02mV", 0.5)
    lower = give(tmp_path, head, "cnn/onnx-fp32", "pgd-cnn-0.01mV", 0.1)
    cell = target_of(tmp_path, "cnn/onnx-fp32").rows["cnn"]
    assert (cell.method, cell.auc) == ("smooth", lower)


@pytest.mark.parametrize(
    ("shares", "strongest", "off"),
    [
        ((0.3, 0.5, 0.6), "cnn", False),
        ((0.5, 0.3, 0.6), "twin:onnx-int8-static", False),
        ((0.5, 0.5, 0.3), "lstm", True),
        ((0.5, 0.3, 0.3), "twin:onnx-int8-static", False),  # a tie goes to the diagonal
    ],
)
def test_the_strongest_attack_is_marked_and_told_when_it_is_off_the_diagonal(
    tmp_path: Path, shares: tuple[float, ...], strongest: str, off: bool
) -> None:
    head = make_build(tmp_path, models=("cnn", "lstm"), sources=("cnn", "lstm"), further=[TWIN], budgets=(0.02,))
    sets = ("pgd-cnn-0.02mV", "twin-cnn.onnx-int8-static-0.02mV", "pgd-lstm-0.02mV")
    name = "cnn/onnx-int8-static"
    for signals, share in zip(sets, shares, strict=True):
        give(tmp_path, head, name, signals, share)
    target = target_of(tmp_path, name)
    assert (target.strongest, target.outside) == (strongest, off)
    assert [column for column in target.rows if "*" in target.text(column)] == [strongest]
    assert [column for column in target.rows if "[" in target.text(column)] == ["cnn", "twin:onnx-int8-static"]
    evaluation = evaluate(tmp_path, 100)
    said = outside(evaluation, matrices(evaluation, 0.02)[0])
    about = [each for each in said if each.startswith(f"{name}: ")]
    if off:
        best = min((target.rows["cnn"], target.rows["twin:onnx-int8-static"]), key=lambda row: row.auc or 0)
        by = difference_text(evaluation.difference(target.rows["lstm"], best))
        assert about == [f"{name}: lstm is stronger than what was made on it, by {by}."]
        assert about[0] in as_text(evaluation, 0.02)
    else:
        assert about == []


def test_a_difference_within_chance_is_not_called_stronger(tmp_path: Path) -> None:
    head = make_build(tmp_path, models=("cnn", "lstm"), sources=("cnn", "lstm"), budgets=(0.02,))
    give(tmp_path, head, "cnn/onnx-fp32", "pgd-cnn-0.02mV", 0.41)
    give(tmp_path, head, "cnn/onnx-fp32", "pgd-lstm-0.02mV", 0.4)
    evaluation = evaluate(tmp_path, 100)
    target = target_of(tmp_path, "cnn/onnx-fp32")
    difference = evaluation.difference(target.rows["lstm"], target.rows["cnn"])
    (said,) = [each for each in outside(evaluation, matrices(evaluation, 0.02)[0]) if each.startswith("cnn/onnx-fp32:")]
    assert target.strongest == "lstm" and difference is not None and difference.low < 0 <= difference.high
    assert said.endswith(
        f"lstm reaches the lowest AUC, within chance of what was made on it ({difference_text(difference)})."
    )


def test_a_model_that_is_no_source_has_no_diagonal(tmp_path: Path) -> None:
    make_build(tmp_path, models=("cnn", "decision-tree"), sources=("cnn",))
    target = target_of(tmp_path, "decision-tree/onnx-fp32")
    assert (target.own, target.strongest, target.outside) == (frozenset(), "cnn", False)


def test_a_dash_stands_where_nothing_was_measured(tmp_path: Path) -> None:
    make_build(tmp_path, recipes=("onnx-fp32",))
    (tmp_path / "results" / "host" / "cnn__onnx-fp32" / "pgd-cnn-0.02mV.json").unlink()
    evaluation = evaluate(tmp_path, 100)
    assert as_text(evaluation, 0.02).splitlines()[-1].endswith(" -")
    assert target_of(tmp_path, "cnn/onnx-fp32").strongest is None


def test_csv_and_json_hold_the_numbers_in_full(tmp_path: Path) -> None:
    make_build(tmp_path, models=("cnn", "lstm"), sources=("cnn", "lstm"), further=[TWIN], budgets=(0.02,))
    evaluation = evaluate(tmp_path, 100)
    (matrix,) = matrices(evaluation, 0.02)
    lines = list(csv.DictReader(io.StringIO(as_csv(evaluation, 0.02))))
    objects = json.loads(as_json(evaluation, 0.02))
    assert len(lines) == len(objects) == len(matrix.targets)
    for line, each, target in zip(lines, objects, matrix.targets, strict=True):
        assert line["device"] == each["device"] == "host"
        assert line["target"] == each["target"] == target.artifact
        for column in matrix.columns:
            value = target.rows[column].auc if column in target.rows else None
            assert each["auc"][column] == value
            assert line[column] == ("" if value is None else str(value))
        assert set(line["diagonal"].split()) == set(each["diagonal"]) == target.own
        assert line["strongest"] == each["strongest"] == target.strongest


def test_markdown_has_a_line_a_target_and_no_mark_becomes_markup(tmp_path: Path) -> None:
    make_build(tmp_path, models=("cnn", "lstm"), sources=("cnn", "lstm"), further=[TWIN], budgets=(0.02,))
    evaluation = evaluate(tmp_path, 100)
    (matrix,) = matrices(evaluation, 0.02)
    table = [line for line in as_markdown(evaluation, 0.02).splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(matrix.targets)
    assert all(line.count("|") == len(matrix.columns) + 2 for line in table)
    assert not re.search(r"(?<!\\)\*", "".join(table))


@pytest.mark.parametrize(
    ("synthetic", "note"), [(True, "12 records; SYNTHETIC"), (False, "subset of 2,943 records"), (True, "12 records")]
)
def test_the_note_stands_above_every_form(tmp_path: Path, synthetic: bool, note: str) -> None:
    make_build(tmp_path, synthetic=synthetic, note=note)
    evaluation = evaluate(tmp_path, 100)
    for text in (as_text(evaluation, 0.02), as_markdown(evaluation, 0.02)):
        assert note.replace("SYNTHETIC", "").strip("; ") in text
        assert ("SYNTHETIC" in text) is synthetic


@pytest.mark.parametrize("budget", [0.03, 0.0, -0.02, float("nan")])
def test_an_unknown_budget_is_answered_with_those_there_are(tmp_path: Path, budget: float) -> None:
    make_build(tmp_path)
    with pytest.raises(InputError) as caught:
        as_text(evaluate(tmp_path, 100), budget)
    assert f"{budget:g} mV" in caught.value.what
    assert caught.value.mend == "budgets there: 0.005 mV, 0.02 mV"


def test_each_device_has_a_matrix(tmp_path: Path) -> None:
    make_build(tmp_path)
    (tmp_path / "results" / "pi4").mkdir()
    assert [each.device for each in matrices(evaluate(tmp_path, 100), 0.02)] == ["host", "pi4"]


STUDY = """
name = "made"
title = "A made study"
[data]
source = "synthetic"
[models.cnn]
[bench]
bootstrap = 100
"""


@pytest.mark.parametrize(
    ("form", "begins"),
    [("terminal", "Macro AUC at 0.02 mV"), ("csv", "device,target,budget_mv,"), ("json", "["), ("markdown", "**SYN")],
)
def test_the_command_prints_the_matrix_in_every_form(tmp_path: Path, form: str, begins: str) -> None:
    make_build(tmp_path / "made")
    (tmp_path / "made.toml").write_text(STUDY)
    asked = ["table", "--study", str(tmp_path / "made.toml"), "--build", str(tmp_path), "--matrix", "0.02"]
    done = CliRunner().invoke(app, [*asked, "--format", form])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(begins)
