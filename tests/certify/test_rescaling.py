"""Bounds of TFLite's integer sums are those of its kernels: every pair of 8-bit inputs is tried on the engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from pulseproof.certify.bounds import score_bounds
from pulseproof.core.engines import score
from pulseproof.export.job import INPUT, OUTPUT
from pulseproof.export.tflite.flatbuffer import Graph
from pulseproof.export.tflite.lstm_int8 import Affine, _int8
from pulseproof.twins import open_twin

PAIRS = 256 * 256
Scales = tuple[float, float, float]


def sum_file(path: Path, operator: str, scales: Scales, zeros: tuple[int, int, int], activation: int = 0) -> Path:
    """A file that takes (2, pairs) mV, quantizes both rows, adds or subtracts them, and gives the result in float."""
    graph = Graph.empty()
    signal = graph.tensor(INPUT, (1, 2, PAIRS))
    graph.graph.inputs = [signal]
    sides = []
    for row in range(2):
        corners = [graph.constant(f"{what}{row}", np.array(each, np.int32)) for what, each in
                   (("first", [0, row, 0]), ("size", [1, 1, PAIRS]))]  # fmt: skip
        part = graph.add("SLICE", [signal, *corners], graph.tensor(f"row{row}", (1, 1, PAIRS)), schema.SliceOptionsT())
        steps = _int8(graph, f"steps{row}", (1, 1, PAIRS), Affine(scales[row], zeros[row]))
        sides.append(graph.add("QUANTIZE", [part], steps, schema.QuantizeOptionsT()))
    options = schema.AddOptionsT() if operator == "ADD" else schema.SubOptionsT()
    options.fusedActivationFunction = activation
    total = graph.add(operator, sides, _int8(graph, "sum", (1, 1, PAIRS), Affine(scales[2], zeros[2])), options)
    result = graph.add("DEQUANTIZE", [total], graph.tensor("real", (1, 1, PAIRS)), schema.DequantizeOptionsT())
    shape = graph.constant("shape", np.array([1, PAIRS], np.int32))
    scores = graph.tensor(OUTPUT, (1, PAIRS))
    graph.add("RESHAPE", [result, shape], scores, schema.ReshapeOptionsT())
    graph.graph.outputs = [scores]
    graph.write(path)
    return path


@pytest.mark.parametrize("engine", ["ai_edge_litert"])
@pytest.mark.parametrize(
    ("operator", "scales", "zeros", "activation"),
    [
        ("ADD", (0.1, 0.1, 0.2), (0, 0, 0), 0),  # every other sum is a tie
        ("ADD", (0.013, 0.0471, 0.0523), (-128, 7, -20), 0),
        ("ADD", (0.9, 0.002, 0.31), (3, -128, 5), 1),  # a step of the sum is three of the result
        ("SUB", (0.031, 0.0305, 0.061), (11, -9, 0), 0),
    ],
)
def test_every_pair_of_a_sum_is_inside(
    operator: str, scales: Scales, zeros: tuple[int, int, int], activation: int, engine: str, tmp_path: Path
) -> None:
    path = sum_file(tmp_path / "sum.tflite", operator, scales, zeros, activation)
    steps = np.stack(np.meshgrid(np.arange(-128, 128), np.arange(-128, 128))).reshape(2, -1)
    signals = ((steps - np.array(zeros[:2])[:, None]) * np.array(scales[:2])[:, None]).astype(np.float32)[None]
    bounds = score_bounds(open_twin(path), signals, 0.0)
    given = score(path, signals, engine).astype(np.float64)
    assert (given >= bounds.lower).all() and (given <= bounds.upper).all()
    # Nothing is left open but ties.
    assert (bounds.upper - bounds.lower <= scales[2] * 1.001).all()
    loose = (bounds.upper - bounds.lower > scales[2] / 2).mean()
    sums = (signals[:, 0] + (1 if operator == "ADD" else -1) * signals[:, 1]) / scales[2]
    assert loose <= (np.abs(np.abs(sums % 1) - 0.5) < 0.005).mean()
