"""A bundle on an emulated microcontroller: results as from any other device, and what the firmware takes."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from pulseproof.bench.devices.asked import Asked
from pulseproof.bench.devices.kinds import device_at, expect_free
from pulseproof.bench.devices.micro import run as micro_run
from pulseproof.bench.devices.micro.device import EmulatedMicro
from pulseproof.bench.wire.firmware import read_firmware
from pulseproof.bench.wire.results import read_bundle, read_device
from pulseproof.core.errors import InputError, NotHeldError
from pulseproof.firmware.build import CROSS, QEMU
from pulseproof.firmware.emulator import GuestError
from pulseproof.firmware.kernels import cmsis_nn
from pulseproof.report.numbers.machines import cells, header, machine_lines
from pulseproof.runtime.engines import open_engine
from pulseproof.runtime.files import write_json
from pulseproof.runtime.wire.bundle import SetRecordings
from tests.bench.making import entry, make_bundle
from tests.firmware.making import SAMPLES, write_lstm

CORE = "cortex-m4"
FULL = "lstm/tflite-int8-full"


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study's build folder with a bundle whose one full-integer file is an LSTM."""
    for tool in (CROSS, QEMU):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed here: .ci/run names the packages")
    try:
        cmsis_nn(fetch=True)
    except InputError as error:
        pytest.skip(error.what)
    home = tmp_path_factory.mktemp("build") / "made"
    head = make_bundle(
        home / "bundle",
        models=("lstm",),
        recipes=("tflite-fp32", "tflite-int8-full"),
        sources=("lstm",),
        controls=(),
        budgets=(0.02,),
        n=20,
        samples=SAMPLES,
    )
    file = f"artifacts/{FULL}.tflite"
    write_lstm(home / "bundle" / file)
    (home / "bundle" / "runner.pyz").write_bytes(b"not run here")
    head["files"] |= {name: entry(home / "bundle" / name) for name in (file, "runner.pyz")}
    write_json(home / "bundle" / "bundle.json", head)
    return home


def run(build: Path, asked: Asked = Asked(limit=18)) -> Path:
    device_at(f"emulated:{CORE}", asked).run(build / "bundle", build / "results", False, threading.Event())
    return build / "results" / f"emulated-{CORE}"


@pytest.mark.slow
def test_scores_are_those_of_the_file_and_a_second_run_has_nothing_to_do(
    build: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = run(build)
    said = capsys.readouterr()
    assert "million instructions; flash" in said.out + said.err
    bundle = read_bundle(build / "bundle")
    found = read_device(bundle, out)
    assert set(found.results) == {(FULL, "clean"), (FULL, "pgd-lstm-0.02mV")} and not found.stale
    engine = open_engine(build / "bundle" / f"artifacts/{FULL}.tflite", 1, "ai_edge_litert", (1, SAMPLES), "reference")
    for (_, name), measured in found.results.items():
        read = SetRecordings(build / "bundle" / "signals" / f"{name}.npy", 0.001)
        expected = np.concatenate([engine.run(read(at)) for at in range(18)])
        read.close()
        assert np.array_equal(measured.scores, expected)
        assert measured.result.device.evidence == "emulated-count" and measured.result.latency_ms is None
        assert measured.result.instructions is not None and measured.result.instructions.min > 10_000
    facts = read_firmware(out, FULL)
    assert facts is not None and facts.flash_bytes > facts.constant_bytes and facts.stack_bytes > 64
    assert "UNIDIRECTIONAL_SEQUENCE_LSTM" in [one.kind for one in facts.operators]
    table = dict(zip(header(machine_lines(build)), cells(machine_lines(build))[0], strict=True))
    assert table["cortex-m4 flash kB"] == f"{facts.flash_bytes / 1024:.1f}"

    monkeypatch.setattr(micro_run, "build_for", None)  # it would be called for anything that is owed
    run(build)
    # One that is damaged is made again, and no other.
    (out / FULL.replace("/", "__") / "clean.npy").unlink()
    monkeypatch.undo()
    run(build)
    assert json.loads((out / "device.json").read_text())["runs"][-1]["results"] == 1


@pytest.mark.slow
def test_a_guest_that_hangs_is_a_failed_result(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object) -> None:
        raise GuestError("it was still at work after 300 s")

    monkeypatch.setattr(micro_run, "run_on", hang)
    with pytest.raises(NotHeldError):
        run(build, Asked(limit=3))
    result = json.loads((build / "results" / f"emulated-{CORE}" / FULL.replace("/", "__") / "clean.json").read_text())
    assert (result["status"], result["reason"]) == ("failed", "it was still at work after 300 s")


def test_what_is_no_full_integer_file_is_not_applicable(build: Path) -> None:
    with pytest.raises(InputError, match="not applicable: nothing that is asked for is a tflite-int8-full file"):
        run(build, Asked(only=("*/tflite-fp32",)))
    with pytest.raises(InputError, match="needs a clock"):
        run(build, Asked(minutes=1))


def test_without_the_tools_it_says_what_installs_them(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match=r"not applicable here: arm-none-eabi-gcc is not installed") as raised:
        run(build)
    assert raised.value.mend.startswith("apt-get install gcc-arm-none-eabi")


def test_its_address_and_its_name_are_its_own() -> None:
    assert isinstance(device_at("emulated:cortex-m55", Asked()), EmulatedMicro)
    with pytest.raises(ValueError, match="as emulated cores are"):
        expect_free("emulated-cortex-m55")
    with pytest.raises(InputError, match="cortex-m7"):
        device_at("emulated:cortex-m3", Asked()).run(Path("none"), Path("none"), False, threading.Event())
