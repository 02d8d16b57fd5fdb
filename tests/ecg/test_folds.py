"""Folds: every person tests once, whoever asks for a study of several is told, and a fold is a study like any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pulseproof.core.errors import InputError
from pulseproof.core.studies.folds import fold_of, folds_of
from pulseproof.core.study import Study, load_study
from pulseproof.ecg.prepare import prepare
from pulseproof.ecg.recordings import Recordings
from pulseproof.folding import folds
from pulseproof.reading import home_of
from tests.ecg.making import study_of, write_mitbih
from tests.ecg.tables.making import read_with, study_with, write_collection

FOLDS = 3
STUDY = """
name = "mine"
title = "mine"
[data]
source = "table"
path = "mine"
table = "labels.csv"
columns = {label = "rhythm", patient = "person"}
separator = ";"
unit = "uV"
rate_hz = 250
split = {folds = 3}
[models.logistic-regression]
[export]
recipes = ["onnx-fp32"]
[attacks]
methods = ["random-sign"]
budgets_mv = [0.02]
deployed = []
[bench]
bootstrap = 100
"""


def folds_read(study: Study, root: Path, build: Path) -> list[Recordings]:
    return [prepare(fold_of(study, number), root, build) for number in range(1, FOLDS + 1)]


def check(folds: list[Recordings]) -> None:
    """Each recording tests once and validates in the fold before, and no person is on two sides."""
    sides = np.stack([each.splits[np.argsort(each.ids)] for each in folds])
    assert (np.sort(sides, axis=0) == np.array([[0], [1], [2]])).all()  # train, validation, test: once each of three
    after = np.roll(sides, -1, axis=0)
    assert ((sides == 1) == (after == 2)).all()  # who validates now tests in the next fold
    people = folds[0].patients[np.argsort(folds[0].ids)]
    for row in sides:
        assert all(len(set(row[people == who].tolist())) == 1 for who in people)


def test_every_person_of_a_table_tests_once(tmp_path: Path) -> None:
    write_collection(tmp_path / "mine", count=36)
    columns = {"label": "rhythm", "patient": "person"}
    study = study_with(split={"folds": FOLDS, "seed": 4}, columns=columns)
    folds = folds_read(study, tmp_path, tmp_path / "build")
    check(folds)
    for each in folds:  # 36 recordings of 18 people, three classes in turn: a third of each
        test = each.labels[each.indices("test")]
        assert 10 <= len(test) <= 14 and (test.sum(axis=0) >= 3).all()
    again = read_with(
        tmp_path, tmp_path / "other", split={"folds": FOLDS, "fold": 2, "seed": 4}, columns=columns
    )  # by hand the same
    assert np.array_equal(again.splits, folds[1].splits)


def test_every_person_of_beats_tests_once(tmp_path: Path) -> None:
    write_mitbih(tmp_path)
    data: dict[str, Any] = {"source": "beats", "path": "mitdb", "before_s": 0.6, "after_s": 0.4, "classes": ["N", "V"]}
    check(folds_read(study_of(data | {"split": {"folds": FOLDS}, "person": r"\d\d(\d)"}), tmp_path, tmp_path / "build"))


def test_a_study_of_several_folds_is_not_run_as_one(tmp_path: Path) -> None:
    study = study_with(split={"folds": 5}, columns={"label": "rhythm"})
    with pytest.raises(InputError, match="split has 5 folds, and a run is of one of them") as caught:
        prepare(study, tmp_path, tmp_path / "build")
    assert "folds" in caught.value.mend and "fold = 1" in caught.value.mend
    first = fold_of(study, 1)
    assert (folds_of(study), folds_of(first), first.name) == (5, None, "small.fold-1")
    assert Study.model_validate(first.model_dump()) == first


@pytest.mark.parametrize(
    ("split", "says"),
    [
        ({"folds": 2}, "greater than or equal to 3"),
        ({"folds": 5, "test": 0.2}, "test beside folds"),
        ({"folds": 5, "fold": 6}, "fold = 6: there are 5"),
        ({"fold": 1, "train": 0.6, "validation": 0.2, "test": 0.2}, "write folds as well"),
        ({"train": 0.8, "test": 0.2}, "key 'validation' is missing"),
    ],
)
def test_folds_that_cannot_be(split: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        study_with(split=split, columns={"label": "rhythm"})


@pytest.mark.slow
def test_the_command_runs_every_fold_and_answers_over_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_collection(tmp_path / "mine", count=36)
    study = tmp_path / "mine.toml"
    study.write_text(STUDY)
    folds(study, tmp_path, tmp_path / "build", "terminal", None)
    said = capsys.readouterr().out
    assert "36 recordings of 18 people, each tested once, in 3 folds" in said
    told = json.loads((tmp_path / "build" / "mine" / "folds.json").read_text())
    aucs, tested = [], []
    for number in (1, 2, 3):
        home = tmp_path / "build" / f"mine.fold-{number}"
        assert (home / "report" / "index.html").stat().st_size > 50_000
        scores = np.load(home / "results" / "host" / "logistic-regression__onnx-fp32" / "clean.npy")
        labels = np.load(home / "bundle" / "labels.npy")
        aucs.append(roc_auc_score(labels, scores, average="macro"))
        tested += np.unique(np.load(home / "bundle" / "patients.npy")).tolist()
    assert len(tested) == len(set(tested)) == 18
    assert told["lines"][0]["aucs"]["clean"]["estimate"] == pytest.approx(np.mean(aucs), abs=1e-6)
    with pytest.raises(InputError, match="split has 3 folds"):
        home_of(load_study(study), tmp_path / "build")
