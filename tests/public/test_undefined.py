"""Public cases of metrics that are not defined: empty with a reason, never 0 and never a traceback.

Each test is one small input, made here, with the right value, and names the public thread that it stands for.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from pulseproof.core.errors import InputError
from pulseproof.core.study import Study
from pulseproof.ecg.recordings import About, Recordings, RecordingsWriter, open_recordings
from pulseproof.export.gate import bounds, parity
from pulseproof.export.job import RefusedError
from pulseproof.models.brought.estimator_files import load_estimator, save_estimator
from pulseproof.models.classical import Logistic, head_of, probabilities
from pulseproof.models.lone_label import LOG_ODDS
from pulseproof.models.metrics import paper_row, paper_table
from pulseproof.models.run import load_metrics, train_study
from pulseproof.models.trees import TreeWalk
from pulseproof.runtime.auc import auc, macro_auc

LEADS, SAMPLES = 2, 160
HERE = "tests.public.test_undefined:"


def recordings_of(folder: Path, labels: NDArray[np.uint8], splits: list[str], flat: tuple[int, ...] = ()) -> Recordings:
    """A recording a row of ``labels`` (n, classes), each with a bump a class on one of two leads; those of ``flat``
    have a second lead without any change. ``splits``: the side of each."""
    rng = np.random.default_rng(0)
    n, classes = labels.shape
    about = About("small", tuple("ABC"[:classes]), ("I", "II"), 100.0, 0.001, (-32767, 32767), True, False, "SYNTHETIC")
    writer = RecordingsWriter(folder, about, n, SAMPLES)
    bump = np.exp(-(((np.arange(SAMPLES) - 80) / 12) ** 2))
    for at in range(n):
        wave = 0.1 * rng.normal(size=(LEADS, SAMPLES))
        for column in range(classes):
            wave[column % 2] += 0.4 * labels[at, column] * np.roll(bump, 30 * column)
        if at in flat:
            wave[1] = 0
        writer.add(np.rint(wave * 1000).astype(np.int16), labels[at], at, splits[at], f"rec{at}")  # type: ignore[arg-type]
    writer.close(f"{n}-{labels.tobytes().hex()}-{flat}")
    return open_recordings(folder)


def sides(n: int) -> list[str]:
    return [("train", "train", "train", "validation", "test")[at % 5] for at in range(n)]


def labels_of(n: int, classes: int, seed: int = 0) -> NDArray[np.uint8]:
    return (np.random.default_rng(seed).random((n, classes)) < 0.4).astype(np.uint8)


def study(**models: dict[str, object]) -> Study:
    return Study.model_validate(
        {"name": "s", "title": "s", "data": {"source": "synthetic", "records": 50}, "models": models}
    )


CLASSICAL: dict[str, dict[str, object]] = {
    "decision-tree": {"options": {"min_samples_leaf": 3}},
    "random-forest": {"options": {"trees": 5}},
    "logistic-regression": {},
}


def test_one_side_alone_has_no_auc() -> None:
    """scikit-learn #30079, #27412: it was an error, then 0.0, then NaN. It is not defined."""
    assert math.isnan(auc(np.array([0.1, 0.9]), np.array([1, 1])))
    assert math.isnan(macro_auc(np.array([[0.1], [0.9]]), np.array([[0], [0]])))


def test_macro_means_are_over_the_same_classes_and_say_over_how_many() -> None:
    """scikit-learn #30103: f1_score counts a class without positives as 0, roc_auc_score leaves it out. Here both leave
    it out."""
    labels, rng = labels_of(60, 3), np.random.default_rng(1)
    labels[:, 2] = 0
    scores = (labels + rng.normal(size=labels.shape)).astype(np.float32)
    row = paper_row(labels, scores, np.full(3, 0.5, np.float32), ("A", "B", "C"))
    said = scores >= 0.5
    assert row.auc == pytest.approx(roc_auc_score(labels[:, :2], scores[:, :2], average="macro"))
    assert row.f1 == pytest.approx(f1_score(labels[:, :2], said[:, :2], average="macro"))
    assert (row.classes, row.classes_defined) == (3, 2)
    assert row.reason == "C without a positive or without a negative recording, of 60"
    full = paper_row(labels[:, :2], scores[:, :2], np.full(2, 0.5, np.float32))
    assert (full.classes_defined, full.reason, full.f1) == (2, None, row.f1)


def test_a_single_recording_has_no_auc_and_says_so() -> None:
    row = paper_row(np.array([[1, 0]], np.uint8), np.array([[2.0, -1.0]], np.float32), np.zeros(2, np.float32), "AB")
    assert (row.n, row.auc, row.f1, row.accuracy, row.classes_defined) == (1, None, None, 1.0, 0)
    assert row.reason == "A, B without a positive or without a negative recording, of 1"


def test_a_score_that_is_not_a_number_is_counted_and_named() -> None:
    """scikit-learn raises "Input contains NaN" and names nothing."""
    labels = labels_of(30, 2)
    scores = np.random.default_rng(2).normal(size=labels.shape).astype(np.float32)
    scores[[3, 7, 8, 9], 1] = np.nan
    ids = [f"rec{at}" for at in range(30)]
    row = paper_row(labels, scores, np.zeros(2, np.float32), "AB", ids)
    assert (row.accuracy, row.auc, row.f1) == (None, None, None) and row.n == 30
    assert row.reason == "scores that are not finite for 4 of 30 recordings (rec3, rec7, rec8 and 1 more)"
    table = paper_table({"own": {"published": False, "test": vars(row)}})
    assert "| own | 30 | 0 of 2 | - | - | - | - | - |" in table


def one_without_example() -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    rng = np.random.default_rng(3)
    labels = labels_of(80, 3)
    labels[:, 1], labels[:, 2] = 0, 1
    return (rng.normal(size=(80, 4)) + labels[:, :1]).astype(np.float32), labels


def test_a_class_that_is_always_or_never_there_can_be_kept(tmp_path: Path) -> None:
    """scikit-learn #886: OneVsRestClassifier puts a private _ConstantPredictor there, which nobody trusts."""
    values, labels = one_without_example()
    estimator = make_pipeline(StandardScaler(), OneVsRestClassifier(LogisticRegression())).fit(values, labels)
    given = probabilities(estimator, values)
    assert (given[:, 1] == 0).all() and (given[:, 2] == 1).all()
    save_estimator(estimator, tmp_path / "e.skops")  # as another made it, and as it is kept
    again = load_estimator(tmp_path / "e.skops")
    assert np.allclose(probabilities(again, values), given, atol=1e-4)
    save_estimator(again, tmp_path / "again.skops")
    head = head_of(again)
    assert isinstance(head, Logistic)
    scores = head(torch.from_numpy(values)).detach().numpy()
    assert np.allclose(scores[:, 1], -LOG_ODDS) and np.allclose(scores[:, 2], LOG_ODDS)
    assert np.allclose(1 / (1 + np.exp(-scores)), given, atol=1e-4)


def test_trees_of_a_class_without_an_example_are_trees() -> None:
    values, labels = one_without_example()
    for estimator in (
        RandomForestClassifier(5, random_state=0),
        OneVsRestClassifier(RandomForestClassifier(5, random_state=0)),
        MultiOutputClassifier(RandomForestClassifier(5, random_state=0)),
    ):
        estimator.fit(values, labels)
        head = head_of(estimator)
        assert isinstance(head, TreeWalk)
        assert np.allclose(head(torch.from_numpy(values)).numpy(), probabilities(estimator, values), atol=1e-6)


@pytest.mark.parametrize("only", [None, 0, 1])
def test_a_task_of_one_class_has_one_score(only: int | None) -> None:
    """scikit-learn #21869: with one label in all of the training data it fails, or gives a column for the label that is
    there, whichever it is. Here the score is that of the class."""
    values, labels = one_without_example()
    target = labels[:, 0] if only is None else np.full(len(labels), only, np.uint8)
    for estimator in (RandomForestClassifier(5, random_state=0), OneVsRestClassifier(LogisticRegression())):
        if only == 1 and isinstance(estimator, OneVsRestClassifier):
            continue  # it takes the label that is always there for the absence of the class
        estimator.fit(values, target)
        given = probabilities(estimator, values, alone=True)
        assert given.shape == (80, 1)
        if only is not None:
            assert np.allclose(given, only)
        if isinstance(estimator, RandomForestClassifier):
            assert np.allclose(head_of(estimator, alone=True)(torch.from_numpy(values)).numpy(), given, atol=1e-6)


@pytest.mark.slow
def test_a_class_without_a_training_example_is_trained_and_measured(tmp_path: Path) -> None:
    """Every system: trained, kept, loaded, measured. The class has recordings to be measured on, and an AUC of .5 from
    those that answer the same to all."""
    labels, where = labels_of(100, 3), sides(100)
    labels[[at for at in range(100) if where[at] == "train"], 2] = 0
    recordings = recordings_of(tmp_path / "r", labels, where)
    asked = study(**CLASSICAL, cnn={"epochs": 1})
    trained = train_study(asked, recordings, tmp_path / "build")
    found = load_metrics(asked, tmp_path / "build")
    assert set(found) == set(trained) == {*CLASSICAL, "cnn"}
    test = recordings.indices("test")
    for name, one in trained.items():
        assert found[name]["test"]["classes_defined"] == 3 and found[name]["test"]["auc"] is not None
        with torch.inference_mode():
            scores = one.module(torch.from_numpy(recordings.signals(test))).numpy()
        assert np.isfinite(scores).all()
        if name != "cnn":
            assert auc(scores[:, 2], recordings.labels[test][:, 2]) == 0.5


@pytest.mark.slow
@pytest.mark.parametrize("always", [False, True])
def test_a_study_of_one_class_is_trained_and_measured(always: bool, tmp_path: Path) -> None:
    """One class that some recordings have is a task; one that all have has no AUC: null in JSON, with its reason."""
    labels = np.ones((60, 1), np.uint8) if always else labels_of(60, 1)
    recordings = recordings_of(tmp_path / "r", labels, sides(60))
    systems = {"cnn": {"epochs": 2}} if always else {**CLASSICAL, "cnn": {"epochs": 2}}
    asked = study(**systems)
    trained = train_study(asked, recordings, tmp_path / "build")
    for name, found in load_metrics(asked, tmp_path / "build").items():
        row = found["test"]
        assert (row["classes"], row["classes_defined"]) == (1, 0 if always else 1)
        assert (row["auc"] is None) == (row["f1"] is None) == (row["reason"] is not None) == always
        assert row["accuracy"] is not None and len(found["thresholds"]) == 1
        history = json.loads((tmp_path / "build" / "s" / "models" / name / "history.json").read_text())
        assert all((epoch["validation_auc"] is None) == always for epoch in history)
    reference = parity.make_reference(trained["cnn"].module, recordings, recordings.indices("validation"), False)
    measured = parity.measure(reference.scores, reference, bounds.FP32, "onnxruntime")
    reason, note = parity.judge(measured, reference.scores, reference, bounds.FP32)
    assert reason is None and (note is not None) == (measured.auc_source is None) == always


class Deviations(nn.Module):
    """Each lead divided by its own deviation, which a flat lead does not have."""

    def __init__(self, leads: int = LEADS, samples: int = SAMPLES, classes: int = 2) -> None:
        super().__init__()
        self.head = nn.Linear(leads * samples, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(((x - x.mean(2, keepdim=True)) / x.std(2, keepdim=True)).flatten(1))


def trained_deviations() -> nn.Module:
    torch.manual_seed(0)
    return Deviations()


@pytest.mark.parametrize("side", ["train", "validation"])
def test_a_flat_lead_that_a_net_divides_by_is_named(side: str, tmp_path: Path) -> None:
    """0 / 0 in training: the error names model, epoch and recording."""
    where = sides(60)
    flat = next(at for at in range(60) if where[at] == side)
    recordings = recordings_of(tmp_path / "r", labels_of(60, 2), where, (flat,))
    with pytest.raises(InputError) as raised:
        train_study(study(own={"factory": HERE + "Deviations", "epochs": 3}), recordings, tmp_path / "build")
    for part in ("[models.own]", "epoch 1", "not finite", f"rec{flat}"):
        assert part in raised.value.what


def test_a_flat_lead_on_the_test_side_is_a_fact_and_not_a_crash(tmp_path: Path) -> None:
    """The model is measured where it can be; the row of the other side is empty and says which recording it was."""
    where = sides(60)
    flat = next(at for at in range(60) if where[at] == "test")
    recordings = recordings_of(tmp_path / "r", labels_of(60, 2), where, (flat,))
    asked = study(own={"factory": HERE + "trained_deviations", "trained": True})
    trained = train_study(asked, recordings, tmp_path / "build")["own"]
    found = load_metrics(asked, tmp_path / "build")["own"]
    assert found["validation"]["auc"] is not None and found["test"]["auc"] is None
    assert found["test"]["reason"] == f"scores that are not finite for 1 of 12 recordings (rec{flat})"
    with pytest.raises(RefusedError, match=rf"not finite for 1 of 12 validation recordings \(rec{flat}\)"):
        parity.make_reference(trained.module, recordings, recordings.indices("test"), False)


def test_a_model_that_answers_the_same_to_all_has_no_file(tmp_path: Path) -> None:
    """A tree that never splits, a net that is all bias: nothing that a file could be compared with."""

    class Bias(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[-3.0, 4.0]]).repeat(len(x), 1)

    recordings = recordings_of(tmp_path / "r", labels_of(40, 2), sides(40))
    rows = recordings.indices("validation")
    with pytest.raises(RefusedError, match="the model itself gives all 8 validation recordings the same scores"):
        parity.make_reference(Bias().eval(), recordings, rows, False)
    assert len(parity.make_reference(Bias().eval(), recordings, rows[:1], False).scores) == 1  # one tells nothing


def test_one_recording_is_compared_by_its_scores(tmp_path: Path) -> None:
    """No AUC, no interval, no spread: the float file is held to the absolute bound, the quantized one is refused."""
    recordings = recordings_of(tmp_path / "r", labels_of(40, 2), sides(40))
    reference = parity.make_reference(trained_deviations().eval(), recordings, recordings.indices("test")[:1], False)
    measured = parity.measure(reference.scores, reference, bounds.FP32, "onnxruntime")
    assert measured.auc_change is None and parity.judge(measured, reference.scores, reference, bounds.FP32)[0] is None
    assert "its AUC cannot be compared" in str(parity.judge(measured, reference.scores, reference, bounds.INT8)[0])
    wrong = reference.scores + np.float32(0.01)
    measured = parity.measure(wrong, reference, bounds.FP32, "onnxruntime")
    assert parity.judge(measured, wrong, reference, bounds.FP32)[0] is not None
