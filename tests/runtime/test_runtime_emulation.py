"""Emulated processors: found out, counted, and never timed."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from pulseproof.runtime import emulation
from pulseproof.runtime.engines import EngineError
from pulseproof.runtime.runner import main
from tests.runtime import tiny_bundle as tiny


def root_with(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("machine", "files", "found"),
    [
        ("aarch64", {"proc/cpuinfo": "processor : 0\nHardware\t: qemu-user\n"}, "qemu-user"),
        ("aarch64", {"proc/cpuinfo": "CPU part : 0xd08\n", "proc/sys/kernel/arch": "x86_64\n"}, "x86_64"),
        ("aarch64", {"proc/cpuinfo": "CPU part : 0xd08\n", "proc/sys/kernel/arch": "aarch64\n"}, None),
        ("armv7l", {"proc/sys/kernel/arch": "aarch64\n"}, None),  # a 32-bit system on a 64-bit kernel
        ("i686", {"proc/sys/kernel/arch": "x86_64\n"}, None),
        ("x86_64", {}, None),  # a kernel older than that file
        ("x86_64", {"proc/cpuinfo": "vendor_id\t: GenuineIntel\n"}, None),
        ("aarch64", {"proc/cpuinfo": "vendor_id\t: GenuineIntel\nflags\t: avx2\n"}, "x86_64"),  # qemu by binfmt there
        ("x86_64", {"proc/cpuinfo": "CPU implementer\t: 0x41\n"}, "aarch64"),
        ("armv7l", {"proc/cpuinfo": "CPU implementer\t: 0x41\n"}, None),
        ("s390x", {"proc/cpuinfo": "vendor_id       : IBM/S390\n"}, None),
        # Rosetta in a Linux container, on a kernel that names itself and on one that does not
        ("x86_64", {"proc/cpuinfo": "vendor_id\t: VirtualApple\n", "proc/sys/kernel/arch": "aarch64\n"}, "Rosetta"),
        ("x86_64", {"proc/cpuinfo": "vendor_id\t: VirtualApple\n"}, "Rosetta"),
    ],
)
def test_an_emulator_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machine: str, files: dict[str, str], found: str | None
) -> None:
    monkeypatch.setattr(emulation.platform, "machine", lambda: machine)
    said = emulation.emulator(root_with(tmp_path, files))
    assert (said is None) if found is None else (said is not None and found in said)


def test_this_machine_is_real() -> None:
    assert emulation.emulator() is None


@pytest.mark.parametrize(
    ("said", "command"),
    [
        (None, [sys.executable]),
        ("", [sys.executable]),
        ('["qemu-aarch64", "-cpu", "x", "python3"]', ["qemu-aarch64", "-cpu", "x", "python3"]),
    ],
)
def test_how_python_is_started(monkeypatch: pytest.MonkeyPatch, said: str | None, command: list[str]) -> None:
    monkeypatch.delenv("PULSEPROOF_START", raising=False)
    if said is not None:
        monkeypatch.setenv("PULSEPROOF_START", said)
    assert emulation.python_command() == command


@pytest.mark.parametrize("said", ["python3", "[]", '["a", 1]', '{"a": 1}', "["])
def test_a_damaged_start_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], said: str
) -> None:
    monkeypatch.setenv("PULSEPROOF_START", said)
    bundle = tiny.write_bundle(tmp_path / "bundle", {"linear/onnx-fp32": tiny.onnx_linear})
    assert main(["run", str(bundle), "--out", str(tmp_path / "out")]) == 2
    assert "PULSEPROOF_START" in capsys.readouterr().err


class Counting:
    """A plugin's part, played by the model itself: each call runs some instructions, getppid is written down."""

    def __init__(self, prefix: Path, monkeypatch: pytest.MonkeyPatch, costs: list[int]) -> None:
        self.file = Path(f"{prefix}.{os.getpid()}")
        self.count, self.costs = 10_000, iter(costs)
        monkeypatch.setenv("PULSEPROOF_COUNTS", str(prefix))
        monkeypatch.setattr(emulation.os, "getppid", self.mark)

    def mark(self) -> int:
        with self.file.open("ab") as file:
            file.write(self.count.to_bytes(8, "little"))
        return 1

    def run(self, x: np.ndarray) -> np.ndarray:
        self.count += next(self.costs)
        return np.full((1, 3), x.sum(), np.float32)


def test_counts_are_differences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = Counting(tmp_path / "counts", monkeypatch, [500, 300, 300, 301])
    beats: list[int] = []
    source = lambda index: np.full((1, 2, 4), index, np.float32)  # noqa: E731
    for expected in (
        {"count": 2, "p50": 400, "min": 300, "max": 500},
        {"count": 2, "p50": 300, "min": 300, "max": 301},
    ):
        scores, counted = emulation.score_counted(plugin.run, source, 2, 3, beats.append)
        assert counted == expected  # the second time without the counts of the first
        assert scores.tolist() == [[0.0] * 3, [8.0] * 3]
    assert beats == [1, 2, 1, 2]


def test_nothing_that_counts_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lambda x: np.zeros((1, 3), np.float32)  # noqa: E731
    source = lambda index: np.zeros((1, 2, 4), np.float32)  # noqa: E731
    monkeypatch.delenv("PULSEPROOF_COUNTS", raising=False)
    with pytest.raises(EngineError, match="PULSEPROOF_COUNTS is not set"):
        emulation.score_counted(run, source, 2, 3, print)
    monkeypatch.setenv("PULSEPROOF_COUNTS", str(tmp_path / "counts"))
    with pytest.raises(EngineError, match="0 counts of instructions for 2 inferences"):
        emulation.score_counted(run, source, 2, 3, print)


def test_a_latency_is_refused_under_emulation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = tiny.write_bundle(tmp_path / "bundle", {"linear/onnx-fp32": tiny.onnx_linear})
    command = ["run", str(bundle), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(emulation, "emulator", lambda: "qemu-user")
    for evidence in ("measured-on-device", "measured-on-host"):
        assert main([*command, "--evidence", evidence]) == 2
        assert "emulated by qemu-user, where a latency means nothing" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*command, "--evidence", "emulated-count", "--minutes", "1"]) == 2


def test_without_a_plugin_an_emulated_run_fails_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PULSEPROOF_COUNTS", raising=False)
    bundle = tiny.write_bundle(tmp_path / "bundle", {"linear/onnx-fp32": tiny.onnx_linear})
    out = tmp_path / "out"
    assert main(["run", str(bundle), "--out", str(out), "--evidence", "emulated-count"]) == 1
    result = json.loads((out / "linear__onnx-fp32/clean.json").read_text())
    assert (result["status"], result["latency_ms"], result["instructions"]) == ("failed", None, None)
    assert "nothing counts instructions" in result["reason"]
