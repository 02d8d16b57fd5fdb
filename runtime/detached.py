"""A run that goes on when whoever started it is gone: started, followed, and its end told.

In comes a command of the runner; it runs in a session of its own, with what it says in ``run.log`` under its output
folder and how it ended in ``run.status``. A connection that drops takes nothing with it: whoever comes back follows on.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import time
from pathlib import Path
from typing import BinaryIO

from pulseproof.runtime.files import write_text
from pulseproof.runtime.supervise import own_command

LOG, STATUS, HELD = "run.log", "run.status", ".held"
RUNNING = "still running\n"
POLL_S = 0.2
BEAT, BEAT_S = b"\0", 10.0
LOST = 3  # exit status of a run that ended without telling: killed, or the power went


def start(out: Path, arguments: list[str]) -> bool:
    """Start ``runner ARGUMENTS`` detached, unless a run holds ``out`` already; return whether it was started.

    Returns when the run holds the folder, or has ended: whoever follows then does not take it for lost.
    """
    out.mkdir(parents=True, exist_ok=True)
    if is_running(out):
        return False
    # Written now and overwritten at the end: on a disk that is full by then, there is still room for it.
    write_text(out / STATUS, RUNNING)
    command, folder = own_command()
    path = os.pathsep.join(part for part in (str(folder), os.environ.get("PYTHONPATH")) if part)
    with open(out / LOG, "wb") as log:
        process = subprocess.Popen(
            [*command, "_watch", str(out), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
        )
    while not is_running(out) and process.poll() is None:
        time.sleep(POLL_S / 10)
    return True


def watch(out: Path, arguments: list[str]) -> int:
    """What the detached process does: the run, as a child of its own, and its exit status at the end."""
    command, _ = own_command()
    with open(out / HELD, "ab") as held:  # not inherited: it is let go when this process is gone, however that went
        fcntl.flock(held, fcntl.LOCK_EX)
        status = subprocess.run([*command, *arguments], stdin=subprocess.DEVNULL, check=False).returncode
        with open(out / STATUS, "r+b") as file:
            file.write(f"{status}\n".encode().ljust(len(RUNNING)))
    return status


def follow(out: Path, target: BinaryIO, at: int = 0, beat: bool = False) -> int:
    """Copy what the run says from byte ``at`` on until it ends; return its exit status, LOST when none was told.

    ``beat``: write a BEAT when nothing was written for BEAT_S, so that whoever reads knows that the line is whole. It
    counts as no byte of what the run says, which has none.
    """
    spoken = time.monotonic()
    while True:
        running = is_running(out)
        ended = None if running else status(out)  # in this order: the status is written before the folder is let go
        with contextlib.suppress(FileNotFoundError), open(out / LOG, "rb") as log:
            log.seek(at)
            said = log.read().replace(BEAT, b" ")
            target.write(said)
            target.flush()
            at += len(said)
            spoken = time.monotonic() if said else spoken
        if beat and time.monotonic() - spoken > BEAT_S:
            target.write(BEAT)
            target.flush()
            spoken = time.monotonic()
        if not running:
            return LOST if ended is None else ended
        time.sleep(POLL_S)


def status(out: Path) -> int | None:
    """How the run ended, None when it did not, or did not tell."""
    try:
        return int((out / STATUS).read_text())
    except (OSError, ValueError):
        return None


def is_running(out: Path) -> bool:
    """True while a run, or the process that watches it, holds the folder."""
    return _is_held(out / HELD) or _is_held(out)


def _is_held(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
