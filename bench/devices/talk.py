"""One command on a device, as long as it runs: its three streams, none of which can stop us or fill our memory.

In goes what it is given, out comes what it answers, byte by byte as a file would, and at the end its exit status with
its last words on standard error. All three streams move together: a pipe that nobody empties stops both sides. Each
64 KiB have to move within ``within_s``, and no more than ``most`` bytes may come, whatever the device does.

A login shell may print something before it does what it is asked (a greeting in ``.bashrc``), which would stand before
an answer and damage a stream of files. So each command first prints a line that was thrown for it; what comes before is
the :attr:`Talk.greeting`, and no part of the answer.
"""

from __future__ import annotations

import os
import re
import secrets
import selectors
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import IO

from pulseproof.bench.wire.schema import plain
from pulseproof.core.errors import InputError

DROPPED = 255  # what ssh itself ends with when it could not connect, or the line broke
PIECE = 1 << 16  # has to move within the deadline
GREETING_BYTES = 1 << 16
TAIL_BYTES = 1 << 16  # of standard error: more than ssh -vvv says after the last words of the command
POLL_S = 0.1
KILL_S = 0.5  # from asking ssh to end to killing it
_NOISE = re.compile(r"debug[123]: |Transferred: |Bytes per second: ")  # of ssh -v, after the last words


class DroppedError(Exception):
    """The line to the device broke; the last words of ssh."""


class SilentError(InputError):
    """The device did not answer in time."""


def announced(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """A line that was thrown just now, and the command that prints it before it becomes ``arguments``."""
    line = secrets.token_hex(16)
    return line, ["sh", "-c", 'printf "%s\\n" "$0"; exec "$@"', line, *arguments]


class Talk:
    """A started command. ``about`` names the device and the step in what is raised; ``line`` opens its answer; each
    piece has to move within ``within_s``, or one of ``signs`` to come; ``stop``: set by another thread to end it with
    KeyboardInterrupt."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        about: str,
        line: str,
        most: int,
        within_s: float,
        signs: Sequence[bytes],
        stop: threading.Event,
    ) -> None:
        assert process.stdin and process.stdout and process.stderr
        self._process, self._about, self._stop = process, about, stop
        self._in, self._out, self._err = process.stdin, process.stdout, process.stderr
        self._most, self._within_s, self._signs = most, within_s, signs
        self._line: bytes | None = line.encode() + b"\n"  # None once it came
        self.greeting = b""
        self.over = False  # nothing more comes on standard output
        self._heard = bytearray()  # and not yet read
        self._came = 0  # on standard output, in all
        self._tail = bytearray()  # of standard error
        self._given = memoryview(b"")  # and not yet taken
        self._deaf = False
        self._moved, self._waited_s = 0, 0.0  # since the last piece was whole
        self._selector = selectors.DefaultSelector()
        for stream in (self._in, self._out, self._err):
            os.set_blocking(stream.fileno(), False)
        self._selector.register(self._out, selectors.EVENT_READ, self._hear)
        self._selector.register(self._err, selectors.EVENT_READ, self._overhear)

    def __enter__(self) -> Talk:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing of it is left, whether it ended or not."""
        self._selector.close()
        if self._process.poll() is None:
            self._process.terminate()  # ssh puts the terminal back as it was, where it asked for a password
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(KILL_S)
            self._process.kill()
        self._process.wait()
        for stream in (self._in, self._out, self._err):
            stream.close()

    def ignore_answers(self) -> None:
        """From now on what comes on standard output is counted and thrown away."""
        self._deaf = True

    def write(self, data: bytes) -> None:
        """Give it bytes. Raises BrokenPipeError when it takes no more."""
        self._given = memoryview(data)
        if not self._given:
            return
        self._selector.register(self._in, selectors.EVENT_WRITE, self._give)
        try:
            self._flow(lambda: not self._given)
        finally:
            self._given = memoryview(b"")
            self._selector.unregister(self._in)

    def flush(self) -> None:
        """Nothing is held back here."""

    def close_input(self) -> None:
        """Tell it that nothing more is given."""
        self._in.close()

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes of the answer, when a piece of them came; none at the end."""
        self._flow(lambda: self.over or len(self._heard) >= min(size, PIECE))
        return self._taken(size)

    def readline(self, limit: int, /) -> bytes:
        """The next line of the answer, at most ``limit`` bytes of it."""
        self._flow(lambda: self.over or len(self._heard) >= limit or b"\n" in self._heard)
        return self._taken(min(limit, self._heard.find(b"\n") + 1 or limit))

    def read_some(self) -> bytes:
        """What there is of the answer, as soon as there is something; none at the end."""
        self._flow(lambda: self.over or bool(self._heard))
        return self._taken(len(self._heard))

    def read_all(self) -> bytes:
        """The rest of the answer."""
        return b"".join(iter(lambda: self.read(PIECE), b""))

    def end(self) -> tuple[int, str]:
        """Wait for its end: (exit status, last words). Raises DroppedError, InputError where it was never begun."""
        self.close_input()
        self.ignore_answers()
        self._flow(lambda: self._process.poll() is not None, POLL_S / 5)
        for _ in range(TAIL_BYTES // PIECE + 1):  # what it said last; somebody else may hold the pipe open
            for key, _ in self._selector.select(0):
                key.data()
        status, said = self._process.returncode, last_words(bytes(self._tail))
        if status == DROPPED:
            raise DroppedError(said)
        if self._line is not None:
            said = said or plain(self.greeting.decode("utf-8", "replace")) or f"it ended with status {status}"
            raise InputError(
                f"{self._about}: its login shell does not do what it is asked: {said}",
                "it has to be a Unix shell that runs the command it is given: ssh ADDRESS true",
            )
        return status, said

    def _taken(self, size: int) -> bytes:
        taken = bytes(self._heard[:size])
        del self._heard[:size]
        return taken

    def _flow(self, until: Callable[[], bool], poll_s: float = POLL_S) -> None:
        """Let everything move until it is so. Only time that is spent here counts."""
        before = time.monotonic()
        while not until():
            if self._stop.is_set():
                raise KeyboardInterrupt
            if self._waited_s >= self._within_s:
                raise SilentError(
                    f"{self._about}: no answer for {self._within_s:g} s, or too slow a one",
                    "look at the device and its network; the same command goes on from here",
                )
            for key, _ in self._selector.select(min(poll_s, self._within_s)):
                key.data()
            now = time.monotonic()
            self._waited_s += now - before
            before = now

    def _move(self, count: int) -> None:
        self._moved += count
        if self._moved >= PIECE:
            self._moved, self._waited_s = 0, 0.0

    def _give(self) -> None:
        with suppress(BlockingIOError):
            count = os.write(self._in.fileno(), self._given[:PIECE])
            self._given = self._given[count:]
            self._move(count)

    def _hear(self) -> None:
        data = self._read(self._out)
        if data is None:
            return
        self.over = not data
        self._move(PIECE if any(sign in data for sign in self._signs) else len(data))
        if self._line is not None:
            data = self._after_the_line(self._line, data)
        self._came += len(data)
        if not self._deaf:
            self._heard += data
        if self._came > self._most or (self._given and len(self._heard) > PIECE):
            raise InputError(
                f"{self._about}: it says more than it was asked for ({self._came:,} bytes)",
                "that is no device as we know them: look at it",
            )

    def _after_the_line(self, line: bytes, data: bytes) -> bytes:
        """Part the greeting from the answer; returns what of the answer came."""
        self.greeting, found, answer = (self.greeting + data).partition(line)
        if len(self.greeting) > GREETING_BYTES:
            raise InputError(
                f"{self._about}: its login shell prints {len(self.greeting):,} bytes before it does what it is asked",
                "let it print nothing where nobody types: look at .bashrc, .profile, .zshrc there",
            )
        if found:
            self._line = None
        return answer

    def _overhear(self) -> None:
        self._tail += self._read(self._err) or b""
        del self._tail[:-TAIL_BYTES]

    def _read(self, stream: IO[bytes]) -> bytes | None:
        """What there is, none at the end; None for nothing yet."""
        try:
            data = os.read(stream.fileno(), PIECE)
        except BlockingIOError:
            return None
        if not data:
            self._selector.unregister(stream)
        return data


def last_words(said: bytes) -> str:
    """The last line of what a command said, but for what ssh -v says after it."""
    lines = [line for line in said.decode("utf-8", "replace").split("\n") if line.strip() and not _NOISE.match(line)]
    return plain(lines[-1]) if lines else ""
