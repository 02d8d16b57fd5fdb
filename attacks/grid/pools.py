"""The grid of (source, method, budget, shard), done here, on local worker processes, or on a Dask cluster.

In: the jobs whose sets are not made yet. Out: each job as soon as all of its shards are there, in the order in which
they end. A set is prepared before its shards; different sets run side by side. What a killed run had finished is not
done again, and since every part makes the same bytes wherever it runs, nothing tells afterwards where that was.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from pulseproof.attacks.grid.cluster import Cluster
from pulseproof.attacks.grid.expected import note
from pulseproof.attacks.grid.tasks import PREPARE, NotMade, SetJob, failed, run_task, shards_left
from pulseproof.core.pool import Call
from pulseproof.core.pool import Pool as Workers
from pulseproof.core.processors import usable
from pulseproof.core.terminal.console import say
from pulseproof.core.terminal.time_left import TimeLeft

TRIES = 3  # of a task whose process dies


class GridPool(Protocol):
    """Where tasks run: at most ``size`` at a time."""

    size: int

    def submit(self, job: SetJob, part: str) -> Any:
        """Begin a task; a future."""

    def wait(self, futures: Sequence[Any]) -> list[Any]:
        """The futures that have ended, at least one."""

    def lost(self, future: Any) -> bool:
        """Whether the task was lost with its process."""

    def result(self, future: Any) -> NotMade | None:
        """What the task of a future that has ended returned; raises what it raised."""

    def close(self) -> None:
        """End everything that runs."""


def run_jobs(
    jobs: Sequence[SetJob], pool: GridPool, left_s: TimeLeft | None = None
) -> Iterator[tuple[SetJob, NotMade | None, bool]]:
    """(job, not made, done) for every part that has ended, :func:`parts_left` in all where every job can be made.
    ``done``: all of the job is there, or it cannot be made. ``left_s`` is told what each part took.

    Raises InputError for a task whose process died :data:`TRIES` times, and what a task raised.
    """
    ready: deque[tuple[SetJob, str]] = deque((job, PREPARE) for job in jobs)
    todo = {job.name: shards_left(job) for job in jobs}
    left = {name: set(shards) for name, shards in todo.items()}
    running: dict[Any, tuple[SetJob, str]] = {}
    begun: dict[tuple[str, str], float] = {}
    tries: dict[tuple[str, str], int] = {}
    given_up: set[str] = set()
    try:
        while ready or running:
            while ready and len(running) < pool.size:
                job, part = ready.popleft()
                if job.name not in given_up:
                    begun[job.name, part] = time.monotonic()
                    running[pool.submit(job, part)] = job, part
            if not running:
                continue
            for future in pool.wait(list(running)):
                job, part = running.pop(future)
                if pool.lost(future):
                    tries[job.name, part] = tries.get((job.name, part), 0) + 1
                    if tries[job.name, part] >= TRIES:
                        raise failed(job, part, TRIES)
                    say(f"attacking: the process that made {job.name} died: {_again(TRIES - tries[job.name, part])}")
                    ready.appendleft((job, part))
                    continue
                not_made = pool.result(future)
                note(left_s, job, part, time.monotonic() - begun[job.name, part], not_made is not None)
                if not_made is not None:
                    if job.name not in given_up:
                        given_up.add(job.name)
                        yield job, not_made, True
                    continue
                if part == PREPARE:
                    ready.extendleft((job, shard) for shard in reversed(todo[job.name]))
                left[job.name].discard(part)
                yield job, None, not left[job.name]
    finally:
        pool.close()


def _again(tries: int) -> str:
    return f"it is tried {'once' if tries == 1 else f'{tries} times'} more"


def parts_left(jobs: Sequence[SetJob]) -> int:
    """How many parts :func:`run_jobs` goes through: the shards that are still to be made, and each job's preparation,
    which costs nothing where it is there."""
    return sum(1 + len(shards_left(job)) for job in jobs)


class InProcess:
    """This process, one task after the other."""

    size = 1

    def submit(self, job: SetJob, part: str) -> Future[NotMade | None]:
        future: Future[NotMade | None] = Future()
        try:
            future.set_result(run_task(job, part))
        except Exception as error:
            future.set_exception(error)
        return future

    def wait(self, futures: Sequence[Future[NotMade | None]]) -> list[Future[NotMade | None]]:
        return list(futures)

    def lost(self, future: Future[NotMade | None]) -> bool:
        return False

    def result(self, future: Future[NotMade | None]) -> NotMade | None:
        return future.result()

    def close(self) -> None:
        pass


class Processes:
    """Local worker processes (:mod:`core.pool`)."""

    def __init__(self, workers: int) -> None:
        self.size = workers
        self.pool = Workers(workers)

    def submit(self, job: SetJob, part: str) -> Call:
        return self.pool.submit(run_task, job, part)

    def wait(self, futures: Sequence[Call]) -> list[Call]:
        ended: list[Call] = []
        while not ended:
            ended = [call for call in self.pool.wait() if call.ended]
        return ended

    def lost(self, future: Call) -> bool:
        return future.died is not None

    def result(self, future: Call) -> NotMade | None:
        reason: NotMade | None = future.result()
        return reason

    def close(self) -> None:
        self.pool.close()


def open_pool(jobs: Sequence[SetJob], workers: int | None, scheduler: str | None) -> GridPool:
    """The pool that was asked for: a cluster by its address; else ``workers`` processes, 0 for none but this; by
    default as many as there are processors for this process."""
    if scheduler is not None:
        return Cluster(scheduler, jobs)
    workers = usable() if workers is None else workers
    return InProcess() if workers < 1 else Processes(workers)
