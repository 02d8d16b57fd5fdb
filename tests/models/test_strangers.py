"""Torch modules and fitted estimators of other people, as they write them: taken as they are, or refused in words."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
import torch
from safetensors.torch import save_file
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from torch import nn

from pulseproof.core.errors import InputError
from pulseproof.core.study import Study
from pulseproof.ecg.recordings import Recordings
from pulseproof.models.classical import Logistic, PythonHead
from pulseproof.models.features import Features
from pulseproof.models.run import load_metrics, train_study
from pulseproof.models.trees import TreeWalk
from pulseproof.runtime.files import read_json
from tests.models.making import small_recordings

HERE = "tests.models.test_strangers:"
LEADS, SAMPLES, CLASSES = 2, 160, 3


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    return small_recordings(tmp_path_factory.mktemp("recordings") / "small", exclusive=True)


def study(**model: Any) -> Study:
    head = {"name": "small", "title": "small", "data": {"source": "synthetic"}}
    return Study.model_validate({**head, "models": {"own": model}})


# Torch modules, each written in a way that people write them.


class Net(nn.Module):
    """With batch norm, which is right in evaluation mode only."""

    def __init__(self, in_channels: int = 2, num_classes: int = 3, hidden: int = 4) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(in_channels, hidden, 9, 4), nn.BatchNorm1d(hidden), nn.ReLU())
        self.drop, self.head = nn.Dropout(0.5), nn.Linear(hidden, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(self.body(x).mean(-1)))


def seeded(net: Any = Net, **options: Any) -> nn.Module:
    torch.manual_seed(4)
    return net(**options)


def takes_nothing() -> nn.Module:
    return seeded().train()  # as a training loop leaves it


def first_three(channels: int, length: int, outputs: int, hidden: int = 4) -> nn.Module:
    assert (channels, length, outputs) == (LEADS, SAMPLES, CLASSES)
    return seeded(hidden=hidden)


def by_name(hidden: int = 4, *, classes: int = 9, leads: int = 9, samples: int = 9) -> nn.Module:
    assert (leads, samples, classes) == (LEADS, SAMPLES, CLASSES)
    return seeded(hidden=hidden)


def others_first(hidden: int = 4, depth: int = 1, dropout: float = 0.5) -> nn.Module:
    assert (hidden, depth, dropout) == (4, 1, 0.5)  # not 2 leads, 160 samples, 3 classes
    return seeded(hidden=hidden)


def not_importable() -> nn.Module:
    class Local(Net):
        """A class that pickle cannot name."""

    return seeded(Local)


class Tied(nn.Module):
    """Two layers that share one matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(160, 160), nn.Linear(160, 160), nn.Linear(320, 3)
        self.second.weight = self.first.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.second(torch.tanh(self.first(x))).flatten(1))


class Masked(nn.Module):
    """A mask of minus infinity among its buffers, as attention has it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.triu(torch.full((160, 160), -torch.inf), 1))
        self.head = nn.Linear(320, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head((x @ torch.softmax(self.mask, -1)).flatten(1))


def masked() -> nn.Module:
    return seeded(Masked)


@pytest.mark.parametrize(
    "factory", ["takes_nothing", "first_three", "by_name", "others_first", "not_importable", "masked"]
)
def test_a_module_is_taken_however_its_factory_is_written(factory: str, tmp_path: Path, recordings: Recordings) -> None:
    asked = study(factory=HERE + factory, trained=True)
    trained = train_study(asked, recordings, tmp_path)["own"]
    x = torch.from_numpy(recordings.signals(recordings.indices("test")[:5]))
    torch.manual_seed(4)
    expected = (Masked() if factory == "masked" else Net()).eval()(x)
    assert torch.allclose(trained.module(x), expected, atol=1e-6)
    assert trained.differentiable and not trained.module.training
    assert read_json(tmp_path / "small" / "models" / "own" / "history.json") == []
    elsewhere = pickle.loads(pickle.dumps(trained))  # as another process gets it
    assert torch.equal(elsewhere.module(x), trained.module(x)) and elsewhere.digest == trained.digest
    stamp = (tmp_path / "small" / "models" / "own" / "train.stamp.json").read_bytes()
    assert train_study(asked, recordings, tmp_path)["own"].digest == trained.digest
    assert (tmp_path / "small" / "models" / "own" / "train.stamp.json").read_bytes() == stamp


def saved(net: nn.Module, path: Path, **changes: torch.Tensor | None) -> Path:
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()} | changes
    save_file({name: tensor for name, tensor in state.items() if tensor is not None}, path)
    return path


@pytest.mark.parametrize("net", [Net, Tied])
def test_weights_come_from_a_file_and_a_change_is_noticed(
    net: type[nn.Module], tmp_path: Path, recordings: Recordings
) -> None:
    torch.manual_seed(5)
    own = net().eval()
    dropped = {"second.weight": None} if net is Tied else {}  # safetensors.torch.save_model keeps one of the two
    weights = saved(own, tmp_path / "w.safetensors", **dropped)
    asked = study(factory=f"{HERE}{net.__name__}", trained=True, weights=str(weights))
    trained = train_study(asked, recordings, tmp_path)["own"]
    x = torch.from_numpy(recordings.signals(recordings.indices("test")[:5]))
    assert torch.allclose(trained.module(x), own(x), atol=1e-6)
    saved(own, weights, **dropped, **{"head.bias": torch.ones(3)})
    assert train_study(asked, recordings, tmp_path)["own"].digest != trained.digest


BAD_WEIGHTS: dict[str, tuple[dict[str, Any] | bytes, str, str]] = {
    "one missing": ({"head.bias": None}, "lacks head.bias", "options"),
    "one more": ({"extra": torch.zeros(2)}, "holds extra, which the net has not", "options"),
    "another shape": ({"head.bias": torch.zeros(5)}, "head.bias (5,) for (3,)", "options"),
    "nan": ({"head.bias": torch.full((3,), torch.nan)}, "'head.bias' hold a value that is NaN", "train it again"),
    "infinite": ({"head.bias": torch.tensor([0, torch.inf, 1])}, "'head.bias' hold a value that is inf", "train it"),
    "pickle": (pickle.dumps({}), "a pickle", "safetensors"),
    "damaged": (b"\x10\0\0\0\0\0\0\0{", "not a readable .safetensors file", "save_file"),
}


@pytest.mark.parametrize("name", BAD_WEIGHTS)
def test_weights_that_do_not_fit_are_refused(name: str, tmp_path: Path, recordings: Recordings) -> None:
    content, said, mend = BAD_WEIGHTS[name]
    path = tmp_path / "w.safetensors"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        saved(Net(), path, **content)
    with pytest.raises(InputError) as raised:
        train_study(study(factory=HERE + "Net", trained=True, weights=str(path)), recordings, tmp_path)
    assert "[models.own]" in raised.value.what and said in raised.value.what
    assert mend in raised.value.mend
    assert not [file for file in (tmp_path / "small").rglob("*") if file.is_file()]


def test_weights_with_the_prefix_of_a_wrapper_are_told_apart(tmp_path: Path, recordings: Recordings) -> None:
    path = tmp_path / "w.safetensors"
    save_file({f"module.{name}": tensor.clone() for name, tensor in Net().state_dict().items()}, path)
    with pytest.raises(InputError, match=r"take the prefix 'module\.' off"):
        train_study(study(factory=HERE + "Net", trained=True, weights=str(path)), recordings, tmp_path)


# Modules that would give wrong numbers without a word.


class BatchStatistics(Net):
    def __init__(self) -> None:
        super().__init__()
        self.body[1] = nn.BatchNorm1d(4, track_running_stats=False)


class AlwaysDrops(Net):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(nn.functional.dropout(self.body(x).mean(-1), 0.5, training=True))


class Remembers(Net):
    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen += 1
        return super().forward(x) + self.seen


class OutsideItsState(Net):
    """Random numbers that are no buffer: another process draws others."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.load_state_dict(Net().state_dict())
        torch.seed()
        self.offset = torch.randn(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + self.offset


class NanWeights(Net):
    def __init__(self) -> None:
        super().__init__()
        with torch.no_grad():
            self.head.bias[1] = torch.nan


class Logs(Net):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.log(super().forward(x) * 0 - 1)


def scripted() -> nn.Module:
    return torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(320, 3)))


def half() -> nn.Module:
    return seeded().half()


def two_places(channels: int, length: int) -> nn.Module:
    return seeded()


instance = nn.Linear(3, 3)
WRONG_NETS = {
    "BatchStatistics": "depend on the others in its batch",
    "AlwaysDrops": "another score when the same recording is run again",
    "Remembers": "another score when the same recording is run again",
    "OutsideItsState": "not among its weights",
    "NanWeights": "'head.bias' hold a value that is NaN",
    "Logs": "not finite",
    "Net": "other weights each time",
    "scripted": "TorchScript",
    "half": "cannot be built",
    "two_places": "cannot be built",
    "instance": "instance is a Linear",
    "fitted_forest": "a RandomForestClassifier, not a torch module",
}


def seeded_class(kind: type[nn.Module]) -> Any:
    return lambda: seeded(kind)


BatchStatisticsSeeded = seeded_class(BatchStatistics)
AlwaysDropsSeeded, RemembersSeeded = seeded_class(AlwaysDrops), seeded_class(Remembers)
NanWeightsSeeded, LogsSeeded = seeded_class(NanWeights), seeded_class(Logs)


@pytest.mark.parametrize("factory", WRONG_NETS)
def test_what_would_be_wrong_in_silence_is_refused(factory: str, tmp_path: Path, recordings: Recordings) -> None:
    name = factory + "Seeded" if factory + "Seeded" in globals() else factory
    with pytest.raises(InputError) as raised:
        train_study(study(factory=HERE + name, trained=True), recordings, tmp_path)
    assert "[models.own]" in raised.value.what and WRONG_NETS[factory] in raised.value.what, raised.value.what
    assert not [file for file in (tmp_path / "small").rglob("*") if file.is_file()]


# Estimators.


def data(recordings: Recordings, fed: str = "features") -> tuple[np.ndarray, np.ndarray]:
    rows = recordings.indices("train")
    signals = torch.from_numpy(recordings.signals(rows))
    features = Features(recordings.about.leads, SAMPLES, 100.0)(signals).numpy()
    return (features if fed == "features" else signals.flatten(1).numpy()), recordings.labels[rows]


def fitted_forest() -> BaseEstimator:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 24))
    return RandomForestClassifier(5, max_depth=3, random_state=0).fit(x, (x[:, :3] > 0).astype(int))


def boosted() -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(max_iter=8, min_samples_leaf=5, random_state=0)


# name: (estimator, labels, what it is fed, head)
TAKEN: dict[str, tuple[Any, str, str, type]] = {
    "scaled boosted a class": (
        make_pipeline(StandardScaler(), OneVsRestClassifier(boosted())), "many", "features", TreeWalk,
    ),
    "boosted a class": (MultiOutputClassifier(boosted()), "many", "features", TreeWalk),
    "boosted": (boosted(), "one", "features", TreeWalk),
    "gradient boosting": (GradientBoostingClassifier(n_estimators=5, random_state=0), "one", "features", TreeWalk),
    "tree of one label": (DecisionTreeClassifier(max_depth=4, random_state=0), "one", "features", TreeWalk),
    "tree of names": (DecisionTreeClassifier(max_depth=4, random_state=0), "names", "features", TreeWalk),
    "forest on the recording": (
        RandomForestClassifier(5, max_depth=4, random_state=0), "many", "recording", TreeWalk,
    ),
    "one against the rest": (
        OneVsRestClassifier(RandomForestClassifier(5, max_depth=4, random_state=0)), "one", "features", TreeWalk,
    ),
    "multinomial": (
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)), "one", "features", Logistic,
    ),
    "regressions of names": (
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)), "names", "features", Logistic,
    ),
    "components": (make_pipeline(PCA(4), LogisticRegression(max_iter=500)), "one", "features", PythonHead),
    "network": (MLPClassifier((8,), max_iter=400, random_state=0), "many", "features", PythonHead),
    "support vectors": (OneVsRestClassifier(LinearSVC()), "many", "features", PythonHead),
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.filterwarnings("ignore")
def test_a_fitted_estimator_is_taken_from_its_file(name: str, tmp_path: Path, recordings: Recordings) -> None:
    estimator, kind, fed, head = TAKEN[name]
    x, labels = data(recordings, fed)
    y = {"many": labels, "one": labels.argmax(1), "names": np.array(["A", "B", "C"])[labels.argmax(1)]}[kind]
    estimator.fit(x, y)
    path = tmp_path / "own.skops"
    skops.io.dump(estimator, path)
    asked = study(file=str(path))
    trained = train_study(asked, recordings, tmp_path)["own"]
    assert isinstance(trained.module.head, head)
    rows = recordings.indices("test")
    signals = torch.from_numpy(recordings.signals(rows))
    scores = trained.module(signals).numpy()
    given = Features(recordings.about.leads, SAMPLES, 100.0)(signals) if fed == "features" else signals.flatten(1)
    said = estimator.predict(given.numpy())
    if kind == "many":
        decided = scores > trained.module.threshold
        assert np.array_equal(decided, np.asarray(said) == 1)
    else:
        first, second = np.sort(scores, axis=1)[:, :-3:-1].T
        clear = first - second > 1e-5  # leaves of few values tie, and rounding decides
        decided = scores.argmax(1)[clear]
        assert clear.mean() > 0.9
        assert np.array_equal(decided, (said if kind == "one" else np.searchsorted(["A", "B", "C"], said))[clear])
    assert load_metrics(asked, tmp_path)["own"]["test"]["auc"] > 0.6
    kept = tmp_path / "small" / "models" / "own" / "estimator.skops"
    assert kept.read_bytes() == path.read_bytes()


class Doubles(TransformerMixin, BaseEstimator):
    """A step of somebody's own."""

    def fit(self, x: np.ndarray, y: Any = None) -> Doubles:
        self.n_features_in_ = x.shape[1]
        return self

    def transform(self, x: np.ndarray) -> np.ndarray:
        return 2 * x


def fitted(estimator: Any, features: int = 24, labels: Any = None) -> Any:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, features))
    return estimator.fit(x, np.arange(60) % 3 if labels is None else labels(x))


WRONG_ESTIMATORS: dict[str, tuple[Any, str]] = {
    "not fitted": (RandomForestClassifier, "not a fitted scikit-learn estimator"),
    "other features": (
        lambda: fitted(DecisionTreeClassifier(), 13),
        "takes 13 features; here are 24 features a recording, or 320 samples",
    ),
    "two classes": (lambda: fitted(LogisticRegression(), labels=lambda x: np.arange(60) % 2), "has 2 classes"),
    "other names": (
        lambda: fitted(DecisionTreeClassifier(), labels=lambda x: np.array(["A", "B", "MI"])[np.arange(60) % 3]),
        "its classes are A, B, MI, the study's A, B, C",
    ),
    "numbered from 1": (
        lambda: fitted(DecisionTreeClassifier(), labels=lambda x: 1 + np.arange(60) % 3),
        "its classes are 1, 2, 3",
    ),
    "labels of several kinds": (
        lambda: fitted(DecisionTreeClassifier(), labels=lambda x: np.stack([np.arange(60) % 3] * 3, axis=1)),
        "3 classes of 0 and 1",
    ),
    "no classes": (lambda: fitted(KMeans(3, n_init=1)), "neither predict_proba nor decision_function"),
    "a step of its own": (
        lambda: fitted(make_pipeline(Doubles(), LogisticRegression())),
        "types that are not trusted: tests.models.test_strangers.Doubles",
    ),
}


def wrong_estimator(name: str) -> Any:
    return WRONG_ESTIMATORS[name][0]()


@pytest.mark.parametrize("name", WRONG_ESTIMATORS)
def test_an_estimator_of_something_else_is_refused(name: str, tmp_path: Path, recordings: Recordings) -> None:
    asked = study(estimator=HERE + "wrong_estimator", trained=True, options={"name": name})
    with pytest.raises(InputError) as raised:
        train_study(asked, recordings, tmp_path)
    assert WRONG_ESTIMATORS[name][1] in raised.value.what
    assert not [file for file in (tmp_path / "small").rglob("*") if file.is_file()]


def test_the_hint_names_the_segments_that_would_fit(tmp_path: Path, recordings: Recordings) -> None:
    path = tmp_path / "own.skops"
    skops.io.dump(fitted(DecisionTreeClassifier(), 2 * (12 + 5)), path)
    with pytest.raises(InputError, match="segments = 5 gives 34 features"):
        train_study(study(file=str(path)), recordings, tmp_path)
    assert train_study(study(file=str(path), segments=5), recordings, tmp_path)


def test_a_callable_gives_a_fitted_estimator(tmp_path: Path, recordings: Recordings) -> None:
    trained = train_study(study(estimator=HERE + "fitted_forest", trained=True), recordings, tmp_path)["own"]
    rows = recordings.indices("test")
    signals = torch.from_numpy(recordings.signals(rows))
    features = Features(recordings.about.leads, SAMPLES, 100.0)(signals).numpy()
    expected = np.stack([part[:, 1] for part in fitted_forest().predict_proba(features)], axis=1)
    assert trained.module(signals).numpy() == pytest.approx(expected, abs=1e-6)
