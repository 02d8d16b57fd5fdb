"""Engines on tiny real files: the scores, the state of recurrent models, integer ends, and every refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as tfl
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto

from pulseproof.runtime.engines import Engine, EngineError, available_engines, choose_engine, open_engine
from tests.runtime import tiny_bundle as tiny

SHAPE = (tiny.LEADS, tiny.SAMPLES)
TYPES = {
    np.float32: tfl.TensorType.FLOAT32,
    np.int32: tfl.TensorType.INT32,
    np.int16: tfl.TensorType.INT16,
    np.int8: tfl.TensorType.INT8,
    np.uint8: tfl.TensorType.UINT8,
}


def recording(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(1, *SHAPE)).astype(np.float32)


@pytest.mark.parametrize(("write", "suffix"), [(tiny.onnx_linear, "onnx"), (tiny.tflite_linear, "tflite")])
def test_scores_of_a_linear_model(tmp_path: Path, write: Any, suffix: str) -> None:
    engine = open_engine(write(tmp_path / f"linear.{suffix}"), shape=SHAPE)
    weights, biases = tiny.linear_weights()
    first = engine.run(recording(1))
    kept = first.copy()
    second = engine.run(recording(2))
    assert first.dtype == np.float32
    assert first.shape == (1, tiny.CLASSES)
    np.testing.assert_allclose(first, recording(1).reshape(1, -1) @ weights.T + biases, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(first, kept)  # the second run did not write into the first result
    assert not np.array_equal(first, second)
    assert engine.name in available_engines()
    assert engine.version == available_engines()[engine.name]
    assert engine.input_shape == (1, *SHAPE)


def test_a_recurrent_model_forgets_the_recording_before(tmp_path: Path) -> None:
    path = tiny.tflite_recurrent(tmp_path / "recurrent.tflite")
    engine = open_engine(path, shape=SHAPE)
    alone = engine.run(recording(1))
    engine.run(recording(2))
    np.testing.assert_array_equal(engine.run(recording(1)), alone)

    # The same model without the reset does remember: the test above can fail.
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    seen = []
    for seed in (1, 2, 1):
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], recording(seed))
        interpreter.invoke()
        seen.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    np.testing.assert_array_equal(seen[0], alone)
    assert not np.allclose(seen[0], seen[2])


def tflite_ends(
    path: Path,
    kind: str = "RESHAPE",
    types: tuple[Any, Any] = (np.int8, np.int8),
    scales: tuple[list[float], list[float]] = ([0.02], [0.02]),
    zero: int = 0,
) -> Path:
    """One operator from (1, leads, samples) to as many scores, with an input and an output of some type and scales."""
    wide = np.array([1, tiny.LEADS * tiny.SAMPLES], np.int32)
    shapes = ((1, *SHAPE), wide if kind == "RESHAPE" else (1, *SHAPE))
    tensors = []
    for name, shape, dtype, found in zip(("x", "scores"), shapes, types, scales, strict=True):
        tensors.append(tiny._tensor(name, shape, kind=TYPES[dtype]))
        if found:
            about = tfl.QuantizationParametersT()
            about.scale, about.zeroPoint, about.quantizedDimension = found, [zero] * len(found), 1
            tensors[-1].quantization = about
    tensors.append(tiny._tensor("shape", (2,), 1, tfl.TensorType.INT32))
    options: Any = {
        "RESHAPE": tfl.ReshapeOptionsT,
        "QUANTIZE": tfl.QuantizeOptionsT,
        "DEQUANTIZE": tfl.DequantizeOptionsT,
    }
    made = options[kind]()
    if kind == "RESHAPE":
        made.newShape = wide
    inputs = [0, 2] if kind == "RESHAPE" else [0]
    return tiny._save_tflite(path, tensors, [wide], [(kind, inputs, 1, type(made).__name__[:-1], made)], output=1)


INTEGER_ENDS: dict[str, dict[str, Any]] = {
    "int8": {"zero": -7},
    "int16": {"types": (np.int16, np.int16), "scales": ([0.001], [0.001])},
    "int8 to float": {"kind": "DEQUANTIZE", "types": (np.int8, np.float32), "scales": ([0.02], []), "zero": 5},
    "float to int8": {"kind": "QUANTIZE", "types": (np.float32, np.int8), "scales": ([], [0.02]), "zero": 5},
}


@pytest.fixture(scope="module", params=list(INTEGER_ENDS))
def integer_ends(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Engine, Any]:
    about = INTEGER_ENDS[request.param]
    path = tflite_ends(tmp_path_factory.mktemp("ends") / "ends.tflite", **about)
    return open_engine(path, shape=SHAPE), about


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.01, 0.3, 2.0, 50.0]))
def test_integer_ends_round_to_the_steps_of_the_tensor(
    integer_ends: tuple[Engine, Any], seed: int, height_mv: float
) -> None:
    engine, about = integer_ends
    scales, types = about.get("scales", ([0.02], [0.02])), about.get("types", (np.int8, np.int8))
    scale, zero = np.float32((scales[0] or scales[1])[0]), about.get("zero", 0)
    limits = np.iinfo(types[0] if types[0] is not np.float32 else types[1])
    x = np.random.default_rng(seed).normal(0, height_mv, (1, *SHAPE)).astype(np.float32)
    kept = x.copy()
    first = engine.run(x)
    wanted = (np.clip(np.rint(x / scale) + zero, limits.min, limits.max) - zero) * scale
    assert first.dtype == np.float32
    # Half a step, exactly, goes one way in numpy and may go the other in an engine's own operator.
    np.testing.assert_allclose(first.ravel(), wanted.ravel(), atol=1e-6 if types[0] is not np.float32 else scale * 1.01)
    # float32 itself is coarse beside a small step: at 32 mV its numbers lie 4e-6 mV apart.
    inside = np.abs(first.ravel() - x.ravel()) <= scale / 2 * (1 + 1e-3) + 2 * np.spacing(np.abs(x.ravel()))
    beyond = (x.ravel() / scale + zero < limits.min) | (x.ravel() / scale + zero > limits.max)
    assert (inside | beyond).all()
    np.testing.assert_array_equal(x, kept)
    copy = first.copy()
    engine.run(-x)
    np.testing.assert_array_equal(first, copy)  # the second run did not write into the first result


@pytest.mark.parametrize(
    ("about", "says"),
    [
        ({"types": (np.uint8, np.uint8)}, "its input is uint8, expected float32, int8 or int16"),
        ({"types": (np.int32, np.int32), "scales": ([], [])}, "its input is int32, expected float32, int8 or int16"),
        ({"scales": ([], [])}, "its int8 input has 0 scales, expected one above 0"),
        ({"types": (np.int16, np.int16), "scales": ([], [])}, "its int16 input has 0 scales, expected one above 0"),
        ({"scales": ([0.02, 0.03], [0.02])}, "its int8 input has 2 scales, expected one above 0"),
        ({"scales": ([0.0], [0.0])}, "its int8 input has the scale 0, expected one above 0"),
        ({"kind": "QUANTIZE", "types": (np.float32, np.uint8), "scales": ([], [0.02])}, "its output is uint8"),
    ],
)
def test_integer_ends_that_are_refused(tmp_path: Path, about: dict[str, Any], says: str) -> None:
    path = tflite_ends(tmp_path / "ends.tflite", **about)
    with pytest.raises(EngineError, match=says) as refusal:
        open_engine(path)
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "x", [np.zeros((1, 2, 21), np.float32), np.zeros((1, 1, 20), np.float32), np.zeros((1, *SHAPE))]
)
def test_integer_ends_fed_something_else(tmp_path: Path, x: np.ndarray) -> None:
    engine = open_engine(tflite_ends(tmp_path / "ends.tflite"))
    with pytest.raises(EngineError, match=r"inference failed: .*expected float32 \(1, 2, 20\)"):
        engine.run(x)


@pytest.mark.parametrize(
    ("name", "write", "says"),
    [
        ("gone.onnx", lambda path: None, "no such file"),
        ("folder.onnx", lambda path: path.mkdir(), "no such file"),
        ("other.pt", lambda path: path.write_bytes(b"x"), "ends neither"),
        ("empty.onnx", lambda path: path.write_bytes(b""), "does not open it"),
        ("junk.onnx", lambda path: path.write_bytes(b"junk" * 100), "does not open it"),
        ("empty.tflite", lambda path: path.write_bytes(b""), "does not open it"),
        ("junk.tflite", lambda path: path.write_bytes(b"junk" * 100), "does not open it"),
        ("cut.tflite", lambda p: p.write_bytes(tiny.tflite_linear(p).read_bytes()[:300]), "does not open it"),
        ("wide.onnx", lambda path: tiny.onnx_linear(path, samples=30), r"input is \(1, 2, 30\).*\(1, 2, 20\)"),
        ("double.onnx", lambda path: tiny.onnx_typed(path, TensorProto.DOUBLE), r"tensor\(double\), expected float32"),
        ("two.onnx", lambda path: tiny.onnx_typed(path, TensorProto.FLOAT, outputs=2), "2 outputs"),
    ],
)
def test_refused_when_opened(tmp_path: Path, name: str, write: Any, says: str) -> None:
    path = tmp_path / name
    write(path)
    with pytest.raises(EngineError, match=says) as refusal:
        open_engine(path, shape=SHAPE)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("write", "suffix"), [(tiny.onnx_linear, "onnx"), (tiny.tflite_linear, "tflite")])
@pytest.mark.parametrize("x", [np.zeros((1, 2, 21), np.float32), np.zeros((1, 2, 20), np.float64)])
def test_refused_when_fed_something_else(tmp_path: Path, write: Any, suffix: str, x: np.ndarray) -> None:
    engine = open_engine(write(tmp_path / f"linear.{suffix}"))
    with pytest.raises(EngineError, match=f"linear.{suffix}: inference failed"):
        engine.run(x)


def test_an_engine_by_name(tmp_path: Path) -> None:
    path = tiny.onnx_linear(tmp_path / "linear.onnx")
    assert open_engine(path, engine="onnxruntime").name == "onnxruntime"
    with pytest.raises(EngineError, match=r"does not open \.onnx"):
        open_engine(path, engine="ai_edge_litert")
    assert choose_engine("tflite", "tflite_runtime")[0] == "tflite_runtime"


def test_an_engine_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulseproof.runtime.engines.available_engines", dict)
    assert choose_engine("tflite") == ("ai_edge_litert", None)
    with pytest.raises(EngineError, match=r"no engine for \.tflite files is installed here"):
        open_engine(tiny.tflite_linear(tmp_path / "linear.tflite"))
