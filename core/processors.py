"""How many processors this process may use: not how many the machine has.

Nothing comes in but the system; out comes a number. A container or a batch system gives a process two of 64 processors,
by an affinity or by a quota of time; as many workers as the machine has processors would then wait for each other, and
take the memory of 64.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path("/")


def usable(root: Path = ROOT) -> int:
    """The processors of this process's affinity, at most as many as its control groups' quotas fill; at least 1.

    ``root`` is the root of the file system, for tests. Quotas: ``cpu.max`` of cgroup v2, ``cpu.cfs_quota_us`` of v1
    (Linux, Documentation/admin-guide/cgroup-v2 and scheduler/sched-bwc).
    """
    ours = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1  # not on macOS
    return max(1, min([ours, *(math.ceil(quota) for quota in _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """The processors' worth of time that each control group above this process gives it."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            home = root / "sys/fs/cgroup"
        elif "cpu" in controllers.split(","):
            home = root / "sys/fs/cgroup" / controllers
            home = home if home.is_dir() else root / "sys/fs/cgroup/cpu"
        else:
            continue
        # A container sees its own group at the top, whatever its path says.
        inner = PurePosixPath(path.lstrip("/"))
        if ".." in inner.parts:
            inner = PurePosixPath()
        for folder in [home / inner, *(home / each for each in inner.parents)]:
            quota = _quota(folder)
            if quota is not None:
                yield quota


def _quota(folder: Path) -> float | None:
    quota, _, period = _text(folder / "cpu.max").partition(" ")
    if not quota:
        quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
    try:
        found = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max", or no such file
        return None
    return found if found > 0 else None  # -1: no quota


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
