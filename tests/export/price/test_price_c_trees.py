"""Trees as C: the compiled code gives the scores of the torch module, and its size is that of an object file."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.tree import DecisionTreeClassifier

from pulseproof.export import tree_files
from pulseproof.export.job import RefusedError
from pulseproof.export.price import c_trees, price
from pulseproof.export.quiet import quiet
from pulseproof.models.classical import FeatureModel
from pulseproof.models.features import Features
from pulseproof.models.trees import TreeArrays, TreeWalk, tree_arrays
from tests.export.making import job_for

FEATURES, CLASSES = 24, 3  # of two leads; so many has models.features.Features
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc here")
ESTIMATORS = {
    "tree": DecisionTreeClassifier(max_depth=5, random_state=1),
    "full tree": DecisionTreeClassifier(random_state=1),
    "stump": DecisionTreeClassifier(max_depth=1, random_state=1),
    "a leaf alone": DecisionTreeClassifier(min_samples_leaf=300, random_state=1),
    "forest": RandomForestClassifier(20, max_depth=6, random_state=1),
    "extra trees": ExtraTreesClassifier(5, random_state=1),
    "boosted trees": MultiOutputClassifier(HistGradientBoostingClassifier(max_iter=5, random_state=1)),
}


def make_arrays(name: str) -> TreeArrays:
    values = random_features(400, 5)
    labels = (values[:, :CLASSES] + values[:, 4 : 4 + CLASSES] > 0).astype(np.uint8)
    return tree_arrays(ESTIMATORS[name].fit(values, labels))


def random_features(n: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 1, (n, FEATURES)).astype(np.float32)


def on_thresholds(arrays: TreeArrays, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Half of the recordings get thresholds as features, or their neighbours: there ``<`` is not ``<=``."""
    rng, branches = np.random.default_rng(0), np.flatnonzero(~arrays.leaf)
    values = values.copy()
    for row in values[: len(values) // 2 if len(branches) else 0]:
        for at in rng.choice(branches, min(len(branches), FEATURES)):
            limit = arrays.threshold[at]
            row[arrays.feature[at]] = rng.choice(
                [limit, np.nextafter(limit, np.float32(9)), np.nextafter(limit, -limit)]
            )
    return values


def compiled_scores(arrays: TreeArrays, values: NDArray[np.float32], folder: Path) -> NDArray[np.float32]:
    (folder / "trees.c").write_text(c_trees.source(arrays))
    command = ["gcc", *c_trees.FLAGS, "-shared", "-fPIC", "trees.c", "-o", "trees.so"]
    subprocess.run(command, cwd=folder, check=True)
    walk = ctypes.CDLL(str(folder / "trees.so")).trees_scores
    scores = np.full((len(values), arrays.value.shape[1]), np.nan, np.float32)
    for row, out in zip(np.ascontiguousarray(values), scores, strict=True):
        walk(row.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p))
    return scores


@needs_gcc
@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_c_code_gives_our_scores(name: str, tmp_path: Path) -> None:
    arrays = make_arrays(name)
    values = on_thresholds(arrays, random_features(300, 6))
    expected = TreeWalk(arrays)(torch.from_numpy(values)).numpy()
    # Only the order of a sum over trees may differ.
    assert np.abs(compiled_scores(arrays, values, tmp_path) - expected).max() <= 1e-6


@st.composite
def random_trees(draw: st.DrawFn) -> TreeArrays:
    """Trees of any shape, with thresholds and values of any size."""
    floats = st.floats(-(2.0**100), 2.0**100, width=32)
    columns: dict[str, list] = {key: [] for key in ("feature", "threshold", "left", "right", "value")}
    roots, depth = [], 0

    def grow(level: int) -> int:
        nonlocal depth
        at, depth = len(columns["feature"]), max(depth, level)
        for key, value in {"feature": draw(st.integers(0, FEATURES - 1)), "threshold": draw(floats)}.items():
            columns[key].append(value)
        columns["value"].append([draw(floats) for _ in range(2)])
        columns["left"].append(at)
        columns["right"].append(at)
        if level < 4 and draw(st.booleans()):
            columns["left"][at] = grow(level + 1)
            columns["right"][at] = grow(level + 1)
        return at

    for _ in range(draw(st.integers(1, 3))):
        roots.append(grow(0))
    kinds = {"feature": np.int64, "threshold": np.float32, "left": np.int64, "right": np.int64, "value": np.float32}
    joined = {key: np.array(values, kinds[key]) for key, values in columns.items()}
    return TreeArrays(roots=np.array(roots, np.int64), depth=depth, **joined)


@needs_gcc
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(random_trees())
def test_any_tree_gives_our_scores(tmp_path_factory: pytest.TempPathFactory, arrays: TreeArrays) -> None:
    values = on_thresholds(arrays, random_features(40, 7))
    expected = TreeWalk(arrays)(torch.from_numpy(values)).numpy()
    scores = compiled_scores(arrays, values, tmp_path_factory.mktemp("trees"))
    assert np.allclose(scores, expected, rtol=1e-5, atol=1e-6 * float(np.abs(arrays.value).max()))


def test_numpy_still_only_warns() -> None:
    before = np.geterr()
    c_trees.source(make_arrays("stump"))
    assert np.geterr() == before


@pytest.mark.parametrize("command", [c_trees.HOST, c_trees.CROSS], ids=lambda command: command[0])
def test_more_trees_are_more_bytes(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"there is no {command[0]} here")
    monkeypatch.setattr(c_trees, "CROSS", command)  # which is preferred
    small, large = (c_trees.c_code(make_arrays(name)) for name in ("stump", "forest"))
    assert 0 < small.text_bytes < large.text_bytes
    nodes = len(make_arrays("forest").leaf)
    assert nodes < large.text_bytes < 100 * nodes
    assert small.compiler.startswith(f"{command[0]} ") and "-Os" in small.compiler


def test_without_a_compiler_there_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(RefusedError, match="there is no C compiler here"):
        c_trees.c_code(make_arrays("stump"))


@needs_gcc
def test_what_does_not_compile_is_a_reason() -> None:
    with pytest.raises(RefusedError, match=r"gcc does not compile the trees: trees\.c:1:.*error"):
        c_trees._measure("this is no C", c_trees.HOST)


@pytest.mark.slow
def test_both_formats_hold_the_same_trees(tmp_path: Path) -> None:
    arrays = make_arrays("forest")
    model = FeatureModel(Features(("I", "II"), 160, 100.0), TreeWalk(arrays)).eval()
    prices = []
    for suffix in ("onnx", "tflite"):
        path = tmp_path / f"forest.{suffix}"
        with quiet():
            getattr(tree_files, f"write_{suffix}")(job_for(model, (2, 160), path))
        prices.append(price(path, model))
    branches, leaves = np.count_nonzero(~arrays.leaf), np.count_nonzero(arrays.leaf)
    feature_graph = prices[0].parameters - (2 * branches + CLASSES * leaves)
    spectrum = sum(getattr(model.features, name).numel() for name in ("cosines", "sines", "bands"))
    assert feature_graph == spectrum
    # litert-torch makes a bias of the number that keeps the logarithm of each band finite.
    assert prices[1].parameters - prices[0].parameters == model.features.bands.shape[1]
    assert prices[0].macs == prices[1].macs > 0
    assert prices[0].c_code == prices[1].c_code
    assert "GATHER" in prices[1].unpriced["micro"].upper()
