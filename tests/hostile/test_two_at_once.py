"""Two runs in one build, or on the same recordings: the second waits, says for whom, and finds done what was done."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pulseproof.attacks.grid.sets import WantedSet
from pulseproof.attacks.grid.study import attack_study
from pulseproof.attacks.grid.tasks import PREPARE, SetJob, run_task
from pulseproof.attacks.grid.work import SetWork
from pulseproof.core import locks
from pulseproof.core.errors import InputError
from pulseproof.core.locks import hold
from pulseproof.ecg.recordings import open_recordings
from tests.attacks.grid.making import study
from tests.hostile.making_runs import at_work, halves, hashes, started, write_slowly, write_study
from tests.models.making import small_recordings

SECOND = """
import sys
from pathlib import Path
from pulseproof.core.locks import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """Another process that holds the folder until its standard input is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", SECOND, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def lock_of(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.lock"


def written(**holder: object) -> bytes:
    return json.dumps(
        {"machine": "another", "host": "far", "pid": 7, "command": "run", "since": "noon", **holder}
    ).encode()


# What lies in the place of the lock file, left by a run that is no more; and what is said before it is taken over.
LEFT: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda lock: None, ""),
    "an empty file": (lambda lock: lock.touch(), ""),
    "no JSON": (lambda lock: lock.write_bytes(b"\xff\0{"), ""),
    "JSON that is no object": (lambda lock: lock.write_bytes(b"[1]"), ""),
    "JSON nested without end": (lambda lock: lock.write_bytes(b"[" * 100_000), ""),
    "a killed run of this machine": (lambda lock: lock.write_bytes(written(machine=locks._machine())), ""),
    "a killed run of another machine": (lambda lock: lock.write_bytes(written()), "process 7 on far (run)"),
    "a command that a terminal obeys": (
        lambda lock: lock.write_bytes(written(command="\x1b[31m\u202e" + "x" * 1000)),
        "process 7 on far ([31m",
    ),
    "fields of other kinds": (
        lambda lock: lock.write_bytes(written(pid=[], host=None, since={})),
        "process [] on None",
    ),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_a_dead_run_left_is_taken_over(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(locks, "SILENT_S", 0.2)
    monkeypatch.setattr(locks, "LOOK_S", 0.01)
    folder = tmp_path / "study"
    leave, said = LEFT[name]
    leave(lock_of(folder))
    (folder / "models").mkdir(parents=True)
    (folder / "results").mkdir()
    half, of_device = folder / "models" / ".w.x1.partial.bin", folder / "results" / ".w.x1.partial.json"
    half.touch()
    of_device.touch()
    with hold(folder):
        assert lock_of(folder).exists()
        assert not half.exists() and of_device.exists()
    assert not lock_of(folder).exists()
    told = capfd.readouterr().err
    assert said in told and (said or not told)
    assert "\x1b" not in told and "\u202e" not in told


def test_the_second_waits_says_for_whom_and_answers_ctrl_c(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    first = holder(folder)
    second = subprocess.Popen(
        [sys.executable, "-c", SECOND, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert second.stderr is not None
    said = second.stderr.readline()
    assert f"{folder}: waiting for process {first.pid} (-c " in said, said
    second.send_signal(signal.SIGINT)
    begun = time.monotonic()
    second.communicate(timeout=60)
    assert second.returncode == -signal.SIGINT and time.monotonic() - begun < 2
    first.communicate(timeout=60)
    assert first.returncode == 0 and not lock_of(folder).exists()


@pytest.mark.parametrize("how", ["it ends", "it is killed"])
def test_then_the_second_goes_on(how: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "study"
    first = holder(folder)
    threading.Timer(0.3, first.kill if how == "it is killed" else first.stdin.close).start()  # type: ignore[union-attr]
    with hold(folder):
        assert first.wait(10) in (0, -signal.SIGKILL)
    assert f"waiting for process {first.pid} " in capfd.readouterr().err


def test_inside_a_hold_and_behind_a_link_it_is_the_same_folder(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "study")
    with hold(tmp_path / "study"):
        with hold(tmp_path / "link"):
            pass
        assert lock_of(tmp_path / "study").exists(), "the inner one let go"
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == [".study.lock"]


def test_a_machine_that_still_touches_its_file_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a network disk that does not share ``flock``; its clock is an hour behind ours."""
    monkeypatch.setattr(locks, "SILENT_S", 0.3)
    lock = lock_of(tmp_path / "study")
    lock.write_bytes(written())
    ended = threading.Event()
    begun, alive_s = time.monotonic(), 1.5

    def touch() -> None:
        while time.monotonic() - begun < alive_s:
            behind = time.time_ns() - 3600 * 10**9
            os.utime(lock, ns=(behind, behind))
            time.sleep(0.05)
        ended.set()

    threading.Thread(target=touch).start()
    with hold(tmp_path / "study"):
        assert ended.is_set(), "taken from a living one"


def test_without_flock_the_file_alone_keeps_others_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads stand for two machines: what a process knows of its own locks is taken from it."""

    def refused(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(locks.fcntl, "flock", refused)
    monkeypatch.setattr(locks, "BEAT_S", 0.05)
    monkeypatch.setattr(locks, "SILENT_S", 1.0)
    order: list[str] = []
    inside = threading.Event()

    def first() -> None:
        with hold(tmp_path / "study"):
            locks._held.clear()
            inside.set()
            time.sleep(2.5)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(10)
    with hold(tmp_path / "study"):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]
    assert not lock_of(tmp_path / "study").exists()


def test_another_users_lock_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock_of(tmp_path / "study").touch()
    opened = os.open

    def not_mine(path: os.PathLike[str], flags: int, *more: int) -> int:
        if not flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, flags, *more)

    monkeypatch.setattr(locks.os, "open", not_mine)
    with pytest.raises(InputError, match=r"\.study\.lock: another user's run works there"), hold(tmp_path / "study"):
        pass


WORKER = """
import multiprocessing, sys, time
from pathlib import Path
from pulseproof.core.locks import Heirs, begin_worker, hold

def work(locks, told):
    begin_worker(locks)
    Path(told).touch()
    time.sleep(60)

if __name__ == "__main__":
    with hold(Path(sys.argv[1])):
        multiprocessing.get_context("spawn").Process(target=work, args=(Heirs(), sys.argv[2])).start()
        time.sleep(60)
"""


def test_a_killed_runs_worker_keeps_the_lock_until_it_is_gone_which_is_soon(tmp_path: Path) -> None:
    script, folder, told = tmp_path / "script.py", tmp_path / "study", tmp_path / "told"
    script.write_text(WORKER)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen([sys.executable, script, folder, told], env=environment, start_new_session=True)
    while not told.exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert at_work(process.pid)
    with hold(folder):
        assert not at_work(process.pid)


WRITER = """
import sys
from pathlib import Path
from tests.hostile.making_runs import write_slowly
write_slowly(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
"""


def test_two_writers_of_the_same_recordings(tmp_path: Path) -> None:
    """The second used to truncate what the first had mapped, and the first died of SIGBUS without a word."""
    processes = []
    for first in (1, 1000):
        command = [sys.executable, "-c", WRITER, str(tmp_path / "recordings"), str(first), "0.01"]
        processes.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        time.sleep(0.3)
    said = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    found = open_recordings(tmp_path / "recordings").steps[:, 0, :]
    assert (found == found[:, :1]).all() and (np.diff(found[:, 0]) == 1).all(), "two runs are mixed"
    assert any("waiting for process" in each for each in said)
    assert not [path for path in (tmp_path / "recordings").iterdir() if path.name.startswith(".")]


def test_a_reader_that_was_overtaken_says_so(tmp_path: Path) -> None:
    """A worker that opens recordings which were read anew since its run began would attack others."""
    write_slowly(tmp_path / "recordings", 1, 0)
    remake, arguments = open_recordings(tmp_path / "recordings").__reduce__()  # type: ignore[misc]
    assert len(remake(*arguments)) == 60
    os.utime(tmp_path / "recordings" / "signals.npy", ns=(1, 1))
    with pytest.raises(InputError, match="was read anew meanwhile"):
        remake(*arguments)


def test_a_worker_that_a_killed_run_left_behind_spoils_no_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Dask worker outlives its run. It goes on with a set of the study as it was, beside a run of the study as it is,
    and ends just before the shards are put together."""
    recordings = small_recordings(tmp_path / "recordings")
    now = study(methods=["random-sign"], budgets_mv=[0.01])
    before = now.model_copy(update={"seed": now.seed + 1})
    quiet = attack_study(now, recordings, {}, tmp_path / "quiet", workers=0)
    left_behind = SetWork(before, recordings, {}, tmp_path / "build", None, None)
    job = left_behind.job(left_behind.wanted[1])
    assemble = SetWork.assemble

    def late(work: SetWork, want: WantedSet, of: SetJob) -> list[Path]:
        for part in (PREPARE, *job.shards):
            assert run_task(job, part) is None
        return assemble(work, want, of)

    monkeypatch.setattr(SetWork, "assemble", late)
    made = attack_study(now, recordings, {}, tmp_path / "build", workers=0)
    assert [each.sha256 for each in made.sets] == [each.sha256 for each in quiet.sets]


def both(tmp_path: Path, studies: tuple[Path, Path], starts: int, seed: int) -> None:
    """Two runs at random offsets, ``starts`` times, against one that nobody disturbed."""
    bundle = ("bundle", "--workers", "0")
    with started(tmp_path / "warm.txt", "--help") as warm:  # what is imported is imported now
        assert warm.ended() == 0, warm.text
    begun = time.monotonic()
    for asked in dict.fromkeys(studies):
        with started(
            tmp_path / "quiet.txt", *bundle, "--study", str(asked), "--build", str(tmp_path / "quiet")
        ) as quiet:
            assert quiet.ended() == 0, quiet.text
    takes_s = (time.monotonic() - begun) / len(set(studies))
    expected = hashes(tmp_path / "quiet")
    assert any(name.endswith(".npy") for name in expected)
    rng, waited = random.Random(seed), 0
    for start in range(starts):
        build = tmp_path / f"build-{start}"
        arguments = [(*bundle, "--study", str(asked), "--build", str(build)) for asked in studies]
        with started(tmp_path / "one.txt", *arguments[0]) as one:
            time.sleep(rng.uniform(0, 0.6 * takes_s))
            with started(tmp_path / "two.txt", *arguments[1]) as two:
                assert (one.ended(), two.ended()) == (0, 0), one.text + two.text
        assert hashes(build) == expected, f"start {start}"
        assert not halves(build)
        waited += "waiting for process" in one.text + two.text
    assert waited, "nobody ever waited"


@pytest.mark.slow
def test_two_runs_of_the_same_study_often(tmp_path: Path) -> None:
    both(tmp_path, (write_study(tmp_path),) * 2, 10, 1)


@pytest.mark.slow
def test_two_studies_with_the_same_recordings_often(tmp_path: Path) -> None:
    both(tmp_path, (write_study(tmp_path), write_study(tmp_path, "other")), 10, 2)
