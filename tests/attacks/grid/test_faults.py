"""What dies while signal sets are made loses nothing: the command, a worker, the scheduler of a cluster."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pulseproof.attacks.grid.cluster import Cluster
from pulseproof.attacks.grid.pools import InProcess, Processes, parts_left, run_jobs
from pulseproof.attacks.grid.tasks import PREPARE, SetJob
from pulseproof.attacks.grid.work import SetWork
from pulseproof.core.errors import InputError
from pulseproof.core.locks import hold
from pulseproof.ecg.recordings import Recordings
from pulseproof.models.run import Trained
from tests.attacks.grid.making import dask_cluster, hashes, study

SCRIPT = """
import sys
from pathlib import Path
from pulseproof.attacks.grid.study import attack_study
from pulseproof.ecg.recordings import open_recordings
from pulseproof.models.run import train_study
from tests.attacks.grid.making import study

if __name__ == "__main__":
    home, build, workers = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    recordings = open_recordings(home / "recordings")
    attack_study(study(), recordings, train_study(study(), recordings, home), build, workers=workers)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "most"), [(0, 14), (2, 6)])
def test_killed_at_random_moments_it_ends_with_the_same_hashes(
    workers: int, most: int, home: Path, recordings: Recordings, trained: dict[str, Trained], expected: dict[str, str]
) -> None:
    script, build = home / "script.py", home / f"killed-{workers}"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(home), str(build), str(workers)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])}
    rng, kills, seen = random.Random(workers), 0, set()
    signals = build / "s" / "signals"
    while kills < most:
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        before = len(list(signals.rglob("*"))) if signals.exists() else 0
        # Not before it works (importing torch takes seconds), then at any moment.
        while process.poll() is None and (len(list(signals.rglob("*"))) if signals.exists() else 0) <= before:
            time.sleep(0.005)
        try:
            assert process.wait(rng.uniform(0, 0.15)) == 0
            break  # it came to its end before it could be killed again
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            seen.add(len(list(signals.rglob("*"))))
    assert kills == most, "it ended before it was killed so often"
    assert len(seen) > 1, "every kill came at the same moment"
    with hold(build / "s"):  # whoever works there next removes the halves of files
        assert hashes(recordings, trained, build, workers=0) == expected
    assert not (signals / "shards").exists()
    assert not list(signals.glob(".*"))


class Murderous(Processes):
    """Local workers, one of which is killed after every few tasks that it was given."""

    def __init__(self, workers: int, every: int) -> None:
        super().__init__(workers)
        self.every, self.given, self.killed = every, 0, 0

    def submit(self, job: SetJob, part: str):  # type: ignore[no-untyped-def]
        future = super().submit(job, part)
        self.given += 1
        if self.given % self.every == 0:
            os.kill(self.pool.pids[0], signal.SIGKILL)
            self.killed += 1
        return future


@pytest.mark.slow
def test_a_lost_worker_loses_nothing(
    home: Path,
    recordings: Recordings,
    trained: dict[str, Trained],
    expected: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pools: list[Murderous] = []

    def murderous(jobs: object, workers: object, scheduler: object) -> Murderous:
        pools.append(Murderous(2, 40))
        return pools[-1]

    monkeypatch.setattr("pulseproof.attacks.grid.study.open_pool", murderous)
    assert hashes(recordings, trained, home / "lost") == expected
    assert pools[0].killed >= 2


class Doomed(InProcess):
    """A pool in which every task dies with its process."""

    def lost(self, future: object) -> bool:
        return True


def test_a_task_that_always_dies_is_named(home: Path, recordings: Recordings, trained: dict[str, Trained]) -> None:
    work = SetWork(study(methods=["random-sign"]), recordings, trained, home / "doomed", None, None)
    job = work.job(work.wanted[1])
    with pytest.raises(InputError, match=r"random-sign-0.01mV, part prepare: its process died 3 times"):
        list(run_jobs([job], Doomed()))


def test_a_run_that_goes_on_does_only_what_is_left(
    home: Path, recordings: Recordings, trained: dict[str, Trained]
) -> None:
    """And says so: a progress bar counts to what there is to do."""
    work = SetWork(study(methods=["random-sign"]), recordings, trained, home / "rest", None, None)
    jobs = [work.job(want) for want in work.wanted[1:]]
    shards = len(jobs[0].shards)
    assert (len(jobs), shards) == (2, 4)
    run = run_jobs(jobs, InProcess())
    for _ in range(4):  # the preparation of the first set and three of its shards
        assert not next(run)[2]
    run.close()
    before = {path: path.stat().st_mtime_ns for path in jobs[0].folder.iterdir()}
    assert parts_left(jobs) == (1 + 1) + (1 + shards)
    events = list(run_jobs(jobs, InProcess()))
    assert len(events) == (1 + 1) + (1 + shards)
    assert [job.name for job, _, done in events if done] == [job.name for job in jobs]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert [done for _, _, done in run_jobs(jobs, InProcess())] == [True, True]  # nothing left but to say so


def when_it_works(folder: Path, then: object) -> None:
    """Call ``then`` as soon as there are some files under ``folder``."""

    def watch() -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and len(list(folder.rglob("*"))) < 20:
            time.sleep(0.02)
        then()  # type: ignore[operator]

    threading.Thread(target=watch, daemon=True).start()


@pytest.mark.slow
def test_a_lost_dask_worker_loses_nothing(
    home: Path, recordings: Recordings, trained: dict[str, Trained], expected: dict[str, str]
) -> None:
    killed = []
    with dask_cluster(home / "cluster") as dask:

        def kill() -> None:
            os.kill(dask.workers[0], signal.SIGKILL)
            killed.append(dask.workers[0])

        when_it_works(home / "dask", kill)
        assert hashes(recordings, trained, home / "dask", scheduler=dask.address) == expected
    assert killed


@pytest.mark.slow
def test_a_lost_scheduler_is_a_sentence_and_the_rest_is_made_without_it(
    home: Path, recordings: Recordings, trained: dict[str, Trained], expected: dict[str, str]
) -> None:
    with dask_cluster(home / "ended") as dask:
        when_it_works(home / "cut", dask.scheduler.kill)
        with pytest.raises(InputError, match="the connection to the scheduler was lost"):
            hashes(recordings, trained, home / "cut", scheduler=dask.address)
    assert hashes(recordings, trained, home / "cut", workers=0) == expected


@pytest.mark.slow
def test_a_scheduler_lost_at_any_step_is_the_same_sentence(
    home: Path, recordings: Recordings, trained: dict[str, Trained]
) -> None:
    """Before the result is fetched the client meets a closed connection, while it waits a cancelled future."""
    work = SetWork(study(methods=["random-sign"]), recordings, trained, home / "steps", None, None)
    job = work.job(work.wanted[1])
    with dask_cluster(home / "steps-ended") as dask:
        cluster = Cluster(dask.address, [job])
        ended = cluster.submit(job, PREPARE)
        assert cluster.wait([ended]) == [ended]
        dask.scheduler.kill()
        dask.scheduler.wait()
        try:
            for step in (
                lambda: cluster.result(ended),
                lambda: cluster.wait([cluster.submit(job, job.shards[0])]),
                lambda: cluster.wait([cluster.submit(job, job.shards[0])]),  # once more, to a client that gave up
            ):
                with pytest.raises(InputError, match="the connection to the scheduler was lost"):
                    step()
        finally:
            cluster.close()
