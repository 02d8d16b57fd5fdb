"""Real builds of the engines for other cores under qemu-user: scores, counts, and what the preparation refuses."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pulseproof.bench.devices.asked import Asked
from pulseproof.bench.devices.emulated.checks import ENGINES, checked
from pulseproof.bench.devices.emulated.cores import CORES
from pulseproof.bench.devices.emulated.packages import fetch_packages
from pulseproof.bench.devices.emulated.run import run_emulated
from pulseproof.bench.devices.emulated.system import prepare
from pulseproof.core.errors import InputError
from pulseproof.runtime.score import score
from tests.bench.devices.emulated.preparing import prepared
from tests.runtime.tiny_bundle import STEP_MV, N, onnx_linear, pack_runner, seal, steps, tflite_linear, write_bundle

HERE = ENGINES["arm64"]  # the same engines
PYTHON = 800  # instructions: of the engine's millions in a real file less than one in a thousand


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A linear model as ONNX and as TFLite, on two signal sets."""
    root = write_bundle(
        tmp_path / "build" / "bundle", {"linear/onnx-fp32": onnx_linear, "linear/tflite-fp32": tflite_linear}
    )
    (tmp_path / "packed").mkdir()
    shutil.copy(pack_runner(tmp_path / "packed"), root / "runner.pyz")
    return seal(root, json.loads((root / "bundle.json").read_text()))


@pytest.mark.slow
@pytest.mark.parametrize("core", ["cortex-a72", "armhf", "x86-haswell"])
def test_an_emulated_core_scores_as_this_machine_and_counts(core: str, bundle: Path, tmp_path: Path) -> None:
    prepared(core)
    asked = Asked(sets=["*"], limit=10)
    run_emulated(core, bundle, tmp_path / "results", asked)
    run_emulated(core, bundle, tmp_path / "again", asked)
    signals = steps(0, N)[:10].astype(np.float32) * np.float32(STEP_MV)
    device = CORES[core].device
    found = sorted(path.parent.name for path in (tmp_path / "results" / device).glob("*/clean.json"))
    kinds = list(ENGINES[CORES[core].architecture])
    assert found == [f"linear__{kind}-fp32" for kind in kinds]
    for kind in kinds:
        place = tmp_path / "results" / device / f"linear__{kind}-fp32"
        result = json.loads((place / "clean.json").read_text())
        assert (result["status"], result["n"], result["device"]["evidence"]) == ("ok", 10, "emulated-count")
        assert [result[key] for key in ("latency_ms", "load_ms", "first_ms", "times")] == [None] * 4
        here = score(bundle / f"artifacts/linear/{kind}-fp32.{kind}", signals, HERE[kind])
        np.testing.assert_allclose(np.load(place / "clean.npy"), here, atol=1e-5, rtol=0)
        count = result["instructions"]
        assert 0 < count["min"] <= count["p50"] <= count["max"]
        other = json.loads((tmp_path / "again" / device / place.name / "clean.json").read_text())["instructions"]
        # The engine's own count repeats; that of Python around the call follows the lengths of paths and its memory.
        assert abs(other["p50"] - count["p50"]) < PYTHON


@pytest.mark.slow
def test_what_is_there_is_not_run_again(bundle: Path, tmp_path: Path) -> None:
    prepared("cortex-a72")
    asked = Asked(only=["linear/tflite-fp32"], sets=["clean"], limit=3)
    run_emulated("cortex-a72", bundle, tmp_path / "results", asked)
    path = tmp_path / "results" / "emulated-cortex-a72" / "linear__tflite-fp32" / "clean.json"
    before = (path.stat().st_mtime_ns, path.read_bytes())
    run_emulated("cortex-a72", bundle, tmp_path / "results", asked)
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before


@pytest.mark.slow
def test_a_core_whose_int8_kernels_are_emulated_wrongly_is_refused(tmp_path: Path) -> None:
    system = prepared("cortex-a76")
    if "version 7.2" not in system.version():
        pytest.skip(f"known of qemu 7.2, this is {system.version()}")
    start = list(system.start)
    start[start.index("-cpu") + 1] = "max"
    with pytest.raises(InputError, match=r"int8.tflite of the known models is off by 10") as refused:
        checked(replace(system, start=tuple(start), home=tmp_path / "home"), print)
    assert "nothing from it can be believed" in refused.value.mend
    assert not (tmp_path / "home" / "checked.json").exists()


@pytest.mark.slow
def test_a_cpuinfo_that_claims_too_much_is_refused(tmp_path: Path) -> None:
    system = prepared("cortex-a72")
    core = replace(system.core, features=(*system.core.features, "asimddp"))
    with pytest.raises(InputError, match="its cpuinfo and the emulated core differ in asimddp"):
        checked(replace(system, core=core, home=tmp_path / "home"), print)


@pytest.mark.parametrize("missing", ["gcc", "apt-get"])
def test_what_a_machine_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in {"gcc", "apt-get", "dpkg-deb"} - {missing}:
        (tools / name).write_text("#!/bin/sh\nexit 1\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tools))
    with pytest.raises(InputError) as refused:
        prepare(CORES["cortex-a72"], print, tmp_path / "cache")
    assert refused.value.what == f"{missing}: not found on this machine"
    left = list((tmp_path / "cache").iterdir()) if (tmp_path / "cache").exists() else []
    assert left == [], "something half-made is left"


def test_what_apt_says_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apt = tmp_path / "apt-get"
    apt.write_text("#!/bin/sh\necho 'Err: Temporary failure resolving' >&2\nexit 100\n")
    apt.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(InputError, match="Temporary failure resolving") as refused:
        fetch_packages(["python3"], "arm64", tmp_path / "root")
    assert "reached" in refused.value.mend
    assert not (tmp_path / "root").exists()
