"""x86 cores without VNNI under qemu-user: what a static int8 ONNX file computes there is known to the step.

With eight-bit weights it saturates, with seven-bit ones it does not; and nothing that ran on this machine's own
processor is taken for a result.
"""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pulseproof.bench.devices.asked import Asked
from pulseproof.bench.devices.emulated.checks import checked
from pulseproof.bench.devices.emulated.run import run_emulated
from pulseproof.bench.devices.emulated.system import clean_environment
from pulseproof.core.errors import InputError
from tests.bench.devices.emulated.preparing import prepared
from tests.runtime.tiny_bundle import CLASSES, LEADS, SAMPLES, STEP_MV, N, pack_runner, seal, steps, write_bundle

STEP, WEIGHT_STEP, SCORE_STEP, ZERO = 2.0 / 127, 0.01, 0.25, 128
WIDTH = LEADS * SAMPLES


def dense(bits: int) -> NDArray[np.int64]:
    """Whole weights (classes, leads * samples) of so many bits, near their largest: neighbours add up."""
    largest = 2 ** (bits - 1) - 1
    return np.random.default_rng(bits).integers(largest // 2, largest + 1, (CLASSES, WIDTH)) * np.array(
        [[1], [-1], [1]]
    )


def onnx_int8(bits: int) -> Callable[[Path], None]:
    """The writer of a dense layer as ONNX Runtime's own quantizer makes it: unsigned activations, signed weights,
    between QuantizeLinear and DequantizeLinear."""

    def write(path: Path) -> None:
        constants: dict[str, Any] = {
            "x.step": np.float32(STEP),
            "x.zero": np.uint8(ZERO),
            "w.q": dense(bits).astype(np.int8),
            "w.step": np.float32(WEIGHT_STEP),
            "w.zero": np.int8(0),
            "y.step": np.float32(SCORE_STEP),
            "y.zero": np.uint8(ZERO),
        }
        nodes = [
            helper.make_node("Flatten", ["x"], ["flat"]),
            helper.make_node("QuantizeLinear", ["flat", "x.step", "x.zero"], ["x.q"]),
            helper.make_node("DequantizeLinear", ["x.q", "x.step", "x.zero"], ["x.dq"]),
            helper.make_node("DequantizeLinear", ["w.q", "w.step", "w.zero"], ["w"]),
            helper.make_node("Gemm", ["x.dq", "w"], ["dense"], transB=1),
            helper.make_node("QuantizeLinear", ["dense", "y.step", "y.zero"], ["y.q"]),
            helper.make_node("DequantizeLinear", ["y.q", "y.step", "y.zero"], ["scores"]),
        ]
        graph = helper.make_graph(
            nodes,
            "dense",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, LEADS, SAMPLES])],
            [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, CLASSES])],
            [numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        path.write_bytes(model.SerializeToString())

    return write


def scores(weights: NDArray[np.int64], n: int, saturating: bool) -> NDArray[np.float64]:
    """The scores of the first ``n`` clean recordings in whole numbers; ``saturating``: products 2j and 2j + 1 of
    unsigned activation and weight are added in 16 bits, as VPMADDUBSW does (Intel's manual, volume 2)."""
    mv = steps(0, N)[:n].astype(np.float32) * np.float32(STEP_MV)
    quantized = np.clip(np.rint(mv.reshape(n, -1) / np.float32(STEP)) + ZERO, 0, 255).astype(np.int64)
    products = quantized[:, None, :] * weights
    pairs = products[..., ::2] + products[..., 1::2]
    if saturating:
        pairs = np.clip(pairs, -(2**15), 2**15 - 1)
    sums = pairs.sum(axis=-1) - ZERO * weights.sum(axis=-1)
    return np.asarray(SCORE_STEP * np.clip(np.rint(sums * STEP * WEIGHT_STEP / SCORE_STEP), -ZERO, 127))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """One dense layer as two static int8 files, with weights of eight and of seven bits."""
    files = {f"dense/onnx-int8-static+seed{bits}": onnx_int8(bits) for bits in (8, 7)}
    root = write_bundle(tmp_path / "build" / "bundle", files)
    (tmp_path / "packed").mkdir()
    shutil.copy(pack_runner(tmp_path / "packed"), root / "runner.pyz")
    return seal(root, json.loads((root / "bundle.json").read_text()))


def given(results: Path, core: str, bits: int) -> tuple[dict[str, Any], NDArray[np.float32]]:
    place = results / f"emulated-{core}" / f"dense__onnx-int8-static+seed{bits}"
    return json.loads((place / "clean.json").read_text()), np.load(place / "clean.npy")


@pytest.mark.slow
@pytest.mark.parametrize(("core", "saturates"), [("x86-haswell", True), ("x86-nehalem", False)])
def test_eight_bit_weights_saturate_where_a_core_has_avx2_and_no_vnni(
    core: str, saturates: bool, bundle: Path, tmp_path: Path
) -> None:
    """onnxruntime #6004, #5849, #14642: U8S8 without VNNI."""
    prepared(core)
    run_emulated(core, bundle, tmp_path / "results", Asked(sets=["clean"], limit=10))
    for bits in (8, 7):
        result, found = given(tmp_path / "results", core, bits)
        assert (result["status"], result["n"], result["device"]["evidence"]) == ("ok", 10, "emulated-count")
        assert result["device"]["fingerprint"]["cpu"] == f"{core} under qemu-user"
        assert result["latency_ms"] is None
        assert result["instructions"]["min"] > 0
        exact, wrong = (scores(dense(bits), 10, saturating) for saturating in (False, True))
        assert np.ptp(exact) > 20 * SCORE_STEP, "scores that are all alike would prove nothing"
        if bits == 8:
            assert np.abs(exact - wrong).max() > 5 * SCORE_STEP, "nothing to be seen"
        else:
            np.testing.assert_array_equal(wrong, exact)
        # A value that lies on half a step may fall on either side.
        np.testing.assert_allclose(found, wrong if saturates else exact, atol=1.01 * SCORE_STEP, rtol=0)


@pytest.mark.slow
def test_what_ran_on_this_machines_own_processor_is_no_result(bundle: Path, tmp_path: Path) -> None:
    """On an x86 machine the kernel runs a program of the emulated system itself when qemu is left out. A runner that
    started its artifacts so would give this machine's scores under the core's name: no plugin counts them there."""
    system = prepared("x86-haswell")
    if platform.machine() != "x86_64":
        pytest.skip("the emulated system's programs do not run on this machine without qemu")
    out = tmp_path / "results"
    command = [*system.start, str(bundle / "runner.pyz"), "run", str(bundle), "--out", str(out), "--limit", "3"]
    command += ["--sets", "clean", "--evidence", "emulated-count", "--device", "x"]
    # PULSEPROOF_START, by which the runner starts its artifacts under qemu, is not set.
    environment = clean_environment() | system.environment | {"PULSEPROOF_COUNTS": str(tmp_path / "count")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    results = [json.loads(path.read_text()) for path in out.glob("*/clean.json")]
    assert [each["status"] for each in results] == ["failed"] * 2
    assert all("0 counts of instructions for 3 inferences" in each["reason"] for each in results)


@pytest.mark.slow
def test_a_core_with_other_arithmetic_than_it_is_said_to_have_is_refused(tmp_path: Path) -> None:
    """A Nehalem multiplies exactly: as a Haswell it is found out by its features and, were these right, its scores."""
    system = prepared("x86-nehalem")
    core = replace(system.core, saturates=True)
    with pytest.raises(InputError, match=r"int8\.onnx of the known models is off by 1\.65"):
        checked(replace(system, core=core, home=tmp_path / "home"), print)
    haswell = prepared("x86-haswell").core
    claimed = replace(system.core, features=haswell.features, part=haswell.part)
    with pytest.raises(InputError, match=r"differ in abm, aes, avx, avx2.*signature 0x106a3"):
        checked(replace(system, core=claimed, home=tmp_path / "home"), print)
    assert not (tmp_path / "home" / "checked.json").exists()


@pytest.mark.slow
def test_this_machines_own_processor_is_not_taken_for_an_emulated_core(tmp_path: Path) -> None:
    system = prepared("x86-haswell")
    if platform.machine() != "x86_64":
        pytest.skip("the emulated system's programs do not run on this machine without qemu")
    fake = tmp_path / "qemu-x86_64"
    fake.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "a fake" && exit\nshift 2\nexec "$@"\n')
    fake.chmod(0o755)
    native = replace(system, start=(str(fake), "-cpu", system.core.cpu, system.start[-1]), home=tmp_path / "home")
    # By its scores (a processor with VNNI), its features (one without), or it does not even run.
    with pytest.raises(InputError, match="x86-haswell under a fake: ") as refused:
        checked(native, print)
    assert "nothing from it can be believed" in refused.value.mend
    assert not (tmp_path / "home" / "checked.json").exists()
