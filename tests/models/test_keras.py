"""Files of Keras by way of TensorFlow, which is not installed here, and of torch.export, which are not opened."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pulseproof.core.engines import score
from pulseproof.core.errors import InputError
from pulseproof.models.brought import keras
from pulseproof.models.brought.kinds import CONVERT, NO_PROGRAM

MADE = """
import sys, keras
net = keras.Sequential([
    keras.Input((64, 1)), keras.layers.Conv1D(4, 5, activation="relu"), keras.layers.MaxPooling1D(2),
    keras.layers.{recurrent}, keras.layers.Dense(3, activation="softmax"),
])
{save}
"""


def tensorflow() -> str:
    """An interpreter that has TensorFlow; skips where there is none: it takes a download of half a gigabyte."""
    named = os.environ.get(keras.VARIABLE) or str(Path(sys.prefix) / "tensorflow" / "bin" / "python")
    if shutil.which(named) is None:
        pytest.skip(f"no TensorFlow here: {keras.VARIABLE} names an interpreter that has it")
    return named


@pytest.mark.parametrize("name", ["own.keras", "own.h5", "saved"])
def test_without_tensorflow_it_says_how(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(keras.VARIABLE, raising=False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    path = tmp_path / name
    if name == "saved":
        path.mkdir()
        (path / "saved_model.pb").write_bytes(b"")
    else:
        path.write_bytes(b"PK")
    with pytest.raises(InputError) as raised:
        keras.convert_keras(path, tmp_path / "own.tflite")
    assert str(path) in raised.value.what and "--with-tensorflow" in raised.value.mend
    assert not (tmp_path / "own.tflite").exists() and not (tmp_path / "tensorflow").exists()


@pytest.mark.parametrize(
    ("interpreter", "said"),
    [("no-such-python", "no such command"), ("/bin/false", "does not convert it"), (sys.executable, "tensorflow")],
)
def test_an_interpreter_that_cannot_says_so(
    interpreter: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(keras.VARIABLE, interpreter)
    path = tmp_path / "own.keras"
    path.write_bytes(b"PK")
    with pytest.raises(InputError, match=said):
        keras.convert_keras(path, tmp_path / "own.tflite")
    assert [one.name for one in tmp_path.iterdir()] == ["own.keras"]


def test_what_is_no_keras_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        keras.convert_keras(tmp_path / "own.keras", tmp_path / "own.tflite")
    with pytest.raises(InputError, match="neither a file of Keras"):
        keras.convert_keras(tmp_path, tmp_path / "own.tflite")


def test_programs_of_torch_are_not_opened() -> None:
    assert CONVERT[".pt2"] == CONVERT[".torchscript"] == NO_PROGRAM
    assert "torch.onnx.export" in NO_PROGRAM


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "recurrent", "save"),
    [
        ("own.keras", "GRU(4)", "net.save(sys.argv[1])"),
        ("own.h5", "LSTM(4)", "net.save(sys.argv[1])"),
        ("saved", "Flatten()", "net.export(sys.argv[1])"),
    ],
)
def test_tensorflow_converts_it(name: str, recurrent: str, save: str, tmp_path: Path) -> None:
    python, path, out = tensorflow(), tmp_path / name, tmp_path / "own.tflite"
    made = MADE.format(recurrent=recurrent, save=save)
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    subprocess.run([python, "-c", made, str(path)], check=True, capture_output=True, env=env)
    found = keras.convert_keras(path, out)
    assert found["input"] == [1, 64, 1] and found["outputs"] == [[1, 3]] and found["largest"] < 1e-5
    scores = score(out, np.zeros((2, 64, 1), np.float32), "ai_edge_litert")
    assert scores.shape == (2, 3) and np.allclose(scores.sum(axis=1), 1, atol=1e-5)


@pytest.mark.slow
def test_a_layer_with_code_of_its_own_is_not_run(tmp_path: Path) -> None:
    python, path = tensorflow(), tmp_path / "own.keras"
    made = "import sys, keras as k; k.Sequential([k.Input((8, 1)), k.layers.Lambda(lambda x: 2 * x)]).save(sys.argv[1])"
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    subprocess.run([python, "-c", made, str(path)], check=True, capture_output=True, env=env)
    with pytest.raises(InputError, match="Lambda"):
        keras.convert_keras(path, tmp_path / "own.tflite")
    assert not (tmp_path / "own.tflite").exists()
