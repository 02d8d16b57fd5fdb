"""Models exported side by side: one process a model, as many at a time as there are cores.

In: the files of several models. Out: the files, on disk; and the name of each recipe as it begins, for the progress
bar. The processes are spawned, not forked: torch's threads do not survive a fork. A converter or an engine that takes
its process down with it costs one file, which is then refused, and a new process goes on behind it.

A brought model is never exported in this process: calibration, prices and the search for a layer that is wrong run a
stranger's graph with all its inner values, and quantizers run it while they fold its constants. Its worker is limited
in memory, and in the time of each file by what the file's first inferences took; it and all that it started end
together. What workers say are lines of JSON: nothing that one sends is unpickled.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from tqdm import tqdm

from pulseproof.core.errors import InputError
from pulseproof.core.limited import MEMORY_MB
from pulseproof.core.locks import Heirs
from pulseproof.core.processors import usable
from pulseproof.export.job import RefusedError
from pulseproof.export.model_files import ModelFiles
from pulseproof.runtime.score import confine
from pulseproof.runtime.terminal import make_plain
from pulseproof.runtime.words import shortened

MOST_BYTES = 1 << 16  # of what a worker says at a time
# Of one file of a brought model, beside FACTOR times what its recordings take: the longest of ours takes a minute.
FLOOR_S = 600
END_S = 10  # for a process to end that has said all
_OUT_OF_MEMORY = 77


def export_all(models: Sequence[ModelFiles], jobs: int | None) -> Iterator[str]:
    """Make the files of ``models``, ``jobs`` models at a time (default: one a processor); one item a recipe begun."""
    jobs = min(len(models), jobs or usable())
    if jobs > 1:
        yield from _Pool(models, jobs).run()
        return
    for model in models:
        if model.brought:
            yield from _Pool([model], 1).run()
        else:
            with _one_thread():
                yield from model.make()


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for torch in here: the order of additions, and with it the last bit of a range that is calibrated,
    depends on their number, and a file must not depend on how many processors the machine has."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class _Worker:
    """A process, its model, and the end of the pipe on which it says what it begins."""

    process: SpawnProcess
    model: ModelFiles
    says: Connection

    def end(self) -> None:
        """End it, and what it started where that is a group of its own."""
        if self.model.brought and self.process.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # it is not that far yet, or over
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.terminate()


class _Pool:
    """Processes, each with one model."""

    def __init__(self, models: Sequence[ModelFiles], jobs: int) -> None:
        self.context = multiprocessing.get_context("spawn")
        self.waiting, self.jobs = list(models), jobs
        self.running: dict[str, _Worker] = {}
        self.begun: dict[str, str] = {}
        self.died: set[tuple[str, str]] = set()
        self.seen: set[tuple[str, str]] = set()

    def run(self) -> Iterator[str]:
        try:
            while self.waiting or self.running:
                while self.waiting and len(self.running) < self.jobs:
                    self._start(self.waiting.pop(0))
                talking = {worker.says: worker for worker in self.running.values()}
                for one in wait(list(talking)):
                    yield from self._listen(talking[one])  # type: ignore[index]
        finally:
            for worker in self.running.values():
                worker.end()
            for worker in self.running.values():
                worker.process.join()

    def _start(self, model: ModelFiles) -> None:
        says, said = self.context.Pipe(duplex=False)
        asked = (model, said, FLOOR_S, MEMORY_MB, Heirs())
        process = self.context.Process(target=_work, args=asked, daemon=True)
        process.start()
        said.close()
        self.running[model.trained.name] = _Worker(process, model, says)

    def _listen(self, worker: _Worker) -> Iterator[str]:
        name = worker.model.trained.name
        try:
            told = json.loads(worker.says.recv_bytes(MOST_BYTES))
            recipe = told.get("begun")
        except (EOFError, OSError, ValueError, AttributeError):  # it ended; or what it says is nothing of ours
            self._bury(worker)
            return
        if not isinstance(recipe, str):
            _raise(told)
        self.begun[name] = recipe
        if (name, recipe) not in self.seen:  # a model that is begun again counts once
            self.seen.add((name, recipe))
            yield recipe

    def _bury(self, worker: _Worker) -> None:
        """Take one that has ended off the list; one that died leaves its file refused and is started again."""
        name, process = worker.model.trained.name, worker.process
        process.join(END_S)
        worker.end()
        process.join()
        worker.says.close()
        del self.running[name]
        status = process.exitcode
        if not status:
            return
        if name not in self.begun:
            raise InputError(
                f"{name}: the process that was to export it died before it began ({_how(status)})",
                "see that there is memory for it, and run again",
            )
        place = (name, self.begun[name])
        if place in self.died:  # what was remembered of its death does not hold in another process
            raise InputError(
                f"{name}/{self.begun[name]}: the process that makes it died of it again",
                "its sources may have been edited meanwhile: run again",
            )
        self.died.add(place)
        worker.model.crashed(self.begun[name], _how(status))
        self.waiting.insert(0, worker.model)


def _work(model: ModelFiles, says: Connection, floor_s: float, memory_mb: int, locks: Heirs) -> None:
    """The life of one process: every recipe of one model. It keeps the locks of its parent, and ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C goes to all; only the parent has something to say about it
    make_plain()
    # The converters draw progress bars, whose lock would be a semaphore that only an ordinary end gives back.
    tqdm.set_lock(threading.RLock())
    if model.brought:
        os.setsid()
        confine((memory_mb << 20) + 8 * model.brought_bytes)
    told: dict[str, Any] | None = None
    try:
        with _one_thread():
            if model.brought:
                with contextlib.suppress(RefusedError):  # each file says so
                    _ = model.reference  # how long its inferences take
            for recipe in model.make():
                says.send_bytes(json.dumps({"begun": recipe}).encode())
                if model.brought:
                    signal.setitimer(signal.ITIMER_REAL, floor_s + model.inferences_s)
    except MemoryError:
        if model.brought:  # its file is refused, as by any other death
            os._exit(_OUT_OF_MEMORY)
        told = {"memory": True}
    except InputError as error:
        told = {"input": [shortened(error.what, MOST_BYTES // 8), shortened(error.mend, MOST_BYTES // 8)]}
    except OSError as error:
        told = {"system": [error.errno, str(error.strerror or error), error.filename and str(error.filename)]}
    except Exception as error:
        told = {"other": shortened(f"{type(error).__name__}: {error}", MOST_BYTES // 8)}
    if told is not None:
        says.send_bytes(json.dumps(told).encode())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # all is on the disk: an engine that crashes while it is torn down has done its work


def _raise(told: dict[str, Any]) -> None:
    """Raise what a worker says that it met."""
    if "input" in told:
        raise InputError(*map(str, told["input"]))
    if "system" in told:
        raise OSError(*told["system"])
    raise MemoryError if "memory" in told else RuntimeError(str(told.get("other")))


def _how(exitcode: int) -> str:
    if exitcode == _OUT_OF_MEMORY:
        return "out of memory"
    if exitcode == -signal.SIGALRM:
        return "out of time"
    return signal.Signals(-exitcode).name if exitcode < 0 else f"exit status {exitcode}"
