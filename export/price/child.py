"""A tool in a process of its own: it may abort, never end, or leave files behind.

In: a command, a folder that is thrown away afterwards, a time limit. Out: what it printed; or RefusedError with the
reason why there is no answer.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pulseproof.export.job import SENTENCE, RefusedError


class KilledError(RefusedError):
    """The tool was ended by a signal: it aborted, or touched memory that is not its own."""


def run(tool: str, command: Sequence[str], folder: Path, limit_s: float) -> subprocess.CompletedProcess[str]:
    """Run a command in ``folder``. ``tool`` is what a sentence calls it.

    Raises RefusedError when it does not start or takes longer than ``limit_s`` seconds, KilledError when a signal ends
    it. An exit status is the caller's to judge.
    """
    try:
        # A session of its own: a compiler driver has children, which must end with it.
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        raise RefusedError(f"{tool} does not start here: {error.strerror}") from None
    try:
        out, err = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        raise RefusedError(f"{tool} was still at work after {limit_s:g} s") from None
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode < 0:
        raise KilledError(f"{tool} was ended by {signal.Signals(-process.returncode).name} on this file")
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def short(text: str) -> str:
    """Text on one line, of the length that a manifest keeps."""
    line = " ".join(text.split())
    return line if len(line) <= SENTENCE else line[: SENTENCE - 3] + "..."
