"""Bad luck in every stage: told to end, no room, little memory, a build that moved. Resumed to equal hashes."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pulseproof.core.signals import ends_on_signals
from tests.hostile.making_runs import halves, hashes, left_of, started, write_study

# Each with the workers that it starts; the sustained part of a run on this machine is left out.
STAGES: dict[str, tuple[str, ...]] = {
    "prepare": (),
    "train": (),
    "export": (),
    "attack": ("--workers", "2"),
    "audit": (),
    "bundle": ("--workers", "0"),
    "bench": ("--workers", "0"),
}


class Building:
    """A build in which the stages are done one after the other."""

    def __init__(self, home: Path, build: Path) -> None:
        self.home, self.build = home, build
        self.study = write_study(home)

    def asked(self, stage: str) -> tuple[str, ...]:
        return stage, "--study", str(self.study), "--build", str(self.build), *STAGES[stage]

    def do(self, stage: str, expect: int = 0) -> str:
        """Do a stage; returns what it says."""
        with started(self.home / f"{stage}.txt", *self.asked(stage)) as command:
            assert command.ended() == expect, command.text
        assert "Traceback" not in command.text, command.text
        return command.text


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], dict[str, float]]:
    """The hashes of a run that nothing happens to, and how long each of its stages takes, in seconds."""
    home = tmp_path_factory.mktemp("quiet")
    building, takes_s = Building(home, home / "build"), {}
    with started(home / "warm.txt", "--help") as warm:
        assert warm.ended() == 0
    for stage in STAGES:
        begun = time.monotonic()
        building.do(stage)
        takes_s[stage] = time.monotonic() - begun
    return hashes(building.build), takes_s


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_told_to_end_at_any_moment(
    number: signal.Signals, quiet: tuple[dict[str, str], dict[str, float]], tmp_path: Path
) -> None:
    """Only the command is told, as by ``kill``: its workers and what it leaves on the disk are its own affair."""
    expected, takes_s = quiet
    building, rng, ended = Building(tmp_path, tmp_path / "build"), random.Random(int(number)), 0
    for stage in STAGES:
        for _ in range(2):
            with started(tmp_path / "said.txt", *building.asked(stage)) as command:
                command.begun()
                time.sleep(rng.uniform(0.1, 0.7) * takes_s[stage])
                if command.process.exitcode is None:
                    os.kill(command.process.pid, number)
                status = command.ended(60)
                assert status in (0, 128 + number), command.text
                if status:
                    ended += 1
                    assert "stopped; the same command goes on from here" in command.text
                    assert "Traceback" not in command.text
                assert not left_of(command.process.pid, building.build)
                assert not [each for each in halves(building.build) if each.name != "shards"]
        building.do(stage)
    assert ended >= len(STAGES), "it always came too late"
    assert hashes(building.build) == expected


STUBBORN = """
import sys, time
from pulseproof.core.signals import ends_on_signals

@ends_on_signals
def run():
    try:
        print("begun", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        time.sleep(0.5)  # what it has to put away
        print("put away", flush=True)
        sys.exit(130)

run()
"""


@pytest.mark.parametrize(
    ("numbers", "ignored", "status"),
    [
        ([signal.SIGTERM], None, 143),
        ([signal.SIGHUP], None, 129),
        ([signal.SIGINT], None, 130),
        ([signal.SIGHUP, signal.SIGHUP, signal.SIGTERM], None, 129),
        ([signal.SIGHUP, signal.SIGTERM], signal.SIGHUP, 143),  # as under nohup
    ],
    ids=lambda value: None,
)
def test_the_status_says_which_signal_it_was(
    numbers: list[signal.Signals], ignored: signal.Signals | None, status: int
) -> None:
    command = [sys.executable, "-c", STUBBORN]
    if ignored is not None:
        command = ["sh", "-c", f'trap \'\' {int(ignored)}; exec "$0" "$@"', *command]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "begun\n"
    for number in numbers:
        process.send_signal(number)
        time.sleep(0.1)
    said, errors = process.communicate(timeout=60)
    assert (process.returncode, said) == (status, "put away\n"), errors


def test_what_a_command_returns_is_let_through() -> None:
    @ends_on_signals
    def run(status: int) -> None:
        raise SystemExit(status)

    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)]
    try:
        for status in (0, 2, 130):
            with pytest.raises(SystemExit) as left:
                run(status)
            assert left.value.code == status
    finally:
        for each, action in zip((signal.SIGTERM, signal.SIGHUP), before, strict=True):
            signal.signal(each, action)


class SmallDisk:
    """A file system of its own, in memory, whose room can be set."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def leave(self, room: str = "size=64m,nr_inodes=100k") -> None:
        subprocess.run(["mount", "-o", f"remount,{room}", str(self.place)], check=True)

    def leave_bytes(self, count: int) -> None:
        found = os.statvfs(self.place)
        used = (found.f_blocks - found.f_bfree) * found.f_frsize
        self.leave(f"size={max(found.f_frsize, used + count)}")  # 0 would be as much as there is

    def leave_inodes(self, count: int) -> None:
        found = os.statvfs(self.place)
        self.leave(f"nr_inodes={found.f_files - found.f_ffree + count}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    place = tmp_path / "small"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(place)], capture_output=True, check=False
    )
    if not mounted or mounted.returncode != 0:
        pytest.skip("no file system can be mounted here (it takes root): nothing is tried without room")
    try:
        yield SmallDisk(place)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def names_what_is_full(said: str, folder: Path) -> bool:
    """Whether one sentence says that there is no room, and for which file."""
    full = [line for line in said.splitlines() if "No space left on device" in line or "MB are needed" in line]
    return len(full) == 1 and full[0].startswith("error: ") and str(folder) in full[0]


@pytest.mark.slow
@pytest.mark.parametrize("what", ["bytes", "inodes"])
def test_no_room_in_any_stage(
    what: str, quiet: tuple[dict[str, str], dict[str, float]], small_disk: SmallDisk, tmp_path: Path
) -> None:
    expected, _ = quiet
    building, rng = Building(tmp_path, small_disk.place / "build"), random.Random(what)
    for stage in STAGES:
        failed = 0
        for most in (0, 3, 24):
            small_disk.leave_inodes(rng.randint(0, most)) if what == "inodes" else small_disk.leave_bytes(
                4096 * rng.randint(0, most)
            )
            with started(tmp_path / "said.txt", *building.asked(stage)) as command:
                status = command.ended()
                small_disk.leave()
                if status == 0:  # it needed less
                    continue
                failed += 1
                assert status == 2 and names_what_is_full(command.text, building.build), command.text
                assert "Traceback" not in command.text
                assert not left_of(command.process.pid, building.build)
                assert not [each for each in halves(building.build) if each.name != "shards"]
        assert failed, f"{stage} never ran out of room"
        building.do(stage)
    assert hashes(building.build) == expected


@pytest.mark.slow
def test_no_room_for_temporary_files(
    quiet: tuple[dict[str, str], dict[str, float]], small_disk: SmallDisk, tmp_path: Path
) -> None:
    """A file whose copy found no room in the folder of temporary files is not refused for it."""
    expected, _ = quiet
    building = Building(tmp_path, tmp_path / "build")
    small_disk.leave_bytes(0)
    (small_disk.place / "filler").write_bytes(bytes(4096))
    failed = set()
    for stage in STAGES:
        with started(tmp_path / "said.txt", *building.asked(stage), temporary=small_disk.place) as command:
            if command.ended() != 0:
                failed.add(stage)
                assert command.process.exitcode == 2 and names_what_is_full(command.text, small_disk.place), (
                    command.text
                )
        building.do(stage)
    assert "export" in failed, "nothing was written there"
    assert hashes(building.build) == expected


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Building:
    home = tmp_path_factory.mktemp("done")
    building = Building(home, home / "build")
    building.do("bundle")
    return building


def made_again(text: str) -> bool:
    return any(word in text for word in ("training", "kept in", "scores within", "attacking"))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["moved", "behind a link", "in the year 2100", "before 1980"])
def test_nothing_is_made_again(how: str, done: Building, tmp_path: Path) -> None:
    """A build that was moved, is reached by another name, or was made while the clock was wrong."""
    before, build = hashes(done.build), tmp_path / "elsewhere"
    if how == "behind a link":
        build.symlink_to(shutil.copytree(done.build, tmp_path / "whole"))
    else:
        shutil.copytree(done.build, build)
    if how in ("in the year 2100", "before 1980"):
        second = 4_102_444_800 if how == "in the year 2100" else 0
        for path in build.rglob("*"):
            os.utime(path, (second, second))
    said = Building(tmp_path, build).do("bundle")
    assert not made_again(said), said
    assert hashes(build) == before


@pytest.mark.slow
def test_a_read_only_build_is_read_and_not_written(done: Building, small_disk: SmallDisk, tmp_path: Path) -> None:
    build = shutil.copytree(done.build, small_disk.place / "build")
    small_disk.leave("ro")
    building = Building(tmp_path, build)
    assert "as read before" in building.do("prepare")
    assert not made_again(building.do("bundle"))
    shutil.rmtree(tmp_path / "copy", ignore_errors=True)
    small_disk.leave("rw")
    next((build / "tiny" / "models").rglob("*.skops")).unlink()
    small_disk.leave("ro")
    said = building.do("train", expect=2)
    assert "Read-only file system" in said and str(build) in said


# The kernel's own folders of memory groups, and the file of a group that holds its limit: version 1, version 2.
GROUPS = ((Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"), (Path("/sys/fs/cgroup"), "memory.max"))


@contextlib.contextmanager
def memory_group(limit_mb: int) -> Iterator[list[str]]:
    """What to put in front of a command that shall have no more memory than that, page cache included."""
    for root, limit in GROUPS:
        group = root / f"pulseproof-{os.getpid()}-{limit_mb}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / limit).write_text(str(limit_mb << 20))
        except OSError:
            group.rmdir()
            continue
        try:
            yield ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(group)]
        finally:
            group.rmdir()
        return
    pytest.skip("no memory group can be made here")


@pytest.mark.slow
@pytest.mark.parametrize("limit_mb", [1024, 2048])
def test_in_a_small_memory_group(limit_mb: int, quiet: tuple[dict[str, str], dict[str, float]], tmp_path: Path) -> None:
    building = Building(tmp_path, tmp_path / "build")
    program = "from pulseproof.main import main; main()"
    with memory_group(limit_mb) as group:
        for stage in STAGES:
            done = subprocess.run(
                [*group, sys.executable, "-c", program, *building.asked(stage)],
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
    assert hashes(building.build) == quiet[0]
