"""The device's fingerprint from the files of several devices, and from none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from pulseproof.runtime.condition import probe

PI_4 = {
    "proc/cpuinfo": "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\n\nModel\t\t: Raspberry Pi 4 Model B\n",
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "proc/meminfo": "MemTotal:        3884396 kB\nMemFree: 1 kB\n",
    "proc/loadavg": "0.52 0.58 0.59 1/389 2114\n",
    "proc/vmstat": "oom_kill 3\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1800000\n",
    "sys/class/thermal/thermal_zone0/temp": "48312\n",
}
BIG_LITTLE = {"proc/cpuinfo": "CPU part : 0xd05\n\nCPU part : 0xd0b\n"}
OTHER_ARM = {"proc/cpuinfo": "CPU implementer : 0x61\nCPU part : 0x022\n"}
ARM_32 = {"proc/cpuinfo": "model name\t: ARMv7 Processor rev 4 (v7l)\nCPU implementer\t: 0x41\nCPU part\t: 0xd03\n"}
EPYC = {"proc/cpuinfo": "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu fma avx avx2 smep\n"}
RISC_V = {"proc/cpuinfo": "processor\t: 0\nhart\t\t: 1\nisa\t\t: rv64imafdc\nuarch\t\t: sifive,u74-mc\n"}
POWER = {"proc/cpuinfo": "processor\t: 0\ncpu\t\t: POWER9, altivec supported\nclock\t\t: 2300MHz\n"}
LAPTOP = {"proc/cpuinfo": "processor : 0\nmodel name : Some CPU @ 2.00GHz\n", "proc/loadavg": "1.00 0 0 1/1 1\n"}
NO_SENSOR = {"sys/class/thermal/thermal_zone0/temp": "0\n", "proc/loadavg": "", "proc/vmstat": "nr_free 1\n"}


def plant(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (PI_4, {"cpu": "Cortex-A72", "board": "Raspberry Pi 4 Model B Rev 1.4", "memory_mb": 3978}),
        (BIG_LITTLE, {"cpu": "Cortex-A76", "board": "unavailable"}),
        (OTHER_ARM, {"cpu": "implementer 0x61 part 0x22"}),
        (LAPTOP, {"cpu": "Some CPU @ 2.00GHz"}),
        (EPYC, {"cpu": "AMD EPYC", "features": "avx avx2 fma"}),
        (ARM_32, {"cpu": "Cortex-A53", "features": "unavailable"}),
        (RISC_V, {"cpu": "sifive,u74-mc"}),
        (POWER, {"cpu": "POWER9, altivec supported"}),
        ({}, {"cpu": "unavailable", "board": "unavailable", "memory_mb": "unavailable"}),
    ],
)
def test_fingerprint(tmp_path: Path, files: dict[str, str], expected: dict[str, Any]) -> None:
    found = probe.fingerprint(plant(tmp_path, files))
    assert {key: found[key] for key in expected} == expected
    assert set(found) == {"machine", "cpu", "features", "board", "cores", "memory_mb", "system", "python", "numpy"}


@pytest.mark.parametrize(
    ("files", "expected", "kills"),
    [
        (PI_4, {"governor": "ondemand", "frequency_mhz": 1800.0, "temperature_c": 48.312, "load": 0.52}, 3),
        (LAPTOP, {"governor": "unavailable", "frequency_mhz": "unavailable", "load": 1.0}, None),
        (NO_SENSOR, {"temperature_c": "unavailable", "load": "unavailable"}, None),
        ({}, {"governor": "unavailable", "temperature_c": "unavailable", "load": "unavailable"}, None),
    ],
)
def test_condition(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    expected: dict[str, Any],
    kills: int | None,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    found = probe.condition(plant(tmp_path, files))
    assert {key: found[key] for key in expected} == expected
    assert probe.oom_kills(tmp_path) == kills


def test_the_clock_is_that_of_the_cores_that_a_process_is_held_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A board of four slow cores and four fast ones: an artifact is held to a fast one."""
    clocks = {0: ("powersave", 408_000), 4: ("performance", 2_256_000)}
    for number, (governor, clock) in clocks.items():
        folder = f"sys/devices/system/cpu/cpu{number}/cpufreq"
        plant(tmp_path, {f"{folder}/scaling_governor": governor, f"{folder}/scaling_cur_freq": str(clock)})
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {4, 5}, raising=False)
    found = probe.condition(tmp_path)
    assert (found["governor"], found["frequency_mhz"]) == ("performance", 2256.0)
    assert probe.clock_and_temperature(tmp_path)[0] == 2256.0
    monkeypatch.delattr(os, "sched_getaffinity")
    assert probe.clock_and_temperature(tmp_path)[0] == 408.0


@pytest.mark.parametrize(
    ("zones", "expected"),
    [
        ({0: ("acpitz", 27_800), 1: ("INT3400 Thermal", 20_000), 2: ("x86_pkg_temp", 61_000)}, 61.0),
        ({0: ("cpu-thermal", 48_312)}, 48.312),
        ({0: ("AO-therm", 41_000), 1: ("CPU-therm", 52_500), 2: ("GPU-therm", 44_000)}, 52.5),
        ({0: ("acpitz", 27_800)}, 27.8),  # no type tells
        ({}, "unavailable"),
    ],
)
def test_the_temperature_is_the_processors(tmp_path: Path, zones: dict[int, tuple[str, int]], expected: Any) -> None:
    for number, (kind, temperature) in zones.items():
        folder = f"sys/class/thermal/thermal_zone{number}"
        plant(tmp_path, {f"{folder}/type": f"{kind}\n", f"{folder}/temp": f"{temperature}\n"})
    assert probe.clock_and_temperature(tmp_path)[1] == expected


@pytest.mark.parametrize(
    ("answer", "status", "expected"),
    [("throttled=0x50005", 0, "0x50005"), ("VCHI initialization failed", 0, "unavailable"), ("", 1, "unavailable")],
)
def test_the_firmware_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, status: int, expected: str
) -> None:
    command = tmp_path / "vcgencmd"
    command.write_text(f"#!/bin/sh\necho '{answer}'\nexit {status}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert probe.condition(tmp_path)["throttled"] == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("0x0", "0x0", False),
        ("0x50000", "0x50000", False),  # it happened before this run
        ("0x0", "0x50000", True),  # during it
        ("0x10000", "0x50000", True),
        ("0x0", "0x4", True),  # at its end
        ("0x50005", "0x50000", True),  # at its start
        ("unavailable", "0x0", "unavailable"),
        ("0x0", "unavailable", "unavailable"),
    ],
)
def test_was_throttled(before: str, after: str, expected: Any) -> None:
    assert probe.was_throttled({"throttled": before}, {"throttled": after}) == expected
