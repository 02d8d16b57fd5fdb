"""The one door by which a file from a stranger is run: a small limited process, kept open for as long as it is asked.

In: the path of an ``.onnx`` or ``.tflite`` file and recordings. Out: their scores; or EngineError, one sentence that
says what became of the process (a signal, its deadline, its memory, another shape of scores) and at which recording. A
file can do in an engine what it likes: loop for ever on the one recording in a thousand that it was built
for, divide by zero, ask for all memory there is. In this process that would be the end of the command, or a wait that
Ctrl-C does not end, because an engine in C++ lets no handler run.

So everything that scores a brought file, and every file made of one, goes by here: its references, parity, class AUCs,
audits, queries of attacks. Recordings go in by a pipe and scores come out by another, as bytes: no file, nothing that
is unpickled. That costs some 10 to 50 us a recording (2,000 of 12 leads and 10 s through a CNN of .3 ms: 1.1 times what
they take in this process), so files of our own systems go the same way wherever they are scored, and nobody has to know
whose a file is. Engines run elsewhere for what needs more than scores: measurements of our own files
(:mod:`perf.claims`), and the making of files, which for a brought model is done by a worker that is limited itself
(:mod:`export.workers`).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import tempfile
import threading
import time
import weakref
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pulseproof.runtime.engines import DEFAULT, EngineError
from pulseproof.runtime.score import FACTOR, FIRST, FRAME, MOST_BYTES, MOST_CLASSES, OPENED, SCORES, SENTENCE
from pulseproof.runtime.supervise import THREAD_VARIABLES
from pulseproof.runtime.version import PACKAGE, home
from pulseproof.runtime.words import one_line

# Of a file that fits a wearable, one inference takes milliseconds and all of it some megabytes.
SILENCE_S = 60  # the longest that importing, opening or one of the first inferences may take
FLOOR_S = 20  # what any later inference may take, however fast the first ones were
MEMORY_MB = 4096
START_S = 120  # of all recordings of a call, beside FACTOR times what the first ones took
AHEAD = 2  # recordings that are sent before the answer of the one before: the process never waits for us
SAID = 600  # characters: an engine's sentence, and what to do about it, were cut to their size where they were said
LOOK_S = 0.5  # how often it is looked whether a silent process is still there
_PIECE = 1 << 16


class Limited:
    """A file opened in a process of its own, by ``python`` with ``engine`` for recordings ``shape`` (leads, samples);
    ``mode``: how it is to compute (:data:`runtime.engines.MODES`). It ends with :meth:`close`, with this object, and
    with this process, whatever that dies of.

    Raises EngineError, a sentence without the file's name, when the file cannot be opened.
    """

    def __init__(self, path: Path, python: Path, engine: str, shape: tuple[int, int], mode: str = DEFAULT) -> None:
        self.path, self.shape, self.done = path.absolute(), shape, 0
        self.slowest_s, self._classes, self._unread = 0.0, 0, b""  # slowest_s: of the first inferences
        self._lock = threading.Lock()
        command = [python, "-m", "pulseproof.runtime.score", self.path, *shape, "--engine", engine, "--mode", mode]
        limits = ["--limit-s", SILENCE_S, "--floor-s", FLOOR_S, "--memory-mb", MEMORY_MB]
        with tempfile.TemporaryDirectory(prefix="pulseproof-") as folder:
            # Our package alone, behind a link: what else lies beside it (in site-packages, say) is not for that Python.
            Path(folder, PACKAGE).symlink_to(home() / PACKAGE, target_is_directory=True)
            self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (not a pipe: nobody would empty it)
            threads = dict.fromkeys(THREAD_VARIABLES, "1")
            try:
                self._process = subprocess.Popen(
                    [str(part) for part in (*command, *limits)],
                    cwd=folder,
                    env={**os.environ, **threads, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._errors,
                    bufsize=0,
                    start_new_session=True,  # Ctrl-C is for us, who end it and all that it started
                )
            except OSError as error:
                self._errors.close()
                raise EngineError(f"{python} does not start: {error.strerror}") from None
            self.close = weakref.finalize(self, _end, self._process, self._errors, os.getpid())
            assert self._process.stdin is not None and self._process.stdout is not None
            self._to, self._from = self._process.stdin.fileno(), self._process.stdout.fileno()
            os.set_blocking(self._to, False)
            os.set_blocking(self._from, False)
            try:
                if self._frame(b"", time.monotonic() + START_S, "while it was opened")[1] != OPENED:
                    raise EngineError("its process speaks out of turn")
            except BaseException:
                self.close()
                raise

    @property
    def alive(self) -> bool:
        """False once it was closed, by its owner or because it failed."""
        return self.close.alive

    def __enter__(self) -> Limited:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, signals: NDArray[np.float32]) -> NDArray[np.float32]:
        """The scores float32 (k, classes) of float32 ``signals`` (k, leads, samples) mV, each run alone, k > 0.

        Raises EngineError, and its process is over, where one recording gets none.
        """
        if signals.dtype != np.float32 or signals.shape[1:] != self.shape or not len(signals):
            raise ValueError(f"the signals are {signals.dtype} {signals.shape}, expected float32 (k, *{self.shape})")
        with self._lock:
            if not self.alive:
                raise EngineError("its process is over")
            try:
                return self._run(np.ascontiguousarray(signals))
            except BaseException:  # Ctrl-C too: what it has been sent already would be taken for what is asked next
                self.close()
                raise

    def _run(self, signals: NDArray[np.float32]) -> NDArray[np.float32]:
        size, rows = signals[0].nbytes, []
        unsent, begun = signals.data.cast("B"), time.monotonic()
        last = begun
        for at in range(len(signals)):
            where = f"at recording {self.done + 1} of those that it was given"
            ahead = len(unsent) - max(0, (len(signals) - at - AHEAD) * size)
            # One inference has its own clock in there; this is for all of them, and for one that does not even die.
            if self.done < FIRST:
                deadline = last + SILENCE_S + START_S
            else:
                deadline = begun + START_S + FACTOR * self.slowest_s * len(signals)
            sent, kind, body = self._frame(unsent[: max(0, ahead)], deadline, where)
            unsent = unsent[sent:]
            if kind != SCORES:
                raise EngineError("its process speaks out of turn")
            now = time.monotonic()
            if self.done < FIRST:
                self.slowest_s = max(self.slowest_s, now - last)
            last, self.done = now, self.done + 1
            rows.append(np.frombuffer(body, np.float32))
        return np.stack(rows)

    def _frame(self, data: memoryview | bytes, deadline: float, where: str) -> tuple[int, int, bytes]:
        """(bytes of ``data`` that were sent meanwhile, kind, body) of the next frame. Raises EngineError."""
        sent = 0
        while True:
            kind, size = self._head(where)
            if kind and len(self._unread) >= FRAME.size + size:
                body = self._unread[FRAME.size : FRAME.size + size]
                self._unread = self._unread[FRAME.size + size :]
                if kind == SENTENCE:
                    raise EngineError(f"{self._told(body.decode('utf-8', 'replace'))} ({where})")
                return sent, kind, body
            left = deadline - time.monotonic()
            waiting = [self._to] if sent < len(data) else []
            readable, writable, _ = select.select([self._from], waiting, [], max(0.0, min(left, LOOK_S)))
            if writable:
                try:
                    sent += os.write(self._to, data[sent : sent + _PIECE])
                except BrokenPipeError:  # it ended: what it said, or its status, tells why
                    data = data[:sent]
            if readable:
                piece = os.read(self._from, _PIECE)
                if not piece:
                    raise EngineError(self._how_it_ended(where))
                self._unread += piece
            elif not writable:
                if self._process.poll() is not None:  # something that it started keeps its end of the pipe open
                    raise EngineError(self._how_it_ended(where))
                if left <= 0:
                    raise EngineError(f"it did not come to an end in time, {where}")

    def _head(self, where: str) -> tuple[int, int]:
        """(kind, bytes of its body) of the frame that has begun; (0, 0) where none has. A frame is no longer than a
        good one can be, whoever writes it."""
        if len(self._unread) < FRAME.size:
            return 0, 0
        kind, count = FRAME.unpack_from(self._unread)
        if kind == SCORES and 0 < count <= MOST_CLASSES and self._classes in (0, count):
            self._classes = count
            return kind, 4 * count
        if (kind, count) == (OPENED, 0) or (kind == SENTENCE and count <= MOST_BYTES):
            return kind, count
        raise EngineError(f"its process answers what is no answer, {where}")

    def _told(self, said: str) -> str:
        return one_line(said.replace(f"{self.path}: ", "").replace(str(self.path), self.path.name), SAID)

    def _how_it_ended(self, where: str) -> str:
        """What became of the process, in one sentence: the signal that it died of, or the last line that it said."""
        try:
            status = self._process.wait(FLOOR_S)
        except subprocess.TimeoutExpired:
            return f"its process answers no more and does not end, {where}"
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - _PIECE))
        lines = [line for line in self._errors.read().decode("utf-8", "replace").splitlines() if _tells(line)]
        words = f"; its last words: {self._told(lines[-1])}" if lines else ""
        if status == -signal.SIGALRM:
            if self.done < FIRST:
                return f"one step of it took more than {SILENCE_S} s, {where}"
            longest = max(FLOOR_S, FACTOR * self.slowest_s)
            return f"one inference took more than {longest:.0f} s, {where} (the first ones took {self.slowest_s:.2g} s)"
        if status < 0:
            return f"it crashed its process ({_name(-status)}), {where}{words}"
        return f"its process ended with status {status}, {where}{words}"


def _end(process: subprocess.Popen[bytes], errors: IO[Any], owner: int) -> None:
    """End a process, its whole group, and all that is kept of it."""
    if os.getpid() != owner:  # a fork of its parent, whose end is not its end
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdin, process.stdout, errors):
        with contextlib.suppress(OSError):
            stream.close()  # type: ignore[union-attr]


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _tells(line: str) -> bool:
    return bool(line.strip()) and not line.startswith("INFO:")  # LiteRT greets with its delegates
