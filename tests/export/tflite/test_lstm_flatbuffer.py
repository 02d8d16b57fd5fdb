"""The LSTM's TFLite file: torch's scores, one fused operator, no memory of the recording before."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings
from hypothesis import strategies as st

from pulseproof.export.job import ExportJob, MadeFile, RefusedError
from pulseproof.export.tflite import flatbuffer
from pulseproof.export.tflite import lstm as lstm_flatbuffer
from pulseproof.models.nets import Lstm
from pulseproof.runtime.engines import open_engine
from tests.export.making import job_for, random_signals

SHAPE = (2, 160)
WRITERS = (lstm_flatbuffer.write_float, lstm_flatbuffer.write_fp16, lstm_flatbuffer.write_dynamic)


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


@settings(max_examples=15, deadline=None)
@given(
    leads=st.integers(1, 3),
    samples=st.integers(20, 70),
    patch=st.integers(1, 9),
    hidden=st.integers(1, 9),
    pieces=st.integers(1, 2),
    own_mean=st.booleans(),
)
def test_fp16_scores_are_those_of_weights_rounded_to_half(
    leads: int, samples: int, patch: int, hidden: int, pieces: int, own_mean: bool
) -> None:
    net = make_net(patch, hidden, pieces, (leads, samples), own_mean)
    signals = random_signals(3, (leads, samples))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "lstm.tflite"
        lstm_flatbuffer.write_fp16(job_for(net, (leads, samples), out))
        difference = np.abs(run(out, signals) - torch_scores(net, signals))
    assert difference.max() <= 5e-3


@pytest.mark.parametrize(
    ("write", "size", "difference"),
    [(lstm_flatbuffer.write_fp16, 0.6, 2e-3), (lstm_flatbuffer.write_dynamic, 0.4, 2e-2)],
)
def test_smaller_weights_are_close_and_small(
    write: Callable[[ExportJob], MadeFile], size: float, difference: float, tmp_path: Path
) -> None:
    net, signals = make_net(hidden=64), random_signals(50, SHAPE)
    small, large = tmp_path / "small.tflite", tmp_path / "float.tflite"
    made = write(job_for(net, SHAPE, small))
    lstm_flatbuffer.write_float(job_for(net, SHAPE, large))
    # 0 would mean that nothing was rounded
    assert 0 < np.abs(run(small, signals) - torch_scores(net, signals)).max() < difference
    assert small.stat().st_size < size * large.stat().st_size
    assert made.note and "float" in made.note


def test_only_the_dynamic_file_has_int8_weights(tmp_path: Path) -> None:
    shares = {}
    for write in WRITERS:
        write(job_for(make_net(hidden=64), SHAPE, tmp_path / "lstm.tflite"))
        shares[write.__name__] = flatbuffer.int8_share(tmp_path / "lstm.tflite")
    assert shares["write_dynamic"] > 0.9 and shares["write_float"] == shares["write_fp16"] == 0


def test_a_weight_beyond_half_floats_is_refused(tmp_path: Path) -> None:
    net = make_net()
    with torch.no_grad():
        net.head[1].weight[0, 0] = 70_000
    with pytest.raises(RefusedError, match=r"head\.weight holds 7e\+04"):
        lstm_flatbuffer.write_fp16(job_for(net, SHAPE, tmp_path / "lstm.tflite"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("leads", [1, 2])
def test_the_recurrence_is_one_operator(leads: int, write: Callable[[ExportJob], MadeFile], tmp_path: Path) -> None:
    shape = (leads, 160)
    write(job_for(make_net(shape=shape), shape, tmp_path / "lstm.tflite"))
    counts = flatbuffer.count_operators(tmp_path / "lstm.tflite")
    assert counts.pop("DEQUANTIZE", 0) == (14 if write is lstm_flatbuffer.write_fp16 else 0)
    several = {"RESHAPE": 2, "TRANSPOSE": 1} if leads > 1 else {"RESHAPE": 1}  # one lead lies in order already
    assert counts == {"FULLY_CONNECTED": 1, "MEAN": 1, "SLICE": 1, "UNIDIRECTIONAL_SEQUENCE_LSTM": 1, **several}


@pytest.mark.parametrize("write", WRITERS)
def test_no_state_is_carried_over(write: Callable[[ExportJob], MadeFile], tmp_path: Path) -> None:
    out = tmp_path / "lstm.tflite"
    write(job_for(make_net(), SHAPE, out))
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
