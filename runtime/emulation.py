"""Emulated processors: how the runner finds out that it is on one, and how instructions are counted there.

Nothing but the file system and two environment variables comes in. ``PULSEPROOF_START`` is a JSON list of texts, the
command that starts Python where the name of an executable is not enough (an emulator without binfmt).
``PULSEPROOF_COUNTS`` is a path prefix: the emulator's plugin appends the running count of instructions of a process, 8
bytes little-endian, to ``<prefix>.<pid>`` whenever the process makes the system call ``getppid``. An emulated processor
counts instructions as a real one does, and takes another time: no time is taken from it.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any, Callable

import numpy as np

from pulseproof.runtime.engines import EngineError

EVIDENCE = "emulated-count"
WARM_UP = 2  # inferences: engines pack weights and allocate during the first
BYTES = 8  # of one count
ROOT = Path("/")
# What the kernel calls the processors that Python calls otherwise, and whose programs it runs itself.
SAME = {
    "armv8l": "aarch64",
    "armv7l": "aarch64",
    "armv6l": "aarch64",
    "arm64": "aarch64",
    "i686": "x86_64",
    "i386": "x86_64",
    "amd64": "x86_64",
}
CPUINFO_KEYS = {"x86_64": b"vendor_id", "aarch64": b"CPU implementer"}  # by which the kernels' two forms differ


def python_command() -> list[str]:
    """The command that starts Python again as it was started. Raises ``ValueError`` for a damaged PULSEPROOF_START."""
    said = os.environ.get("PULSEPROOF_START")
    if not said:
        return [sys.executable]
    try:
        command = json.loads(said)
    except ValueError:
        command = None
    if not isinstance(command, list) or not command or not all(isinstance(part, str) for part in command):
        raise ValueError("PULSEPROOF_START is not a JSON list of texts, the command that starts Python")
    return command


def emulator(root: Path = ROOT) -> str | None:
    """By what this processor is emulated, as far as it shows; None for a real one.

    The kernel names its architecture from Linux 6.1 on; before, an emulator betrays itself by the real processor's
    ``/proc/cpuinfo``, whose keys are those of its architecture. Apple's Rosetta calls its processor VirtualApple.
    """
    about = _start_of(root / "proc/cpuinfo")
    if b"qemu-user" in about:
        return "qemu-user"
    if b"VirtualApple" in about or _translated():
        return "Rosetta"
    kernel, own = _start_of(root / "proc/sys/kernel/arch").decode("ascii", "replace").strip(), platform.machine()
    if kernel and SAME.get(kernel, kernel) != SAME.get(own, own):
        return f"a machine of architecture {kernel}"
    shown = next((name for name, key in CPUINFO_KEYS.items() if key in about), None)
    if not kernel and shown and SAME.get(own, own) in CPUINFO_KEYS and SAME.get(own, own) != shown:
        return f"a machine of architecture {shown}"
    return None


def _translated() -> bool:
    """True for a program of an Intel Mac on a Mac with Apple's processor."""
    if sys.platform != "darwin":
        return False
    import subprocess

    command = ["/usr/sbin/sysctl", "-n", "sysctl.proc_translated"]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    return done.stdout[:1] == b"1"


def score_counted(
    run: Callable[[np.ndarray], np.ndarray],
    recording: Callable[[int], np.ndarray],
    n: int,
    classes: int,
    beat: Callable[[int], None],
) -> tuple[np.ndarray, dict[str, Any]]:
    """Run ``n`` recordings once each; return float32 (n, classes) scores, and count, p50, min and max of instructions
    per inference.

    Raises :class:`EngineError` when no plugin counts, ``ValueError`` when the scores are not float32 (1, classes).
    """
    scores = np.empty((n, classes), np.float32)
    before = len(_counts())
    for index in range(n):
        x = recording(index)
        os.getppid()
        given = run(x)
        os.getppid()
        if given.shape != (1, classes) or given.dtype != np.float32:
            raise ValueError(f"it gave {given.dtype} {given.shape}, expected float32 {(1, classes)}")
        scores[index] = given[0]
        beat(index + 1)
    counts = _counts()[before:]
    if len(counts) != 2 * n:
        raise EngineError(f"{len(counts)} counts of instructions for {n} inferences: nothing counts them as it should")
    taken = counts[1::2] - counts[::2]
    return scores, {"count": n, "p50": int(np.median(taken)), "min": int(taken.min()), "max": int(taken.max())}


def _counts() -> np.ndarray:
    """All counts of this process so far, uint64."""
    prefix = os.environ.get("PULSEPROOF_COUNTS")
    if not prefix:
        raise EngineError("PULSEPROOF_COUNTS is not set: nothing counts instructions")
    try:
        with open(f"{prefix}.{os.getpid()}", "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return np.empty(0, "<u8")
    return np.frombuffer(data[: len(data) // BYTES * BYTES], "<u8")


def _start_of(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(1 << 16)
    except OSError:
        return b""
