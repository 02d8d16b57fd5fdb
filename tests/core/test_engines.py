"""The engines of this host, and a file's scores through a process that may die of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pulseproof.core import engines, limited
from pulseproof.core.errors import InputError
from pulseproof.runtime.engines import EngineError, open_engine
from tests.runtime import tiny_bundle as tiny

SIGNALS = np.random.default_rng(5).normal(size=(9, tiny.LEADS, tiny.SAMPLES)).astype(np.float32)
# Answers for tflite_runtime's version, as a good environment does; otherwise it does what a test wants.
INTERPRETER = """#!/bin/sh
if [ "$1" = -c ]; then {answer}; exit; fi
{does}
"""


@pytest.fixture(autouse=True)
def _asked_anew() -> Iterator[None]:
    engines.here.cache_clear()
    yield
    engines.here.cache_clear()


def interpreter(
    monkeypatch: pytest.MonkeyPatch, folder: Path, does: str = "exit 3", answer: str = "echo 2.14.0 1.26.4"
) -> Path:
    """A script in the place of the Python that has tflite_runtime."""
    script = folder / "python"
    script.write_text(INTERPRETER.format(does=does, answer=answer))
    script.chmod(0o755)
    monkeypatch.setenv(engines.VARIABLE, str(script))
    return script


def test_the_engines_here_are_those_that_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(engines.VARIABLE, raising=False)
    made = Path(sys.prefix) / "tflite-runtime" / "bin" / "python"
    expected = {"onnxruntime", "ai_edge_litert"} | ({"tflite_runtime"} if made.exists() else set())
    assert set(engines.here()) == expected
    assert engines.engines_of("onnx") == ("onnxruntime",)
    assert engines.engines_of("tflite")[0] == "ai_edge_litert"


def test_another_interpreter_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    interpreter(monkeypatch, tmp_path)
    assert engines.here()["tflite_runtime"] == "2.14.0"
    assert engines.engines_of("tflite") == ("ai_edge_litert", "tflite_runtime")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("echo 2.14.0 2.1.0", "does not work with its numpy 2.1.0"),
        ("echo 'PackageNotFoundError: tflite-runtime' >&2; exit 1", "has no tflite-runtime"),
        ("echo hello", "has no tflite-runtime"),
        ("kill -9 $$", "has no tflite-runtime"),
    ],
)
def test_an_interpreter_that_will_not_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: str, says: str
) -> None:
    script = interpreter(monkeypatch, tmp_path, answer=answer)
    with pytest.raises(InputError, match=says) as caught:
        engines.here()
    assert str(script) in str(caught.value)


def test_an_interpreter_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(engines.VARIABLE, str(tmp_path / "nothing"))
    with pytest.raises(InputError, match="no such command"):
        engines.here()


@pytest.mark.parametrize(("suffix", "write"), [("onnx", tiny.onnx_linear), ("tflite", tiny.tflite_linear)])
def test_every_engine_gives_the_scores_of_the_file(suffix: str, write, tmp_path: Path) -> None:
    artifact = write(tmp_path / f"linear.{suffix}")
    opened = open_engine(artifact)
    expected = np.concatenate([opened.run(one[None]) for one in SIGNALS])
    for engine in engines.engines_of(suffix):
        scores = engines.score(artifact, SIGNALS, engine)
        assert scores.dtype == np.float32 and scores.shape == (9, tiny.CLASSES)
        assert np.abs(scores - expected).max() < 1e-5
    assert {path.name for path in tmp_path.iterdir()} == {artifact.name}


@pytest.mark.parametrize(
    ("does", "says"),
    [
        ("kill -9 $$", r"it crashed its process \(SIGKILL\), while it was opened"),
        ("echo 'terminate called' >&2; kill -6 $$", r"SIGABRT\), .*; its last words: terminate called"),
        ("echo 'INFO: Created delegate' >&2; kill -11 $$", r"crashed its process \(SIGSEGV\), while it was opened$"),
        ("kill -14 $$", "took more than 60 s"),
        ("exec sleep 60", "did not come to an end in time"),
        ("sleep 60 & exit 3", "ended with status 3"),
        ("echo one >&2; echo two >&2; exit 1", "; its last words: two$"),
        ("exit 0", "ended with status 0"),
        ("printf 'half'", "ended with status 0"),
        ("exec yes", "what is no answer"),
        (r"printf '\001\000\000\000\000\000\000\000'; exec yes", "what is no answer"),
        (r"printf '\001\000\000\000\000\000\000\000'; cat > /dev/null", "did not come to an end in time"),
    ],
)
def test_a_file_takes_down_a_process_and_no_more(
    does: str, says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    artifact = tiny.tflite_linear(tmp_path / "linear.tflite")
    interpreter(monkeypatch, tmp_path, does)
    assert "tflite_runtime" in engines.here()
    monkeypatch.setattr(limited, "START_S", 2)
    monkeypatch.setattr(limited, "SILENCE_S", 60 if "60 s" in says else 0)
    with pytest.raises(EngineError, match=says) as caught:
        engines.score(artifact, SIGNALS, "tflite_runtime")
    assert "\n" not in str(caught.value) and str(tmp_path) not in str(caught.value)


def test_a_sentence_does_not_name_the_file(tmp_path: Path) -> None:
    (tmp_path / ".half.onnx").write_bytes(b"not a model")
    with pytest.raises(EngineError, match=r"onnxruntime .* does not open it") as caught:
        engines.score(tmp_path / ".half.onnx", SIGNALS, "onnxruntime")
    assert str(tmp_path) not in str(caught.value)
