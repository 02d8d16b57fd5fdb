"""Commands as processes of their own, started from one that has everything imported, and the hashes of what they leave.

A start of the command line takes seconds of imports; a fork of a process that has them takes none, so that a test can
afford forty.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np

from pulseproof.core.locks import hold
from pulseproof.ecg.recordings import About, RecordingsWriter
from pulseproof.runtime.files import sha256_file

IMPORTED = (
    "pulseproof.main",
    "pulseproof.attacks.audit.study",
    "pulseproof.bench.devices.carried",
    "pulseproof.pipeline",
    "pulseproof.export.run",
    "pulseproof.models.run",
    "pulseproof.core.study",  # these are imported late, by the commands that need them
    "skops.io",
    "scipy.signal",
)
STUDY = """
name = "{name}"
title = "Two at once"
seed = {seed}
test_records = 30
[data]
source = "synthetic"
records = 200
window_s = [0, 4]
[models.decision-tree]
[export]
recipes = ["onnx-fp32"]
[attacks]
methods = ["pgd", "random-sign"]
budgets_mv = [0.02]
steps = 2
references = 16
[bench]
bootstrap = 100
"""


def write_study(folder: Path, name: str = "tiny", seed: int = 0) -> Path:
    path = folder / f"{name}.toml"
    path.write_text(STUDY.format(name=name, seed=seed))
    return path


def write_slowly(folder: Path, first: int, pause_s: float, count: int = 60) -> None:
    """Recordings of ``count`` rising steps, the first ``first``, with a pause after each."""
    about = About("x", ("A",), ("I",), 100.0, 0.001, (-32767, 32767), True, False)
    with hold(folder), RecordingsWriter(folder, about, count, 5000) as writer:
        for index in range(count):
            steps = np.full((1, 5000), first + index, np.int16)
            writer.add(steps, np.ones(1, np.uint8), index, "train", str(index))
            time.sleep(pause_s)
        writer.close("x")


class Started:
    """A command under way. ``said``: the file of all that it prints."""

    def __init__(self, said: Path, arguments: tuple[str, ...], temporary: Path | None = None) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(IMPORTED))
        self.said = said
        self.said.unlink(missing_ok=True)
        where = (str(said), str(Path.cwd()), None if temporary is None else str(temporary))
        self.process: ForkServerProcess = context.Process(target=_command, args=(*where, arguments))
        self.process.start()

    def begun(self) -> None:
        """Wait until its own code runs."""
        while not self.said.exists():
            assert self.process.exitcode is None
            time.sleep(0.01)

    def ended(self, within_s: float = 600) -> int:
        self.process.join(within_s)
        assert self.process.exitcode is not None, f"it hangs: {self.text}"
        return self.process.exitcode

    @property
    def text(self) -> str:
        return self.said.read_text(encoding="utf-8", errors="replace") if self.said.exists() else ""


@contextmanager
def started(said: Path, *arguments: str, temporary: Path | None = None) -> Iterator[Started]:
    """A command of ``pulseproof``, which is gone at the end of the context whatever happens. ``temporary``: its folder
    of temporary files."""
    command = Started(said, arguments, temporary)
    try:
        yield command
    finally:
        if command.process.exitcode is None:
            command.process.kill()
            command.process.join()


def _command(said: str, home: str, temporary: str | None, arguments: tuple[str, ...]) -> None:
    os.setpgid(0, 0)  # a group of its own, as a shell gives it
    os.chdir(home)
    if temporary is not None:
        os.environ["TMPDIR"] = tempfile.tempdir = temporary
    out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(out, stream)
    sys.argv = ["pulseproof", *arguments]
    from pulseproof.main import main

    main()


def at_work(group: int, folder: Path | None = None) -> list[str]:
    """The command lines of the processes that have not ended, of a group or on a file of a folder. One that has given
    its memory back, and with it its command line, is ending."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            fields = (place / "stat").read_text().rpartition(")")[2].split()
            line = (place / "cmdline").read_text().replace("\0", " ")
            if line and fields[0] not in "ZX" and (int(fields[2]) == group or (folder and str(folder) in line)):
                found.append(line)
        except OSError:  # ended just now
            continue
    return [each for each in found if "resource_tracker" not in each]  # Python's own, which goes with the last of them


def left_of(group: int, folder: Path, within_s: float = 10) -> list[str]:
    """What of a command is still at work after ``within_s``."""
    deadline = time.monotonic() + within_s
    while at_work(group, folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    return at_work(group, folder)


def hashes(build: Path) -> dict[str, str]:
    """The SHA-256 of every file in a build, but of stamps, which hold times, and of measured latencies."""
    return {
        str(path.relative_to(build)): sha256_file(path)
        for path in sorted(build.rglob("*"))
        if path.is_file() and not path.name.endswith(".stamp.json") and "results" not in path.parts
    }


def halves(build: Path) -> list[Path]:
    """What a run must not leave: halves of files, locks, shards."""
    return [path for path in build.rglob("*") if path.name.startswith(".") or path.name == "shards"]
