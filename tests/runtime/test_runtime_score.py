"""One artifact scored in a process of its own: the scores, and every way in which the process may end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from runtime import score
from runtime.engines import open_engine
from tests.runtime import tiny_bundle as tiny

HOME = Path(__file__).parents[2]
SHAPE = (tiny.LEADS, tiny.SAMPLES)
SIGNALS = np.random.default_rng(5).normal(size=(7, *SHAPE)).astype(np.float32)


def run(
    folder: Path, artifact: Path, engine: str, *more: str, signals: np.ndarray = SIGNALS, path: str = ""
) -> tuple[int, str]:
    """(exit status, what it said on standard error) of the command; the scores are in ``folder/scores.npy``."""
    np.save(folder / "signals.npy", signals)
    command = [sys.executable, "-m", "runtime.score", artifact, folder / "signals.npy", folder / "scores.npy"]
    ended = subprocess.run(
        [*map(str, command), "--engine", engine, *more],
        cwd=HOME,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return ended.returncode, ended.stderr


@pytest.mark.parametrize(
    ("write", "suffix", "engine"),
    [
        (tiny.onnx_linear, "onnx", "onnxruntime"),
        (tiny.tflite_linear, "tflite", "ai_edge_litert"),
        (tiny.tflite_recurrent, "tflite", "ai_edge_litert"),
    ],
)
def test_the_scores_are_those_of_the_engine(tmp_path: Path, write: Any, suffix: str, engine: str) -> None:
    artifact = write(tmp_path / f"tiny.{suffix}")
    status, said = run(tmp_path, artifact, engine)
    assert status == 0, said
    opened = open_engine(artifact, shape=SHAPE)
    expected = np.concatenate([opened.run(one[None]) for one in SIGNALS])
    scores = np.load(tmp_path / "scores.npy", allow_pickle=False)
    assert scores.dtype == np.float32 and np.array_equal(scores, expected)


@pytest.mark.slow
def test_a_file_that_never_answers_ends_in_an_alarm(tmp_path: Path) -> None:
    artifact = tiny.onnx_endless(tmp_path / "endless.onnx")
    status, _ = run(tmp_path, artifact, "onnxruntime", "--limit-s", "2")
    assert status == -signal.SIGALRM and not (tmp_path / "scores.npy").exists()


FAKE = """
import ctypes, numpy
class SessionOptions: pass
class ExecutionMode: ORT_SEQUENTIAL = 0
class End:
    type = "tensor(float)"
    name = "x"
    shape = [1, {leads}, {samples}]
class InferenceSession:
    times = 0
    def __init__(self, *args, **more): pass
    def get_inputs(self): return [End()]
    def get_outputs(self): return [End()]
    def run(self, *args):
        self.times += 1
        if self.times == 3:
            {harm}
        return [numpy.zeros((1, 3), numpy.float32)]
"""


@pytest.mark.parametrize(
    ("harm", "status", "says"),
    [
        ("ctypes.string_at(0)", -signal.SIGSEGV, ""),
        ("self.kept = bytearray(1 << 31)", 1, "inference failed: MemoryError"),
        ("return [numpy.zeros((1, 4), numpy.float32)]", 1, "it gives scores of shape (1, 4), expected (1, classes)"),
        ("return [numpy.zeros(3, numpy.float32)]", 1, "it gives scores of shape (3,), expected (1, classes)"),
        ("raise RuntimeError('no such kernel')", 1, "inference failed: no such kernel"),
    ],
)
def test_an_engine_that_goes_wrong(tmp_path: Path, harm: str, status: int, says: str) -> None:
    """By an engine of our own making: what a bad file does to a real one."""
    (tmp_path / "onnxruntime.py").write_text(FAKE.format(harm=harm, leads=tiny.LEADS, samples=tiny.SAMPLES))
    artifact = tiny.onnx_linear(tmp_path / "linear.onnx")
    ended, said = run(tmp_path, artifact, "onnxruntime", "--memory-mb", "1024", path=str(tmp_path))
    assert ended == status and says in said
    assert "Traceback" not in said and not (tmp_path / "scores.npy").exists()


@pytest.mark.parametrize(
    ("signals", "engine", "says"),
    [
        (SIGNALS.astype(np.float64), "onnxruntime", "expected float32 (k, leads, samples)"),
        (SIGNALS[0], "onnxruntime", "expected float32 (k, leads, samples)"),
        (SIGNALS[:0], "onnxruntime", "expected float32 (k, leads, samples)"),
        (SIGNALS[:, :, 1:], "onnxruntime", "its input is (1, 2, 20)"),
        (SIGNALS, "ai_edge_litert", "does not open .onnx files"),
        (SIGNALS, "no_such_engine", "cannot be imported"),
    ],
)
def test_what_cannot_be_scored_is_one_sentence(tmp_path: Path, signals: np.ndarray, engine: str, says: str) -> None:
    status, said = run(tmp_path, tiny.onnx_linear(tmp_path / "linear.onnx"), engine, signals=signals)
    assert status == 1 and says in said and len(said.splitlines()) == 1
    assert not (tmp_path / "scores.npy").exists()


@pytest.mark.parametrize("harm", ["missing", "damaged", "typed"])
def test_a_bad_file_is_one_sentence(tmp_path: Path, harm: str) -> None:
    artifact = tmp_path / "bad.onnx"
    if harm == "damaged":
        artifact.write_bytes(b"not a model")
    if harm == "typed":
        tiny.onnx_typed(artifact, TensorProto.DOUBLE)
    status, said = run(tmp_path, artifact, "onnxruntime")
    assert status == 1 and str(artifact) in said and len(said.splitlines()) == 1


def test_objects_are_not_unpickled(tmp_path: Path) -> None:
    artifact = tiny.onnx_linear(tmp_path / "linear.onnx")
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    assert score.main([str(artifact), str(tmp_path / "objects.npy"), "out.npy", "--engine", "onnxruntime"]) == 1
