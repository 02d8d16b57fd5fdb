"""Power from a meter, and from nothing else."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pulseproof.runtime.condition import meters

PMIC = """\
 3V7_WL_SW_A current(0)=0.10000000A
   3V3_SYS_A current(1)=0.05000000A
  VDD_CORE_A current(7)=1.50000000A
 3V7_WL_SW_V volt(8)=3.70000000V
   3V3_SYS_V volt(9)=3.30000000V
  VDD_CORE_V volt(15)=0.80000000V
     EXT5V_V volt(24)=5.10000000V
"""


def chip(root: Path, name: str, microwatts: str) -> Path:
    folder = root / "sys/class/hwmon/hwmon2"
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "power1_input").write_text(microwatts)
    return folder


def vcgencmd(folder: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    folder.mkdir()
    program = folder / "vcgencmd"
    program.write_text(f"#!/bin/sh\ntest \"$1\" = pmic_read_adc || exit 1\ncat <<'END'\n{said}END\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("name", "microwatts", "watts"),
    [("ina219", "2150000\n", 2.15), ("ina226", "2150000\n", 2.15), ("cpu_thermal", "1\n", None), ("ina219", "", None)],
)
def test_a_chip_on_the_supply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, microwatts: str, watts: float | None
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    chip(tmp_path, name, microwatts)
    meter = meters.find_meter(tmp_path)
    assert (meter and (meter.name, meter.watts())) == (watts and (name, watts))


def test_a_raspberry_pi_5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vcgencmd(tmp_path / "bin", monkeypatch, PMIC)
    meter = meters.find_meter(tmp_path)
    assert meter is not None and meter.name == "pmic_read_adc"
    assert meter.watts() == pytest.approx(0.1 * 3.7 + 0.05 * 3.3 + 1.5 * 0.8)  # the rail without a current is left out


@pytest.mark.parametrize("said", ["", "error=1 error_msg='Command not registered'\n", "VDD_CORE_V volt(15)=0.8V\n"])
def test_what_tells_no_power_is_no_meter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    vcgencmd(tmp_path / "bin", monkeypatch, said)
    assert meters.find_meter(tmp_path) is None


def test_energy_is_power_times_time_by_inferences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fake chip shows 2 W until the first inference, 5 W from then on."""
    monkeypatch.setenv("PATH", str(tmp_path))
    folder = chip(tmp_path, "ina219", "2000000")
    meter = meters.find_meter(tmp_path)
    assert meter is not None

    def inference() -> None:
        (folder / "power1_input").write_text("5000000")
        time.sleep(0.01)

    found = meters.energy(meter, inference, idle_s=0.1, busy_s=0.6)
    assert found is not None
    assert (found["meter"], found["idle_w"]) == ("ina219", 2.0)
    assert 2.0 < found["busy_w"] <= 5.0  # the first reading may come before the first inference
    assert found["mj_per_inference"] >= 10 * found["busy_w"]  # 10 ms and more
    shares = found["above_idle_mj"] / found["mj_per_inference"]
    assert shares == pytest.approx(1 - 2.0 / found["busy_w"], abs=1e-3)


def test_a_meter_that_stops_answering_gives_nothing() -> None:
    assert meters.energy(meters.Meter("ina219", lambda: None), lambda: None, 0.01, 0.01) is None
