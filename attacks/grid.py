"""The grid of (source, method, budget, shard), done here, on local worker processes, or on a Dask cluster.

In: the jobs whose sets are not made yet. Out: each job as soon as all of its shards are there, in the order in which
they end. A set is prepared before its shards; different sets run side by side. What a killed run had finished is not
done again, and since every part makes the same bytes wherever it runs, nothing tells afterwards where that was.
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol

from attacks.tasks import PREPARE, Job, check_worker, failed, run_task
from core.errors import InputError

TRIES = 3  # of a task whose process dies
CONNECT_S = 30


class Pool(Protocol):
    """Where tasks run: at most ``size`` at a time."""

    size: int

    def submit(self, job: Job, part: str) -> Any:
        """Begin a task; a future."""

    def wait(self, futures: Sequence[Any]) -> list[Any]:
        """The futures that have ended, at least one."""

    def lost(self, future: Any) -> bool:
        """Whether the task was lost with its process. Then the pool is ready for others again."""

    def close(self) -> None:
        """End everything that runs."""


def run_jobs(jobs: Sequence[Job], pool: Pool) -> Iterator[tuple[Job, str | None, bool]]:
    """(job, reason, done) for every part that has ended. ``done``: all of the job is there, or it cannot be made, for
    ``reason``.

    Raises InputError for a task whose process died :data:`TRIES` times, and what a task raised.
    """
    ready: deque[tuple[Job, str]] = deque((job, PREPARE) for job in jobs)
    left = {job.name: set(job.shards) for job in jobs}
    running: dict[Any, tuple[Job, str]] = {}
    tries: dict[tuple[str, str], int] = {}
    given_up: set[str] = set()
    try:
        while ready or running:
            while ready and len(running) < pool.size:
                job, part = ready.popleft()
                if job.name not in given_up:
                    running[pool.submit(job, part)] = job, part
            if not running:
                continue
            for future in pool.wait(list(running)):
                job, part = running.pop(future)
                if pool.lost(future):
                    tries[job.name, part] = tries.get((job.name, part), 0) + 1
                    if tries[job.name, part] >= TRIES:
                        raise failed(job, part, TRIES)
                    ready.appendleft((job, part))
                    continue
                reason = future.result()
                if reason is not None:
                    if job.name not in given_up:
                        given_up.add(job.name)
                        yield job, reason, True
                    continue
                if part == PREPARE:
                    ready.extendleft((job, shard) for shard in reversed(job.shards))
                left[job.name].discard(part)
                yield job, None, part != PREPARE and not left[job.name]
    finally:
        pool.close()


class Here:
    """This process, one task after the other."""

    size = 1

    def submit(self, job: Job, part: str) -> Future[str | None]:
        future: Future[str | None] = Future()
        try:
            future.set_result(run_task(job, part))
        except Exception as error:
            future.set_exception(error)
        return future

    def wait(self, futures: Sequence[Future[str | None]]) -> list[Future[str | None]]:
        return list(futures)

    def lost(self, future: Future[str | None]) -> bool:
        return False

    def close(self) -> None:
        pass


class Processes:
    """Local worker processes. They are spawned, not forked: torch's threads do not survive a fork."""

    def __init__(self, workers: int) -> None:
        self.size = workers
        self._executor = self._start()

    def _start(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.size, context, initializer=_follow_parent, initargs=(os.getpid(),))

    def submit(self, job: Job, part: str) -> Future[str | None]:
        try:
            return self._executor.submit(run_task, job, part)
        except BrokenProcessPool:  # one died just now, and a future that ran there will say so
            self._executor = self._start()
            return self._executor.submit(run_task, job, part)

    def wait(self, futures: Sequence[Future[str | None]]) -> list[Future[str | None]]:
        return list(concurrent.futures.wait(futures, return_when=concurrent.futures.FIRST_COMPLETED).done)

    def lost(self, future: Future[str | None]) -> bool:
        return isinstance(future.exception(), BrokenProcessPool)

    def close(self) -> None:
        processes = list((self._executor._processes or {}).values())
        self._executor.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()


def _follow_parent(parent: int) -> None:
    """A worker whose parent was killed ends too: nobody would ever fetch what it makes."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class Cluster:
    """A Dask cluster. Its workers must have Pulseproof installed and see the same build folder, under the same path."""

    def __init__(self, address: str, jobs: Sequence[Job]) -> None:
        import distributed

        try:
            self._client: Any = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise InputError(
                f"--scheduler {address}: no Dask scheduler answers there ({type(error).__name__})",
                "start one (dask scheduler), and workers (dask worker --nthreads 1 ADDRESS)",
            ) from None
        try:
            self._check(address, jobs)
        except BaseException:
            self._client.close()
            raise
        self.size = 2 * sum(each["nthreads"] for each in self._client.scheduler_info(n_workers=-1)["workers"].values())

    def _check(self, address: str, jobs: Sequence[Job]) -> None:
        folder = jobs[0].folder.parent
        folder.mkdir(parents=True, exist_ok=True)
        token = folder / f".{uuid.uuid4().hex}.token"
        token.touch()
        try:
            answers = self._client.run(check_worker, token, on_error="return")
        finally:
            token.unlink()
        if not answers:
            raise InputError(f"--scheduler {address}: it has no workers", "dask worker --nthreads 1 ADDRESS")
        for worker, answer in answers.items():
            if answer is not None:
                raise InputError(
                    f"--scheduler {address}: worker {worker} cannot be used: {answer}",
                    "install the same Pulseproof there, and give it the build folder under the same path",
                )

    def submit(self, job: Job, part: str) -> Any:
        return self._client.submit(run_task, job, part, pure=False)

    def wait(self, futures: Sequence[Any]) -> list[Any]:
        import distributed

        with self._client.as_current():
            return list(distributed.wait(futures, return_when="FIRST_COMPLETED").done)

    def lost(self, future: Any) -> bool:
        import distributed

        return isinstance(future.exception(), distributed.KilledWorker)

    def close(self) -> None:
        self._client.close()


def open_pool(jobs: Sequence[Job], workers: int | None, scheduler: str | None) -> Pool:
    """The pool that was asked for: a cluster by its address; else ``workers`` processes, 0 for none but this; by
    default as many as there are processors."""
    if scheduler is not None:
        return Cluster(scheduler, jobs)
    workers = (os.cpu_count() or 1) if workers is None else workers
    return Here() if workers < 1 else Processes(workers)
