"""Features and the classical systems: the module says what scikit-learn and numpy say."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from pulseproof.core.errors import InputError
from pulseproof.models.brought.estimator_files import load_estimator, save_estimator
from pulseproof.models.brought.estimators import class_order
from pulseproof.models.classical import FeatureModel, Logistic, PythonHead, head_of, probabilities
from pulseproof.models.features import BANDS_HZ, Features
from pulseproof.models.scalers import raw_thresholds
from pulseproof.models.trees import TreeWalk, tree_arrays

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 10)).astype(np.float32)
Y = (X[:, :3] + RNG.normal(size=(300, 3)) > 0).astype(np.uint8)
KINDS = Y.sum(axis=1)  # 0 to 3: four classes, one at a time
LARGEST = np.finfo(np.float32).max
ESTIMATORS = {
    "neighbours": KNeighborsClassifier(3),
    "tree": DecisionTreeClassifier(max_depth=5, random_state=1),
    "full tree": DecisionTreeClassifier(random_state=1),
    "forest": RandomForestClassifier(10, max_depth=6, random_state=1),
    "extra trees": ExtraTreesClassifier(10, max_depth=6, random_state=1),
    "logistic": OneVsRestClassifier(LogisticRegression()),
    "scaled logistic": make_pipeline(StandardScaler(), OneVsRestClassifier(LogisticRegression())),
}
SCALERS = {
    "standard": StandardScaler(),
    "standard, mean only": StandardScaler(with_std=False),
    "standard, scale only": StandardScaler(with_mean=False),
    "min-max": MinMaxScaler((-3, 0.5)),
    "max-abs": MaxAbsScaler(),
    "robust": RobustScaler(),
    "robust, scale only": RobustScaler(with_centering=False),
    "three": make_pipeline(MaxAbsScaler(), RobustScaler(), StandardScaler()),
}


def hist(**settings: Any) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(max_iter=12, min_samples_leaf=5, random_state=1, **settings)


def logits(estimator: Any, values: np.ndarray) -> np.ndarray:
    given = estimator.decision_function(values)
    return given if given.ndim == 2 else np.stack([-given, given], axis=1)


def by_outputs(estimator: Any, values: np.ndarray) -> np.ndarray:
    return np.stack([np.log(part[:, 1] / part[:, 0]) for part in estimator.predict_proba(values)], axis=1)


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name != "neighbours"])
def test_the_head_says_what_the_estimator_says(name: str) -> None:
    fitted = ESTIMATORS[name].fit(X, Y)
    head = head_of(fitted)
    with torch.inference_mode():
        scores = head(torch.from_numpy(X)).numpy()
    if not isinstance(head, TreeWalk):
        scores = 1 / (1 + np.exp(-scores))
    assert np.abs(scores - probabilities(fitted, X)).max() < 2e-6


# name: (estimator, its target, what it says)
MORE: dict[str, tuple[Any, np.ndarray, Callable[[Any, np.ndarray], np.ndarray]]] = {
    "boosted": (hist(), KINDS, logits),
    "boosted, two classes": (hist(), Y[:, 0], logits),
    "boosted, early stopping": (hist(early_stopping=True), KINDS, logits),
    "boosted a class": (OneVsRestClassifier(hist()), Y, logits),
    "gradient boosting": (GradientBoostingClassifier(n_estimators=6, random_state=1), KINDS, logits),
    "gradient boosting, two classes": (GradientBoostingClassifier(n_estimators=6, random_state=1), Y[:, 0], logits),
    "gradient boosting, exponential": (
        GradientBoostingClassifier(n_estimators=6, loss="exponential", random_state=1), Y[:, 0], logits,
    ),
    "gradient boosting from zero": (GradientBoostingClassifier(n_estimators=6, init="zero"), KINDS, logits),
    "gradient boosting a class": (OneVsRestClassifier(GradientBoostingClassifier(n_estimators=6)), Y, logits),
    "boosted by outputs": (
        MultiOutputClassifier(hist()), Y, by_outputs,
    ),
    "forest a class": (OneVsRestClassifier(RandomForestClassifier(6, max_depth=5)), Y, probabilities),
    "trees by outputs": (MultiOutputClassifier(ExtraTreesClassifier(6, max_depth=5)), Y, probabilities),
    "tree of four": (DecisionTreeClassifier(max_depth=6), KINDS, probabilities),
    "tree of two": (DecisionTreeClassifier(max_depth=6), Y[:, 0], probabilities),
    "forest of four": (RandomForestClassifier(6, max_depth=6), KINDS, probabilities),
    "logistic of four": (LogisticRegression(max_iter=300), KINDS, logits),
    "logistic of two": (LogisticRegression(), Y[:, 0], logits),
    "logistic by outputs": (
        MultiOutputClassifier(LogisticRegression()), Y, lambda fitted, x: by_outputs(fitted, x.astype(float)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("scaler", [None, *SCALERS])
@pytest.mark.parametrize("name", MORE)
def test_the_head_says_what_the_estimator_says_behind_any_scaler(name: str, scaler: str | None) -> None:
    estimator, target, said = MORE[name]
    steps = [] if scaler is None else SCALERS[scaler].steps if scaler == "three" else [("s", SCALERS[scaler])]
    last = clone(estimator)
    fitted = (Pipeline([*clone_steps(steps), ("last", last)]) if steps else last).fit(X, target)
    head = head_of(fitted)
    assert isinstance(head, TreeWalk | Logistic)
    fresh = np.random.default_rng(5).normal(0, 2, (500, 10)).astype(np.float32)
    with torch.inference_mode():
        scores = head(torch.from_numpy(fresh)).numpy()
    expected = said(fitted, fresh)
    assert head.threshold == (0.5 if said is probabilities else 0.0)
    assert np.abs(scores - expected).max() < 1e-5 * max(1, np.abs(expected).max())


def clone_steps(steps: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return [(name, clone(step)) for name, step in steps]


@pytest.mark.filterwarnings("ignore:overflow")  # at the largest float32, which is tried as well
@settings(max_examples=60, deadline=None)
@given(
    scaler=st.sampled_from([name for name in SCALERS if name != "three"]),
    clip=st.booleans(),
    seed=st.integers(0, 2**31),
    gain=st.floats(1e-3, 1e3),
)
def test_a_folded_scaler_decides_as_the_scaler_itself(scaler: str, clip: bool, seed: int, gain: float) -> None:
    """For random values, and for the float32 at, just below and just above every folded threshold."""
    rng = np.random.default_rng(seed)
    kind = MinMaxScaler(clip=True) if clip else clone(SCALERS[scaler])
    kind.fit((gain * rng.normal(size=(50, 4)) + rng.normal()).astype(rng.choice(["float32", "float64"])))
    feature = rng.integers(0, 4, 30)
    threshold = rng.normal(size=30)
    threshold[:10] = kind.transform((gain * rng.normal(size=(10, 4))).astype(np.float32))[np.arange(10), feature[:10]]
    raw = raw_thresholds(feature, threshold, [kind], 4)
    at = np.where(np.isfinite(raw), raw, np.float32(0))
    near = [at, np.nextafter(at, np.float32(-np.inf)), np.nextafter(at, np.float32(np.inf))]
    for values in (*near, (gain * rng.normal(size=30)).astype(np.float32)):
        trial = np.zeros((30, 4), np.float32)
        trial[np.arange(30), feature] = np.clip(values, -LARGEST, LARGEST)  # beside the largest float32 is infinity
        scaled = kind.transform(trial)[np.arange(30), feature]
        assert np.array_equal(trial[np.arange(30), feature] <= raw, scaled <= threshold)


@settings(max_examples=100, deadline=None)
@given(threshold=st.floats(allow_nan=False), value=st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_rounded_threshold_decides_as_the_float64_one(threshold: float, value: float) -> None:
    (raw,) = raw_thresholds(np.zeros(1, np.int64), np.array([threshold]), [], 1)
    assert (np.float32(value) <= raw) == (value <= threshold)
    assert np.isfinite(raw) or threshold < float(np.finfo(np.float32).min)


@pytest.mark.parametrize("order", [[2, 0, 1, 3], [3, 2, 1, 0]])
@pytest.mark.parametrize("name", ["boosted", "tree of four", "logistic of four", "neighbours"])
def test_classes_of_another_order_are_put_in_order(name: str, order: list[int]) -> None:
    estimator = clone(MORE[name][0] if name in MORE else ESTIMATORS[name]).fit(X, np.array(list("abcd"))[KINDS])
    classes = [str(label) for label in estimator.classes_[order]]
    assert class_order(estimator, classes, "own") == order
    with torch.inference_mode():
        straight, turned = (head_of(estimator, given)(torch.from_numpy(X)) for given in (None, order))
    assert torch.allclose(turned, straight[:, order], atol=1e-6)
    assert class_order(estimator, ["a", "b", "c", "d"], "own") is None


def constant(labels: np.ndarray) -> np.ndarray:
    changed = labels.copy()
    changed[:, 1] = 0
    return changed


UNREADABLE: dict[str, tuple[Any, np.ndarray, str]] = {
    "categories": (hist(categorical_features=[0]), Y[:, 0], "categorical splits"),
    "another start": (GradientBoostingClassifier(n_estimators=2, init=LogisticRegression()), Y[:, 0], "init"),
    "a class that never occurs": (OneVsRestClassifier(hist()), constant(Y), "only one label"),
    "components": (make_pipeline(PCA(3), hist()), KINDS, "have exporters"),
}


@pytest.mark.parametrize("name", UNREADABLE)
@pytest.mark.filterwarnings("ignore:Label not 1")
def test_what_trees_cannot_say_runs_in_python_with_a_reason(name: str) -> None:
    estimator, target, reason = UNREADABLE[name]
    values = np.abs(np.round(X)) if name == "categories" else X
    fitted = estimator.fit(values, target)
    head = head_of(fitted)
    assert isinstance(head, PythonHead) and reason in head.reason
    assert head(torch.from_numpy(values)).numpy() == pytest.approx(probabilities(fitted, values))


def test_a_class_that_never_occurs_is_a_tree_of_one_leaf() -> None:
    labels = constant(Y)
    with warnings.catch_warnings(action="ignore"):
        forest = OneVsRestClassifier(RandomForestClassifier(5, max_depth=4, random_state=1)).fit(X, labels)
    head = head_of(forest)
    assert isinstance(head, TreeWalk)
    assert np.abs(head(torch.from_numpy(X)).numpy() - probabilities(forest, X)).max() < 2e-6


def test_a_bias_needs_no_field_of_its_own() -> None:
    """What a boosted ensemble starts from is in the leaves of its first tree, for every class."""
    fitted = hist().fit(X, KINDS)
    arrays = tree_arrays(fitted)
    first = slice(0, arrays.roots[1])
    own = arrays.value[first][arrays.leaf[first]]
    assert (own[:, 1:] != 0).all()  # the first tree speaks for class 0 only; the others' columns are their start
    assert np.ptp(own[:, 1:], axis=0).max() == 0


@pytest.mark.parametrize("damage", ["circle", "beyond", "feature"])
def test_nodes_that_are_no_tree_are_refused(damage: str) -> None:
    fitted = hist().fit(X, Y[:, 0])
    nodes = fitted._predictors[0][0].nodes
    inner = np.flatnonzero(nodes["is_leaf"] == 0)[-1]
    if damage == "feature":
        nodes["feature_idx"][inner] = 1 << 40
    else:
        nodes["left"][inner] = 0 if damage == "circle" else len(nodes) + 5
    with pytest.raises(ValueError, match=r"tree"):
        tree_arrays(fitted)


def test_walks_agree_on_values_at_thresholds() -> None:
    """float32 values exactly at, just below and just above every float64 threshold."""
    tree = DecisionTreeClassifier(random_state=1).fit(X, Y)
    splits = tree.tree_.children_left >= 0
    at = tree.tree_.threshold[splits].astype(np.float32)
    rows = []
    for feature, value in zip(tree.tree_.feature[splits], at, strict=True):
        for near in (value, np.nextafter(value, np.float32(-9)), np.nextafter(value, np.float32(9))):
            row = X[0].copy()
            row[feature] = near
            rows.append(row)
    edge = np.array(rows, np.float32)
    with torch.inference_mode():
        assert np.array_equal(head_of(tree)(torch.from_numpy(edge)).numpy(), probabilities(tree, edge))


def test_a_label_that_never_occurs_has_probability_zero() -> None:
    labels = Y.copy()
    labels[:, 1] = 0
    forest = RandomForestClassifier(5, max_depth=4, random_state=1).fit(X, labels)
    with torch.inference_mode():
        assert not head_of(forest)(torch.from_numpy(X)).numpy()[:, 1].any()


def test_an_unknown_estimator_is_scored_and_marked() -> None:
    head = head_of(KNeighborsClassifier(3).fit(X, Y))
    assert isinstance(head, PythonHead)
    assert not head.differentiable
    assert head(torch.from_numpy(X)).shape == (300, 3)


@pytest.mark.parametrize("name", [*ESTIMATORS, *MORE])
def test_skops_gives_the_estimator_back(name: str, tmp_path: Path) -> None:
    estimator, target = (ESTIMATORS[name], Y) if name in ESTIMATORS else MORE[name][:2]
    seeds = {key: 1 for key in estimator.get_params() if key.endswith("random_state")}
    estimator = clone(estimator).set_params(**seeds)
    fitted = estimator.fit(X, target)
    save_estimator(fitted, tmp_path / "estimator.skops")
    loaded = load_estimator(tmp_path / "estimator.skops")
    assert np.array_equal(probabilities(loaded, X), probabilities(fitted, X))
    again = clone(estimator).fit(X, target)  # equal, in other places of memory
    save_estimator(again, tmp_path / "again.skops")
    assert (tmp_path / "again.skops").read_bytes() == (tmp_path / "estimator.skops").read_bytes()


@pytest.mark.parametrize(("module", "kind"), [("subprocess", "Popen"), ("sklearn.datasets._base", "urlretrieve")])
def test_a_file_with_foreign_types_or_damage_is_refused(tmp_path: Path, module: str, kind: str) -> None:
    path = tmp_path / "estimator.skops"
    save_estimator(ESTIMATORS["tree"].fit(X, Y), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="not a readable skops file"):
        load_estimator(path)
    path.write_bytes(whole)
    schema = zipfile.ZipFile(path).read("schema.json").decode()
    foreign = schema.replace('"DecisionTreeClassifier"', f'"{kind}"').replace('"sklearn.tree._classes"', f'"{module}"')
    assert foreign != schema
    with zipfile.ZipFile(path) as good, zipfile.ZipFile(tmp_path / "foreign.skops", "w") as archive:
        for member in good.namelist():
            archive.writestr(member, foreign if member == "schema.json" else good.read(member))
    with pytest.raises(InputError, match="not trusted"):
        load_estimator(tmp_path / "foreign.skops")


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), gain=st.floats(0.1, 5), offset=st.floats(-2, 2))
def test_features_are_what_their_names_say(seed: int, gain: float, offset: float) -> None:
    x = (gain * np.random.default_rng(seed).normal(size=(3, 2, 450)) + offset).astype(np.float32)
    features = Features(("I", "II"), 450, 100.0, segments=5)
    with torch.inference_mode():
        values = features(torch.from_numpy(x)).numpy().astype(np.float64)
    named = {name: values[:, column] for column, name in enumerate(features.names)}
    lead = x[:, 1].astype(np.float64)
    expected = {
        "mean": lead.mean(1),
        "std": lead.std(1),
        "min": lead.min(1),
        "max": lead.max(1),
        "rms": np.sqrt((lead**2).mean(1)),
        "mean-abs-diff": np.abs(np.diff(lead)).mean(1),
        "segment-0": lead[:, :90].mean(1),
        "segment-4": lead[:, 360:].mean(1),
    }
    for name, value in expected.items():
        assert named[f"II:{name}"] == pytest.approx(value, rel=2e-3, abs=2e-4), name
    window = np.hanning(200)
    pieces = (lead - lead.mean(1, keepdims=True))[:, :400].reshape(3, 2, 200) * window
    spectrum = (np.abs(np.fft.rfft(pieces)) ** 2).mean(axis=1)
    frequencies = np.fft.rfftfreq(200, 1 / 100)
    for low, high in BANDS_HZ:
        inside = (frequencies > 0) & (frequencies >= low) & (frequencies < high)
        power = spectrum[:, inside].sum(1) * 2 / (window**2).sum() / 200
        assert named[f"II:log-power-{low:g}-{high:g}Hz"] == pytest.approx(np.log(power + 1e-8), rel=1e-3, abs=1e-3)


def test_gradients_pass_through_features() -> None:
    fitted = ESTIMATORS["scaled logistic"].fit(RNG.normal(size=(300, 12)).astype(np.float32), Y)
    module = FeatureModel(Features(("I",), 100, 100.0), head_of(fitted)).requires_grad_(False)
    x = torch.randn(2, 1, 100, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    (gradient,) = torch.autograd.grad(module(x).sum(), x)
    assert torch.isfinite(gradient).all()
    assert (gradient != 0).float().mean() > 0.9
