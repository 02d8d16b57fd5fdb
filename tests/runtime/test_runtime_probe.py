"""The device's fingerprint from the files of several devices, and from none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runtime import probe

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
        ({}, {"cpu": "unavailable", "board": "unavailable", "memory_mb": "unavailable"}),
    ],
)
def test_fingerprint(tmp_path: Path, files: dict[str, str], expected: dict[str, Any]) -> None:
    found = probe.fingerprint(plant(tmp_path, files))
    assert {key: found[key] for key in expected} == expected
    assert set(found) == {"machine", "cpu", "board", "cores", "memory_mb", "system", "python", "numpy"}


@pytest.mark.parametrize(
    ("files", "expected", "kills"),
    [
        (PI_4, {"governor": "ondemand", "frequency_mhz": 1800.0, "temperature_c": 48.312, "load": 0.52}, 3),
        (LAPTOP, {"governor": "unavailable", "frequency_mhz": "unavailable", "load": 1.0}, None),
        (NO_SENSOR, {"temperature_c": "unavailable", "load": "unavailable"}, None),
        ({}, {"governor": "unavailable", "temperature_c": "unavailable", "load": "unavailable"}, None),
    ],
)
def test_condition(tmp_path: Path, files: dict[str, str], expected: dict[str, Any], kills: int | None) -> None:
    found = probe.condition(plant(tmp_path, files))
    assert {key: found[key] for key in expected} == expected
    assert probe.oom_kills(tmp_path) == kills


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
