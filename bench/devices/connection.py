"""One device over the system's ``ssh``: a command there, with what goes in and what comes out, tried again when the
line drops.

In comes a :class:`~bench.devices.spec.DeviceSpec`; the user's ssh config, keys, agents, ports and jump hosts hold, for
it is their own ssh that is run. Whatever comes back is a stranger's, and bounded in bytes and time
(:mod:`bench.devices.talk`).
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from pulseproof.bench.devices.spec import DeviceSpec
from pulseproof.bench.devices.talk import DroppedError, Talk, announced
from pulseproof.core.errors import InputError

PAUSES_S = (1, 2, 4, 8, 15, 30, 60, 60, 60)  # between attempts: about four minutes in all
# A line that is dead without a word is noticed after 30 s.
OPTIONS = ("-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3")
ANSWER_BYTES = 1 << 16  # of an answer that is read whole, where nothing else is said
T = TypeVar("T")


class Answer(NamedTuple):
    """How a command there ended: exit status, standard output, last words on standard error, and what its login shell
    printed before all that."""

    status: int
    out: bytes
    said: str
    greeting: bytes


@dataclass(frozen=True)
class Connection:
    """Reaches one device; ``say`` prints a line about it. A device that is silent for ``silence_s`` has hung (a person
    may have to type a password meanwhile); what takes its time there (installing, removing) may be silent for
    ``slow_s``. ``stop``: set by another thread, ends what is going on with KeyboardInterrupt."""

    device: DeviceSpec
    say: Callable[[str], None]
    pauses_s: Sequence[float] = PAUSES_S
    silence_s: float = 120.0
    slow_s: float = 3600.0
    stop: threading.Event = field(default_factory=threading.Event)

    def command(self, arguments: Sequence[str]) -> list[str]:
        """The command here that runs ``arguments`` there. They pass the login shell there as they are."""
        quiet = () if sys.stdin is not None and sys.stdin.isatty() else ("-o", "BatchMode=yes")
        return [*self.device.ssh, "-T", *OPTIONS, *quiet, self.device.address, shlex.join(arguments)]

    def start(
        self,
        arguments: Sequence[str],
        step: str,
        most: int = ANSWER_BYTES,
        within_s: float | None = None,
        signs: Sequence[bytes] = (),
    ) -> Talk:
        """Start a command there, to talk to in a ``with`` block; ``step`` is what it is for. At most ``most`` bytes are
        taken, each 64 KiB of them within ``within_s`` (default: ``silence_s``), or one of ``signs`` of life."""
        line, whole = announced(arguments)
        try:
            process = subprocess.Popen(
                self.command(whole),
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            raise InputError(
                f"{self.device.ssh[0]}: cannot be run here ({error.strerror})",
                "apt-get install openssh-client, or mend the device's ssh",
            ) from None
        about = f"{self.device.address}: {step}"
        return Talk(process, about, line, most, within_s or self.silence_s, signs, self.stop)

    def run(
        self,
        arguments: Sequence[str],
        step: str,
        given: bytes = b"",
        most: int = ANSWER_BYTES,
        within_s: float | None = None,
    ) -> Answer:
        """Run a command there to its end. Raises DroppedError, and InputError for an answer that has no end."""
        with self.start(arguments, step, most, within_s) as talk:
            with suppress(BrokenPipeError):
                talk.write(given)
            talk.close_input()
            out = talk.read_all()
            status, said = talk.end()
            return Answer(status, out, said, talk.greeting)

    def patiently(self, task: Callable[[], T], step: str) -> T:
        """Do ``task``, again after a growing pause when the line broke. Raises InputError when it stays broken."""
        reason = ""
        for left, pause in zip(range(len(self.pauses_s), -1, -1), (*self.pauses_s, None), strict=True):
            try:
                return task()
            except DroppedError as error:
                reason = str(error) or "the connection was closed"
                if pause is None or not _passing(reason):
                    break
                then = f", then {left - 1} more" if left > 1 else ", for the last time"
                self.say(f"{step}: {reason}; again in {pause:g} s{then}")
                if self.stop.wait(pause):
                    raise KeyboardInterrupt from None
        raise InputError(
            f"{self.device.address}: {step}: cannot be reached ({reason})",
            f"try: {shlex.join([*self.device.ssh, self.device.address])} true; then the same command goes on from here",
        )


def _passing(reason: str) -> bool:
    """False for what waiting does not mend."""
    lasting = ("Permission denied", "Host key verification failed", "Could not resolve hostname", "Bad configuration")
    return not any(each in reason for each in lasting)
