"""Many recordings read by several processes, in their order and within a bounded memory.

In come tasks, out come their results one by one, as a plain loop would give them. A few recordings are read in this
process; many by workers of :mod:`core.pool`, a chunk at a time, and no more chunks are under way than there are
workers. Samples come back in a file of bytes, the rest as JSON. A worker that dies of a file costs that recording
alone: its chunk is read again one by one, and the one that it dies of is a bad row. A loop that is left early ends its
workers. With a folder to keep them in, chunks that were read stay there until the loop has ended: a reading that was
killed goes on behind them.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pulseproof.core.pool import Call, Pool
from pulseproof.ecg.tables.one import Goal, Made, TableTask, make
from pulseproof.runtime.files import read_json, write_json

FEW = 1000  # recordings: starting a worker takes as long as reading some hundred
CHUNK = 16
MOST_WORKERS = 8
AHEAD = 3  # chunks a worker that are read and not yet taken


def in_order(
    tasks: Sequence[TableTask], goal: Goal, few: int = FEW, *, keep: Path | None = None
) -> Iterator[Made | str]:
    """What :func:`ecg.tables.one.make` says of every task, in their order. ``keep``: a folder for what was read, where
    there are more than ``few``; what is in it of an earlier call for the same is taken and not read again, and whoever
    has taken all removes it."""
    if len(tasks) <= few:
        yield from (make(task, goal) for task in tasks)
        return
    workers = min(MOST_WORKERS, _processors())
    pool = Pool(workers)
    try:
        with contextlib.ExitStack() as opened:
            folder = keep or Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="pulseproof-")))
            folder.mkdir(parents=True, exist_ok=True)
            yield from _shared_out(pool, tasks, goal, folder, workers, keep is not None)
    finally:
        pool.close()


def count_kept(keep: Path) -> int:
    """How many recordings an earlier call left in that folder."""
    return CHUNK * sum(1 for _ in keep.glob("*.json"))


def _shared_out(
    pool: Pool, tasks: Sequence[TableTask], goal: Goal, folder: Path, workers: int, kept: bool
) -> Iterator[Made | str]:
    chunks = {place: tasks[first : first + CHUNK] for place, first in enumerate(range(0, len(tasks), CHUNK))}
    waiting = deque(chunks)
    running: dict[int, Call] = {}
    ready: dict[int, list[Made | str]] = {}
    following = 0
    while following < len(chunks):
        while waiting and len(running) < workers and waiting[0] < following + AHEAD * workers:
            place = waiting.popleft()
            before = _read_before(folder / str(place), chunks[place], goal) if kept else None
            if before is not None:
                ready[place] = _taken(before, chunks[place], folder / str(place), kept)
                continue
            running[place] = pool.submit(_chunk, goal, chunks[place], str(folder / str(place)))
        if running:
            pool.wait()
        for place in [place for place, call in running.items() if call.ended]:
            call = running.pop(place)
            path = folder / str(place)
            if call.died:
                ready[place] = _one_by_one(goal, chunks[place], path)
                continue
            if kept:  # the mark that the samples beside it are whole
                write_json(_mark(path), {"of": _name(chunks[place], goal), "told": call.result()})
            ready[place] = _taken(call.result(), chunks[place], path, kept)
        while following in ready:
            yield from ready.pop(following)
            following += 1


def _mark(path: Path) -> Path:
    return path.with_suffix(".json")


def _name(tasks: Sequence[TableTask], goal: Goal) -> str:
    """By what a chunk is known: all that decides what is read, but the bytes of the files."""
    return hashlib.sha256(repr((list(tasks), goal)).encode()).hexdigest()


def _read_before(path: Path, tasks: Sequence[TableTask], goal: Goal) -> list[dict[str, Any]] | None:
    """What is known of a chunk that an earlier call read whole; None where it did not."""
    try:
        mark = read_json(_mark(path))
        told: list[dict[str, Any]] = mark["told"]
        samples = sum(math.prod(each["shape"]) for each in told if "bad" not in each)
        whole = mark["of"] == _name(tasks, goal) and path.stat().st_size == 2 * samples and len(told) == len(tasks)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return told if whole else None


def _chunk(goal: Goal, tasks: Sequence[TableTask], path: str) -> list[dict[str, Any]]:
    """In a worker: the recordings of these tasks, samples to ``path``, what is known of each as JSON holds it."""
    told: list[dict[str, Any]] = []
    with Path(path).open("wb") as file:
        for task in tasks:
            made = make(task, goal)
            if isinstance(made, str):
                told.append({"bad": made[:500]})
                continue
            file.write(made.steps.tobytes())
            told.append(
                {
                    "shape": list(made.steps.shape),
                    "fs_hz": made.fs_hz,
                    "seconds": made.seconds,
                    "flat": made.flat,
                    "assumed": made.assumed,
                    "padded": made.padded,
                    "cut": made.cut,
                    "digest": made.digest.hex(),
                }
            )
    return told


def _taken(told: list[dict[str, Any]], tasks: Sequence[TableTask], path: Path, kept: bool = False) -> list[Made | str]:
    """What a worker gave. ``kept``: its file stays."""
    raw = np.fromfile(path, np.int16)
    if not kept:
        path.unlink()
    results: list[Made | str] = []
    first = 0
    for task, each in zip(tasks, told, strict=True):
        if "bad" in each:
            results.append(str(each["bad"]))
            continue
        leads, samples = each["shape"]
        steps = raw[first : first + leads * samples].reshape(leads, samples)
        first += leads * samples
        results.append(
            Made(
                row=task.row,
                steps=steps,
                fs_hz=each["fs_hz"],
                seconds=each["seconds"],
                flat=each["flat"],
                assumed=each["assumed"],
                padded=each["padded"],
                cut=each["cut"],
                digest=bytes.fromhex(each["digest"]),
            )
        )
    return results


def _one_by_one(goal: Goal, tasks: Sequence[TableTask], path: Path) -> list[Made | str]:
    """The recordings of a chunk whose worker died, each in a process of its own."""
    results: list[Made | str] = []
    alone = Pool(1, once=True)
    try:
        for task in tasks:
            call = alone.submit(_chunk, goal, [task], str(path))
            while not call.ended:
                alone.wait()
            if call.died:
                results.append(f"reading it ended its process ({call.died})")
            else:
                results += _taken(call.result(), [task], path)
    finally:
        alone.close()
    return results


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1
