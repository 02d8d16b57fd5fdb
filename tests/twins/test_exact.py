"""Engines against a quantized file's own arithmetic: what they add is marked, wherever these tests run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pulseproof.core import engines
from pulseproof.twins import exact, open_twin
from pulseproof.twins.gate import check
from tests.twins.saturating import exact_scores, kernels_saturate, large_signals, write_saturating

LABELS = np.arange(60).reshape(20, 3) % 2
ONNX = "onnxruntime"


def test_eight_bit_weights_are_exact_or_marked(tmp_path: Path) -> None:
    """On a processor with VNNI the engine gives the exact scores; on one without it does not, and is marked."""
    path, signals = write_saturating(tmp_path / "wide.onnx"), large_signals(20)
    scores = engines.score(path, signals, ONNX)
    found = exact.compare(path, signals, scores, ONNX)
    assert found is not None and found.against == "twin" and found.mode == "unoptimized"
    truth = exact_scores(signals)
    step = found.within
    assert found.largest == pytest.approx(np.abs(scores - truth).max() / step, abs=1.01)
    if kernels_saturate():
        assert found.mark == "engine-saturates" and found.largest > 10
        assert found.scores is not None and np.abs(found.scores - truth).max() <= 1.01 * step
    else:
        assert found.mark is None and found.largest <= 1.01 and found.scores is None


def test_the_twin_of_eight_bit_weights_holds_either_way(tmp_path: Path) -> None:
    path, signals = write_saturating(tmp_path / "wide.onnx"), large_signals(20)
    found = check(open_twin(path), path, signals, LABELS)
    assert found.reason is None and found.largest <= 1.01
    assert found.mark == ("engine-saturates" if kernels_saturate() else None)


@pytest.mark.parametrize("signed", [False, True])
def test_seven_bit_weights_are_exact_everywhere(signed: bool, tmp_path: Path) -> None:
    path, signals = write_saturating(tmp_path / "narrow.onnx", 64, signed), large_signals(20)
    scores = engines.score(path, signals, ONNX)
    found = exact.compare(path, signals, scores, ONNX)
    assert found is not None and found.mark is None and found.largest <= 1.01
    assert np.abs(scores - exact_scores(signals, 64)).max() <= 1.01 * found.within


@pytest.mark.parametrize(
    ("default", "unoptimized", "precise", "mark"),
    [
        (0.0, 0.0, 0.0, None),
        (1.0, 0.0, 0.0, None),  # a step: at another level of optimisation a tie rounds the other way
        (5.0, 0.0, 0.0, "engine-saturates"),
        (5.0, 0.0, 5.0, "engine-differs"),
        (np.nan, 0.0, 0.0, "engine-saturates"),
    ],
)
def test_the_cause_names_the_mark(
    default: float,
    unoptimized: float,
    precise: float,
    mark: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What an engine of another processor would give, by the number of steps that it is off in each mode."""
    path, signals = write_saturating(tmp_path / "wide.onnx"), large_signals(20)
    step = open_twin(path).output_step
    assert step is not None
    off = {"default": default, "unoptimized": unoptimized, "precise": precise}

    def score(path: Path, signals: np.ndarray, engine: str, mode: str = "default") -> np.ndarray:
        return (exact_scores(signals) + step * off[mode]).astype(np.float32)

    monkeypatch.setattr(engines, "score", score)
    found = exact.compare(path, signals, score(path, signals, ONNX), ONNX)
    assert found is not None and found.mark == mark and (found.scores is None) == (mark is None)


def test_an_engine_is_not_marked_for_a_twin_that_is_wrong(tmp_path: Path) -> None:
    path, signals = write_saturating(tmp_path / "narrow.onnx", 64), large_signals(20)
    other = open_twin(write_saturating(tmp_path / "other.onnx", 40))
    found = exact.compare(path, signals, engines.score(path, signals, ONNX), ONNX, other)
    assert found is not None and found.mark is None and found.against == "unoptimized"


def test_a_file_that_rounds_while_it_runs_has_an_exact_mode_only_in_onnx() -> None:
    assert exact.mode_of(Path("a.onnx"), None) == "precise" and exact.mode_of(Path("a.onnx"), 0.1) == "unoptimized"
    assert exact.mode_of(Path("a.tflite"), 0.1) == "reference" and exact.mode_of(Path("a.tflite"), None) is None
