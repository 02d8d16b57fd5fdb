"""Many recordings read by several processes, in their order and within a bounded memory.

In come tasks, out come their results one by one, as a plain loop would give them. A few recordings are read in this
process; many by workers, a chunk at a time, and no more chunks are under way than the workers need. A loop that is left
early (an error, Ctrl-C) ends its workers.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")
FEW = 1000  # recordings: starting a worker takes as long as reading some hundred
CHUNK = 16
MOST_WORKERS = 8


def in_order(work: Callable[[T], R], tasks: Sequence[T], few: int = FEW) -> Iterator[R]:
    """``work`` of every task, in the order of ``tasks``."""
    workers = min(MOST_WORKERS, _processors())
    if len(tasks) <= few or workers < 2:
        yield from map(work, tasks)
        return
    from loky import ProcessPoolExecutor

    chunks = iter([tasks[first : first + CHUNK] for first in range(0, len(tasks), CHUNK)])
    pool = ProcessPoolExecutor(max_workers=workers, env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})
    try:
        chunk_of: Any = functools.partial(_chunk, work)
        waiting = deque(pool.submit(chunk_of, chunk) for chunk in itertools.islice(chunks, 2 * workers))
        while waiting:
            done = waiting.popleft().result()
            waiting.extend(pool.submit(chunk_of, chunk) for chunk in itertools.islice(chunks, 1))
            yield from done
    finally:
        pool.shutdown(wait=True, kill_workers=True)


def _chunk(work: Callable[[T], R], tasks: Sequence[T]) -> list[R]:
    return [work(task) for task in tasks]


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1
