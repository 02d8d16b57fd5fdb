"""A program for a core run under QEMU, on recordings: scores, instructions, and how deep its stack was.

In: a :class:`~firmware.build.CoreProgram` and int8 recordings. Out: :class:`EmulatedRun`. The guest reads a file and
writes one by semihosting, in a folder that is thrown away; QEMU counts a nanosecond of virtual time an instruction
(``-icount shift=0``), which the core's SysTick shows. At the start of each run the guest counts a loop of a known
length: where that is off, nothing is believed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.errors import InputError
from pulseproof.firmware.build import INSTALL, QEMU
from pulseproof.firmware.cores import MicroCore

LOOP_INSTRUCTIONS = 2_000_000  # of the guest's own loop, LOOPS of board/main.c
LOOP_SLACK = 100  # a tick is up to 50 instructions, and starting the loop takes some
LIMIT_S = 300.0  # of one run
SAID = 200
SANDBOX = "on,spawn=deny,elevateprivileges=deny,resourcecontrol=deny"


class GuestError(Exception):
    """The guest hung, stopped at a fault, or said something that cannot be. One sentence."""


@dataclass(frozen=True)
class EmulatedRun:
    """Scores int8 (n, classes); ``instructions`` int64 (n,) of each inference, to a tick of up to 50; ``stack_bytes``:
    the deepest."""

    scores: NDArray[np.int8]
    instructions: NDArray[np.int64]
    stack_bytes: int


def run_on(
    core: MicroCore, elf: Path, recordings: NDArray[np.int8], classes: int, limit_s: float = LIMIT_S
) -> EmulatedRun:
    """Run int8 ``recordings`` (n, ...) on a core. Raises GuestError, and InputError without QEMU."""
    data = _given(core, elf, recordings, limit_s)
    record = np.dtype([("ticks", "<u8"), ("scores", np.int8, (classes,))])
    count = len(recordings)
    if len(data) != 8 + count * record.itemsize + 4:
        raise GuestError(f"it gave {len(data)} bytes for {count} recordings")
    _expect_count(core, data)
    records = np.frombuffer(data, record, count, 8)
    return EmulatedRun(
        scores=records["scores"].copy(),
        instructions=_instructions(core, records["ticks"]),
        stack_bytes=int(np.frombuffer(data[-4:], "<u4")[0]),
    )


def layers_on(
    core: MicroCore, elf: Path, recordings: NDArray[np.int8], sizes: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """Instructions of each operator, int64 (n, operators), and what each gave, int8 (n, bytes) one behind another, by a
    program that was built traced. ``sizes``: how many bytes each gives."""
    data = _given(core, elf, recordings, LIMIT_S)
    fields = [(f"ticks {at}", "<u8") for at in range(len(sizes))]
    values = [(f"values {at}", np.int8, (size,)) for at, size in enumerate(sizes)]
    record = np.dtype([one for pair in zip(fields, values, strict=True) for one in pair])
    if len(data) != 8 + len(recordings) * record.itemsize + 4:
        raise GuestError(f"it gave {len(data)} bytes for {len(recordings)} recordings")
    _expect_count(core, data)
    records = np.frombuffer(data, record, len(recordings), 8)
    ticks = np.stack([records[name] for name, _ in fields], axis=1)
    return _instructions(core, ticks), np.concatenate([records[name] for name, *_ in values], axis=1)


def _instructions(core: MicroCore, ticks: NDArray[np.uint64]) -> NDArray[np.int64]:
    found: NDArray[np.int64] = np.rint(ticks.astype(np.float64) * core.instructions_per_tick).astype(np.int64)
    return found


def _expect_count(core: MicroCore, data: bytes) -> None:
    looped = np.frombuffer(data, "<u8", 1)[0] * core.instructions_per_tick
    if abs(looped - LOOP_INSTRUCTIONS) > LOOP_SLACK:
        raise GuestError(
            f"a loop of {LOOP_INSTRUCTIONS:,} instructions counts {looped:,.0f}: the count is not believed"
        )


def _given(core: MicroCore, elf: Path, recordings: NDArray[np.int8], limit_s: float) -> bytes:
    """What the guest wrote of these recordings."""
    with tempfile.TemporaryDirectory(prefix="pulseproof-core-") as name:
        folder = Path(name)
        (folder / "signals.bin").write_bytes(np.ascontiguousarray(recordings).tobytes())
        command = [QEMU, "-machine", core.machine, "-kernel", str(elf.resolve()), "-icount", "shift=0"]
        command += ["-sandbox", SANDBOX]  # semihosting knows a call that runs a command on the host
        command += ["-semihosting-config", "enable=on,target=native", "-nodefaults", "-display", "none"]
        status, said = _ended(command, folder, limit_s)
        if status is None:
            raise GuestError(f"it was still at work after {limit_s:g} s")
        if status != 0:
            raise GuestError(f"it ended with status {status}: {' '.join(said.split())[-SAID:] or 'it says nothing'}")
        written = folder / "scores.bin"
        return written.read_bytes() if written.is_file() else b""


def _ended(command: list[str], folder: Path, limit_s: float) -> tuple[int | None, str]:
    """The exit status, None of one that was ended after ``limit_s``, and what was said."""
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise InputError(f"{QEMU} does not start here: {error.strerror}", INSTALL) from None
    try:
        said, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        return None, ""
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return process.returncode, said
