"""A stranger's file read by a process that it may take down, before this one reads it.

In: a module of ours that reads such files when it is run with their path, and a file. Out: what it found, one line of
JSON; or InputError that says how its process ended. Time and memory are limited.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pulseproof.core.errors import InputError
from pulseproof.core.limited import MEMORY_MB, SAID
from pulseproof.runtime.score import confine, follow
from pulseproof.runtime.words import advice, one_line

TIME_LIMIT_S = 120
MOST_BYTES = 1 << 24  # of an answer: names of tensors, which are no longer than their file


def tried(module: str, path: Path, what: str, reader: str, mend: str, *more: str) -> dict[str, Any]:
    """What ``module`` says of the file at ``path``, given ``more`` arguments. ``what`` begins every message, ``reader``
    is who reads it. Raises InputError."""
    command = [sys.executable, "-m", module, str(path.absolute()), *more]
    home = Path(__file__).absolute().parents[3]
    try:
        child = subprocess.run(command, cwd=home, capture_output=True, timeout=TIME_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        raise InputError(f"{what}: {reader} does not open it within {TIME_LIMIT_S} s", mend) from None
    if child.returncode < 0:
        name = signal.Signals(-child.returncode).name
        raise InputError(f"{what}: it takes the process that reads it down ({name})", mend)
    try:
        found: dict[str, Any] = json.loads(child.stdout[-MOST_BYTES:].splitlines()[-1])
    except (IndexError, ValueError):
        raise InputError(f"{what}: it cannot be read", mend) from None
    if "refused" in found:
        said, mend = found["refused"]
        raise InputError(f"{what}: {one_line(said.removeprefix(f'{path.absolute()}: '), SAID)}", mend)
    if "failed" in found:
        said = found["failed"]
        raise InputError(f"{what}: {reader} does not open it: {said}", advice(said) or mend)
    return found


def answer(read: Callable[[], Any]) -> None:
    """Say what ``read`` finds, or why it does not: the whole life of such a process."""
    threading.Thread(target=follow, args=(os.getppid(),), daemon=True).start()
    confine(MEMORY_MB << 20)
    try:  # Exception: engines raise RuntimeError and ValueError, a damaged file whatever comes
        said = read()
    except InputError as error:
        said = {"refused": [error.what, error.mend]}
    except Exception as error:
        said = {"failed": one_line(error)}
    sys.stdout.write("\n" + json.dumps(said) + "\n")
