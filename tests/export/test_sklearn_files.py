"""Estimators that skl2onnx converts: their files say what scikit-learn says, and have a twin if a gradient passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA, FastICA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression, RidgeClassifier, SGDClassifier
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import BernoulliNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, PolynomialFeatures, PowerTransformer, StandardScaler
from sklearn.svm import SVC, LinearSVC, NuSVC

from pulseproof.attacks.aim.sources import open_module
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.gradient import NoGradientError
from pulseproof.ecg.recordings import Recordings
from pulseproof.export import sklearn_files
from pulseproof.export.job import RefusedError
from pulseproof.export.model_files import ModelFiles
from pulseproof.export.quiet import quiet
from pulseproof.export.recipes import kind_of
from pulseproof.models.brought.estimator_files import load_estimator, save_estimator
from pulseproof.models.classical import FeatureModel, PythonHead, head_of
from pulseproof.models.features import Features
from pulseproof.twins import NotCoveredError, open_twin
from tests.export.making import as_trained, job_for, small_study

pytestmark = pytest.mark.filterwarnings("ignore")
RNG = np.random.default_rng(3)
SHAPE = (2, 12)  # as many numbers as features: an estimator may be fed the recording itself
X = (RNG.normal(size=(160, 24)) * np.linspace(0.1, 4, 24) + 1).astype(np.float32)
KINDS = ((X[:, :4] - 1) @ RNG.normal(size=(4, 3)) + RNG.normal(size=(160, 3))).argmax(axis=1)
MANY = np.eye(3, dtype=np.uint8)[KINDS]  # as studies hold them
TWO = (KINDS == 1).astype(np.uint8)
TRIED = (RNG.normal(size=(40, 24)) * np.linspace(0.1, 4, 24) + 1).astype(np.float32)
LABELS = {"many": MANY, "one": KINDS, "two": TWO}


def scaled(last: Any) -> Any:
    return make_pipeline(StandardScaler(), last)


def vote(*members: Any) -> VotingClassifier:
    return VotingClassifier([(str(at), member) for at, member in enumerate(members)], voting="soft")


def net(**more: Any) -> MLPClassifier:
    return MLPClassifier((12,), max_iter=30, random_state=0, **more)


# name: (estimator, labels, whether a gradient passes through its file)
ESTIMATORS: dict[str, tuple[Any, str, bool]] = {
    "vectors": (scaled(SVC()), "one", True),
    "vectors, linear": (scaled(SVC(kernel="linear")), "one", True),
    "vectors, polynomial": (scaled(SVC(kernel="poly")), "one", True),
    "vectors, sigmoid": (scaled(SVC(kernel="sigmoid")), "one", True),
    "vectors, two classes": (scaled(SVC()), "two", True),
    "vectors, probabilities": (scaled(SVC(probability=True, random_state=0)), "one", True),
    "vectors, probabilities of two": (SVC(probability=True, random_state=0), "two", True),
    "vectors a class": (OneVsRestClassifier(scaled(SVC())), "many", True),
    "nu": (scaled(NuSVC(nu=0.2)), "one", True),
    "linear machine": (scaled(LinearSVC()), "one", True),
    "linear machine a class": (OneVsRestClassifier(LinearSVC()), "many", True),
    "each against each": (OneVsOneClassifier(LinearSVC()), "one", True),
    "ridge": (RidgeClassifier(), "two", True),
    "stochastic gradient": (scaled(SGDClassifier(loss="log_loss", alpha=1.0, random_state=0)), "one", True),
    "network": (scaled(net()), "one", True),
    "network of several labels": (net(activation="tanh"), "many", True),
    "network of two": (net(), "two", True),
    "Gauss": (GaussianNB(), "one", True),
    "Gauss an output": (MultiOutputClassifier(GaussianNB()), "many", True),
    "multinomial": (make_pipeline(MinMaxScaler(), MultinomialNB()), "one", True),
    "complement": (make_pipeline(MinMaxScaler(), ComplementNB()), "one", True),
    "linear discriminant": (LinearDiscriminantAnalysis(), "one", True),
    "quadratic discriminant": (QuadraticDiscriminantAnalysis(reg_param=0.1), "one", True),
    "components": (scaled(make_pipeline(PCA(4), LogisticRegression())), "one", True),
    "components, vectors": (make_pipeline(PCA(4), SVC()), "one", True),
    "features of two kinds": (
        make_pipeline(FeatureUnion([("a", StandardScaler()), ("b", PCA(2))]), LogisticRegression()), "one", True,
    ),
    "normalised": (make_pipeline(Normalizer(), LogisticRegression()), "one", True),
    "polynomials": (make_pipeline(PCA(3), PolynomialFeatures(2), LogisticRegression(max_iter=500)), "one", True),
    "powers": (make_pipeline(PowerTransformer(), LogisticRegression()), "one", True),
    "the best five": (make_pipeline(SelectKBest(k=5), SVC()), "one", True),
    "calibrated": (CalibratedClassifierCV(scaled(LinearSVC()), cv=2), "one", True),
    "calibrated a class": (OneVsRestClassifier(CalibratedClassifierCV(LinearSVC(), cv=2)), "many", True),
    "vote": (vote(scaled(LogisticRegression()), GaussianNB()), "one", True),
    "vote with a forest": (vote(RandomForestClassifier(4, random_state=0), GaussianNB()), "one", False),
    "vote with boosted trees": (vote(HistGradientBoostingClassifier(max_iter=3), GaussianNB()), "two", False),
    "stack": (
        StackingClassifier([("a", GradientBoostingClassifier(n_estimators=3)), ("b", GaussianNB())], cv=2),
        "one",
        False,
    ),
    "bag of machines": (BaggingClassifier(SVC(probability=True), n_estimators=2, random_state=0), "one", True),
    "boosted stumps": (AdaBoostClassifier(n_estimators=4, random_state=0), "one", False),
    "components, forest": (make_pipeline(PCA(4), RandomForestClassifier(4, random_state=0)), "one", False),
    "neighbours": (KNeighborsClassifier(), "one", False),
    "neighbours by distance": (KNeighborsClassifier(weights="distance"), "one", False),
    "neighbours of several labels": (KNeighborsClassifier(), "many", False),
    "binary features": (BernoulliNB(), "one", False),
}  # fmt: skip
FITTED: dict[str, FeatureModel] = {}


def model_of(name: str) -> FeatureModel:
    """The module of a fitted estimator, one a process."""
    if name not in FITTED:
        estimator, labels, _ = ESTIMATORS[name]
        order = [2, 0, 1] if labels == "one" else None
        head = head_of(estimator.fit(X, LABELS[labels]), order, labels == "two")
        FITTED[name] = FeatureModel(torch.nn.Flatten(), head).eval()
    return FITTED[name]


def signals_of(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values.reshape(-1, *SHAPE))


def written(name: str, out: Path) -> np.ndarray:
    """The scores of the estimator's file, in double precision where float32 does not give scikit-learn's."""
    model = model_of(name)
    expected = model(signals_of(TRIED)).numpy()
    for write in (sklearn_files.write_onnx, sklearn_files.write_onnx_double):
        write(job_for(model, SHAPE, out))
        session = onnxruntime.InferenceSession(out)
        scores = np.concatenate([session.run(None, {"signal": one[None].numpy()})[0] for one in signals_of(TRIED)])
        if same(scores, expected):
            break
    return scores


def same(scores: np.ndarray, expected: np.ndarray) -> bool:
    return scores.shape == expected.shape and bool((np.abs(scores - expected) <= 1e-4 * expected.std(axis=0)).all())


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_file_says_what_scikit_learn_says(name: str, tmp_path: Path) -> None:
    model, out = model_of(name), tmp_path / "own.onnx"
    assert isinstance(model.head, PythonHead) and kind_of(model) == "estimator"
    scores, expected = written(name, out), model(signals_of(TRIED)).numpy()
    assert expected.std(axis=0).min() > 0 and same(scores, expected)
    graph = onnx.load(out).graph
    assert [one.name for one in graph.input] == ["signal"] and [one.name for one in graph.output] == ["scores"]
    assert not {"ZipMap", "Loop"} & {node.op_type for node in graph.node}


@pytest.mark.parametrize("name", [name for name, (*_, smooth) in ESTIMATORS.items() if smooth])
def test_a_twin_of_it_has_its_scores_and_a_gradient(name: str, tmp_path: Path) -> None:
    out = tmp_path / "own.onnx"
    scores = written(name, out)
    twin = open_twin(out)
    assert same(twin(signals_of(TRIED)).numpy(), scores)
    found = twin.before_ends()
    aimed = signals_of(TRIED).requires_grad_()
    (twin if found is None else found[0])(aimed)[:, 0].sum().backward()
    assert aimed.grad is not None and bool(aimed.grad.isfinite().all())
    assert float((aimed.grad.abs().amax(dim=(1, 2)) > 0).float().mean()) > 0.9  # a net may be silent on some


@pytest.mark.parametrize("name", [name for name, (*_, smooth) in ESTIMATORS.items() if not smooth])
def test_what_has_steps_has_no_twin_and_says_why(name: str) -> None:
    model = model_of(name)
    references = Victims(signals_of(TRIED), torch.zeros(len(TRIED), 3))
    with pytest.raises(NoGradientError, match=r"signal: operator|is not differ") as why:
        opened = open_module("own", model, references)
        aimed = references.signals.clone().requires_grad_()
        scores = opened.model(aimed)  # type: ignore[operator]
        if not scores.requires_grad:
            raise NoGradientError("no gradient reaches the signal: the model is not differentiable")
    assert str(why.value).isprintable()
    assert sklearn_files.has_steps(model) != (name == "binary features")


def test_an_estimator_is_attacked_through_the_twin_of_its_file() -> None:
    model = model_of("network")
    references = Victims(signals_of(TRIED), torch.zeros(len(TRIED), 3))
    opened = open_module("own", model, references)
    assert not opened.notes and isinstance(opened.model, torch.nn.Module)
    aimed = references.signals.clone().requires_grad_()
    opened.model(aimed)[:, 0].sum().backward()
    assert aimed.grad is not None and bool(aimed.grad.abs().amax() > 0)


def test_what_has_no_converter_has_no_files(recordings: Recordings, tmp_path: Path) -> None:
    """They are not applicable, and not refused: nothing is wrong with the model."""
    files = files_of(make_pipeline(FastICA(3, random_state=0), LogisticRegression()), recordings, tmp_path)
    for recipe in ("onnx-fp32", "onnx-int8-static", "tflite-fp32", "tflite-int8-static"):
        entry = files.export(recipe)
        assert entry.status == "not-applicable" and entry.file is None
        assert entry.reason is not None and "skl2onnx has no converter for FastICA" in entry.reason


def test_what_has_no_converter_is_named(tmp_path: Path) -> None:
    estimator = make_pipeline(FastICA(3, random_state=0), LogisticRegression()).fit(X, KINDS)
    model = FeatureModel(torch.nn.Flatten(), head_of(estimator)).eval()
    with pytest.raises(RefusedError, match="skl2onnx has no converter for FastICA"):
        sklearn_files.write_onnx(job_for(model, SHAPE, tmp_path / "own.onnx"))


@pytest.mark.parametrize("name", ["calibrated", "vote", "stack", "the best five", "neighbours by distance"])
def test_skops_gives_it_back(name: str, tmp_path: Path) -> None:
    estimator, labels, _ = ESTIMATORS[name]
    estimator.fit(X, LABELS[labels])
    save_estimator(estimator, tmp_path / "own.skops")
    again = load_estimator(tmp_path / "own.skops")
    assert np.array_equal(again.predict(TRIED), estimator.predict(TRIED))


def files_of(estimator: Any, recordings: Recordings, build: Path) -> ModelFiles:
    """The files of an estimator that is fitted on the features of recordings."""
    about = recordings.about
    features = Features(about.leads, recordings.shape[1], about.fs_hz)
    rows = recordings.indices("train")
    with torch.inference_mode():
        values = features(torch.from_numpy(recordings.signals(rows))).numpy()
    model = FeatureModel(features, head_of(estimator.fit(values, recordings.labels[rows].argmax(axis=1))))
    return ModelFiles(small_study(), recordings, as_trained(model, recordings), build)


def test_double_precision_is_exact_where_float32_is_not(tmp_path: Path) -> None:
    """Logarithms of probabilities that are all nearly the same."""
    model, out = model_of("complement"), tmp_path / "own.onnx"
    expected, found = model(signals_of(TRIED)).numpy(), {}
    for write in (sklearn_files.write_onnx, sklearn_files.write_onnx_double):
        made = write(job_for(model, SHAPE, out))
        session = onnxruntime.InferenceSession(out)
        scores = np.concatenate([session.run(None, {"signal": one[None].numpy()})[0] for one in signals_of(TRIED)])
        found[made.note] = same(scores, expected)
    assert found == {None: False, sklearn_files.DOUBLE: True}


def test_the_gate_refuses_what_skl2onnx_says_wrongly(recordings: Recordings, tmp_path: Path) -> None:
    """Isotonic steps: skl2onnx 1.20 takes the nearest of them, and scikit-learn goes from one to the next."""
    estimator = CalibratedClassifierCV(GaussianNB(), method="isotonic", cv=2)
    with quiet():
        entry = files_of(estimator, recordings, tmp_path).export("onnx-fp32")
    assert entry.status == "refused" and entry.reason is not None and "skl2onnx" in entry.libraries
    assert "its scores differ from the torch module's" in entry.reason


@pytest.mark.parametrize("recipe", ["onnx-fp16", "onnx-int8-dynamic", "onnx-int8-static"])
def test_a_network_on_features_has_smaller_files(recipe: str, recordings: Recordings, tmp_path: Path) -> None:
    with quiet():
        entry = files_of(scaled(net()), recordings, tmp_path).export(recipe)
    assert entry.status == "ok", entry.reason


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [scaled(net()), scaled(SVC())], ids=["network", "vectors"])
def test_tflite_by_way_of_the_twin(estimator: Any, recordings: Recordings, tmp_path: Path) -> None:
    entry = files_of(estimator, recordings, tmp_path).export("tflite-fp32")
    assert entry.status == "ok", entry.reason
    assert entry.parity[0].max_difference is not None and entry.parity[0].max_difference < 1e-3


def test_tflite_without_a_twin_names_the_operator(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="goes to TFLite by way of its ONNX file's twin, and there operator Scan"):
        sklearn_files.write_tflite(job_for(model_of("neighbours"), SHAPE, tmp_path / "own.tflite"))
    with pytest.raises(NotCoveredError, match="TreeEnsembleClassifier"):
        sklearn_files.estimator_twin(model_of("vote with a forest"), SHAPE)
