"""Where a signal set is made changes no byte of it, and what dies on the way loses nothing."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from attacks import grid
from attacks.grid import Here, Processes, run_jobs
from attacks.run import attack_study
from attacks.tasks import Job
from core.errors import InputError
from core.study import Study
from ecg.recordings import Recordings
from models.run import Trained, train_study
from tests.models.making import small_recordings

METHODS = ["pgd", "apgd", "diverse", "random-sign", "gaussian", "universal"]


def study(**attacks: object) -> Study:
    settings = {"methods": METHODS, "budgets_mv": [0.01, 0.05], "steps": 3, "references": 16, "shard": 10}
    settings |= {"training_records": 16} | attacks
    models = {"cnn": {"epochs": 2, "batch_size": 16, "options": {"width": 4}}, "decision-tree": {}}
    content = {"name": "s", "title": "s", "data": {"source": "synthetic"}, "models": models, "attacks": settings}
    return Study.model_validate(content)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("grid")


@pytest.fixture(scope="module")
def recordings(home: Path) -> Recordings:
    return small_recordings(home / "recordings")


@pytest.fixture(scope="module")
def trained(home: Path, recordings: Recordings) -> dict[str, Trained]:
    return train_study(study(), recordings, home)


@pytest.fixture(scope="module")
def expected(home: Path, recordings: Recordings, trained: dict[str, Trained]) -> dict[str, str]:
    """The hashes that one process gives."""
    return hashes(recordings, trained, home / "one", workers=0)


def hashes(recordings: Recordings, trained: dict[str, Trained], build: Path, **where: object) -> dict[str, str]:
    made = attack_study(study(), recordings, trained, build, **where)  # type: ignore[arg-type]
    assert not made.not_applicable
    return {each.name: each.sha256 for each in made.sets}


def test_two_worker_processes_give_the_same_bytes(
    home: Path, recordings: Recordings, trained: dict[str, Trained], expected: dict[str, str]
) -> None:
    assert len(set(expected.values())) == len(expected) == 1 + 2 * (4 * 2 + 2)
    assert hashes(recordings, trained, home / "two", workers=2) == expected


@pytest.fixture(scope="module")
def cluster(home: Path) -> Iterator[str]:
    """A Dask scheduler and two workers, processes of their own, on the loopback."""
    address = home / "scheduler.json"
    common = ["--scheduler-file", str(address), "--no-dashboard"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", *common],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    ]
    while not address.exists():
        time.sleep(0.1)
        assert started[0].poll() is None, "the scheduler did not start"
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", *common, "--nthreads", "1", "--host", "127.0.0.1"]
    worker += ["--local-directory", str(home)]
    started += [
        subprocess.Popen(worker, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment) for _ in "ab"
    ]
    import json

    import distributed

    where = json.loads(address.read_text())["address"]
    with distributed.Client(where, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=120)
    yield where
    for process in reversed(started):
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same_bytes(
    home: Path, recordings: Recordings, trained: dict[str, Trained], expected: dict[str, str], cluster: str
) -> None:
    assert hashes(recordings, trained, home / "dask", scheduler=cluster) == expected


def test_a_scheduler_that_does_not_answer_is_a_sentence(
    home: Path, recordings: Recordings, trained: dict[str, Trained], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid, "CONNECT_S", 1)
    with pytest.raises(InputError, match="no Dask scheduler answers"):
        hashes(recordings, trained, home / "nowhere", scheduler="tcp://127.0.0.1:1")


SCRIPT = """
import sys
from pathlib import Path
from attacks.run import attack_study
from ecg.recordings import open_recordings
from models.run import train_study
from tests.attacks.test_grid import study

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
    assert hashes(recordings, trained, build, workers=0) == expected
    assert not (signals / "shards").exists()
    assert not list(signals.glob(".*"))


class Murderous(Processes):
    """Local workers, one of which is killed after every few tasks that it was given."""

    def __init__(self, workers: int, every: int) -> None:
        super().__init__(workers)
        self.every, self.given, self.killed = every, 0, 0

    def submit(self, job: Job, part: str):  # type: ignore[no-untyped-def]
        future = super().submit(job, part)
        self.given += 1
        if self.given % self.every == 0:
            os.kill(next(iter(self._executor._processes)), signal.SIGKILL)  # type: ignore[arg-type]
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

    monkeypatch.setattr("attacks.run.open_pool", murderous)
    assert hashes(recordings, trained, home / "lost") == expected
    assert pools[0].killed >= 2


class Doomed(Here):
    """A pool in which every task dies with its process."""

    def lost(self, future: object) -> bool:
        return True


def test_a_task_that_always_dies_is_named(home: Path, recordings: Recordings, trained: dict[str, Trained]) -> None:
    from attacks.run import _Work

    work = _Work(study(methods=["random-sign"]), recordings, trained, home / "doomed", None, None)
    job = work.job(work.wanted[1])
    with pytest.raises(InputError, match=r"random-sign-0.01mV, part prepare: its process died 3 times"):
        list(run_jobs([job], Doomed()))
