"""Worker processes: the one pool of all rooms, for what is side by side and for what may take its process down.

In: calls, each a function and its arguments. Out: what each of them says while it works, and what it gave, raised, or
how its process died. A death costs that one call, whose owner says which it was and whether it is tried again; the
other workers go on. Workers are spawned, not forked, since torch's threads do not survive a fork. They hold the locks
of this process, and end with it, whatever it dies of; Ctrl-C is this process's affair alone, which ends them all.

A call that works on a stranger's file gets ``memory``: then its worker is for this call alone, in a session of its own
that ends with it, limited (:func:`runtime.score.confine`), and the first to go where memory is short. What a worker
says is a line of JSON of bounded length: nothing that comes from one is unpickled here.

That is why this is not loky, nor ``concurrent.futures``. Both unpickle in the parent what a worker sends, so that a
file which takes a worker over has the parent as well; both end every worker and fail every call when one of them dies,
without saying of which call; and neither hears anything from a call before its end.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any, BinaryIO

from pulseproof.core.errors import InputError
from pulseproof.core.locks import Heirs, begin_worker
from pulseproof.runtime.score import confine
from pulseproof.runtime.words import shortened

MOST_BYTES = 1 << 16  # of a line that a worker says
END_S = 10  # for a process to end that has closed its pipe, or was told to end
LOOK_S = 1.0  # how often it is looked whether a silent worker is still there
OUT_OF_MEMORY = 77  # the exit status that says so
_WORDS = 2000  # characters of a message


class Call:
    """One call. ``ended``: nothing more comes of it. ``died``: how its process ended before the call did ("SIGKILL",
    "out of memory", "out of time", "exit status 3"), else None."""

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.work = function, arguments
        self.ended = False
        self.died: str | None = None
        self._heard: list[Any] = []
        self._answer: dict[str, Any] = {}

    def heard(self) -> list[Any]:
        """What it has said since this was asked last: the values that a generator yields."""
        heard, self._heard = self._heard, []
        return heard

    def result(self) -> Any:
        """What a call that has ended gave; raises what it raised: InputError, OSError or MemoryError, and RuntimeError
        for any other."""
        if not self.ended or self.died is not None:
            raise ValueError("the call has no result")
        match self._answer:
            case {"gave": gave}:
                return gave
            case {"input": [what, mend]}:
                raise InputError(str(what), str(mend))
            case {"system": [number, said, filename]}:
                raise OSError(number, said, filename)
            case {"memory": True}:
                raise MemoryError
        error = RuntimeError(str(self._answer.get("other")))
        error.add_note(str(self._answer.get("trace", "")))
        raise error

    def _take(self, told: Any) -> bool:
        """Take a line that was said; False for one that is none of ours."""
        match told:
            case {"said": value}:
                self._heard.append(value)
            case (
                {"gave": _}
                | {"input": [str(), str()]}
                | {"system": [int() | None, str(), str() | None]}
                | {"memory": True}
                | {"other": str()}
            ):
                self._answer, self.ended = told, True
            case _:
                return False
        return True


@dataclass(eq=False)
class _Worker:
    """A process, the pipe by which it gets work and the one by which it speaks. ``alone``: in a session of its own.
    ``unread``: the beginning of a line."""

    process: SpawnProcess
    work: Connection
    says: Connection
    alone: bool
    call: Call | None = None
    ready: bool = False
    unread: bytes = b""

    def begin(self) -> None:
        """Hand the call over, to a process that listens: how long a large one takes is then no matter of its start."""
        assert self.call is not None
        self.ready = True
        with contextlib.suppress(BrokenPipeError):  # it is over, as its other pipe will tell
            self.work.send(self.call.work)

    def end(self) -> None:
        """Send it to its end; what it started too, where that is a session of its own."""
        if self.alone and self.process.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # it is not that far yet, or over
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.kill()
        else:
            self.process.terminate()

    def bury(self) -> None:
        """Wait for its end."""
        self.process.join(END_S)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        self.work.close()
        self.says.close()


class Pool:
    """At most ``size`` calls at a time. ``once``: each in a process of its own."""

    def __init__(self, size: int, once: bool = False) -> None:
        self.size, self._once = size, once
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []

    @property
    def pids(self) -> list[int]:
        """The processes that are at work on a call."""
        return [worker.process.pid for worker in self._workers if worker.call is not None and worker.process.pid]

    def submit(self, function: Callable[..., Any], *arguments: Any, memory: int | None = None) -> Call:
        """Begin a call, while fewer than ``size`` are at work. ``function`` gives something that JSON holds, or is a
        generator that says such things. ``memory``: the bytes that it may take, for work on a stranger's file."""
        if len(self.pids) >= self.size:
            raise ValueError(f"there are {self.size} calls at work already")
        for worker in [each for each in self._workers if each.call is None and not each.process.is_alive()]:
            self._remove(worker)  # it died while it had nothing to do
        free = (each for each in self._workers if each.call is None)
        found = None if memory is not None else next(free, None)
        worker = found or self._start(memory)
        worker.call = call = Call(function, arguments)
        if worker.ready:
            worker.begin()
        return call

    def wait(self) -> list[Call]:
        """Those of the calls at work that have said something or ended since; at least one, where any is at work."""
        changed: list[Call] = []
        while self.pids and not changed:
            talking = {worker.says: worker for worker in self._workers if worker.call is not None}
            spoke = [talking[each] for each in connection.wait(list(talking), LOOK_S)]  # type: ignore[index]
            silent = [worker for worker in talking.values() if worker not in spoke]
            for worker in spoke:
                changed += self._listen(worker)
            for worker in silent:  # what a dead one started may hold its pipe open
                if not worker.process.is_alive() and not connection.wait([worker.says], 0):
                    changed += self._died(worker)
        return changed

    def close(self) -> None:
        """End everything that runs."""
        for worker in self._workers:
            worker.end()
        for worker in self._workers:
            worker.bury()
        self._workers = []

    def _start(self, memory: int | None) -> _Worker:
        takes, work = self._context.Pipe(duplex=False)
        says, speaks = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_serve, args=(takes, speaks, Heirs(), memory), daemon=True)
        try:
            process.start()
        finally:
            takes.close()
            speaks.close()
        worker = _Worker(process, work, says, memory is not None)
        self._workers.append(worker)
        return worker

    def _listen(self, worker: _Worker) -> list[Call]:
        """Take what a worker has said: the call, where that was of concern to its owner."""
        call = worker.call
        assert call is not None
        piece = os.read(worker.says.fileno(), MOST_BYTES)
        *lines, worker.unread = (worker.unread + piece).split(b"\n")
        if not piece:
            worker.process.join(END_S)
            return self._died(worker)
        if max(map(len, (*lines, worker.unread))) > MOST_BYTES:
            return self._died(worker)
        for line in lines:
            try:
                told = json.loads(line)
            except (ValueError, RecursionError):
                return self._died(worker)
            if told == "ready" and not worker.ready:
                worker.begin()
            elif not call._take(told):
                return self._died(worker)
            if call.ended:
                break
        if call.ended:
            worker.call = None
            if self._once or worker.alone:
                self._remove(worker)
        return [call] if call.ended or call._heard else []

    def _died(self, worker: _Worker) -> list[Call]:
        """Take a worker that is over, or says what no worker says, off the list."""
        call = worker.call
        assert call is not None
        self._remove(worker)
        call.died, call.ended = _how(worker.process.exitcode), True
        return [call]

    def _remove(self, worker: _Worker) -> None:
        worker.end()
        worker.bury()
        self._workers.remove(worker)


def _serve(takes: Connection, speaks: Connection, locks: Heirs, memory: int | None) -> None:
    """The life of one worker: call after call, until it is ended."""
    begin_worker(locks)
    if memory is not None:
        os.setsid()
        confine(memory)
    with open(speaks.fileno(), "wb", closefd=False) as said:
        _say(said, "ready")
        while True:
            try:
                work = takes.recv_bytes()
            except EOFError:
                break
            answer = _answer(said, work, alone=memory is not None)
            # Before the answer: a worker may be ended as soon as it has given it.
            with contextlib.suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            _say(said, answer)
    os._exit(0)  # an engine that crashes while it is torn down has done its work


def _answer(said: BinaryIO, work: bytes, alone: bool) -> dict[str, Any]:
    """Do one call, and say meanwhile what it says; what came of it."""
    try:
        function, arguments = ForkingPickler.loads(work)
        gave = function(*arguments)
        if isinstance(gave, Generator):
            for value in gave:
                _say(said, {"said": value})
            gave = None
        return {"gave": gave}
    except MemoryError:
        if alone:  # as any other death of its file
            os._exit(OUT_OF_MEMORY)
        return {"memory": True}
    except InputError as error:
        return {"input": [error.what, error.mend]}
    except OSError as error:
        filename = None if error.filename is None else str(error.filename)
        return {"system": [error.errno, shortened(str(error.strerror or error), _WORDS), filename]}
    except Exception as error:
        told = {"other": shortened(f"{type(error).__name__}: {error}", _WORDS)}
        return told if alone else told | {"trace": shortened(traceback.format_exc(), _WORDS)}


def _say(said: BinaryIO, what: Any) -> None:
    # A name that is no text is written as the escape by which JSON has it.
    said.write(json.dumps(what, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
    said.flush()


def _how(exitcode: int | None) -> str:
    if exitcode == OUT_OF_MEMORY:
        return "out of memory"
    if exitcode == -signal.SIGALRM:
        return "out of time"
    return signal.Signals(-exitcode).name if exitcode is not None and exitcode < 0 else f"exit status {exitcode}"
