"""Nets and their float TFLite files for the tests of the quantized ones, and small files made operator by operator."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from torch import nn

from pulseproof.export.job import INPUT, ExportJob
from pulseproof.export.quiet import quiet
from pulseproof.export.tflite import files as tflite_files
from pulseproof.export.tflite.flatbuffer import Graph
from pulseproof.models.nets import Cnn, EcgLens
from tests.export.making import job_for, random_signals

NETS: dict[str, tuple[type[nn.Module], tuple[int, int], dict[str, Any]]] = {
    "cnn": (Cnn, (12, 1000), {}),
    "ecg-lens": (EcgLens, (12, 1000), {}),
    "cnn-own-mean": (Cnn, (1, 400), {"own_mean": True, "pieces": 12}),
    "ecg-lens-own-mean": (EcgLens, (1, 400), {"own_mean": True, "pieces": 12}),
}


@dataclass(frozen=True)
class FloatFile:
    """A net, recordings for it with torch's scores, and its float file."""

    module: nn.Module
    shape: tuple[int, int]
    signals: NDArray[np.float32]
    scores: NDArray[np.float32]
    path: Path

    def job(self, out: Path, **changes: Any) -> ExportJob:
        """A job that makes ``out`` of the float file, calibrated on these recordings."""
        job = job_for(self.module, self.shape, out, self.path)
        return replace(job, calibration=self.signals, **changes)


def make_net(name: str) -> nn.Module:
    """A net of the shape of PTB-XL or MIT-BIH: drawn weights, few channels, a batch norm that does something."""
    kind, (leads, samples), options = NETS[name]
    torch.manual_seed(0)
    net = kind(leads, samples, 4, width=8, **options)
    net.normalise.mean.fill_(0.1)
    with torch.no_grad():
        for part in net.modules():
            if isinstance(part, nn.BatchNorm1d):
                part.running_var.fill_(0.3)
                part.bias.uniform_(-0.2, 0.2)
    return net.eval()


def recordings(shape: tuple[int, int], n: int = 24) -> NDArray[np.float32]:
    """Waves of some height with noise, around a baseline of its own in each lead: float32 (n, leads, samples) mV."""
    rng = np.random.default_rng(3)
    phase = rng.uniform(0, 2 * np.pi, (n, shape[0], 1)) + np.arange(shape[1]) * rng.uniform(0.02, 0.3, (n, 1, 1))
    wave = rng.uniform(0.2, 1.5, (n, 1, 1)) * np.sin(phase) + rng.normal(0, 0.2, (n, shape[0], 1))
    return (wave + random_signals(n, shape) * 0.3).astype(np.float32)


def float_file(name: str, folder: Path) -> FloatFile:
    """Convert one of :data:`NETS`; takes some seconds."""
    module, shape, path = make_net(name), NETS[name][1], folder / f"{name}.tflite"
    signals = recordings(shape)
    with quiet():
        tflite_files.write_float(job_for(module, shape, path))
    with torch.inference_mode():
        scores = module(torch.from_numpy(signals)).numpy()
    return FloatFile(module, shape, signals, scores, path)


def quantized(graph: Graph, name: str, shape: tuple[int, ...], dtype: Any, scales: list[float], zero: int = 0) -> int:
    """Add a tensor with these scales, the same zero point for each; with none it has no quantization."""
    index = graph.tensor(name, shape, dtype)
    if scales:
        about = schema.QuantizationParametersT()
        about.scale, about.zeroPoint, about.quantizedDimension = scales, [zero] * len(scales), 1
        graph.graph.tensors[index].quantization = about
    return index


def linear_file(path: Path, between: list[tuple[str, Any]] | None = None, shape: tuple[int, int] = (2, 20)) -> Path:
    """RESHAPE, the operators ``between`` (of one input, each with its options), FULLY_CONNECTED to three scores."""
    graph = Graph.empty()
    wide = shape[0] * shape[1]
    signal = graph.tensor(INPUT, (1, *shape))
    reshape = schema.ReshapeOptionsT()
    reshape.newShape = [1, wide]
    wanted = graph.constant("wide", np.array([1, wide], np.int32))
    value = graph.add("RESHAPE", [signal, wanted], graph.tensor("flat", (1, wide)), reshape)
    for kind, options in between or []:
        value = graph.add(kind, [value], graph.tensor(kind.lower(), (1, wide)), options)
    rng = np.random.default_rng(0)
    weights = graph.constant("weights", rng.normal(size=(3, wide)).astype(np.float32))
    bias = graph.constant("bias", rng.normal(size=3).astype(np.float32))
    scores = graph.tensor("out", (1, 3))
    graph.add("FULLY_CONNECTED", [value, weights, bias], scores, schema.FullyConnectedOptionsT())
    graph.graph.inputs, graph.graph.outputs = [signal], [scores]
    graph.write(path)
    return path
