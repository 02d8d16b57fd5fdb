"""The door of a result's numbers: one that cannot be is refused in a sentence that names the file and the field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pulseproof.bench.wire.results import read_bundle, read_results
from pulseproof.core.errors import InputError
from tests.bench.making import change_json, make_build

COUNTED = {"count": 100, "p50": 5.0, "min": 4.0, "max": 6.0}
ENERGY = {"meter": "m", "idle_w": 1.0, "busy_w": 2.0, "mj_per_inference": 1.0, "above_idle_mj": -0.1}
RESULT: dict[str, tuple[dict[str, Any], str]] = {
    "a median above the 99th percentile": ({"latency_ms__p50": 9.0, "latency_ms__p90": None}, "p50 is 9, above p99"),
    "a 90th percentile above the 99th": ({"latency_ms__p90": 5.0}, "p90 is 5, above p99"),
    "a median above the 95th": ({"latency_ms__p90": None, "latency_ms__p95": 0.1}, "above p95, which is 0.1"),
    "a latency of 1e300 ms": ({"latency_ms__p99": 1e300}, "latency_ms.p99: "),
    "a negative latency": ({"latency_ms__p50": -1.0}, "latency_ms.p50: "),
    "no timed call": ({"latency_ms__count": 0}, "latency_ms.count: "),
    "calls without end": ({"latency_ms__count": 10**30}, "latency_ms.count: "),
    "a negative time to load": ({"load_ms": -1.0}, "load_ms: "),
    "a time to load of 1e300 ms": ({"load_ms": 1e300}, "load_ms: "),
    "a first call of 1e300 ms": ({"first_ms": 1e300}, "first_ms: "),
    "more memory than there is": ({"peak_rss_mb": 1e300}, "peak_rss_mb: "),
    "a negative memory": ({"peak_rss_mb": -1e-9}, "peak_rss_mb: "),
    "no recordings": ({"n": 0}, "n: "),
    "recordings below none": ({"n": -5}, "n: "),
    "a file of less than no bytes": ({"artifact__size_bytes": -1}, "artifact.size_bytes: "),
    "a file of 1e30 bytes": ({"artifact__size_bytes": 10**30}, "artifact.size_bytes: "),
    "threads below none": ({"engine__threads": -1}, "engine.threads: "),
    "a million threads": ({"engine__threads": 10**6}, "engine.threads: "),
    "instructions out of order": ({"instructions": COUNTED | {"p50": 7.0}}, "p50 is 7, above max, which is 6"),
    "instructions without end": ({"instructions": COUNTED | {"max": 1e300}}, "instructions.max: "),
    "a power of 1e300 W": ({"energy": ENERGY | {"busy_w": 1e300}}, "energy.busy_w: "),
    "an energy of -1e300 mJ": ({"energy": ENERGY | {"above_idle_mj": -1e300}}, "energy.above_idle_mj: "),
    "a noise of 1e300": ({"noise": {"share": 1e300, "limit": 0.1}}, "noise.share: "),
    "a call that costs less than nothing": ({"overhead_us": -1.0}, "overhead_us: "),
    "a step of the recorder of none": ({"asked": {"adc_step_mv": 0.0}}, "asked.adc_step_mv: "),
}
BUNDLE: dict[str, tuple[dict[str, Any], str]] = {
    "a rate of 1e300 Hz": ({"task__fs_hz": 1e300}, "task.fs_hz: "),
    "samples without end": ({"task__samples": 10**30}, "task.samples: "),
    "a warm-up of 1e300 s": ({"run__warmup_s": 1e300}, "run.warmup_s: "),
    "runs below none": ({"run__min_runs": -1}, "run.min_runs: "),
    "a million threads": ({"run__threads": 10**6}, "run.threads: "),
}


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("numbers")
    make_build(folder, budgets=(), recipes=("onnx-fp32",))
    return folder


@pytest.mark.parametrize(("name", "where"), [*((name, "r") for name in RESULT), *((name, "b") for name in BUNDLE)])
def test_a_number_that_cannot_be(name: str, where: str, build: Path) -> None:
    path = build / ("bundle/bundle.json" if where == "b" else "results/host/cnn__onnx-fp32/clean.json")
    changed, said = (BUNDLE if where == "b" else RESULT)[name]
    before = path.read_bytes()
    try:
        change_json(path, **changed)
        with pytest.raises(InputError) as refused:
            read_results(read_bundle(build / "bundle"), build / "results")
    finally:
        path.write_bytes(before)
    assert refused.value.what.startswith(f"{path}: ") and said in refused.value.what
    assert refused.value.what.isprintable()
    assert read_results(read_bundle(build / "bundle"), build / "results")


def test_more_recordings_than_there_are_is_never_used(build: Path) -> None:
    path = build / "results" / "host" / "cnn__onnx-fp32" / "clean.json"
    before = path.read_bytes()
    try:
        change_json(path, n=10**9)
        (device,) = read_results(read_bundle(build / "bundle"), build / "results")
    finally:
        path.write_bytes(before)
    assert not device.results and "more recordings than there are" in device.stale[0].reason


def test_equal_percentiles_and_absent_ones_are_right(build: Path) -> None:
    path = build / "results" / "host" / "cnn__onnx-fp32" / "clean.json"
    before = path.read_bytes()
    try:
        change_json(path, latency_ms={"count": 1, "p50": 0.0, "p90": None, "p95": 0.0, "p99": 0.0})
        (device,) = read_results(read_bundle(build / "bundle"), build / "results")
    finally:
        path.write_bytes(before)
    assert device.results
