"""A static int8 ONNX file that saturates where the processor can, and recordings that make it: large positive samples
times large weights, of which pairs of products do not fit into 16 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from pulseproof.export.gate.saturation import kernels_saturate

__all__ = ["exact_scores", "kernels_saturate", "large_signals", "write_saturating"]

LEADS, SAMPLES, CLASSES = 4, 40, 3
SIGNAL_STEP, WEIGHT_STEP = 0.01, 0.01


def large_signals(n: int, seed: int = 1) -> NDArray[np.float32]:
    """Recordings near the top of the file's range: float32 (n, leads, samples) mV."""
    return np.random.default_rng(seed).uniform(1.5, 2.55, (n, LEADS, SAMPLES)).astype(np.float32)


def write_saturating(path: Path, largest: int = 127, signed: bool = False, top: int = 520) -> Path:
    """A convolution over the whole recording, one filter a class, as the exporter writes it: int8 weights up to
    ``largest``, activations uint8, or int8 when ``signed``. ``top``: the largest score, in mV times weights."""
    rng = np.random.default_rng(0)
    weights = rng.integers(largest // 2, largest + 1, (CLASSES, LEADS, SAMPLES)).astype(np.int8)
    kind, low = (np.int8, -128) if signed else (np.uint8, 0)
    constants: dict[str, Any] = {
        "weights.q": weights,
        "weights.step": np.float32(WEIGHT_STEP),
        "weights.zero": np.int8(0),
        "signal.step": np.float32(SIGNAL_STEP),
        "signal.zero": kind(low),
        "sums.step": np.float32(top / 255),
        "sums.zero": kind(low),
        "shape": np.array([1, CLASSES], np.int64),
    }

    def rounded(name: str) -> list[onnx.NodeProto]:
        meaning = [f"{name}.step", f"{name}.zero"]
        return [
            helper.make_node("QuantizeLinear", [name, *meaning], [f"{name}.q"]),
            helper.make_node("DequantizeLinear", [f"{name}.q", *meaning], [f"{name}.dq"]),
        ]

    nodes = [
        *rounded("signal"),
        helper.make_node("DequantizeLinear", ["weights.q", "weights.step", "weights.zero"], ["weights"]),
        helper.make_node("Conv", ["signal.dq", "weights"], ["sums"]),
        helper.make_node("QuantizeLinear", ["sums", "sums.step", "sums.zero"], ["sums.q"]),
        helper.make_node("Reshape", ["sums.q", "shape"], ["scores.q"]),
        helper.make_node("DequantizeLinear", ["scores.q", "sums.step", "sums.zero"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "saturating",
        [helper.make_tensor_value_info("signal", 1, [1, LEADS, SAMPLES])],
        [helper.make_tensor_value_info("scores", 1, [1, CLASSES])],
        [numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def exact_scores(signals: NDArray[np.float32], largest: int = 127, top: int = 520) -> NDArray[np.float64]:
    """The file's scores in whole numbers: float64 (n, classes)."""
    rng = np.random.default_rng(0)
    weights = rng.integers(largest // 2, largest + 1, (CLASSES, LEADS, SAMPLES)).astype(np.int64)
    steps = np.clip(np.rint(signals.astype(np.float64) / SIGNAL_STEP), 0, 255).astype(np.int64)
    sums = np.einsum("nls,cls->nc", steps, weights) * (SIGNAL_STEP * WEIGHT_STEP)
    step = top / 255
    return step * np.clip(np.rint(sums / step), 0, 255)
