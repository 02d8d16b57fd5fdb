"""Noise, marks, and latency over time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pulseproof.runtime import child
from pulseproof.runtime.condition import noise, sustained
from pulseproof.runtime.runner import main
from tests.runtime import tiny_bundle as tiny

HOST = ("--evidence", "measured-on-host")


@pytest.mark.parametrize(
    ("times", "share"),
    [([100] * 200, 0.0), ([100] * 150 + [200] * 50, 1.0), ([90] * 50 + [100] * 100 + [110] * 50, 0.2)],
)
def test_the_share(times: list[int], share: float) -> None:
    assert noise.share(times) == pytest.approx(share)


def test_the_floor_is_the_larger_side() -> None:
    quiet, loud = [100] * 200, [100] * 150 + [200] * 50
    assert noise.floor(quiet, loud, 0.05) == noise.floor(loud, quiet, 0.05) == {"share": 1.0, "limit": 0.05}
    assert len(noise.times_ns()) == noise.REPEATS


@pytest.mark.parametrize(
    ("share", "throttled", "marks"),
    [
        (0.05, False, []),
        (0.0501, "unavailable", ["noisy"]),
        (0.01, True, ["throttled"]),
        (0.2, True, ["throttled", "noisy"]),
    ],
)
def test_marks(share: float, throttled: bool | str, marks: list[str]) -> None:
    assert child._marks({"share": share, "limit": 0.05}, throttled) == marks


def test_windows_hold_every_call() -> None:
    calls = 0

    def inference(x: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        return x

    beats: list[float] = []
    windows = sustained.run(inference, lambda index: np.zeros(1, np.float32), 3, 0.05, beats.append)
    assert sum(window["count"] for window in windows) == calls == len(beats)
    assert windows[-1]["t_s"] >= 0.05
    assert all(0 < window["p50"] <= window["p90"] <= window["max"] for window in windows)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("sustained")
    return tiny.write_bundle(
        home / "bundle", {"linear/onnx-fp32": tiny.onnx_linear, "linear/tflite-fp32": tiny.tflite_linear}
    )


@pytest.mark.slow
def test_minutes_give_latency_over_time_once(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, command = tmp_path / "out", ["run", str(bundle), "--out", str(tmp_path / "out"), *HOST]
    assert main([*command, "--minutes", "0.01"]) == 0
    path = out / "linear__onnx-fp32/_sustained.json"
    found = json.loads(path.read_text())
    assert (found["minutes"], found["artifact"]["name"], found["signals"]["name"]) == (
        0.01,
        "linear/onnx-fp32",
        "clean",
    )
    assert found["windows"][-1]["t_s"] >= 0.6
    before = path.stat().st_mtime_ns
    assert "latency over 0.01 min: done, 50 %" in capsys.readouterr().err  # the first of two
    assert main([*command, "--minutes", "0.01"]) == 0
    assert "nothing to do" in capsys.readouterr().err
    assert path.stat().st_mtime_ns == before
    assert main([*command, "--minutes", "0.02"]) == 0  # asked for longer: made anew; the results stay
    assert json.loads(path.read_text())["minutes"] == 0.02


def test_a_noisy_machine_is_marked(bundle: Path, tmp_path: Path) -> None:
    """No machine is as quiet as one part in a million."""
    out = tmp_path / "out"
    assert main(["run", str(bundle), "--out", str(out), *HOST, "--noise-limit", "0.000001"]) == 0
    result = json.loads((out / "linear__onnx-fp32/clean.json").read_text())
    assert "noisy" in result["marks"]
    assert result["noise"]["share"] > result["noise"]["limit"] == 1e-6
    assert 0 < result["overhead_us"] < 10
    assert result["affinity"] is None or len(result["affinity"]) == 1
    times = np.load(out / "linear__onnx-fp32" / result["times"]["file"])
    assert times.dtype == np.int64 and len(times) == result["latency_ms"]["count"]
    assert np.percentile(times, 95) / 1e6 == pytest.approx(result["latency_ms"]["p95"], abs=1e-6)
