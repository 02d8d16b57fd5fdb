"""The answers over folds: what they say is what scikit-learn and a loop over people say of the same scores."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from pulseproof.report.answers.over_folds import OverFolds, as_csv, as_json, as_markdown, as_text, over_folds
from pulseproof.report.numbers.evaluation import Evaluation, evaluate
from pulseproof.runtime.auc import macro_auc
from tests.report.making_answers import study

FLOAT, INT8 = "cnn/onnx-fp32", "cnn/onnx-int8-static"
STRENGTHS = (1.0, 1.6, 0.8)


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three folds of a study, in which models are better and worse; the third has no int8 file."""
    made = []
    for place, strength in enumerate(STRENGTHS):
        folder = tmp_path_factory.mktemp("fold")
        recipes = ("onnx-fp32", "onnx-int8-static")[: 1 if place == 2 else 2]
        study(
            folder, lambda _, signals, by=strength: by / 4 if signals["source"] else by, recipes=recipes, n=150 + place,
            patients=60, audited=False,
        )  # fmt: skip
        made.append(folder)
    return made


@pytest.fixture(scope="module")
def evaluations(homes: list[Path]) -> list[Evaluation]:
    return [evaluate(home, 300, 1 + place) for place, home in enumerate(homes)]


@pytest.fixture(scope="module")
def found(evaluations: list[Evaluation]) -> OverFolds:
    return over_folds("three folds", evaluations, [FLOAT, INT8, FLOAT])


def test_an_auc_is_the_mean_of_the_folds_own(homes: list[Path], found: OverFolds) -> None:
    own, drawn = [], []
    generator = np.random.default_rng(5)
    for home in homes:
        labels, people = (np.load(home / "bundle" / f"{name}.npy") for name in ("labels", "patients"))
        scores = np.load(home / "results" / "host" / "cnn__onnx-fp32" / "clean.npy")
        own.append(roc_auc_score(labels, scores, average="macro"))
        rows = [np.flatnonzero(people == who) for who in np.unique(people)]
        again = [np.concatenate([rows[at] for at in generator.integers(0, len(rows), len(rows))]) for _ in range(300)]
        drawn.append([macro_auc(scores[each], labels[each]) for each in again])
    line = next(each for each in found.lines if each.artifact == FLOAT)
    clean = line.aucs["clean"]
    assert clean is not None and clean.folds == 3
    assert clean.estimate == pytest.approx(np.mean(own), abs=1e-9)
    assert (clean.lowest, clean.highest) == pytest.approx((min(own), max(own)), abs=1e-9)
    low, high = np.quantile(np.mean(drawn, axis=0), [0.025, 0.975])
    assert (clean.low, clean.high) == pytest.approx((low, high), abs=0.012)  # other draws
    one = np.quantile(drawn[0], [0.025, 0.975])
    assert clean.high is not None and clean.low is not None
    assert clean.high - clean.low < 0.85 * (one[1] - one[0])  # three times as many people


def test_what_a_fold_lacks_is_said(found: OverFolds, evaluations: list[Evaluation]) -> None:
    line = next(each for each in found.lines if each.artifact == INT8)
    assert line.minus_float is not None and line.minus_float.folds == 2
    first = [float(each.differences[0].estimate) for each in evaluations[:2]]
    assert line.minus_float.estimate == pytest.approx(np.mean(first))
    text, people = as_text(found), sum(each.patients for each in evaluations)
    assert "(2 of 3 folds)" in text and f"453 recordings of {people} people, each tested once" in text
    assert f"{FLOAT} in 2, {INT8} in 1" in text and "The folds disagree" in text
    worst = next(key for key in found.columns if key != "clean")
    clean, attacked = (found.lines[0].aucs[key] for key in ("clean", worst))
    assert clean is not None and attacked is not None and attacked.estimate < clean.estimate


def test_every_form_has_every_file(found: OverFolds) -> None:
    assert as_markdown(found).count("| cnn/") == 2
    assert [each["artifact"] for each in json.loads(as_json(found))["lines"]] == [FLOAT, INT8]
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert [row["number"] for row in rows if row["artifact"] == INT8][-1] == "clean-minus-float"
    assert float(rows[0]["estimate"]) == found.lines[0].aucs["clean"].estimate  # type: ignore[union-attr]
