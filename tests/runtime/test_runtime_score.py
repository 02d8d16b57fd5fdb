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

from pulseproof.runtime import score
from pulseproof.runtime.engines import open_engine
from tests.runtime import tiny_bundle as tiny

HOME = Path(__file__).parents[2]
SHAPE = (tiny.LEADS, tiny.SAMPLES)
SIGNALS = np.random.default_rng(5).normal(size=(7, *SHAPE)).astype(np.float32)


def run(
    artifact: Path, engine: str, *more: str, signals: np.ndarray = SIGNALS, path: str = ""
) -> tuple[int, np.ndarray | None, str]:
    """(exit status, scores of the recordings before it ended, its sentence) of the command."""
    command = [
        sys.executable,
        "-m",
        "pulseproof.runtime.score",
        artifact,
        *signals.shape[1:],
        "--engine",
        engine,
        *more,
    ]
    ended = subprocess.run(
        [*map(str, command)],
        cwd=HOME,
        env={**os.environ, "PYTHONPATH": path},
        input=signals.tobytes(),
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert b"Traceback" not in ended.stderr
    rows, said, out = [], "", ended.stdout
    while out:
        kind, count = score.FRAME.unpack_from(out)
        size = {score.OPENED: 0, score.SCORES: 4 * count, score.SENTENCE: count}[kind]
        body, out = out[score.FRAME.size : score.FRAME.size + size], out[score.FRAME.size + size :]
        assert len(body) == size and not said, "a sentence is the last that it says"
        if kind == score.SCORES:
            rows.append(np.frombuffer(body, np.float32))
        if kind == score.SENTENCE:
            said = body.decode()
    return ended.returncode, np.stack(rows) if rows else None, said


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
    status, scores, said = run(artifact, engine)
    assert status == 0 and not said
    opened = open_engine(artifact, shape=SHAPE)
    expected = np.concatenate([opened.run(one[None]) for one in SIGNALS])
    assert scores is not None and np.array_equal(scores, expected)
    assert np.array_equal(score.score(artifact, SIGNALS, engine), expected)


@pytest.mark.slow
def test_a_file_that_never_answers_ends_in_an_alarm(tmp_path: Path) -> None:
    artifact = tiny.onnx_endless(tmp_path / "endless.onnx")
    status, scores, _ = run(artifact, "onnxruntime", "--limit-s", "2")
    assert status == -signal.SIGALRM and scores is None


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
        if self.times == {at}:
            {harm}
        return [numpy.zeros((1, 3), numpy.float32)]
"""


@pytest.mark.parametrize(
    ("harm", "status", "says"),
    [
        ("ctypes.string_at(0)", -signal.SIGSEGV, ""),
        ("self.kept = bytearray(1 << 31)", 1, "inference failed: MemoryError"),
        ("return [numpy.zeros((1, 4), numpy.float32)]", 1, "it gives scores of shape (1, 4), expected (1, 3)"),
        ("return [numpy.zeros(3, numpy.float32)]", 1, "it gives scores of shape (3,), expected (1, 3)"),
        ("return [numpy.zeros((1, 3))]", 1, "3 scores of float64"),
        ("raise RuntimeError('no such kernel')", 1, "inference failed: no such kernel"),
        ("print('words ' * 9999, flush=True); raise RuntimeError('end')", 1, "inference failed: end"),
        ("import time; time.sleep(60)", -signal.SIGALRM, ""),
    ],
)
@pytest.mark.parametrize("at", [3, 6])  # the last of the first inferences, and one of the others
def test_an_engine_that_goes_wrong(tmp_path: Path, harm: str, status: int, says: str, at: int) -> None:
    """By an engine of our own making: what a bad file does to a real one."""
    fake = FAKE.format(harm=harm, leads=tiny.LEADS, samples=tiny.SAMPLES, at=at)
    (tmp_path / "onnxruntime.py").write_text(fake)
    artifact = tiny.onnx_linear(tmp_path / "linear.onnx")
    limits = ["--memory-mb", "1024", "--limit-s", "5", "--floor-s", "1"]
    ended, scores, said = run(artifact, "onnxruntime", *limits, path=str(tmp_path))
    assert ended == status and says in said
    assert scores is not None and len(scores) == at - 1


def test_memory_is_bounded_by_the_first_inferences(tmp_path: Path) -> None:
    harm = "self.kept = bytearray(3 << 28)"  # far from the limit that it began with
    (tmp_path / "onnxruntime.py").write_text(FAKE.format(harm=harm, leads=tiny.LEADS, samples=tiny.SAMPLES, at=6))
    ended, scores, said = run(
        tiny.onnx_linear(tmp_path / "linear.onnx"), "onnxruntime", "--memory-mb", "8192", path=str(tmp_path)
    )
    assert ended == 1 and "MemoryError" in said and scores is not None and len(scores) == 5


@pytest.mark.parametrize(
    ("signals", "engine", "says"),
    [
        (SIGNALS[:, :, 1:], "onnxruntime", "its input is (1, 2, 20)"),
        (SIGNALS, "ai_edge_litert", "does not open .onnx files"),
        (SIGNALS, "no_such_engine", "cannot be imported"),
    ],
)
def test_what_cannot_be_scored_is_one_sentence(tmp_path: Path, signals: np.ndarray, engine: str, says: str) -> None:
    status, scores, said = run(tiny.onnx_linear(tmp_path / "linear.onnx"), engine, signals=signals)
    assert status == 1 and says in said and len(said.splitlines()) == 1
    assert scores is None


@pytest.mark.parametrize("signals", [SIGNALS.astype(np.float64), SIGNALS[0], SIGNALS[:0]])
def test_what_is_no_recordings_is_refused(tmp_path: Path, signals: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected float32 \(k, leads, samples\)"):
        score.score(tiny.onnx_linear(tmp_path / "linear.onnx"), signals, "onnxruntime")


@pytest.mark.parametrize("harm", ["missing", "damaged", "typed"])
def test_a_bad_file_is_one_sentence(tmp_path: Path, harm: str) -> None:
    artifact = tmp_path / "bad.onnx"
    if harm == "damaged":
        artifact.write_bytes(b"not a model")
    if harm == "typed":
        tiny.onnx_typed(artifact, TensorProto.DOUBLE)
    status, _, said = run(artifact, "onnxruntime")
    assert status == 1 and str(artifact) in said and len(said.splitlines()) == 1
