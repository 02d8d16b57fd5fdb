"""One device over the system's ``ssh``: a command there, with what goes in and what comes out, tried again when the
line drops.

In comes a :class:`~bench.devices.spec.DeviceSpec`; the user's ssh config, keys, agents, ports and jump hosts hold, for
it is their own ssh that is run. Whatever comes back is a stranger's.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, TypeVar

from bench.devices.spec import DeviceSpec
from bench.schema import plain
from core.errors import InputError

DROPPED = 255  # what ssh itself ends with when it could not connect, or the line broke
PAUSES_S = (1, 2, 4, 8, 15, 30, 60, 60, 60)  # between attempts: about four minutes in all
# A line that is dead without a word is noticed after 30 s.
OPTIONS = ("-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3")
T = TypeVar("T")


class DroppedError(Exception):
    """The line to the device broke; the last words of ssh."""


@dataclass(frozen=True)
class Connection:
    """Reaches one device; ``say`` prints a line about it."""

    device: DeviceSpec
    say: Callable[[str], None]
    pauses_s: Sequence[float] = PAUSES_S

    def command(self, arguments: Sequence[str]) -> list[str]:
        """The command here that runs ``arguments`` there. They pass the login shell there as they are."""
        quiet = () if sys.stdin is not None and sys.stdin.isatty() else ("-o", "BatchMode=yes")
        return [*self.device.ssh, "-T", *OPTIONS, *quiet, self.device.address, shlex.join(arguments)]

    def start(self, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a command there; its three streams are pipes."""
        try:
            return subprocess.Popen(
                self.command(arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except FileNotFoundError:
            raise InputError(f"{self.device.ssh[0]}: no such program here", "apt-get install openssh-client") from None

    def run(self, arguments: Sequence[str], given: bytes = b"") -> tuple[int, bytes, str]:
        """Run a command there to its end: (exit status, standard output, standard error). Raises DroppedError."""
        with self.start(arguments) as process:
            out, err = process.communicate(given)
        said = err.decode("utf-8", "replace").strip()
        if process.returncode == DROPPED:
            raise DroppedError(plain(said.rpartition("\n")[2]))
        return process.returncode, out, plain(said)

    def patiently(self, task: Callable[[], T], what: str) -> T:
        """Do ``task``, again after a growing pause when the line broke. Raises InputError when it stays broken."""
        reason = ""
        for pause in (*self.pauses_s, None):
            try:
                return task()
            except DroppedError as error:
                reason = str(error) or "the connection was closed"
                if pause is None or not _passing(reason):
                    break
                self.say(f"{what}: {reason}; again in {pause:g} s")
                time.sleep(pause)
        raise InputError(
            f"{self.device.address}: cannot be reached ({reason})",
            f"try: {shlex.join([*self.device.ssh, self.device.address])} true; then the same command goes on from here",
        )


def _passing(reason: str) -> bool:
    """False for what waiting does not mend."""
    lasting = ("Permission denied", "Host key verification failed", "Could not resolve hostname", "Bad configuration")
    return not any(each in reason for each in lasting)


def pour(source: IO[bytes], target: Callable[[bytes], None], size: int = 1 << 16) -> None:
    """Hand on what comes, as it comes."""
    while piece := source.read1(size):  # type: ignore[attr-defined]
        target(piece)
