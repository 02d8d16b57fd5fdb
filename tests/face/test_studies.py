"""``load_study``, ``run_study`` and ``answers_of``: the commands of the same work, from Python."""

from __future__ import annotations

from pathlib import Path

import pytest

import pulseproof as pp
from pulseproof.report.answers.text import as_text

STUDY = """
name = "tiny"
title = "A tiny study"

[data]
source = "synthetic"
records = 120

[models.logistic-regression]

[export]
recipes = ["onnx-fp32", "onnx-int8-dynamic"]
parity_records = 20

[attacks]
budgets_mv = [0.05]
steps = 2
references = 16

[bench]
bootstrap = 100
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(STUDY)
    return path


def test_a_study_that_is_wrong_or_was_not_run_is_refused(study: Path, tmp_path: Path) -> None:
    with pytest.raises(pp.InputError, match=r"none\.toml: no such study"):
        pp.load_study(str(tmp_path / "none.toml"))
    with pytest.raises(pp.InputError, match="no bundle there yet"):
        pp.answers_of(study, build=tmp_path / "build")
    study.write_text(STUDY.replace("steps = 2", "stepps = 2"))
    with pytest.raises(pp.InputError, match=r"unknown key 'attacks\.stepps'"):
        pp.load_study(study)


@pytest.mark.slow
def test_a_study_is_run_and_answers(study: Path, tmp_path: Path) -> None:
    loaded, build = pp.load_study(study), tmp_path / "build"
    assert loaded.attacks.budgets_mv == (0.05,)
    home = pp.run_study(loaded, build=str(build), workers=0)
    assert home == build / "tiny" and len(list((home / "results" / "host").glob("*/clean.json"))) == 2
    found = pp.answers_of(study, build=build)
    assert len(found.questions) == 6 and str(found) == as_text(found)
    assert found.recommendation is not None and found.recommendation.artifact in str(found)
    rows = pp.rows_of(study, build=build)
    assert set(rows["recipe"]) == {"onnx-fp32", "onnx-int8-dynamic"} and rows["auc"].between(0, 1).all()
    assert rows.loc[rows["method"] == "clean", "budget_mv"].tolist() == [0.0, 0.0]
    stamps = {path: path.stat().st_mtime_ns for path in home.rglob("*.json")}
    pp.run_study(str(study), build=build, workers=0)  # nothing is left to do
    assert {path for path in stamps if path.stat().st_mtime_ns != stamps[path]} <= {home / "results/host/device.json"}


@pytest.mark.slow
def test_a_study_of_which_no_file_can_be_made_is_refused(study: Path, tmp_path: Path) -> None:
    study.write_text(STUDY.replace('"onnx-fp32", "onnx-int8-dynamic"', '"onnx-int8-mixed"'))
    with pytest.raises(pp.InputError, match=r"study tiny: no file could be made.*\n.*manifest\.json says why"):
        pp.run_study(study, build=tmp_path / "build", workers=0)
