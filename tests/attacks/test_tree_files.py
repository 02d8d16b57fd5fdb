"""A deployed file of trees is attacked through its own features and its own trees, quantized as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from torch import nn

from pulseproof.attacks.aim.references import auc_objective
from pulseproof.attacks.aim.sources import Source, open_source
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.gradient import NoGradientError
from pulseproof.attacks.soft_trees import has_soft_trees, soften, tree_attack
from pulseproof.attacks.tree_files import held_trees, trees_of
from pulseproof.core.engines import engines_of, score
from pulseproof.ecg.recordings import Recordings, to_millivolts
from pulseproof.export import tree_files
from pulseproof.export.job import ExportJob
from pulseproof.export.onnx import files as onnx_files
from pulseproof.export.tflite import files as tflite_files
from pulseproof.models.classical import FeatureModel, head_of
from pulseproof.models.features import Features
from pulseproof.models.trees import TreeWalk
from pulseproof.runtime.auc import macro_auc
from pulseproof.runtime.files import sha256_file
from pulseproof.twins import NotCoveredError
from tests.models.making import small_recordings

STEP_MV, BUDGET_MV = 0.001, 0.1


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    return small_recordings(tmp_path_factory.mktemp("small"), n=300)


def victims_of(recordings: Recordings, side: Any) -> Victims:
    rows = recordings.indices(side)
    return Victims(
        torch.from_numpy(recordings.signals(rows)), torch.from_numpy(recordings.labels[rows].astype(np.float32))
    )


@pytest.fixture(scope="module")
def forest(recordings: Recordings) -> FeatureModel:
    features, rows = Features(("I", "II"), 160, 100.0, segments=8), recordings.indices("train")
    seen = features(torch.from_numpy(recordings.signals(rows))).numpy()
    fitted = RandomForestClassifier(30, max_depth=5, random_state=1).fit(seen, recordings.labels[rows])
    return FeatureModel(features, head_of(fitted)).eval()


@pytest.fixture(scope="module")
def files(forest: FeatureModel, recordings: Recordings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    some = recordings.signals(recordings.indices("train")[:64])
    made = {}
    for kind, tools, first in (
        ("onnx", onnx_files, tree_files.write_onnx),
        ("tflite", tflite_files, tree_files.write_tflite),
    ):
        whole = folder / f"{kind}-fp32.{kind}"
        job = ExportJob(forest, recordings.shape, whole, whole, some, "minmax")
        first(job)
        made[f"{kind}-fp32"] = whole
        made[f"{kind}-int8-static"] = folder / f"{kind}-int8-static.{kind}"
        tools.write_static_products(replace(job, out=made[f"{kind}-int8-static"]))
    return made


def attacked(module: nn.Module, references: Victims, victims: Victims) -> NDArray[np.float32]:
    attack, seeded = tree_attack(8, STEP_MV), torch.Generator().manual_seed(1)
    objective = auc_objective(attack, module, references, BUDGET_MV, seeded)
    (delta,) = attack(module, victims, [objective], [BUDGET_MV], seeded)
    return to_millivolts(np.rint((victims.signals + delta).numpy() / STEP_MV).astype(np.int16), STEP_MV)


@pytest.fixture(scope="module")
def through_parent(forest: FeatureModel, recordings: Recordings) -> NDArray[np.float32]:
    references, victims = victims_of(recordings, "validation"), victims_of(recordings, "test")
    return attacked(soften(forest, references.signals), references, victims)


FILES = ["onnx-fp32", "onnx-int8-static", "tflite-fp32", "tflite-int8-static"]


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_an_attack_through_the_file_is_no_weaker_than_through_its_parent(
    name: str,
    files: dict[str, Path],
    forest: FeatureModel,
    recordings: Recordings,
    through_parent: NDArray[np.float32],
) -> None:
    file, references, victims = files[name], victims_of(recordings, "validation"), victims_of(recordings, "test")
    read = trees_of(file)
    assert read is not None
    arrays, own = read.head, forest.head
    assert isinstance(arrays, TreeWalk) and isinstance(own, TreeWalk)
    for field in ("roots", "feature", "threshold", "left", "right", "depth"):
        assert np.array_equal(getattr(arrays.arrays, field), getattr(own.arrays, field)), field
    leaf = own.arrays.leaf
    assert np.array_equal(arrays.arrays.value[leaf], own.arrays.value[leaf])
    opened = open_source(Source(name, (), file, sha256_file(file)), "twin", references).model
    assert isinstance(opened, nn.Module) and has_soft_trees(opened)
    engine = engines_of(file.suffix[1:])[0]

    def auc(signals: NDArray[np.float32]) -> float:
        return float(macro_auc(score(file, signals, engine), victims.labels.numpy()))

    through = auc(attacked(opened, references, victims))
    assert through <= auc(through_parent) + 0.01 and through < auc(victims.signals.numpy()) - 0.2


def broken(model: onnx.ModelProto, name: str, value: Any) -> onnx.ModelProto:
    (node,) = [one for one in model.graph.node if one.op_type == "TreeEnsembleRegressor"]
    attribute = next(one for one in node.attribute if one.name == name)
    attribute.CopyFrom(onnx.helper.make_attribute(name, value))
    return model


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("nodes_truenodeids", lambda ids: [0] * len(ids), "its nodes are not a tree"),
        ("nodes_featureids", lambda ids: [99999] * len(ids), "a feature that is not there"),
        ("post_transform", lambda said: "LOGISTIC", "a sum of trees"),
        ("nodes_nodeids", lambda ids: ids[::-1], "nodes in order"),
    ],
)
def test_trees_of_a_stranger_are_read_whole_or_refused(
    name: str, change: Any, says: str, forest: FeatureModel, recordings: Recordings, tmp_path: Path
) -> None:
    file, none = tmp_path / "f.onnx", np.zeros((0, *recordings.shape), np.float32)
    tree_files.write_onnx(ExportJob(forest, recordings.shape, file, file, none, "minmax"))
    model = onnx.load(file)
    (node,) = [one for one in model.graph.node if one.op_type == "TreeEnsembleRegressor"]
    held = onnx.helper.get_attribute_value(next(one for one in node.attribute if one.name == name))
    onnx.save(broken(model, name, change(list(held) if not isinstance(held, bytes) else held)), file)
    with pytest.raises(NotCoveredError, match=says):
        trees_of(file)


def test_what_the_engine_contradicts_is_not_attacked(
    forest: FeatureModel, recordings: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    references = victims_of(recordings, "validation")
    file, none = tmp_path / "f.onnx", np.zeros((0, *recordings.shape), np.float32)
    tree_files.write_onnx(ExportJob(forest, recordings.shape, file, file, none, "minmax"))
    labels: NDArray[Any] = references.labels.numpy()
    walk = trees_of(file)
    assert walk is not None and held_trees(walk, file, references.signals, labels).reason is None

    def other(path: Path, signals: NDArray[np.float32], engine: str) -> NDArray[np.float32]:
        return score(path, signals[::-1].copy(), engine)

    monkeypatch.setattr("pulseproof.attacks.tree_files.engines.score", other)
    with pytest.raises(NoGradientError, match="other branches than on onnxruntime"):
        open_source(Source("f", (), file, sha256_file(file)), "twin", references)
