"""What is read from TFLite files and changed in them, on small files made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st

from pulseproof.export.job import INPUT
from pulseproof.export.tflite.files import _mean_in_place
from pulseproof.export.tflite.flatbuffer import Graph, float_note, input_step_mv, int8_share
from pulseproof.export.tflite.ranges import share_scale
from pulseproof.runtime.engines import open_engine
from tests.export.tflite_making import linear_file, quantized

SHAPE = (1, 2, 20)
LIMITS = st.floats(-100, 100, width=32)


@pytest.mark.parametrize(
    ("dtype", "scales", "step"),
    [
        (np.int8, [0.02], 0.02),
        (np.int16, [0.001], 0.001),
        (np.uint8, [0.03], 0.03),
        (np.int8, [0.02, 0.05], 0.05),
        (np.int8, [], None),
        (np.float32, [], None),
        (np.float32, [0.02], None),  # a range that training left on a float tensor rounds nothing
    ],
)
def test_step_of_an_input_tensor(tmp_path: Path, dtype: Any, scales: list[float], step: float | None) -> None:
    graph = Graph.empty()
    signal = quantized(graph, INPUT, SHAPE, dtype, scales)
    out = quantized(graph, "out", SHAPE, dtype, scales)
    graph.add("RESHAPE", [signal], out, schema.ReshapeOptionsT())
    graph.graph.inputs, graph.graph.outputs = [signal], [out]
    graph.write(tmp_path / "ends.tflite")
    assert input_step_mv(tmp_path / "ends.tflite") == (None if step is None else pytest.approx(step))


@pytest.mark.parametrize(
    ("before", "step"),
    [
        ([], 0.02),
        (["SUB"], 0.02),
        (["SUB", "RESHAPE", "TRANSPOSE", "PAD"], 0.02),
        (["ABS"], None),
        (["RESHAPE", "MUL"], None),
    ],
)
def test_step_behind_what_only_moves_the_signal(tmp_path: Path, before: list[str], step: float | None) -> None:
    graph = Graph.empty()
    value = signal = graph.tensor(INPUT, SHAPE)
    other = graph.constant("other", np.zeros(1, np.float32))
    for kind in before:
        value = graph.add(kind, [value, other], graph.tensor(kind, SHAPE))
    rounded = graph.add("QUANTIZE", [value], quantized(graph, "rounded", SHAPE, np.int8, [0.02]))
    graph.add("QUANTIZE", [rounded], quantized(graph, "again", SHAPE, np.int8, [0.5]))
    graph.graph.inputs, graph.graph.outputs = [signal], [len(graph.graph.tensors) - 1]
    graph.write(tmp_path / "step.tflite")
    assert input_step_mv(tmp_path / "step.tflite") == (None if step is None else pytest.approx(step))


@pytest.mark.parametrize(
    ("parts", "share", "note"),
    [
        ({np.float32: 40}, 0.0, "0% of its weights are 8-bit, those of FULLY_CONNECTED stayed float"),
        ({np.float16: 30, np.int8: 10}, 0.25, "25% of its weights are 8-bit, those of FULLY_CONNECTED stayed float"),
        ({np.float32: 20, np.uint8: 20}, 0.5, "50% of its weights are 8-bit, those of FULLY_CONNECTED stayed float"),
        ({np.float32: 10, np.int8: 30}, 0.75, None),
        ({np.int32: 90, np.int64: 90, np.int8: 10}, 1.0, None),  # biases and shapes are no weights
        ({}, 0.0, "0% of its weights are 8-bit"),
    ],
)
def test_share_of_8_bit_weights(tmp_path: Path, parts: dict[Any, int], share: float, note: str | None) -> None:
    graph = Graph.empty()
    signal, out = graph.tensor(INPUT, SHAPE), graph.tensor("out", SHAPE)
    weights = [graph.constant(np.dtype(kind).name, np.ones(size, kind)) for kind, size in parts.items()]
    graph.add("FULLY_CONNECTED", [signal, *weights, -1], out)
    graph.graph.inputs, graph.graph.outputs = [signal], [out]
    graph.write(tmp_path / "weights.tflite")
    assert int8_share(tmp_path / "weights.tflite") == share
    assert float_note(tmp_path / "weights.tflite") == note


def test_prune_leaves_what_is_used(tmp_path: Path) -> None:
    path = linear_file(tmp_path / "linear.tflite")
    before = open_engine(path).run(np.ones(SHAPE, np.float32))
    graph = Graph.open(path)
    graph.constant("unused", np.zeros(5000, np.float32))
    graph.graph.tensors = [graph.graph.tensors[-1], *graph.graph.tensors[:-1]]  # every other tensor moves by one
    for operator in graph.graph.operators:
        operator.inputs, operator.outputs = [at + 1 for at in operator.inputs], [at + 1 for at in operator.outputs]
    graph.graph.inputs, graph.graph.outputs = [at + 1 for at in graph.graph.inputs], [graph.graph.outputs[0] + 1]
    graph.write(tmp_path / "grown.tflite")
    assert (tmp_path / "grown.tflite").stat().st_size > path.stat().st_size + 20_000
    graph.prune()
    graph.write(tmp_path / "pruned.tflite")
    assert (tmp_path / "pruned.tflite").stat().st_size < path.stat().st_size + 200
    assert "unused" not in {graph.name(at) for at in range(len(graph.graph.tensors))}
    np.testing.assert_array_equal(open_engine(tmp_path / "pruned.tflite").run(np.ones(SHAPE, np.float32)), before)


def turned_mean(path: Path, order: list[int], axis: int, keep: bool, read_twice: bool) -> Graph:
    """TRANSPOSE, RESHAPE and MEAN as the converter leaves them after convolutions, to (1, 5)."""
    graph = Graph.empty()
    channels_last = graph.tensor(INPUT, (1, 1, 7, 5))
    permuted = [(1, 1, 7, 5)[at] for at in order]
    turned = graph.tensor("turned", tuple(permuted))
    graph.add("TRANSPOSE", [channels_last, graph.constant("order", np.array(order, np.int32))], turned)
    flat_shape = (1, *(size for size in permuted[1:] if size != 1))
    flat = graph.tensor("flat", flat_shape)
    options = schema.ReshapeOptionsT()
    options.newShape = list(flat_shape)
    graph.add("RESHAPE", [turned, graph.constant("flat.shape", np.array(flat_shape, np.int32))], flat, options)
    mean = schema.ReducerOptionsT()
    mean.keepDims = keep
    left = [size for at, size in enumerate(flat_shape) if at != axis % 3 or keep]
    value = graph.tensor("mean", tuple(1 if keep and at == axis % 3 else size for at, size in enumerate(left)))
    graph.add("MEAN", [flat, graph.constant("axis", np.array([axis], np.int32))], value, mean)
    if read_twice:
        graph.add("ABS", [flat], graph.tensor("other", flat_shape), schema.AbsOptionsT())
    graph.graph.inputs, graph.graph.outputs = [channels_last], [value]
    graph.write(path)
    return graph


@pytest.mark.parametrize(
    ("order", "axis", "keep", "read_twice", "in_place"),
    [
        ([0, 3, 1, 2], 2, False, False, True),
        ([0, 3, 1, 2], -1, False, False, True),
        ([0, 3, 1, 2], 1, False, False, False),  # the mean over channels
        ([0, 3, 1, 2], 2, True, False, False),
        ([0, 3, 1, 2], 2, False, True, False),  # another operator reads what is turned
        ([0, 2, 1, 3], 2, False, False, False),
    ],
)
def test_mean_in_place(
    tmp_path: Path, order: list[int], axis: int, keep: bool, read_twice: bool, in_place: bool
) -> None:
    path = tmp_path / "mean.tflite"
    turned_mean(path, order, axis, keep, read_twice)
    signal = np.random.default_rng(0).normal(size=(1, 1, 7, 5)).astype(np.float32)
    before = open_engine(path).run(signal)
    graph = Graph.open(path)
    kinds = graph.operators()
    assert _mean_in_place(graph) is in_place
    assert graph.operators() == (["MEAN"] if in_place else kinds)
    graph.write(path)
    np.testing.assert_allclose(open_engine(path).run(signal), before, rtol=1e-6, atol=1e-6)


@given(LIMITS, LIMITS, LIMITS, LIMITS)
def test_shared_scales(low: float, high: float, other_low: float, other_high: float) -> None:
    def limits(one: float, other: float) -> dict[str, np.ndarray]:
        return {
            "min": np.full((1, 1), min(one, other), np.float32),
            "max": np.full((1, 1), max(one, other), np.float32),
        }

    ranges = {"signal": limits(low, high), "centred": limits(other_low, other_high)}
    given_ranges = {name: {side: float(value.item()) for side, value in one.items()} for name, one in ranges.items()}
    share_scale(ranges, "signal", "centred")
    widths = [float(one["max"].item() - one["min"].item()) for one in ranges.values()]
    assert widths[0] == pytest.approx(widths[1], rel=1e-5, abs=1e-5)
    for name, one in ranges.items():  # nothing that was in the range, nor zero, is out of it now
        assert one["min"].item() <= min(given_ranges[name]["min"], 0) + 1e-5
        assert one["max"].item() >= max(given_ranges[name]["max"], 0) - 1e-5
        assert one["min"].dtype == one["max"].dtype == np.float32
    assert max(widths) <= max(max(one["max"], 0) - min(one["min"], 0) for one in given_ranges.values()) + 1e-4
