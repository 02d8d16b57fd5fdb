"""Bounds of trees: exact in a box of features, and never left by what an engine gives of a forest's file."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from pulseproof.certify.bounds import ball, file_bounds
from pulseproof.certify.proved import ScoreBounds
from pulseproof.certify.trees import read_trees
from pulseproof.core.engines import score
from pulseproof.export.tree_files import write_onnx
from pulseproof.twins import NotCoveredError
from tests.export.making import job_for, random_signals
from tests.export.test_tree_files import SHAPE, make_model


@pytest.fixture(scope="module")
def forest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trees") / "forest.onnx"
    write_onnx(job_for(make_model("forest"), SHAPE, path))
    return path


@pytest.mark.parametrize("budget", [0.0, 0.005, 0.1])
def test_an_engine_never_leaves_the_bounds_of_a_forest(budget: float, forest: Path) -> None:
    signals = random_signals(12, SHAPE, seed=6)
    bounds = file_bounds(forest, signals, budget)
    low, high = (end.numpy() for end in ball(signals, budget))
    rng = np.random.default_rng(0)
    moves = [rng.uniform(-budget, budget, signals.shape) for _ in range(20)]
    moves += [budget * rng.choice([-1.0, 1.0], signals.shape) for _ in range(20)]
    moves += [budget * np.sign(signals - signals.mean(axis=2, keepdims=True)), np.full(signals.shape, budget)]
    points = np.stack([(signals + move).astype(np.float32) for move in moves])
    assert ((points >= low) & (points <= high)).all()
    scores = score(forest, points.reshape(-1, *SHAPE), "onnxruntime").astype(np.float64)
    scores = scores.reshape(len(points), len(signals), -1)
    assert (scores >= bounds.lower).all() and (scores <= bounds.upper).all()
    width = bounds.upper - bounds.lower
    assert width.max() < 1e-3 if budget == 0 else (width < 0.9).any() if budget < 0.05 else width.max() > 0.1


def test_of_one_tree_the_bounds_are_exact(tmp_path: Path) -> None:
    """Every cell of the box that the thresholds cut is tried."""
    model, path = make_model("tree"), tmp_path / "tree.onnx"
    write_onnx(job_for(model, SHAPE, path))
    found = read_trees(path)
    assert found is not None
    _, trees = found
    used = sorted(set(trees.feature[np.concatenate(trees.levels)].tolist()))[:4]
    signals = random_signals(6, SHAPE, seed=8)
    with torch.inference_mode():
        middle = model.features(torch.from_numpy(signals)).numpy()
    wide = np.zeros(middle.shape[1], np.float32)
    wide[used] = 0.5
    ends = (middle - wide).astype(np.float32), (middle + wide).astype(np.float32)
    bounds = trees.bounds(ScoreBounds(*(end.astype(np.float64) for end in ends)))
    for at in range(len(signals)):
        values = []
        for feature in used:
            cuts = np.unique(trees.threshold[trees.feature == feature])
            cuts = cuts[(cuts >= ends[0][at, feature]) & (cuts <= ends[1][at, feature])]
            above = np.minimum(np.nextafter(cuts, np.float32(np.inf)), ends[1][at, feature])
            values.append(np.unique(np.concatenate([cuts, above, [ends[0][at, feature], ends[1][at, feature]]])))
        points = np.array(list(itertools.product(*values)), np.float32)
        rows = np.repeat(middle[at : at + 1], len(points), axis=0)
        rows[:, used] = points
        with torch.inference_mode():
            scores = model.head(torch.from_numpy(rows)).numpy()
        np.testing.assert_allclose(bounds.lower[at], scores.min(axis=0), atol=1e-6)
        np.testing.assert_allclose(bounds.upper[at], scores.max(axis=0), atol=1e-6)


def test_unknown_features_leave_every_leaf_open(forest: Path) -> None:
    found = read_trees(forest)
    assert found is not None
    _, trees = found
    unknown = np.full((1, int(trees.feature.max()) + 1), np.nan)
    bounds = trees.bounds(ScoreBounds(unknown, unknown))
    lowest = np.minimum.reduceat(trees.value, trees.starts, axis=0).sum(axis=0)
    np.testing.assert_allclose(bounds.lower[0], lowest, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"post_transform": "LOGISTIC"}, "alone, as a sum"), ({"base_values": [0.1, 0.2, 0.3]}, "base values")],
)
def test_other_trees_are_refused(change: dict[str, object], said: str, forest: Path, tmp_path: Path) -> None:
    model = onnx.load(forest)
    node = model.graph.node[-1]
    kept = [each for each in node.attribute if each.name not in change]
    del node.attribute[:]
    node.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in change.items())])
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(NotCoveredError, match=said):
        read_trees(tmp_path / "other.onnx")
