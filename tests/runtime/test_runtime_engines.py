"""Engines on tiny real files: the scores, the state of recurrent models, and every refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from runtime.engines import EngineError, available_engines, choose_engine, open_engine
from tests.runtime import tiny_bundle as tiny

SHAPE = (tiny.LEADS, tiny.SAMPLES)


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
    monkeypatch.setattr("runtime.engines.available_engines", dict)
    assert choose_engine("tflite") == ("ai_edge_litert", None)
    with pytest.raises(EngineError, match=r"no engine for \.tflite files is installed here"):
        open_engine(tiny.tflite_linear(tmp_path / "linear.tflite"))
