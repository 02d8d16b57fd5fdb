"""One small net with other ends: in torch, as an ONNX file, as a TFLite file, float and int8."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as f

from pulseproof.attacks.aim.aimed import Aimed
from pulseproof.attacks.gradient import Pgd
from pulseproof.ecg.recordings import to_millivolts
from pulseproof.export.job import INPUT
from pulseproof.export.onnx import int8 as onnx_int8
from pulseproof.export.onnx.files import export_module
from pulseproof.export.quiet import quiet
from pulseproof.export.tflite import int8 as tflite_int8
from pulseproof.export.tflite.flatbuffer import Graph
from pulseproof.runtime.auc import macro_auc
from pulseproof.runtime.engines import open_engine
from tests.attacks.deserving import LEADS, RECORDER, SAMPLES, STEP_MV, scene, sides, trained
from tests.export.making import job_for

SHAPE = (LEADS, SAMPLES)
Scores = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class Ended(nn.Module):
    """A net of logits and what its owner put behind it."""

    def __init__(self, net: nn.Module, end: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.net, self.end = net, end

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.net(x))


def in_pairs(z: Tensor) -> Tensor:
    """Each label as a softmax over no and yes."""
    both = torch.stack([torch.zeros_like(z), z], dim=-1)
    return torch.softmax(both, dim=-1)[..., 1]


# Seven forms of one net: what each gives orders recordings as its logits do.
FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "logits": lambda z: z,
    "sigmoid": torch.sigmoid,
    "sigmoid of 10 times": lambda z: torch.sigmoid(10 * z),
    "sigmoid of 40 times": lambda z: torch.sigmoid(40 * z),
    "softmax in pairs": in_pairs,
    "logarithm of a sigmoid": f.logsigmoid,
    "clipped": lambda z: torch.sigmoid(z).clamp(1e-7, 1 - 1e-7),
}


def small_net(scale: float) -> nn.Module:
    """The plain net of the tests, its logits ``scale`` times as large."""
    flat, first, relu, last = trained(0)  # type: ignore[misc]
    scaled = nn.Linear(last.in_features, last.out_features)
    scaled.weight.data, scaled.bias.data = scale * last.weight.data, scale * last.bias.data
    return nn.Sequential(flat, first, relu, scaled).eval().requires_grad_(False)


def attacked(model: nn.Module, judge: Scores, budget_mv: float) -> float:
    """The AUC that ``judge`` gives the recordings that the default attack made on ``model``."""
    asked, victims = scene(budget_mv), sides().victims
    method, generator = Aimed(Pgd(asked.settings.steps)), torch.Generator().manual_seed(2)
    prepared = method.prepare(model, asked, generator)
    delta = method.perturb(model, asked, prepared, victims, generator).delta
    steps = (victims.signals.numpy() / np.float32(STEP_MV)).round().astype(np.int16)
    recorded = to_millivolts(RECORDER.record(steps, delta.numpy(), budget_mv), STEP_MV)
    return macro_auc(judge(recorded), victims.labels.numpy().astype(np.uint8))


def by_torch(module: nn.Module) -> Scores:
    def judge(signals: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            scores: NDArray[np.float32] = module(torch.from_numpy(signals)).numpy()
        return scores

    return judge


def by_engine(path: Path) -> Scores:
    engine = open_engine(path, shape=SHAPE)
    return lambda signals: np.concatenate([engine.run(np.ascontiguousarray(one[None])) for one in signals])


def onnx_file(module: nn.Module, path: Path) -> Path:
    export_module(module, SHAPE, path, "scores")
    return path


def tflite_file(net: nn.Module, ends: list[tuple[str, Any]], path: Path) -> Path:
    """The layers of :func:`small_net`, then operators of one input each."""
    _, first, _, last = net  # type: ignore[misc]
    graph, wide = Graph.empty(), LEADS * SAMPLES
    signal, reshape = graph.tensor(INPUT, (1, *SHAPE)), schema.ReshapeOptionsT()
    reshape.newShape = [1, wide]
    wanted = graph.constant("wide", np.array([1, wide], np.int32))
    value = graph.add("RESHAPE", [signal, wanted], graph.tensor("flat", (1, wide)), reshape)
    for name, layer, activation in (("first", first, 1), ("last", last, 0)):
        options = schema.FullyConnectedOptionsT()
        options.fusedActivationFunction = activation
        constants = [
            graph.constant(f"{name}.{kind}", getattr(layer, kind).detach().numpy()) for kind in ("weight", "bias")
        ]
        made = graph.tensor(name, (1, layer.out_features))
        value = graph.add("FULLY_CONNECTED", [value, *constants], made, options)
    for kind, options in ends:
        value = graph.add(kind, [value], graph.tensor(f"out {kind}", (1, last.out_features)), options)
    graph.graph.inputs, graph.graph.outputs = [signal], [value]
    graph.write(path)
    return path


def softmax_options() -> Any:
    options = schema.SoftmaxOptionsT()
    options.beta = 1.0
    return options


def int8_of(source: Path) -> Path:
    """The static int8 file of a float file, beside it."""
    out = source.with_name(f"{source.stem}-int8{source.suffix}")
    write = onnx_int8.write_static if source.suffix == ".onnx" else tflite_int8.write_static
    job = job_for(nn.Identity(), SHAPE, out, source)
    with quiet():
        write(replace(job, calibration=sides().training.signals.numpy()[:200]))
    return out
