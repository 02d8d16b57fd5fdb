"""Trees and forests on features: the same leaves in both formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from pulseproof.export import tree_files
from pulseproof.export.onnx import files as onnx_files
from pulseproof.export.quiet import quiet
from pulseproof.export.tflite import flatbuffer
from pulseproof.models.classical import FeatureModel, head_of
from pulseproof.models.features import Features
from pulseproof.runtime.engines import open_engine
from tests.export.making import job_for, random_signals

SHAPE = (2, 160)
ESTIMATORS = {
    "tree": DecisionTreeClassifier(max_depth=5, random_state=1),
    "full tree": DecisionTreeClassifier(random_state=1),
    "stump": DecisionTreeClassifier(max_depth=1, random_state=1),
    "forest": RandomForestClassifier(20, max_depth=6, random_state=1),
    "extra trees": ExtraTreesClassifier(5, random_state=1),
}
FORMATS = ["onnx", pytest.param("tflite", marks=pytest.mark.slow)]


def make_model(name: str) -> FeatureModel:
    features = Features(("I", "II"), SHAPE[1], 100.0, segments=4)
    signals = random_signals(300, SHAPE, seed=5)
    with torch.inference_mode():
        values = features(torch.from_numpy(signals)).numpy()
    labels = (values[:, :3] + values[:, 4:7] > np.median(values[:, :3] + values[:, 4:7], axis=0)).astype(np.uint8)
    return FeatureModel(features, head_of(ESTIMATORS[name].fit(values, labels))).eval()


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_same_leaves_on_random_recordings(name: str, file_format: str, tmp_path: Path) -> None:
    model, signals, out = make_model(name), random_signals(300, SHAPE, seed=6), tmp_path / f"tree.{file_format}"
    with quiet():
        getattr(tree_files, f"write_{file_format}")(job_for(model, SHAPE, out))
    engine = open_engine(out, shape=SHAPE)
    scores = np.concatenate([engine.run(signal[None]) for signal in signals])
    with torch.inference_mode():
        expected = model(torch.from_numpy(signals)).numpy()
    assert len(np.unique(expected, axis=0)) > 1
    assert np.abs(scores - expected).max() <= 1e-6


def test_onnx_holds_one_ensemble(tmp_path: Path) -> None:
    model, out = make_model("forest"), tmp_path / "forest.onnx"
    tree_files.write_onnx(job_for(model, SHAPE, out))
    onnx.checker.check_model(onnx.load(out), full_check=True)
    assert onnx_files.count_operators(out)["TreeEnsembleRegressor"] == 1


@pytest.mark.slow
def test_tflite_walks_without_bounds_checks(tmp_path: Path) -> None:
    model, out = make_model("forest"), tmp_path / "forest.tflite"
    with quiet():
        tree_files.write_tflite(job_for(model, SHAPE, out))
    counts = flatbuffer.count_operators(out)
    depth = model.head.depth
    assert counts["GATHER"] == 5 * depth + 1 and counts["SELECT_V2"] == counts["LESS_EQUAL"] == depth
