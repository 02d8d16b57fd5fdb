"""A front is the same in torch, ONNX and TFLite, on every engine and in every twin; its owner's bytes are behind it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from scipy import signal

from pulseproof.core.studies.model_input import InputSpec
from pulseproof.models.front.module import FrontModule
from pulseproof.models.front.onnx_front import front_nodes, put_front, put_tail
from pulseproof.models.front.plan import Front, make_front
from pulseproof.models.front.tail import Tail, make_tail
from pulseproof.models.front.tflite_front import with_front_and_tail
from pulseproof.models.front.tflite_writer import TfliteWriter
from pulseproof.runtime.score import score
from pulseproof.twins import open_twin

LEADS, SAMPLES, FS = ("I", "II", "V1"), 90, 360.0


def signals(n: int = 5) -> NDArray[np.float32]:
    rng = np.random.default_rng(2)
    drawn = rng.normal(0, 0.4, (n, len(LEADS), SAMPLES)) + rng.normal(0, 0.3, (n, len(LEADS), 1))
    drawn[0, 1] = 0.335  # a lead that fell off
    return drawn.astype(np.float32)


def zscore(x: NDArray[np.float64], axes: tuple[int, ...]) -> NDArray[np.float64]:
    return (x - x.mean(axis=axes, keepdims=True)) / np.maximum(x.std(axis=axes, keepdims=True), 1e-7)


def minmax(x: NDArray[np.float64]) -> NDArray[np.float64]:
    low = x.min(axis=(1, 2), keepdims=True)
    return (x - low) / (x.max(axis=(1, 2), keepdims=True) - low)


def robust(x: NDArray[np.float64]) -> NDArray[np.float64]:
    low, middle, high = np.percentile(x, [25, 50, 75], axis=2, keepdims=True)
    return (x - middle) / np.maximum(high - low, 1e-7)


def resampled(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(signal.resample_poly(x, 25, 72, axis=2, padtype="mean"))


# name: (what the study says, the shape that the file declares, what its owner computed in numpy)
FRONTS = {
    "nothing": ({}, (1, 3, 90), lambda x: x),
    "turned": ({}, (1, 90, 3), lambda x: x.transpose(0, 2, 1)),
    "with an axis more": ({}, (None, 1, 3, 90), lambda x: x[:, None]),
    "turned, with an axis more": ({}, (1, 90, 3, 1), lambda x: x.transpose(0, 2, 1)[..., None]),
    "named": ({"layout": "n t 1 c"}, (1, 90, 1, 3), lambda x: x.transpose(0, 2, 1)[:, :, None]),
    "one lead": ({"leads": ["II"]}, (1, 90), lambda x: x[:, 1]),
    "one lead, last": ({"leads": ["V1"]}, (1, 90, 1), lambda x: x[:, 2, :, None]),
    "another order": ({"leads": ["V1", "I"]}, (1, 2, 90), lambda x: x[:, [2, 0]]),
    "microvolts": ({"unit": "uV"}, (1, 3, 90), lambda x: 1000 * x),
    "clipped": ({"clip_mv": 0.3}, (1, 3, 90), lambda x: x.clip(-0.3, 0.3)),
    "scaled": ({"scale": 0.25, "offset": 0.5}, (1, 3, 90), lambda x: 0.25 * x + 0.5),
    "z-scored": ({"normalise": "zscore"}, (1, 90, 3), lambda x: zscore(x, (1, 2)).transpose(0, 2, 1)),
    "z-scored volts": ({"normalise": "zscore", "unit": "V"}, (1, 3, 90), lambda x: zscore(x, (1, 2))),
    "each lead": ({"normalise": "zscore-lead"}, (1, 3, 90), lambda x: zscore(x, (2,))),
    "min-max": ({"normalise": "minmax", "scale": 2, "offset": -1}, (1, 3, 90), lambda x: 2 * minmax(x) - 1),
    "robust": ({"normalise": "robust"}, (1, 3, 90), robust),
    "cut": ({"window_s": 0.1}, (1, 3, 36), lambda x: x[:, :, 27:63]),
    "cut from a place": ({"window_s": 0.1, "start_s": 0.05}, (1, 3, 36), lambda x: x[:, :, 18:54]),
    "resampled": ({"fs_hz": 125}, (1, 3, 32), resampled),
    "all of it": (
        {"fs_hz": 125, "normalise": "zscore-lead", "leads": ["II", "I"], "clip_mv": 1.0, "offset": 0.1},
        (1, 32, 2, 1),
        lambda x: 0.1 + zscore(resampled(x.clip(-1, 1)[:, [1, 0]]), (2,)).transpose(0, 2, 1)[..., None],
    ),
}


def front_of(name: str) -> Front:
    said, declared, _ = FRONTS[name]
    return make_front(InputSpec.model_validate(said), declared, (len(LEADS), SAMPLES), "m", FS, LEADS)


def onnx_file(path: Path, shape: tuple[int, ...], opset: int) -> onnx.ModelProto:
    """A file whose scores are its input."""
    node = helper.make_node("Flatten", ["x"], ["y"], axis=1)
    ends = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    scores = [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, int(np.prod(shape))))]
    return helper.make_model(
        helper.make_graph([node], "g", ends, scores), opset_imports=[helper.make_opsetid("", opset)], ir_version=7
    )


def tflite_file(shape: tuple[int, ...], kind: type = np.float32, scale: float = 0.05, zero: int = 3) -> bytes:
    """The same as TFLite."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT()
    model.version, model.description = 3, "by a stranger"
    model.buffers, model.operatorCodes = [schema.BufferT()], []
    graph = schema.SubGraphT()
    graph.tensors, graph.operators = [], []
    model.subgraphs = [graph]
    made = TfliteWriter(model)
    ends = [made.tensor("x", shape, kind), made.tensor("y", (1, int(np.prod(shape))), kind)]
    if kind is not np.float32:
        for at in ends:
            about = schema.QuantizationParametersT()
            about.scale, about.zeroPoint = [scale], [zero]
            graph.tensors[at].quantization = about
    options = schema.ReshapeOptionsT()
    options.newShape = [1, int(np.prod(shape))]
    made.add("RESHAPE", [ends[0], made.constant("shape", np.array(options.newShape, np.int32))], ends[1], options)
    graph.inputs, graph.outputs = ends[:1], ends[1:]
    return made.packed()


def expected(name: str) -> NDArray[np.float32]:
    x = signals().astype(np.float64)
    return FRONTS[name][2](x).reshape(len(x), -1).astype(np.float32)


@pytest.mark.parametrize("opset", [9, 13, 18])
@pytest.mark.parametrize("name", FRONTS)
def test_onnx_computes_what_the_owner_did(name: str, opset: int, tmp_path: Path) -> None:
    front, path = front_of(name), tmp_path / "m.onnx"
    model = onnx_file(path, front.layout.shape, opset)
    own = model.graph.node[0].SerializeToString()
    if not front.nothing:
        put_front(model, front, "m")
        assert front_nodes(model.graph)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    assert model.graph.node[-1].SerializeToString() == own
    assert score(path, signals(), "onnxruntime") == pytest.approx(expected(name), abs=2e-5, rel=2e-5)
    if opset == 18:
        with torch.no_grad():
            twin = open_twin(path)(torch.from_numpy(signals())).numpy()
        assert twin == pytest.approx(expected(name), abs=2e-5, rel=2e-5)


@pytest.mark.parametrize("name", FRONTS)
def test_tflite_and_torch_compute_it_too(name: str, tmp_path: Path) -> None:
    front, path = front_of(name), tmp_path / "m.tflite"
    count = int(np.prod(front.layout.shape))
    path.write_bytes(with_front_and_tail(tflite_file(front.layout.shape), front, Tail(count, count)))
    assert score(path, signals(), "ai_edge_litert") == pytest.approx(expected(name), abs=2e-5, rel=2e-5)
    x = torch.from_numpy(signals())
    assert open_twin(path)(x).numpy() == pytest.approx(expected(name), abs=2e-5, rel=2e-5)
    seen = FrontModule(front)(x)
    assert seen.shape[1:] == front.sees
    turned = seen.transpose(1, 2) if front.layout.turned else seen
    assert turned.reshape(len(x), -1).numpy() == pytest.approx(expected(name), abs=2e-5, rel=2e-5)


@pytest.mark.parametrize("name", ["z-scored", "each lead", "min-max", "robust", "resampled"])
def test_a_gradient_reaches_the_signal_and_is_a_number(name: str, tmp_path: Path) -> None:
    """Also where a lead is flat, whose deviation has no derivative."""
    front, path = front_of(name), tmp_path / "m.tflite"
    count = int(np.prod(front.layout.shape))
    path.write_bytes(with_front_and_tail(tflite_file(front.layout.shape), front, Tail(count, count)))
    x = torch.from_numpy(signals()).requires_grad_()
    (open_twin(path)(x) * torch.linspace(-1, 1, count)).sum().backward()
    assert x.grad is not None and torch.isfinite(x.grad).all() and (x.grad != 0).any()


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16])
def test_ends_of_whole_numbers_stand_behind_a_float_front(kind: type, tmp_path: Path) -> None:
    front, path = front_of("each lead"), tmp_path / "m.tflite"
    zero = 0 if kind is np.int16 else 3
    content = tflite_file((1, 3, 90), kind, zero=zero)
    path.write_bytes(with_front_and_tail(content, front, Tail(270, 270)))
    limits = np.iinfo(kind)
    steps = np.clip(np.rint(expected("each lead") / 0.05) + zero, limits.min, limits.max)
    wanted = ((steps - zero) * 0.05).astype(np.float32)
    found = score(path, signals(), "ai_edge_litert")
    assert (np.abs(found - wanted) > 1e-5).mean() < 0.002  # ties, which the kernel rounds away from zero
    assert np.abs(found - wanted).max() < 0.0501


# (scores of the file, classes, probabilities, order): what comes of the scores .2 and .7 (or .7 alone)
TAILS = [
    ((1, 2, True, ()), [0.3, 0.7]),
    ((1, 2, False, ()), [-0.7, 0.7]),
    ((1, 2, True, ("A",)), [0.7, 0.3]),
    ((2, 1, True, ()), [0.7]),
    ((2, 1, False, ()), [0.5]),
    ((2, 2, True, ("B", "A")), [0.7, 0.2]),
]


@pytest.mark.parametrize(("asked", "wanted"), TAILS)
def test_every_tail_gives_one_score_a_class(
    asked: tuple[int, int, bool, tuple[str, ...]], wanted: list[float], tmp_path: Path
) -> None:
    given, classes, probability, order = asked
    tail = make_tail(given, classes, probability, "m", ("A", "B")[:classes], order)
    x = np.array([[[0.2, 0.7][-given:]]], np.float32)
    model = onnx_file(tmp_path / "m.onnx", (1, 1, given), 13)
    put_tail(model, tail)
    onnx.save(model, tmp_path / "m.onnx")
    front = make_front(InputSpec(), (1, 1, given), (1, given), "m")
    (tmp_path / "m.tflite").write_bytes(with_front_and_tail(tflite_file((1, 1, given)), front, tail))
    for name, engine in (("m.onnx", "onnxruntime"), ("m.tflite", "ai_edge_litert")):
        assert score(tmp_path / name, x, engine) == pytest.approx(np.array([wanted]), abs=1e-6)
        assert open_twin(tmp_path / name)(torch.from_numpy(x)).detach().numpy() == pytest.approx(
            np.array([wanted]), abs=1e-6
        )
