"""Features and the classical systems: the module says what scikit-learn and numpy say."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from core.errors import InputError
from models.classical import FeatureModel, PythonHead, head_of, load_estimator, probabilities, save_estimator
from models.features import BANDS_HZ, Features
from models.trees import TreeWalk

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 10)).astype(np.float32)
Y = (X[:, :3] + RNG.normal(size=(300, 3)) > 0).astype(np.uint8)
ESTIMATORS = {
    "neighbours": KNeighborsClassifier(3),
    "tree": DecisionTreeClassifier(max_depth=5, random_state=1),
    "full tree": DecisionTreeClassifier(random_state=1),
    "forest": RandomForestClassifier(10, max_depth=6, random_state=1),
    "extra trees": ExtraTreesClassifier(10, max_depth=6, random_state=1),
    "logistic": OneVsRestClassifier(LogisticRegression()),
    "scaled logistic": make_pipeline(StandardScaler(), OneVsRestClassifier(LogisticRegression())),
}


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name != "neighbours"])
def test_the_head_says_what_the_estimator_says(name: str) -> None:
    fitted = ESTIMATORS[name].fit(X, Y)
    head = head_of(fitted)
    with torch.inference_mode():
        scores = head(torch.from_numpy(X)).numpy()
    if not isinstance(head, TreeWalk):
        scores = 1 / (1 + np.exp(-scores))
    assert np.abs(scores - probabilities(fitted, X)).max() < 2e-6


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


@pytest.mark.parametrize("name", ESTIMATORS)
def test_skops_gives_the_estimator_back(name: str, tmp_path: Path) -> None:
    fitted = ESTIMATORS[name].fit(X, Y)
    save_estimator(fitted, tmp_path / "estimator.skops")
    loaded = load_estimator(tmp_path / "estimator.skops")
    assert np.array_equal(probabilities(loaded, X), probabilities(fitted, X))


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
