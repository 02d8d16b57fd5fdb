"""Models exported side by side: one process a model, as many at a time as there are cores (:mod:`core.pool`).

In: the files of several models. Out: the files, on disk; and the name of each recipe as it begins, for the progress
bar. A converter or an engine that takes its process down with it costs one file, which is then refused, and a new
process goes on behind it.

A brought model is never exported in this process: calibration, prices and the search for a layer that is wrong run a
stranger's graph with all its inner values, and quantizers run it while they fold its constants. Its worker is limited
in memory, and in the time of each file by what the file's first inferences took.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tqdm import tqdm

from pulseproof.core.errors import InputError
from pulseproof.core.limited import MEMORY_MB
from pulseproof.core.pool import Call, Pool
from pulseproof.core.processors import usable
from pulseproof.core.terminal.time_left import Courses, TimeLeft
from pulseproof.export.job import RefusedError
from pulseproof.export.model_files import ModelFiles

# Of one file of a brought model, beside FACTOR times what its recordings take: the longest of ours takes a minute.
FLOOR_S = 600


def export_all(models: Sequence[ModelFiles], jobs: int | None, left: TimeLeft | None = None) -> Iterator[str]:
    """Make the files of ``models``, ``jobs`` models at a time (default: one a processor); one item a recipe begun.
    ``left`` is told what each took."""
    jobs, courses = at_a_time(models, jobs), Courses(left)
    if jobs > 1:
        yield from _export_by_workers(models, jobs, courses)
        return
    for model in models:
        if model.brought:
            yield from _export_by_workers([model], 1, courses)
        else:
            with _one_thread():
                for recipe in model.make():
                    courses.begun(recipe, model.trained.name)
                    yield recipe
            courses.over(model.trained.name)


def at_a_time(models: Sequence[ModelFiles], jobs: int | None) -> int:
    """How many models are exported at a time: ``jobs``, by default one a processor."""
    return min(len(models), jobs or usable())


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


def _export_by_workers(models: Sequence[ModelFiles], jobs: int, courses: Courses) -> Iterator[str]:
    waiting, running = list(models), dict[Call, ModelFiles]()
    begun: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    died: set[tuple[str, str]] = set()
    pool = Pool(jobs, once=True)
    try:
        while waiting or running:
            while waiting and len(running) < pool.size:
                model = waiting.pop(0)
                memory = (MEMORY_MB << 20) + 8 * model.brought_bytes if model.brought else None
                running[pool.submit(_make, model, FLOOR_S, memory=memory)] = model
            for call in pool.wait():
                model, name = running[call], running[call].trained.name
                for recipe in call.heard():
                    if recipe not in model.recipes:  # none of ours says that
                        continue
                    begun[name] = recipe
                    courses.begun(recipe, name)
                    if (name, recipe) not in seen:  # a model that is begun again counts once
                        seen.add((name, recipe))
                        yield recipe
                if not call.ended:
                    continue
                del running[call]
                courses.over(name)
                if call.died is None:
                    call.result()
                    continue
                place = (name, _begun(name, begun, call.died))
                if place in died:  # what was remembered of its death does not hold in another process
                    raise InputError(
                        f"{name}/{begun[name]}: the process that makes it died of it again",
                        "its sources may have been edited meanwhile: run again",
                    )
                died.add(place)
                model.crashed(begun[name], call.died)
                waiting.insert(0, model)
    finally:
        pool.close()


def _begun(name: str, begun: dict[str, str], how: str) -> str:
    """The recipe at which the process of a model died."""
    if name not in begun:
        raise InputError(
            f"{name}: the process that was to export it died before it began ({how})",
            "see that there is memory for it, and run again",
        )
    return begun[name]


def _make(model: ModelFiles, floor_s: float) -> Iterator[str]:
    """In a worker: every recipe of one model, each said as it begins."""
    # The converters draw progress bars, whose lock would be a semaphore that only an ordinary end gives back.
    tqdm.set_lock(threading.RLock())
    with _one_thread():
        if model.brought:
            with contextlib.suppress(RefusedError):  # each file says so
                _ = model.reference  # how long its inferences take
        for recipe in model.make():
            yield recipe
            if model.brought:
                signal.setitimer(signal.ITIMER_REAL, floor_s + model.inferences_s)
