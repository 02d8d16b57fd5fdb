"""Models exported side by side: one process a model, as many at a time as there are cores.

In: the files of several models. Out: the files, on disk; and the name of each recipe as it begins, for the progress
bar. The processes are spawned, not forked: torch's threads do not survive a fork. A converter or an engine that takes
its process down with it costs one file, which is then refused, and a new process goes on behind it.
"""

from __future__ import annotations

import multiprocessing
import queue
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.context import SpawnProcess
from typing import Any

from core.errors import InputError
from core.locks import Heirs
from core.processors import usable
from export.model_files import ModelFiles
from runtime.terminal import make_plain

POLL_S = 0.5


def export_all(models: Sequence[ModelFiles], jobs: int | None) -> Iterator[str]:
    """Make the files of ``models``, ``jobs`` models at a time (default: one a processor); one item a recipe begun."""
    jobs = min(len(models), jobs or usable())
    if jobs <= 1:
        with _one_thread():
            for model in models:
                yield from model.make()
        return
    yield from _Pool(models, jobs).run()


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


class _Pool:
    """Processes, each with one model, and the one queue on which they say what they begin."""

    def __init__(self, models: Sequence[ModelFiles], jobs: int) -> None:
        self.context = multiprocessing.get_context("spawn")
        self.messages: Any = self.context.Queue()
        self.waiting, self.jobs = list(models), jobs
        self.running: dict[str, tuple[SpawnProcess, ModelFiles]] = {}
        self.begun: dict[str, str] = {}
        self.died: set[tuple[str, str]] = set()
        self.seen: set[tuple[str, str]] = set()

    def run(self) -> Iterator[str]:
        try:
            while self.waiting or self.running:
                while self.waiting and len(self.running) < self.jobs:
                    self._start(self.waiting.pop(0))
                yield from self._listen()
                self._bury()
        finally:
            for process, _ in self.running.values():
                process.terminate()
            for process, _ in self.running.values():
                process.join()

    def _start(self, model: ModelFiles) -> None:
        process = self.context.Process(target=_work, args=(model, self.messages, Heirs()), daemon=True)
        process.start()
        self.running[model.trained.name] = (process, model)

    def _listen(self) -> Iterator[str]:
        try:
            name, recipe, error = self.messages.get(timeout=POLL_S)
        except queue.Empty:
            return
        if error is not None:
            raise error
        self.begun[name] = recipe
        if (name, recipe) not in self.seen:  # a model that is begun again counts once
            self.seen.add((name, recipe))
            yield recipe

    def _bury(self) -> None:
        """Take those that have ended off the list; one that died leaves its file refused and is started again."""
        for name, (process, model) in list(self.running.items()):
            if process.exitcode is None or not self.messages.empty():
                continue
            process.join()
            del self.running[name]
            if process.exitcode != 0:
                if name not in self.begun:
                    raise RuntimeError(f"the process that was to export {name} did not start ({process.exitcode})")
                place = (name, self.begun[name])
                if place in self.died:  # what was remembered of its death does not hold in another process
                    raise InputError(
                        f"{name}/{self.begun[name]}: the process that makes it died of it again",
                        "its sources may have been edited meanwhile: run again",
                    )
                self.died.add(place)
                model.crashed(self.begun[name], _how(process.exitcode))
                self.waiting.insert(0, model)


def _work(model: ModelFiles, messages: Any, locks: Heirs) -> None:
    """The life of one process: every recipe of one model. It keeps the locks of its parent, and ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C goes to all; only the parent has something to say about it
    make_plain()
    name = model.trained.name
    try:
        with _one_thread():
            for recipe in model.make():
                messages.put((name, recipe, None))
    except Exception as error:
        messages.put((name, "", error))


def _how(exitcode: int) -> str:
    return signal.Signals(-exitcode).name if exitcode < 0 else f"exit status {exitcode}"
