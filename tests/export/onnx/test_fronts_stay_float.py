"""Whatever is made of a brought file, what stands before its own graph stays float32."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from pulseproof.core.engines import score
from pulseproof.core.studies.model_input import InputSpec
from pulseproof.export.job import ExportJob, MadeFile
from pulseproof.export.onnx import files as onnx_files
from pulseproof.models.brought.files import FileModel, take_file
from pulseproof.models.front.fitting import Fitting
from pulseproof.models.front.onnx_front import FRONT, front_nodes

SHAPE = (1, 200)


class ByItself(nn.Module):
    """A net that was trained on z-scored signals of half the rate, samples before leads."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.body = nn.Sequential(nn.Conv1d(1, 8, 7, stride=2), nn.ReLU(), nn.Conv1d(8, 8, 5), nn.ReLU())
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(self.body(x.transpose(1, 2)).mean(dim=2))
        return scores


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> ExportJob:
    folder = tmp_path_factory.mktemp("fronts")
    net, own = ByItself().eval(), folder / "own.onnx"
    torch.onnx.export(net, (torch.zeros(1, 100, 1),), own, opset_version=17, dynamo=False)
    x = np.random.default_rng(5).normal(0.2, 0.4, (48, *SHAPE)).astype(np.float32).cumsum(axis=2) * np.float32(0.1)
    kept = folder / "given.onnx"
    spec = InputSpec(normalise="zscore", fs_hz=50.0)
    taken = take_file(own, "own", x[:8], 3, kept, fitting=Fitting(SHAPE, 3, 100.0, spec=spec))
    assert taken.front is not None and taken.front.startswith("resampled by 1/2, zscore")
    model, out = FileModel(kept, SHAPE, front=taken.front), folder / "f.onnx"
    made = ExportJob(model, SHAPE, out, out, x, "minmax")
    note = onnx_files.write_given(made).note
    assert note == f"before and behind its owner's graph: {taken.front}"
    return made


@pytest.mark.parametrize(
    ("write", "within"),
    [
        (onnx_files.write_fp16, 0.01),
        (onnx_files.write_dynamic, 0.05),
        (onnx_files.write_static, 0.05),
        (onnx_files.write_static_s8s8, 0.05),
    ],
    ids=["half", "dynamic", "static", "static, signed"],
)
def test_no_recipe_touches_it(
    write: Callable[[ExportJob], MadeFile], within: float, job: ExportJob, tmp_path: Path
) -> None:
    out = tmp_path / "f.onnx"
    write(ExportJob(job.module, SHAPE, out, job.source, job.calibration, "minmax"))
    graph = onnx.load(out).graph
    kinds = {node.op_type for node in graph.node if FRONT.match(node.name)}
    assert {"Conv", "ReduceMean", "Sqrt", "Div"} <= kinds and front_nodes(graph)
    assert all(
        each.data_type == onnx.TensorProto.FLOAT
        for each in graph.initializer
        if "mv-front" in each.name and each.data_type != onnx.TensorProto.INT64
    )
    assert any("Integer" in node.op_type or "Quantize" in node.op_type or node.op_type == "Cast" for node in graph.node)
    floats = score(job.source, job.calibration, "onnxruntime")
    assert np.abs(score(out, job.calibration, "onnxruntime") - floats).max() < within * 3 * floats.std()
