"""The pool of worker processes: what calls say and give, and that one which dies costs itself alone."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pulseproof.core import pool as pools
from pulseproof.core.errors import InputError
from pulseproof.core.pool import Call, Pool

MB = 1 << 20


def double(number: int) -> int:
    return 2 * number


def who() -> int:
    return os.getpid()


def counts(upto: int) -> Iterator[int]:
    yield from range(upto)


def waits_for(path: Path) -> str:
    while not path.exists():
        time.sleep(0.01)
    return path.read_text()


def tells_and_waits() -> Iterator[int]:
    yield os.getpid()
    time.sleep(120)


def dies(status: int) -> None:
    if status < 0:
        os.kill(os.getpid(), -status)
    os._exit(status)


def raises(what: str) -> None:
    if what == "input":
        raise InputError("m.onnx: it is \udcff no file", "bring another")
    if what == "system":
        raise OSError(errno.ENOSPC, "no space", "disk")
    if what == "memory":
        raise MemoryError
    assert what == "ours", "a defect"


def takes(megabytes: int) -> int:
    return len(bytes(megabytes * MB))


def alarms() -> Iterator[str]:
    yield "begun"
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    time.sleep(60)


def says(text: bytes, then: str) -> None:
    """Write to every pipe of this process, as code that took it over could."""
    for number in sorted(int(each.name) for each in Path("/proc/self/fd").iterdir()):
        if number < 3:
            continue
        try:
            os.write(number, text)
        except OSError:
            continue
    if then == "fork" and os.fork() == 0:
        time.sleep(60)
    if then != "end":
        time.sleep(60)
    os._exit(0)


def forks(path: Path) -> None:
    """Leave a process behind that holds all pipes open, and die."""
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    path.write_text(str(child))
    os.kill(os.getpid(), signal.SIGKILL)


def running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


def gone(pid: int, within_s: float = 5) -> bool:
    deadline = time.monotonic() + within_s
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not running(pid)


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool(2)
    yield made
    made.close()


def end_of(pool: Pool, call: Call) -> Call:
    while not call.ended:
        pool.wait()
    return call


def test_a_worker_takes_call_after_call(pool: Pool) -> None:
    assert end_of(pool, pool.submit(double, 4)).result() == 8
    first = end_of(pool, pool.submit(who)).result()
    assert end_of(pool, pool.submit(who)).result() == first != os.getpid()
    assert pool.pids == []


def test_once_is_a_process_each() -> None:
    pool = Pool(1, once=True)
    try:
        first, second = (end_of(pool, pool.submit(who)).result() for _ in range(2))
        assert first != second and gone(first) and gone(second)
    finally:
        pool.close()


def test_what_is_said_comes_while_it_works(pool: Pool) -> None:
    call, heard = pool.submit(counts, 3), []
    while not call.ended:
        assert pool.wait() == [call]
        heard += call.heard()
    assert heard == [0, 1, 2] and call.result() is None


@pytest.mark.parametrize(
    ("what", "kind", "said"),
    [
        ("input", InputError, "m.onnx: it is"),
        ("system", OSError, "no space"),
        ("memory", MemoryError, "^$"),
        ("other", RuntimeError, "AssertionError: a defect"),
    ],
)
def test_what_is_raised_is_raised_here(what: str, kind: type[Exception], said: str, pool: Pool) -> None:
    with pytest.raises(kind, match=said) as caught:
        end_of(pool, pool.submit(raises, what)).result()
    if what == "other":  # where it was
        assert "in raises" in caught.value.__notes__[0]


def test_no_more_at_a_time_than_there_are_workers(pool: Pool, tmp_path: Path) -> None:
    for _ in range(2):
        pool.submit(waits_for, tmp_path / "go")
    with pytest.raises(ValueError, match="2 calls at work already"):
        pool.submit(double, 1)


@pytest.mark.parametrize(("status", "how"), [(-signal.SIGKILL, "SIGKILL"), (3, "exit status 3"), (0, "exit status 0")])
def test_one_that_dies_costs_itself_alone(status: int, how: str, pool: Pool, tmp_path: Path) -> None:
    """The other's process is not touched: it goes on with what it is at."""
    other = pool.submit(waits_for, tmp_path / "go")
    (pid,) = pool.pids
    assert end_of(pool, pool.submit(dies, status)).died == how
    assert pool.pids == [pid] and not other.ended
    assert end_of(pool, pool.submit(double, 3)).result() == 6
    (tmp_path / "go").write_text("done")
    assert end_of(pool, other).result() == "done"
    with pytest.raises(ValueError, match="no result"):
        call = end_of(pool, pool.submit(dies, status))
        call.result()


def test_one_that_dies_while_it_has_nothing_to_do(pool: Pool) -> None:
    pid = end_of(pool, pool.submit(who)).result()
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
    assert end_of(pool, pool.submit(double, 3)).result() == 6


def test_a_stranger_s_call_is_limited(pool: Pool) -> None:
    memory = 1024 * MB
    assert end_of(pool, pool.submit(takes, 100, memory=memory)).result() == 100 * MB
    assert end_of(pool, pool.submit(takes, 2000, memory=memory)).died == "out of memory"
    alarmed = end_of(pool, pool.submit(alarms, memory=memory))
    assert alarmed.heard() == ["begun"] and alarmed.died == "out of time"
    assert end_of(pool, pool.submit(takes, 2000)).result() == 2000 * MB  # one of ours is not


def test_a_stranger_s_process_takes_what_it_started_with_it(pool: Pool, tmp_path: Path) -> None:
    """And is found to be over though that holds its pipes open."""
    call = end_of(pool, pool.submit(forks, tmp_path / "pid", memory=1024 * MB))
    assert call.died == "SIGKILL"
    assert gone(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize(
    ("text", "then"),
    [
        (b"no JSON\n", "wait"),
        (b"[" * 60_000 + b"\n", "wait"),
        (b"x" * (pools.MOST_BYTES // 2) * 2 + b"y", "wait"),
        (b"half a line", "end"),
        (b"half a line", "fork"),
        (b'"ready"\n"ready"\n', "end"),
        (b'{"input": []}\n', "wait"),
    ],
    ids=["no JSON", "deep", "endless", "half", "half, and a fork", "ready", "an error without words"],
)
def test_a_worker_that_says_what_none_of_ours_does(
    text: bytes, then: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that it says is waited for, and it is ended."""
    monkeypatch.setattr(pools, "END_S", 0.5)
    watch = threading.Timer(30, lambda: os.kill(pool.pids[0], signal.SIGKILL))
    watch.start()
    begun = time.monotonic()
    call = pool.submit(says, text, then, memory=1024 * MB)
    (pid,) = pool.pids
    while not call.ended and then != "fork":
        pool.wait()
    if then == "fork":  # it says half a line for as long as it likes: that is the matter of its time
        os.kill(pid, signal.SIGKILL)
        end_of(pool, call)
    watch.cancel()
    assert time.monotonic() - begun < 25
    assert call.died is not None
    assert gone(pid)
    assert end_of(pool, pool.submit(double, 3)).result() == 6


SCRIPT = """
import sys
from pathlib import Path
from pulseproof.core.locks import hold
from pulseproof.core.pool import Pool
from tests.core.test_pool import tells_and_waits

if __name__ == "__main__":
    with hold(Path(sys.argv[1]) / "held"):
        pool = Pool(2)
        try:
            calls = [pool.submit(tells_and_waits), pool.submit(tells_and_waits, memory=1 << 30)]
            while True:
                for call in pool.wait():
                    print(*call.heard(), flush=True)
        finally:
            pool.close()
            print("closed", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["Ctrl-C", "killed"])
def test_no_worker_outlives_its_parent(how: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    pids = [int(process.stdout.readline()) for _ in range(2)]
    assert all(map(running, pids))
    if how == "Ctrl-C":  # to all that are of the terminal
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.kill()
    out, errors = process.communicate(timeout=30)
    assert all(map(gone, pids))
    assert out == ("closed\n" if how == "Ctrl-C" else "")
    assert errors.count("Traceback") == (1 if how == "Ctrl-C" else 0)  # of the parent alone
