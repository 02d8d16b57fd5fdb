"""Power from a meter, where the device has one. What no meter told is absent: nothing here estimates.

Nothing comes in but the file system; out comes a :class:`Meter`, or None. Two are known: an INA219 or INA226 on the
supply, through the kernel's hwmon (``power1_input``, in microwatts: Documentation/hwmon/sysfs-interface), and the
Raspberry Pi 5's own power chip (``vcgencmd pmic_read_adc``: a current and a voltage for each of its rails; the board's
5 V devices are not among them, so it tells less than a plug does).

Power is read while inferences run one after the other, in a phase of its own after the timed runs: reading takes time
on the same processor, and no timed call may pay for it. What reading itself takes is in the power, below one part in
fifty at READS_PER_S.
"""

from __future__ import annotations

import functools
import re
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Callable, NamedTuple

ROOT = Path("/")
CHIPS = ("ina219", "ina226")
READS_PER_S = 4
IDLE_S, BUSY_S = 2.0, 4.0
LINE = re.compile(r"^\s*(\w+)_([AV]) (?:current|volt)\(\d+\)=([\d.]+)[AV]\s*$", re.MULTILINE)


class Meter(NamedTuple):
    """``name`` of a meter; ``watts`` reads it, None when it did not answer."""

    name: str
    watts: Callable[[], float | None]


def find_meter(root: Path = ROOT) -> Meter | None:
    """The meter of this device."""
    for folder in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        try:
            name = (folder / "name").read_text().strip()
        except OSError:
            continue
        if name in CHIPS and _microwatts(folder) is not None:
            return Meter(name, functools.partial(_microwatts, folder))
    if _pmic() is not None:
        return Meter("pmic_read_adc", _pmic)
    return None


def energy(
    meter: Meter, run: Callable[[], Any], idle_s: float = IDLE_S, busy_s: float = BUSY_S
) -> dict[str, Any] | None:
    """Power in W before and during inferences, and the energy of one in mJ, in all and above idle. None when the meter
    stopped answering. ``run`` is one inference."""
    idle = _sampled(meter, idle_s, time.sleep)
    done, took = 0, 0.0

    def inferences(seconds: float) -> None:
        nonlocal done, took
        begun = time.perf_counter()
        while took < seconds:
            run()
            done += 1
            took = time.perf_counter() - begun

    busy = _sampled(meter, busy_s, inferences)
    if not idle or not busy or not done:
        return None
    idle_w, busy_w = sum(idle) / len(idle), sum(busy) / len(busy)
    return {
        "meter": meter.name,
        "idle_w": round(idle_w, 4),
        "busy_w": round(busy_w, 4),
        "mj_per_inference": round(1000 * busy_w * took / done, 6),
        "above_idle_mj": round(1000 * (busy_w - idle_w) * took / done, 6),
    }


def _sampled(meter: Meter, seconds: float, meanwhile: Callable[[float], Any]) -> list[float]:
    """What the meter said while ``meanwhile(seconds)`` ran."""
    found: list[float] = []
    end = threading.Event()

    def read() -> None:
        while True:
            value = meter.watts()
            if value is not None:
                found.append(value)
            if end.wait(1 / READS_PER_S):
                return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        meanwhile(seconds)
    finally:
        end.set()
        reader.join()
    return found


def _microwatts(folder: Path) -> float | None:
    try:
        return int((folder / "power1_input").read_text()) / 1e6
    except (OSError, ValueError):
        return None


def _pmic() -> float | None:
    """The sum over the rails of current times voltage."""
    try:
        command = ["vcgencmd", "pmic_read_adc"]
        answer = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    rails: dict[str, dict[str, float]] = {}
    for rail, unit, value in LINE.findall(answer.stdout.decode("ascii", "replace")):
        rails.setdefault(rail, {})[unit] = float(value)
    watts = [one["A"] * one["V"] for one in rails.values() if len(one) == 2]
    return sum(watts) if watts else None
