"""The runner holds a quantized file against its exact arithmetic, says what it finds, and never fails of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulseproof.bench.wire.results import read_bundle
from pulseproof.bench.wire.schema import Result
from pulseproof.runtime import exact
from pulseproof.runtime.condition.processor import features, named
from pulseproof.runtime.engines import EngineError, open_engine
from pulseproof.runtime.exact import Exact, hold
from pulseproof.runtime.runner import main
from pulseproof.runtime.wire.bundle import open_bundle
from pulseproof.runtime.wire.untrusted import BundleError
from tests.runtime import tiny_bundle as tiny
from tests.twins import saturating
from tests.twins.saturating import kernels_saturate, large_signals, write_saturating

SHAPE = (saturating.LEADS, saturating.SAMPLES)
WITHIN = 520 / 255


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    return write_saturating(tmp_path / "wide.onnx")


def held(path: Path, mode: str = "unoptimized", n: int = 40) -> dict[str, Any]:
    signals = large_signals(n)
    return hold(path, "onnxruntime", SHAPE, Exact(mode, WITHIN), lambda at: signals[at : at + 1], n, lambda done: None)


def test_on_this_processor_it_is_exact_or_marked(wide: Path) -> None:
    found = held(wide)
    assert found["recordings"] == exact.RECORDINGS and found["mode"] == "unoptimized" and found["within"] == WITHIN
    assert found["features"] == features()
    if kernels_saturate():
        assert found["mark"] == "engine-saturates" and found["largest"] > 10
    else:
        assert found["mark"] is None and found["largest"] <= 1.01
    assert held(wide, "precise")["mark"] == found["mark"]
    assert held(wide, n=3)["recordings"] == 3


def test_seven_bits_are_exact_on_any_processor(tmp_path: Path) -> None:
    assert held(write_saturating(tmp_path / "narrow.onnx", 64))["mark"] is None


@pytest.mark.parametrize(
    ("off", "mark"),
    [
        ({}, None),
        ({"default": 1.0}, None),
        ({"default": 3.0}, "engine-saturates"),
        ({"default": 3.0, "precise": 3.0}, "engine-differs"),
        ({"default": float("nan")}, "engine-saturates"),
    ],
)
def test_what_an_engine_elsewhere_adds_is_marked(
    off: dict[str, float], mark: str | None, wide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Engines that are off by so many steps in each mode, as on a processor that is not this one."""

    class Elsewhere:
        def __init__(self, mode: str) -> None:
            self.off = off.get(mode, 0.0) * WITHIN

        def run(self, x: np.ndarray) -> np.ndarray:
            return np.full((1, 3), self.off, np.float32)

    monkeypatch.setattr(exact, "open_engine", lambda *asked: Elsewhere(asked[4]))
    found = held(wide)
    assert found["mark"] == mark
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_mode_that_there_is_not_is_refused(wide: Path) -> None:
    with pytest.raises(EngineError, match="computes 'reference'"):
        open_engine(wide, mode="reference")


@pytest.mark.parametrize("mode", ["unoptimized", "precise"])
def test_every_mode_gives_the_scores_of_a_float_file(mode: str, tmp_path: Path) -> None:
    path = tiny.onnx_linear(tmp_path / "linear.onnx")
    x = np.random.default_rng(0).normal(size=(1, tiny.LEADS, tiny.SAMPLES)).astype(np.float32)
    np.testing.assert_allclose(open_engine(path, mode=mode).run(x), open_engine(path).run(x), rtol=1e-5, atol=1e-5)


def test_tflites_reference_kernels_give_the_scores_of_a_float_file(tmp_path: Path) -> None:
    path = tiny.tflite_linear(tmp_path / "linear.tflite")
    x = np.random.default_rng(0).normal(size=(1, tiny.LEADS, tiny.SAMPLES)).astype(np.float32)
    found = open_engine(path, mode="reference").run(x)
    np.testing.assert_allclose(found, open_engine(path).run(x), rtol=1e-5, atol=1e-5)


def bundle_with(root: Path, wanted: Any) -> Path:
    """A bundle whose one artifact asks for exactness: 8-bit weights would, here a float file that is never off."""
    tiny.write_bundle(root, {"linear/onnx-int8-static": tiny.onnx_linear})
    manifest = json.loads((root / "bundle.json").read_text())
    manifest["artifacts"][0]["exact"] = wanted
    return tiny.seal(root, manifest)


def run(bundle: Path, out: Path, *more: str) -> dict[str, Any]:
    assert main(["run", str(bundle), "--out", str(out), "--device", "here", *more]) == 0
    result: dict[str, Any] = json.loads((out / "linear__onnx-int8-static" / "clean.json").read_text())
    Result.model_validate_json(json.dumps(result))
    return result


def test_the_runner_writes_what_it_found(tmp_path: Path) -> None:
    bundle = bundle_with(tmp_path / "bundle", {"mode": "unoptimized", "within": 1e-3})
    assert read_bundle(bundle).head.artifacts[0].exact is not None
    result = run(bundle, tmp_path / "out")
    found = result["exact"]
    assert found["recordings"] == 16 and found["mark"] is None and found["largest"] < 1 and found["reason"] is None
    assert result["status"] == "ok" and not {"engine-saturates", "engine-differs"} & set(result["marks"])
    attacked = json.loads((tmp_path / "out" / "linear__onnx-int8-static" / "pgd-0.01mV.json").read_text())
    assert attacked["exact"] == found


def test_a_mark_stands_in_every_result_and_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a process on a processor that saturates would report; the artifact itself runs here."""
    from pulseproof.runtime import run as runner

    bundle = bundle_with(tmp_path / "bundle", {"mode": "unoptimized", "within": 0.5})
    found = {"mode": "unoptimized", "recordings": 16, "within": 0.5, "largest": 12.5, "mark": "engine-saturates"}
    whole = runner.run_child

    def saturates(job: Any, out: Path, limit_s: float, on_report: Any, lock: int) -> Any:
        if job.hold is None:
            return whole(job, out, limit_s, on_report, lock)
        on_report({"exact": {**found, "features": ["avx2"]}})
        return None

    monkeypatch.setattr(runner, "run_child", saturates)
    result = run(bundle, tmp_path / "out")
    assert result["exact"] == {**found, "features": ["avx2"], "reason": None}
    for name in ("clean", "pgd-0.01mV"):
        result = json.loads((tmp_path / "out" / "linear__onnx-int8-static" / f"{name}.json").read_text())
        assert result["status"] == "ok" and result["marks"][-1] == "engine-saturates"
    printed = capsys.readouterr()
    assert "engine-saturates: up to 12.5 steps off the file's own arithmetic" in printed.out + printed.err


def test_without_the_mode_the_artifact_is_measured_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies of the comparison costs the comparison alone."""
    from pulseproof.runtime import run as runner

    bundle = bundle_with(tmp_path / "bundle", {"mode": "unoptimized", "within": 1e-3})
    whole = runner.run_child

    def dies(job: Any, *more: Any) -> Any:
        return whole(job, *more) if job.hold is None else "out of memory"

    monkeypatch.setattr(runner, "run_child", dies)
    result = run(bundle, tmp_path / "out")
    assert result["status"] == "ok" and result["exact"]["reason"] == "out of memory"
    assert result["exact"]["mark"] is None and result["exact"]["recordings"] == 0


def test_an_older_bundle_asks_for_nothing(tmp_path: Path) -> None:
    bundle = tiny.write_bundle(tmp_path / "bundle", {"linear/onnx-int8-static": tiny.onnx_linear})
    assert open_bundle(bundle).artifacts[0].exact is None and run(bundle, tmp_path / "out")["exact"] is None


@pytest.mark.parametrize(
    "wanted",
    [
        {"mode": "reference", "within": 0.1},
        {"mode": "unoptimized", "within": 0},
        {"mode": "unoptimized", "within": True},
        {"mode": ["unoptimized"], "within": 0.1},
        {"mode": "unoptimized"},
        "unoptimized",
    ],
)
def test_what_a_bundle_may_not_ask(wanted: Any, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="exact"):
        open_bundle(bundle_with(tmp_path / "bundle", wanted))


def test_features_are_those_that_every_core_has(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "cpuinfo").write_text(
        "processor\t: 0\nflags\t\t: fpu avx2 fma avx512_vnni\n\nprocessor\t: 1\nflags\t\t: fpu avx2 fma\n"
    )
    assert features(tmp_path) == ["avx2", "fma"] and named(features(tmp_path)) == "avx2 fma, without VNNI"
    (tmp_path / "proc" / "cpuinfo").write_text("processor\t: 0\nFeatures\t: fp asimd asimddp\n")
    assert features(tmp_path) == ["asimd", "asimddp"] and named(features(tmp_path)) == "asimd asimddp"
    (tmp_path / "proc" / "cpuinfo").write_text("hart\t: 0\nisa\t: rv64imafdc\n")
    assert features(tmp_path) == "unavailable" == features(tmp_path / "elsewhere")
    assert named("unavailable") == "features of the processor unknown"


def test_the_job_crosses_the_pipe(tmp_path: Path) -> None:
    from pulseproof.runtime.job import ChildJob, dump_job, load_job
    from pulseproof.runtime.wire.bundle import RunRules

    job = ChildJob(tmp_path, tmp_path / "a.onnx", "onnxruntime", SHAPE, 3, 0.005, 4, RunRules(1, 0.1, 1, 0.0), [])
    asked = replace(job, hold=Exact("precise", 0.25), hold_on="signals/clean.npy", held={"mark": None})
    assert load_job(dump_job(asked)) == asked and load_job(dump_job(job)) == job
