"""Small untrained nets and features, their float ONNX files, and what ONNX Runtime makes of a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from torch import Tensor, nn

from pulseproof.export import tree_files
from pulseproof.export.job import ExportJob
from pulseproof.export.onnx import files as onnx_files
from pulseproof.export.quiet import quiet
from pulseproof.models.classical import FeatureModel, head_of
from pulseproof.models.features import Features
from pulseproof.models.nets import Cnn, EcgLens, Lstm
from pulseproof.runtime.engines import open_engine
from tests.export.making import job_for, random_signals
from tests.export.test_fold import lived_in

SHAPE = (2, 160)


class Gru(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(2, 12, batch_first=True, bidirectional=True)
        self.head = nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.gru(x.transpose(1, 2))[0].mean(dim=1))


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(16, 16)
        self.body = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.embed(x.reshape(x.shape[0], 20, 16))).mean(dim=1))


class Clipped(nn.Module):
    """A Clip, a MatMul with an Add behind it, and two layers at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 6, 7, 2, 3)
        self.steps = nn.Linear(80, 6)
        self.head = nn.Linear(36, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.steps(self.conv(x).clamp(-1, 6)).flatten(1))


NETS = {
    "cnn": lambda: Cnn(*SHAPE, 3, width=8),
    "cnn in pieces": lambda: Cnn(*SHAPE, 3, width=8, pieces=3, own_mean=True),
    "ecg-lens": lambda: EcgLens(*SHAPE, 3, width=8),
    "lstm": lambda: Lstm(*SHAPE, 3, hidden=24, patch=7),
    "gru": Gru,
    "transformer": Transformer,
    "clipped": Clipped,
}


def make_net(name: str) -> nn.Module:
    """An untrained net whose batch norms are not the identity, and none of whose layers is equal to another."""
    torch.manual_seed(3)
    net = NETS[name]()
    for parameter in net.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    return lived_in(net)


def make_classical(name: str) -> FeatureModel:
    """A fitted "tree" or "logistic" on the features of random recordings."""
    features = Features(("I", "II"), SHAPE[1], 100.0, segments=4)
    with torch.inference_mode():
        values = features(torch.from_numpy(signals(300, 5))).numpy()
    labels = (values[:, :3] > np.median(values[:, :3], axis=0)).astype(np.uint8)
    if name == "tree":
        estimator = DecisionTreeClassifier(max_depth=5, random_state=1)
    else:
        estimator = make_pipeline(StandardScaler(), OneVsRestClassifier(LogisticRegression(max_iter=200)))
    return FeatureModel(features, head_of(estimator.fit(values, labels))).eval()


def signals(count: int, seed: int) -> NDArray[np.float32]:
    return random_signals(count, SHAPE, seed)


def float_job(name: str, folder: Path) -> ExportJob:
    """The float file of one of them, and a job to make a smaller one of it, with 24 calibration recordings."""
    module = make_classical(name) if name in ("tree", "logistic") else make_net(name)
    source = folder / f"{name}.onnx"
    job = job_for(module, SHAPE, source)
    with quiet():
        tree_files.write_onnx(job) if name == "tree" else onnx_files.write_float(job)
    return replace(job, out=folder / "out.onnx", source=source, calibration=signals(24, 1))


def run(path: Path, recordings: NDArray[np.float32]) -> NDArray[np.float32]:
    engine = open_engine(path, shape=recordings.shape[1:])
    return np.concatenate([engine.run(one[None]) for one in recordings])


def executed(path: Path, folder: Path, as_on_arm: bool = False) -> dict[str, int]:
    """{operator: count} of what ONNX Runtime runs, after its fusions. ``as_on_arm``: with its default there."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(folder / "executed.onnx")
    options.log_severity_level = 3
    if as_on_arm:
        options.add_session_config_entry("session.qdqisint8allowed", "1")
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return onnx_files.count_operators(folder / "executed.onnx")
