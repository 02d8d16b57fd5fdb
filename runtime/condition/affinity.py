"""Which processors an artifact runs on: as many as it has threads, the fastest of the device, always the same.

In comes the number of threads and what the command line said; out comes a list of processors, or None where the system
does not let a process choose. A scheduler that moves a thread between a fast and a slow core, or to the one that
answers interrupts, shows up in p99.
"""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path("/")


def parse(text: str) -> str:
    """``auto``, ``none``, or numbers of processors with commas, in order. Raises ``ValueError``."""
    if text in ("auto", "none"):
        return text
    numbers = sorted({int(part) for part in text.split(",")})
    if numbers[0] < 0:
        raise ValueError(text)
    return ",".join(str(number) for number in numbers)


def processors(asked: str, threads: int, root: Path = ROOT) -> list[int] | None:
    """The processors for ``threads`` threads, in order; None for all that there are.

    By themselves the fastest ones are taken (by the kernel's capacity, else by the highest clock), the last of equals:
    interrupts go to the first. Two that are one core's hardware threads are taken together only when there is no
    other: they share its arithmetic. Raises ``ValueError`` when one that was asked for is not ours to use.
    """
    if asked == "none" or not hasattr(os, "sched_setaffinity"):
        return None
    ours = sorted(os.sched_getaffinity(0))
    if asked != "auto":
        numbers = [int(part) for part in asked.split(",")]
        missing = [number for number in numbers if number not in ours]
        if missing:
            raise ValueError(f"processor {missing[0]} is not among those of this process ({_listed(ours)})")
        return numbers
    fastest = sorted(ours, key=lambda one: (_speed(one, root), one), reverse=True)
    first: list[int] = []
    rest: list[int] = []
    cores: set[str] = set()
    for one in fastest:
        core = _core(one, root)
        (rest if core in cores else first).append(one)
        cores.add(core)
    return sorted([*first, *rest][:threads])


def hold(chosen: list[int] | None) -> list[int] | None:
    """Hold this process, and all threads that it starts from now on, to these processors; say to which it is held."""
    if chosen is None:
        return None
    try:
        os.sched_setaffinity(0, chosen)
    except OSError:
        return None
    return sorted(os.sched_getaffinity(0))


def _speed(number: int, root: Path) -> int:
    folder = root / f"sys/devices/system/cpu/cpu{number}"
    for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
        try:
            return int((folder / name).read_text())
        except (OSError, ValueError):
            continue
    return 0


def _core(number: int, root: Path) -> str:
    """What all hardware threads of a processor's core have in common: their list (Documentation/ABI/stable/sysfs-
    devices-system-cpu); of an old kernel under its old name. Its own number where there is neither."""
    folder = root / f"sys/devices/system/cpu/cpu{number}/topology"
    for name in ("core_cpus_list", "thread_siblings_list"):
        try:
            return (folder / name).read_text().strip()
        except OSError:
            continue
    return str(number)


def _listed(numbers: list[int]) -> str:
    return ", ".join(str(number) for number in numbers)
