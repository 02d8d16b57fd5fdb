"""The LSTM's full-integer TFLite files: torch's scores, the kernel's arithmetic, no memory of a recording before."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pulseproof.core import engines
from pulseproof.core.study import load_study
from pulseproof.ecg.prepare import prepare
from pulseproof.ecg.recordings import Recordings
from pulseproof.export.job import ExportJob, MadeFile, RefusedError
from pulseproof.export.tflite import flatbuffer, lstm_int8
from pulseproof.export.tflite import lstm as lstm_flatbuffer
from pulseproof.models.nets import Lstm
from tests.export.making import job_for, random_signals

WRITERS = (lstm_int8.write_static, lstm_int8.write_full)
ENGINES = ("ai_edge_litert", "tflite_runtime", "tflite_micro")
STUDIES = Path(__file__).parents[3] / "studies"
Write = Callable[[ExportJob], MadeFile]


def make_net(shape: tuple[int, int], own_mean: bool = False, hidden: int = 12, patch: int = 7, pieces: int = 1) -> Lstm:
    """An LSTM with weights as large as trained ones, so that gates and cells move."""
    torch.manual_seed(1)
    net = Lstm(*shape, 3, hidden=hidden, patch=patch, pieces=pieces, own_mean=own_mean)
    net.normalise.mean.fill_(0.05)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(1.5)
    return net.eval()


def signals_for(shape: tuple[int, int], n: int = 40, seed: int = 0) -> NDArray[np.float32]:
    """Noise around a baseline of its own in each lead."""
    baseline = np.random.default_rng(seed + 1).normal(0, 0.3, (n, shape[0], 1)).astype(np.float32)
    return random_signals(n, shape, seed) + baseline


def write(writer: Write, net: Lstm, signals: NDArray[np.float32], out: Path, method: str = "minmax") -> MadeFile:
    return writer(replace(job_for(net, signals.shape[1:], out), calibration=signals, method=method))


def torch_scores(net: Lstm, signals: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.inference_mode():
        return net(torch.from_numpy(signals)).numpy()


def run(path: Path, signals: NDArray[np.float32], engine: str = "ai_edge_litert") -> NDArray[np.float32]:
    """The scores, in float, of an engine that is reset before each recording."""
    if engine == "tflite_micro":
        return run_micro(path, signals)
    if engine not in engines.here():
        pytest.skip(f"{engine} is not on this host")
    return engines.score(path, signals, engine)


def run_micro(path: Path, signals: NDArray[np.float32]) -> NDArray[np.float32]:
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_file(str(path), arena_size=1_000_000)
    entry, exit_ = interpreter.get_input_details(0), interpreter.get_output_details(0)
    (scale, zero_point), (scale_out, zero_point_out) = (micro_meaning(each) for each in (entry, exit_))
    rows = []
    for signal in signals:
        interpreter.reset()
        interpreter.set_input(to_int8(signal[None], entry["dtype"], scale, zero_point), 0)
        interpreter.invoke()
        rows.append(to_float(interpreter.get_output(0), scale_out, zero_point_out))
    return np.concatenate(rows)


def micro_meaning(detail: dict[str, Any]) -> tuple[float, int]:
    found = detail["quantization_parameters"]
    return (found["scales"][0], found["zero_points"][0]) if len(found["scales"]) else (0.0, 0)


def to_int8(values: NDArray[np.float32], dtype: type, scale: float, zero_point: int) -> NDArray[Any]:
    if dtype == np.float32:
        return values
    return np.clip(np.rint(values / np.float32(scale)) + zero_point, -128, 127).astype(np.int8)


def to_float(values: NDArray[Any], scale: float, zero_point: int) -> NDArray[np.float32]:
    if values.dtype == np.float32:
        return values.copy()
    return (values.astype(np.float32) - zero_point) * np.float32(scale)


def error(scores: NDArray[np.float32], net: Lstm, signals: NDArray[np.float32]) -> float:
    """Root mean square difference from torch's scores, in units of their standard deviation."""
    exact = torch_scores(net, signals)
    return float(np.sqrt(((scores - exact) ** 2).mean() / exact.var(axis=0).mean()))


CASES = [
    # leads, samples, own_mean, hidden, patch, pieces
    pytest.param(2, 160, False, 12, 7, 1, id="samples-left-over"),
    pytest.param(2, 160, False, 32, 8, 3, id="pieces-with-steps-left-over"),
    pytest.param(1, 160, False, 33, 5, 1, id="one-lead"),
    pytest.param(1, 160, True, 16, 8, 4, id="one-lead-own-mean"),
    pytest.param(3, 90, True, 9, 4, 2, id="own-mean"),
    pytest.param(1, 21, False, 1, 1, 1, id="smallest"),
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize(("leads", "samples", "own_mean", "hidden", "patch", "pieces"), CASES)
def test_scores_are_close_to_those_of_torch(
    leads: int,
    samples: int,
    own_mean: bool,
    hidden: int,
    patch: int,
    pieces: int,
    writer: Write,
    engine: str,
    tmp_path: Path,
) -> None:
    shape = (leads, samples)
    net, signals = make_net(shape, own_mean, hidden, patch, pieces), signals_for(shape)
    write(writer, net, signals, tmp_path / "lstm.tflite")
    assert 0 < error(run(tmp_path / "lstm.tflite", signals, engine), net, signals) < 0.1


@pytest.mark.parametrize("method", ["minmax", "percentile", pytest.param("entropy", marks=pytest.mark.slow)])
def test_every_way_to_read_ranges_gives_a_good_file(method: str, tmp_path: Path) -> None:
    net, signals = make_net((2, 160)), signals_for((2, 160))
    write(lstm_int8.write_full, net, signals, tmp_path / "lstm.tflite", method)
    assert error(run(tmp_path / "lstm.tflite", signals), net, signals) < 0.2


def test_the_engine_computes_what_the_file_says(tmp_path: Path) -> None:
    """LiteRT against the integer arithmetic written out in numpy from the file's tensors alone."""
    shape, out = (1, 160), tmp_path / "lstm.tflite"
    net, signals = make_net(shape, hidden=24, patch=8), signals_for(shape)
    write(lstm_int8.write_full, net, signals, out)
    simulated = np.concatenate([simulate(out, signal, patch=8) for signal in signals])
    step = tensors_of(out)["scores"][1]
    difference = np.abs(run(out, signals) - simulated) / step
    assert difference.max() <= 2 and difference.mean() < 0.3  # steps of the int8 scores
    assert np.abs(simulated - simulated.mean(axis=0)).max() > 20 * step


def tensors_of(path: Path) -> dict[str, tuple[NDArray[Any], float, int]]:
    """{name: (values, scale, zero point)} of a file."""
    graph, found = flatbuffer.Graph.open(path), {}
    kinds = {schema.TensorType.INT8: np.int8, schema.TensorType.INT16: np.int16, schema.TensorType.INT32: np.int32}
    for tensor in graph.graph.tensors:
        data, scaled = graph.model.buffers[tensor.buffer].data, tensor.quantization
        has_scale = scaled is not None and scaled.scale is not None
        values = np.zeros(0) if data is None else np.frombuffer(bytes(data), kinds[tensor.type]).reshape(tensor.shape)
        meaning = (float(scaled.scale[0]), int(scaled.zeroPoint[0])) if has_scale else (1.0, 0)
        found[tensor.name.decode()] = (values, *meaning)
    return found


def simulate(path: Path, signal: NDArray[np.float32], patch: int) -> NDArray[np.float32]:
    """One recording of one lead through the integer LSTM: int8 states, int16 gates and cell, rounded at each step."""
    tensors = tensors_of(path)

    def saturate(values: NDArray[Any], kind: type) -> NDArray[Any]:
        return np.clip(np.rint(values), np.iinfo(kind).min, np.iinfo(kind).max).astype(np.int64)

    _, input_scale, input_zero = tensors["signal"]
    _, state_scale, _ = tensors["states"]
    _, cell_scale, _ = tensors["lstm.cell"]
    steps = saturate(signal[0] / np.float32(input_scale) + input_zero, np.int8)
    steps = steps[: len(steps) // patch * patch].reshape(-1, patch) - input_zero
    hidden_size = len(tensors["lstm.cell.bias"][0])
    state, cell, states = np.zeros(hidden_size, np.int64), np.zeros(hidden_size, np.int64), []
    for step in steps:
        gates = {}
        for gate in lstm_flatbuffer.GATES:
            weight, weight_scale, _ = tensors[f"lstm.input_to_{gate}"]
            recurrent, recurrent_scale, _ = tensors[f"lstm.recurrent_to_{gate}"]
            sums = weight.astype(np.int64) @ step + tensors[f"lstm.{gate}.bias"][0]
            sums = saturate(sums * weight_scale * input_scale * 2**12, np.int16)
            sums = sums + recurrent.astype(np.int64) @ state * recurrent_scale * state_scale * 2**12
            real = saturate(sums, np.int16) / 2**12
            gates[gate] = saturate((np.tanh(real) if gate == "cell" else 1 / (1 + np.exp(-real))) * 2**15, np.int16)
        kept = np.rint(gates["forget"] * cell / 2**15)
        cell = saturate(kept + np.rint(gates["input"] * gates["cell"] / 2**30 / cell_scale), np.int16)
        squashed = saturate(np.tanh(cell * cell_scale) * 2**15, np.int16)
        state = saturate(gates["output"] * squashed / 2**30 / state_scale, np.int8)
        states.append(state)
    _, mean_scale, mean_zero = tensors["mean"]
    mean = saturate(np.mean(states, axis=0) * state_scale / mean_scale + mean_zero, np.int8) - mean_zero
    weight, weight_scale, _ = tensors["head.weight"]
    sums = weight.astype(np.int64) @ mean + tensors["head.bias"][0]
    _, score_scale, score_zero = tensors["scores"]
    scores = saturate(sums * mean_scale * weight_scale / score_scale + score_zero, np.int8)
    return to_float(scores.astype(np.int8)[None], score_scale, score_zero)


@pytest.mark.parametrize("engine", ENGINES)
def test_no_state_is_carried_over(engine: str, tmp_path: Path) -> None:
    net, signals, out = make_net((2, 160)), signals_for((2, 160)), tmp_path / "lstm.tflite"
    write(lstm_int8.write_full, net, signals, out)
    alone = np.concatenate([run(out, signal[None], engine) for signal in signals[:5]])
    assert np.array_equal(run(out, signals[:5], engine), alone)


def test_a_state_that_was_reset_is_zero(tmp_path: Path) -> None:
    net, signals, out = make_net((2, 160)), signals_for((2, 160)), tmp_path / "lstm.tflite"
    write(lstm_int8.write_full, net, signals, out)
    variables = [tensor for tensor in flatbuffer.Graph.open(out).graph.tensors if tensor.isVariable]
    assert [tensor.type for tensor in variables] == [schema.TensorType.INT8, schema.TensorType.INT16]
    assert all(list(tensor.quantization.zeroPoint) == [0] for tensor in variables)


@pytest.mark.parametrize(
    ("leads", "own_mean", "counts"),
    [
        (2, False, {"RESHAPE": 2, "TRANSPOSE": 1, "MEAN": 1}),
        (1, False, {"RESHAPE": 1, "MEAN": 1}),
        (2, True, {"RESHAPE": 2, "TRANSPOSE": 1, "MEAN": 2, "SUB": 1}),
    ],
)
def test_the_recurrence_is_one_operator(leads: int, own_mean: bool, counts: dict[str, int], tmp_path: Path) -> None:
    shape, out = (leads, 160), tmp_path / "lstm.tflite"
    net, signals = make_net(shape, own_mean), signals_for(shape)
    counts = {**counts, "FULLY_CONNECTED": 1, "SLICE": 1, "UNIDIRECTIONAL_SEQUENCE_LSTM": 1}
    write(lstm_int8.write_full, net, signals, out)
    assert flatbuffer.count_operators(out) == counts
    write(lstm_int8.write_static, net, signals, out)
    assert flatbuffer.count_operators(out) == {**counts, "QUANTIZE": 1, "DEQUANTIZE": 1}


@pytest.mark.parametrize("own_mean", [False, True])
def test_the_full_file_has_no_float_tensor(own_mean: bool, tmp_path: Path) -> None:
    net, signals, out = make_net((2, 160), own_mean), signals_for((2, 160)), tmp_path / "lstm.tflite"
    made = write(lstm_int8.write_full, net, signals, out)
    graph = flatbuffer.Graph.open(out).graph
    assert schema.TensorType.FLOAT32 not in {tensor.type for tensor in graph.tensors}
    assert (made.note is not None) == own_mean
    ends = [graph.tensors[index] for index in (*graph.inputs, *graph.outputs)]
    assert [(end.name, end.type) for end in ends] == [(b"signal", 9), (b"scores", 9)]


@pytest.mark.parametrize("writer", WRITERS)
def test_without_calibration_it_is_refused(writer: Write, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="no calibration recordings"):
        writer(job_for(make_net((2, 160)), (2, 160), tmp_path / "lstm.tflite"))
    assert not list(tmp_path.iterdir())


def test_cells_that_were_run_step_by_step_are_those_of_torch() -> None:
    net, signals = make_net((2, 160), own_mean=True), signals_for((2, 160))
    found = lstm_int8.calibrate(net, signals, "minmax")
    with torch.inference_mode():
        hidden, (_, last_cell) = net.lstm(net.patches(net.normalise(torch.from_numpy(signals))))
    scores = torch_scores(net, signals)
    assert found.hidden == pytest.approx((float(hidden.min()), float(hidden.max())), abs=1e-5)
    assert found.scores == pytest.approx((float(scores.min()), float(scores.max())), abs=1e-5)
    assert found.cell[0] <= float(last_cell.min()) + 1e-5 and found.cell[1] >= float(last_cell.max()) - 1e-5
    centred = signals - signals.mean(axis=2, keepdims=True)
    assert found.centred == pytest.approx((centred.min(), centred.max()), abs=1e-5)
    assert found.signal == (signals.min(), signals.max())


@given(st.floats(0, 1e6))
def test_the_cells_scale_is_the_smallest_power_of_two_that_covers_it(largest: float) -> None:
    exponent = lstm_int8.cell_exponent(largest)
    assert -15 <= exponent <= -9
    assert 32767 * 2.0**exponent >= largest or exponent == -9
    assert 32767 * 2.0 ** (exponent - 1) < largest or exponent == -15


@given(st.floats(-1e4, 1e4, width=32), st.floats(-1e4, 1e4, width=32))
def test_a_range_is_covered_and_holds_zero(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    meaning = lstm_int8.affine(low, high)
    assert meaning.scale > 0 and -128 <= meaning.zero_point <= 127
    reach = [meaning.scale * (end - meaning.zero_point) for end in (-128, 127)]
    # Zero stands on a step, so an end may be up to half a step short.
    slack = 0.5001 * meaning.scale + 1e-40
    assert reach[0] <= min(low, 0) + slack and reach[1] >= max(high, 0) - slack


@given(
    st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=9),
    st.floats(2**-13, 1, width=32),
    st.floats(2**-13, 1, width=32),
)
def test_a_bias_is_in_units_of_input_scale_times_weight_scale(
    values: list[float], of_input: float, of_weight: float
) -> None:
    bias = np.array(values, np.float32)
    quantized, scale = lstm_int8.bias_int32(bias, of_input, of_weight)
    assert scale == pytest.approx(of_input * of_weight, rel=1e-6)
    inside = np.abs(bias) < scale * (2**31 - 2)
    assert quantized.dtype == np.int32
    assert (np.abs(quantized * scale - bias)[inside] <= 0.5001 * scale).all()


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=9))
def test_weights_are_symmetric_and_within_half_a_step(values: list[float]) -> None:
    matrix = np.array(values, np.float32)
    quantized, scale = lstm_flatbuffer.symmetric(matrix)
    assert quantized.min() >= -127
    assert np.abs(quantized * scale - matrix).max() <= 0.5001 * scale or math.isclose(scale, 0, abs_tol=1e-40)


@pytest.fixture(scope="module")
def real(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    return prepare(load_study(STUDIES / "ptb-xl.toml"), data_root, tmp_path_factory.mktemp("build"))


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize(
    ("writer", "own_mean", "limit"),
    [
        (lstm_int8.write_static, False, 0.1),
        (lstm_int8.write_static, True, 0.1),
        (lstm_int8.write_full, False, 0.1),
        # PTB-XL's baselines are shorter than a step of its signal in int8 (0.06 mV): subtracting them does nothing.
        (lstm_int8.write_full, True, 0.3),
    ],
)
def test_scores_of_real_recordings_are_close_to_those_of_torch(
    writer: Write, own_mean: bool, limit: float, real: Recordings, tmp_path: Path
) -> None:
    """Artefacts set the ranges: what is left for an ordinary recording is what counts."""
    calibration, signals = (real.signals(real.sample(side, 100, 1)) for side in ("train", "validation"))
    net = make_net(real.shape, own_mean, hidden=64, patch=8)
    write(writer, net, calibration, tmp_path / "lstm.tflite")
    assert 0 < error(run(tmp_path / "lstm.tflite", signals), net, signals) < limit


def test_an_ethos_u55_takes_every_operator_of_the_full_file(tmp_path: Path) -> None:
    pytest.importorskip("ethosu.vela")
    net, signals, out = make_net((2, 160), pieces=2), signals_for((2, 160)), tmp_path / "lstm.tflite"
    write(lstm_int8.write_full, net, signals, out)
    call = [sys.executable, "-m", "ethosu.vela", str(out), "--output-dir", str(tmp_path / "vela")]
    said = subprocess.run([*call, "--accelerator-config", "ethos-u55-128"], capture_output=True, text=True, check=True)
    assert "CPU operators = 0 " in said.stdout
