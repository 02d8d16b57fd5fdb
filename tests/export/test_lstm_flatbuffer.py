"""The LSTM's TFLite file: torch's scores, one fused operator, no memory of the recording before."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings
from hypothesis import strategies as st

from export import flatbuffer, lstm_flatbuffer
from models.nets import Lstm
from runtime.engines import open_engine
from tests.export.making import job_for, random_signals

SHAPE = (2, 160)


def make_net(
    patch: int = 7, hidden: int = 12, pieces: int = 1, shape: tuple[int, int] = SHAPE, own_mean: bool = False
) -> Lstm:
    torch.manual_seed(1)
    net = Lstm(*shape, 3, hidden=hidden, patch=patch, pieces=pieces, own_mean=own_mean)
    net.normalise.mean.fill_(0.05)
    net.normalise.scale.fill_(4.0)
    return net.eval()


def run(path: Path, signals: np.ndarray) -> np.ndarray:
    engine = open_engine(path, shape=signals.shape[1:])
    return np.concatenate([engine.run(signal[None]) for signal in signals])


def torch_scores(net: Lstm, signals: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return net(torch.from_numpy(signals)).numpy()


@settings(max_examples=25, deadline=None)
@given(
    leads=st.integers(1, 3),
    samples=st.integers(20, 70),
    patch=st.integers(1, 9),
    hidden=st.integers(1, 9),
    pieces=st.integers(1, 2),
    own_mean=st.booleans(),
)
def test_float_scores_are_those_of_torch(
    leads: int, samples: int, patch: int, hidden: int, pieces: int, own_mean: bool
) -> None:
    net = make_net(patch, hidden, pieces, (leads, samples), own_mean)
    signals = random_signals(3, (leads, samples)) + np.float32(0.7)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "lstm.tflite"
        lstm_flatbuffer.write_float(job_for(net, (leads, samples), out))
        assert np.abs(run(out, signals) - torch_scores(net, signals)).max() <= 1e-5


def test_int8_weights_are_close_and_small(tmp_path: Path) -> None:
    net, signals = make_net(hidden=64), random_signals(50, SHAPE)
    small, large = tmp_path / "int8.tflite", tmp_path / "float.tflite"
    lstm_flatbuffer.write_int8_weights(job_for(net, SHAPE, small))
    lstm_flatbuffer.write_float(job_for(net, SHAPE, large))
    difference = np.abs(run(small, signals) - torch_scores(net, signals))
    assert 0 < difference.max() < 0.02  # 0 would mean that nothing was quantized
    assert flatbuffer.int8_share(small) > 0.9 and flatbuffer.int8_share(large) == 0
    assert small.stat().st_size < 0.4 * large.stat().st_size


@pytest.mark.parametrize("write", [lstm_flatbuffer.write_float, lstm_flatbuffer.write_int8_weights])
def test_the_recurrence_is_one_operator(write, tmp_path: Path) -> None:
    write(job_for(make_net(), SHAPE, tmp_path / "lstm.tflite"))
    assert flatbuffer.count_operators(tmp_path / "lstm.tflite") == {
        "FULLY_CONNECTED": 1,
        "MEAN": 1,
        "RESHAPE": 2,
        "SLICE": 1,
        "TRANSPOSE": 1,
        "UNIDIRECTIONAL_SEQUENCE_LSTM": 1,
    }


def test_no_state_is_carried_over(tmp_path: Path) -> None:
    out = tmp_path / "lstm.tflite"
    lstm_flatbuffer.write_float(job_for(make_net(), SHAPE, out))
    one, other = random_signals(2, SHAPE)
    engine = open_engine(out)
    first, _, again = engine.run(one[None]), engine.run(other[None]), engine.run(one[None])
    assert np.array_equal(first, again)
    # It does have a state: without the engine's reset the second run differs.
    interpreter = engine._interpreter  # type: ignore[attr-defined]
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], one[None])
    interpreter.invoke()
    assert not np.array_equal(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]), first)


def test_buffers_are_aligned_and_ends_are_named(tmp_path: Path) -> None:
    out = tmp_path / "lstm.tflite"
    lstm_flatbuffer.write_float(job_for(make_net(), SHAPE, out))
    model = schema.Model.GetRootAs(out.read_bytes())
    starts = [
        model.Buffers(index)._tab.Vector(model.Buffers(index)._tab.Offset(4))
        for index in range(model.BuffersLength())
        if model.Buffers(index).DataLength()
    ]
    assert len(starts) > 10 and all(start % 16 == 0 for start in starts)
    graph = flatbuffer.Graph.open(out).graph
    assert graph.tensors[graph.inputs[0]].name == b"signal" and graph.tensors[graph.outputs[0]].name == b"scores"
