"""What this device is, and what state it is in: processor, memory, clock, temperature, throttling.

Nothing comes in; plain dictionaries come out. ``fingerprint`` is what stays (it is part of every result),
``condition`` what changes (taken before and after a run). What the device does not tell is the string
``"unavailable"``, never 0 or an empty guess. ``root`` is the root of the file system, for tests.
"""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from pulseproof.runtime.condition.processor import features

UNAVAILABLE = "unavailable"
ROOT = Path("/")

# Arm's part numbers (MIDR_EL1, implementer 0x41) of the cores that small boards have.
ARM_CORES = {
    0xC07: "Cortex-A7",
    0xC08: "Cortex-A8",
    0xC09: "Cortex-A9",
    0xB76: "ARM1176",
    0xD03: "Cortex-A53",
    0xD04: "Cortex-A35",
    0xD05: "Cortex-A55",
    0xD07: "Cortex-A57",
    0xD08: "Cortex-A72",
    0xD09: "Cortex-A73",
    0xD0A: "Cortex-A75",
    0xD0B: "Cortex-A76",
    0xD0C: "Neoverse-N1",
    0xD40: "Neoverse-V1",
    0xD41: "Cortex-A78",
    0xD49: "Neoverse-N2",
}

# In the type of a processor's thermal zone: cpu-thermal (Raspberry Pi), CPU-therm (Jetson), x86_pkg_temp, soc-thermal.
PROCESSOR_ZONES = ("cpu", "pkg", "soc", "bigcore", "cluster")


def fingerprint(root: Path = ROOT) -> dict[str, Any]:
    """Return machine, cpu, its features that int8 arithmetic depends on, board, cores, memory_mb (10^6 bytes), system,
    python and numpy of this device."""
    return {
        "machine": platform.machine() or UNAVAILABLE,
        "cpu": _cpu(root),
        "features": _features(root),
        "board": _board(root),
        "cores": os.cpu_count() or UNAVAILABLE,
        "memory_mb": _memory_mb(root),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def condition(root: Path = ROOT) -> dict[str, Any]:
    """Return governor, frequency_mhz (of the first processor that is ours), temperature_c, throttled (the firmware's
    word) and load, now."""
    frequency, temperature = clock_and_temperature(root)
    return {
        "governor": _text(root / f"sys/devices/system/cpu/cpu{_first()}/cpufreq/scaling_governor") or UNAVAILABLE,
        "frequency_mhz": frequency,
        "temperature_c": temperature,
        "throttled": _vcgencmd_throttled(),
        "load": _load(root),
    }


def clock_and_temperature(root: Path = ROOT) -> tuple[float | str, float | str]:
    """Return (frequency_mhz, temperature_c), now: what changes fast, read from a few small files.

    The frequency is that of the first processor that this process may use: once it is held to the fast cores of a board
    with two kinds, the clock of the slow ones says nothing about it.
    """
    frequency = _thousandths(root / f"sys/devices/system/cpu/cpu{_first()}/cpufreq/scaling_cur_freq")
    return frequency, _thousandths(_zone(root) / "temp")


def _first() -> int:
    return min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0  # not on macOS


def _zone(root: Path) -> Path:
    """The thermal zone of the processor, by its type: a laptop's first one may be its battery's or its case's. The
    first one where no type tells."""
    zones = root / "sys/class/thermal"
    for folder in sorted(zones.glob("thermal_zone*")):
        kind = _text(folder / "type").lower()
        if any(word in kind for word in PROCESSOR_ZONES):
            return folder
    return zones / "thermal_zone0"


def was_throttled(before: dict[str, Any], after: dict[str, Any]) -> bool | str:
    """True when the firmware held the clock down between two conditions, "unavailable" when it does not tell.

    Bits 0 to 3 of the word say under-voltage, clock capped, throttled and soft temperature limit now; bits 16 to 19
    the same since boot (Raspberry Pi documentation, vcgencmd get_throttled).
    """
    try:
        earlier, later = int(before["throttled"], 16), int(after["throttled"], 16)
    except (ValueError, TypeError):
        return UNAVAILABLE
    now = (earlier | later) & 0xF
    newly = (later & ~earlier) & 0xF0000
    return bool(now or newly)


def oom_kills(root: Path = ROOT) -> int | None:
    """How many processes the kernel has killed for memory since boot; None when it does not tell."""
    for line in (_text(root / "proc/vmstat") or "").splitlines():
        if line.startswith("oom_kill "):
            return int(line.split()[1])
    return None


def _cpu(root: Path) -> str:
    """The core's name. A 32-bit ARM kernel prints "model name: ARMv7 Processor rev 4 (v7l)" on every board: the part
    says more. MIPS calls it "cpu model", RISC-V "uarch", POWER "cpu"."""
    info = _cpuinfo(root)
    try:
        part = int(info["CPU part"], 16)
    except (KeyError, ValueError):
        names = ("model name", "Processor", "cpu model", "uarch", "cpu")
        return next((info[name] for name in names if name in info), UNAVAILABLE)
    if info.get("CPU implementer", "0x41") == "0x41" and part in ARM_CORES:
        return ARM_CORES[part]
    return f"implementer {info.get('CPU implementer', UNAVAILABLE)} part {part:#x}"


def _features(root: Path) -> str:
    """Names with blanks between. A virtual machine may call processors with and without VNNI by one name ("AMD EPYC"),
    and the scores of an int8 file differ between them."""
    found = features(root)
    return found if isinstance(found, str) else " ".join(found) or UNAVAILABLE


def _board(root: Path) -> str:
    return _text(root / "proc/device-tree/model") or _cpuinfo(root).get("Model") or UNAVAILABLE


def _cpuinfo(root: Path) -> dict[str, str]:
    """The keys of /proc/cpuinfo; of the last core where they differ, which is the big one on big.LITTLE."""
    found = {}
    for line in (_text(root / "proc/cpuinfo") or "").splitlines():
        key, colon, value = line.partition(":")
        if colon and value.strip():
            found[key.strip()] = value.strip()
    return found


def _memory_mb(root: Path) -> float | str:
    for line in (_text(root / "proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return round(int(line.split()[1]) * 1024 / 1e6)
    return UNAVAILABLE


def _load(root: Path) -> float | str:
    try:
        return float((_text(root / "proc/loadavg") or "").split()[0])
    except (IndexError, ValueError):
        return UNAVAILABLE


def _thousandths(path: Path) -> float | str:
    """A kernel value in kHz or millidegrees, in MHz or degrees."""
    try:
        value = int(_text(path) or "")
    except ValueError:
        return UNAVAILABLE
    return round(value / 1000, 3) if value else UNAVAILABLE  # a driver without a sensor answers 0


def _vcgencmd_throttled() -> str:
    try:
        answer = subprocess.run(
            ["vcgencmd", "get_throttled"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=5, check=True
        ).stdout.decode("ascii", "replace")
    except (OSError, subprocess.SubprocessError):
        return UNAVAILABLE
    word = answer.strip().partition("throttled=")[2]
    return word if word.startswith("0x") else UNAVAILABLE


def _text(path: Path) -> str:
    """The text of a file of the kernel, "" when it is not there."""
    try:
        return path.read_bytes().decode("utf-8", "replace").strip("\0 \n")
    except OSError:
        return ""
