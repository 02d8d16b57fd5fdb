"""The door of results that come home, by hand or over ssh: what is stale, damaged or of other bytes is said by name and
never takes the place of a good one; whoever is killed or looks meanwhile finds the old result, none, or the new one."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulseproof.bench.devices import arrivals
from pulseproof.bench.devices.arrivals import accept, waiting_room
from pulseproof.bench.devices.asked import Asked
from pulseproof.bench.devices.carried import take
from pulseproof.bench.devices.connection import Connection
from pulseproof.bench.devices.run import Session, fetch
from pulseproof.bench.devices.spec import at_address
from pulseproof.bench.timings import read_times
from pulseproof.bench.wire.results import read_bundle, read_device
from pulseproof.core.errors import InputError
from pulseproof.runtime.files import sha256_file
from tests.bench.making import change_json
from tests.bench.test_results import npy
from tests.hostile.bundle.test_results_at_home import header
from tests.hostile.making import copied, expect_sentence, make_home, make_results, packed, rewrite, tree

N, CLASSES = 24, 3
ONE = "one__onnx-fp32/clean"


@dataclass(frozen=True)
class Board:
    """What a device called pi4 has: all results, of which :data:`ONE` is the one that a case changes."""

    folder: Path

    @property
    def json(self) -> Path:
        return self.folder / f"{ONE}.json"

    @property
    def npy(self) -> Path:
        return self.folder / f"{ONE}.npy"

    @property
    def times(self) -> Path:
        return self.folder / "one__onnx-fp32/_clean.times.npy"

    @property
    def device(self) -> Path:
        return self.folder / "device.json"

    def put(self, data: bytes) -> None:
        """Other scores, which the result names by their hash."""
        self.npy.write_bytes(data)
        change_json(self.json, scores__sha256=sha256_file(self.npy))

    def put_times(self, data: bytes) -> None:
        self.times.write_bytes(data)
        change_json(self.json, times__sha256=sha256_file(self.times))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with earlier results of the device, and below ``board`` what it has now."""
    home = make_home(tmp_path_factory.mktemp("whole") / "tiny")
    make_results(home / "bundle", home / "results" / "pi4", seed=1)
    make_results(home / "bundle", home / "board" / "pi4", seed=2)
    return home


@pytest.fixture
def home(whole: Path, tmp_path: Path) -> Path:
    return copied(whole, tmp_path / "tiny")


def scores(value: float = 0.0, **shape: int) -> bytes:
    return npy(np.full((shape.get("n", N), shape.get("classes", CLASSES)), value, np.float32))


def another_artifact(board: Board) -> None:
    """Results of an artifact that the bundle has not."""
    board.json.parent.rename(board.folder / "gru__onnx-fp32")
    for path in board.folder.glob("gru__onnx-fp32/*.json"):
        change_json(path, artifact__name="gru/onnx-fp32")


def another_set(board: Board) -> None:
    board.npy.rename(board.npy.with_name("square-0.5mV.npy"))
    board.json.rename(board.json.with_name("square-0.5mV.json"))
    change_json(
        board.json.with_name("square-0.5mV.json"), signals__name="square-0.5mV", scores__file="square-0.5mV.npy"
    )


ASKED = {"adc_step_mv": 0.005}
# What comes, and what is said of it. The others that come with it take their places.
LEFT_OUT: dict[str, tuple[Callable[[Board], object], str]] = {
    "another artifact's bytes": (
        lambda b: change_json(b.json, artifact__sha256="0" * 64),
        "one/onnx-fp32 on clean is left out: measured on another version of the artifact",
    ),
    "another signal set's bytes": (
        lambda b: change_json(b.json, signals__sha256="0" * 64),
        "one/onnx-fp32 on clean is left out: measured on another version of the signal set",
    ),
    "another study": (lambda b: change_json(b.json, study="other"), "measured for the study other"),
    "another recorder step": (lambda b: change_json(b.json, asked={"adc_step_mv": 0.1}), "with another recorder step"),
    "another time": (lambda b: change_json(b.json, asked={**ASKED, "min_runs": 2}), "another time or number of runs"),
    "more threads": (lambda b: change_json(b.json, engine__threads=4), "with another number of threads"),
    "more recordings than there are": (
        lambda b: (change_json(b.json, n=N + 1), b.put(scores(n=N - 1))),
        "on more recordings than there are",
    ),
    "another version of the engine": (
        lambda b: change_json(b.json, engine__version="1.2.3"),
        "measured with onnxruntime 1.2.3, most of this device with 1.31.1",
    ),
    "another processor": (
        lambda b: change_json(b.json, device__fingerprint={"machine": "armv7l", "cpu": "A7"}),
        "measured with processor armv7l A7, most of this device with aarch64 A72",
    ),
    "NaN": (lambda b: b.put(scores(float("nan"))), "its scores are NaN in 24 of 24 recordings"),
    "infinite": (lambda b: b.put(scores(float("inf"))), "its scores are infinite in 24 of 24 recordings"),
    "an artifact that is not asked for": (another_artifact, "gru__onnx-fp32/clean.json is left out: the bundle has no"),
    "a signal set that is not asked for": (another_set, "one__onnx-fp32/square-0.5mV.npy is left out: the bundle has"),
    "a foreign array": (
        lambda b: (b.json.unlink(), b.npy.rename(b.npy.with_name("foreign.npy"))),
        "one__onnx-fp32/foreign.npy is left out: the bundle has no such result",
    ),
    "times of no result": (lambda b: (b.json.unlink(), b.npy.unlink()), ""),
    "scores of no result": (lambda b: b.json.unlink(), ""),
}


@pytest.mark.parametrize("what", LEFT_OUT)
def test_what_does_not_belong_is_left_out_and_what_was_good_stays(what: str, home: Path) -> None:
    change, said = LEFT_OUT[what]
    before, board = tree(home / "results/pi4"), Board(home / "board/pi4")
    change(board)
    device, arrived = take(home / "bundle", packed(board.folder), home / "results")
    lines = arrived.lines()
    for line in lines:
        expect_sentence(line)
    assert said in "\n".join(lines)
    assert device == "pi4" and 4 <= len(arrived.results) < 8
    after, sent = tree(home / "results/pi4"), tree(board.folder)
    assert set(after) == set(before)  # nothing foreign
    for name in (f"{ONE}.json", f"{ONE}.npy", "one__onnx-fp32/_clean.times.npy"):
        assert after[name] == before[name]
    for artifact, signals in arrived.results:
        for end in (".json", ".npy"):
            name = f"{artifact.replace('/', '__')}/{signals}{end}"
            assert after[name] == sent[name] != before[name]
    assert len(read_device(read_bundle(home / "bundle"), home / "results/pi4").results) == 8
    assert not list((home / "incoming").iterdir())


def lying(device: str) -> Callable[[Board], object]:
    return lambda board: change_json(board.device, name=device)


def another_device(board: Board) -> None:
    change_json(board.json, device={"name": "pi5", "evidence": "measured-on-device"})


def all_on_the_host(board: Board) -> None:
    for path in board.folder.glob("*/*.json"):
        change_json(path, device__evidence="measured-on-host")


# What comes, and what is said; nothing of it is taken.
REFUSED: dict[str, tuple[Callable[[Board], object], str]] = {
    "half of a JSON": (lambda b: b.json.write_text(b.json.read_text()[:200]), f"{ONE}.json: file: Invalid JSON"),
    "no JSON at all": (lambda b: b.json.write_bytes(b"\xff" * 100), f"{ONE}.json: "),
    "an empty object": (lambda b: b.json.write_text("{}"), f"{ONE}.json: format: Field required"),
    "a latency that is NaN": (lambda b: change_json(b.json, latency_ms__p50=float("nan")), "latency_ms.p50"),
    "nested 33 deep": (
        lambda b: b.json.write_text('{"x": ' + "[" * 32 + "]" * 32 + "}"),
        f"{ONE}.json: not readable as JSON: nested more than 32 deep",
    ),
    "a number of 5,000 digits": (lambda b: b.json.write_text(f'{{"n": {"9" * 5000}}}'), "of more than 400 digits"),
    "a JSON of 2 MB": (lambda b: b.json.write_bytes(b" " * (2 << 20)), f"{ONE}.json: 2,097,152 bytes, at most 1,0"),
    "other scores": (lambda b: b.npy.write_bytes(scores(1.0)), "not the bytes that clean.json names"),
    "scores of another set": (
        lambda b: change_json(b.json, scores={"file": "pgd-0.01mV.npy", "sha256": sha256_file(b.npy)}),
        "names the scores pgd-0.01mV.npy, not clean.npy",
    ),
    "no scores": (lambda b: b.npy.unlink(), f"{ONE}.npy: missing"),
    "a recording less": (lambda b: b.put(scores(n=N - 1)), "float32 (23, 3), not float (24, 3)"),
    "a class more": (lambda b: b.put(scores(classes=4)), "float32 (24, 4), not float (24, 3)"),
    "a boolean in the shape": (lambda b: b.put(header("'<f4'", "(True, 3)", bytes(12))), "a shape that no array has"),
    "objects": (lambda b: b.put(npy(np.full((N, CLASSES), None))), "never unpickled"),
    "a million recordings": (lambda b: b.put(scores(n=1_000_000)), "12,000,128 bytes, at most 4,672 can be right"),
    "no times": (lambda b: b.times.unlink(), "_clean.times.npy: missing, but clean.json names it"),
    "other times": (lambda b: b.times.write_bytes(npy(np.zeros(200, np.int64))), "not the bytes that its result names"),
    "times below 0": (lambda b: b.put_times(npy(np.full(200, -1))), "not the int64 (200,) of its result"),
    "times of ten calls": (lambda b: b.put_times(npy(np.ones(10, np.int64))), "not the int64 (200,) of its result"),
    "another device's result": (another_device, "device pi5, but lies in another's place"),
    "another evidence": (
        lambda b: change_json(b.json, device__evidence="measured-on-host"),
        "but other results of pi4 say",
    ),
    "another evidence than at home": (all_on_the_host, "other results of pi4 say 'measured-on-device'"),
    "no device.json": (lambda b: b.device.unlink(), "it has no device.json"),
    "device.json is a list": (lambda b: b.device.write_text("[]"), "device.json: the file is not an object"),
    "device.json 5,000 deep": (lambda b: b.device.write_text("[" * 5000), "device.json: not readable as JSON"),
    "a device that is a path": (lying("../x"), "device.json: name: '../x' is not allowed there"),
    "a device that a terminal obeys": (lying("\x1b[2J\u202e"), "device.json: name: '"),
    "a device called as this machine": (lying("host"), "a device cannot be called 'host', as this machine is"),
    "a device called as an emulated core": (lying("emulated-cortex-a72"), "cannot be called 'emulated-cortex-a72'"),
    "a device of another name than its results": (lying("other"), "lies in another's place"),
    "a course that is none": (
        lambda b: (b.folder / "one__onnx-fp32/_sustained.json").write_text("[1]"),
        "_sustained.json: file: Input should be an object",
    ),
    "a text file": (lambda b: (b.folder / "notes.txt").write_text("mine"), "'notes.txt' is not a name that may come"),
    "a program": (lambda b: (b.folder / "one__onnx-fp32/x.py").write_text("1"), "x.py' is not a name that may come"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_damaged_is_refused_whole(what: str, home: Path) -> None:
    change, said = REFUSED[what]
    board = Board(home / "board/pi4")
    change(board)
    path = packed(board.folder)
    before = tree(home)
    with pytest.raises(InputError) as refused:
        take(home / "bundle", path, home / "results")
    expect_sentence(refused.value.what)
    assert said in refused.value.what and refused.value.what.startswith(f"{path}: ")
    assert "incoming" not in refused.value.what
    assert tree(home) == before
    assert not list((home / "incoming").iterdir())


def test_nothing_of_this_bundle(home: Path) -> None:
    for path in (home / "board/pi4").glob("*/*.json"):
        change_json(path, study="another")
    shutil.rmtree(home / "results")
    with pytest.raises(InputError, match=r"no results of this study's bundle \(measured for the study another\)"):
        take(home / "bundle", packed(home / "board/pi4"), home / "results")
    assert not (home / "results").exists()


def test_a_damaged_result_at_home_makes_room_for_a_good_one(home: Path) -> None:
    at_home, board = Board(home / "results/pi4"), Board(home / "board/pi4")
    at_home.json.write_text("{")
    take(home / "bundle", packed(board.folder), home / "results")
    assert at_home.json.read_bytes() == board.json.read_bytes()


def test_no_room(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil._ntuple_diskusage(10**9, 10**9, 100)  # type: ignore[attr-defined]
    path, before = packed(home / "board/pi4"), tree(home / "results")
    monkeypatch.setattr("pulseproof.runtime.wire.stream.shutil.disk_usage", lambda _: usage)
    with pytest.raises(InputError, match="bytes are to come, at most 100 can be taken"):
        take(home / "bundle", path, home / "results")
    assert tree(home / "results") == before


def here(folder: Path) -> Connection:
    """A connection to this machine: its ssh runs what it is given here, in a shell."""
    ssh = folder / "ssh"
    ssh.write_text('#!/bin/sh\nfor last; do :; done\nexec sh -c "$last"\n')
    ssh.chmod(0o755)
    device = at_address("me@pi4", Asked(), (str(ssh),))
    return Connection(device.model_copy(update={"python": sys.executable, "folder": str(folder)}), print)


def test_what_is_fetched_passes_the_same_checks_and_no_more_is_sent(home: Path, tmp_path: Path) -> None:
    """A stale result, and 1.5 GB of something else on the device: a file of zeros that takes no room there."""
    board = Board(copied(home / "board/pi4", tmp_path / "there/tiny/results"))
    copied(home / "bundle", tmp_path / "there/tiny/bundle")
    change_json(board.json, artifact__sha256="0" * 64)
    with (board.folder / "one__onnx-fp32/foreign.npy").open("wb") as file:
        file.truncate(1_500_000_000)
    before, said = tree(home / "results/pi4"), list[str]()
    session = Session(here(tmp_path / "there"), home / "bundle", home / "results")
    begun = time.monotonic()
    assert fetch(session, said.append) == 7 * 2 + 3  # of 7 results, of which 3 were timed
    assert time.monotonic() - begun < 60
    assert said == ["one/onnx-fp32 on clean is left out: measured on another version of the artifact"]
    after = tree(home / "results/pi4")
    assert set(after) == set(before) and after[f"{ONE}.json"] == before[f"{ONE}.json"]
    assert after[f"{ONE}.npy"] == before[f"{ONE}.npy"]
    board.json.write_text("{")
    now = tree(home / "results")
    with pytest.raises(InputError, match=r"pi4: .*one__onnx-fp32/clean.json: file: Invalid JSON"):
        fetch(session, said.append)
    assert tree(home / "results") == now


# While somebody looks, is killed, or does the same.


def mixtures(home: Path, known: tuple[Path, ...]) -> list[str]:
    """Results that are valid and none of the known ones; reading raises for one that is broken."""
    bundle = read_bundle(home / "bundle")
    found = read_device(bundle, home / "results/pi4")
    wrong = [f"{each.path}: {each.reason}" for each in found.stale]
    for (artifact, signals), each in found.results.items():
        place = f"{artifact.replace('/', '__')}/{signals}.npy"
        assert each.scores is not None
        if not any(np.array_equal(each.scores, np.load(one / place)) for one in known):
            wrong.append(place)
    return wrong


def again_and_again(home: Path, archives: list[Path]) -> None:
    while True:
        for path in archives:
            take(home / "bundle", path, home / "results")


@pytest.mark.slow
def test_killed_at_any_moment(home: Path) -> None:
    """Twenty times: what is there is the old result, none or the new one; and nothing is left by the next command."""
    make_results(home / "bundle", home / "other" / "pi4", seed=3)
    known = (home / "board/pi4", home / "other/pi4", copied(home / "results/pi4", home / "first/pi4"))
    archives = [packed(known[0]), packed(known[1])]
    rng, context = random.Random(7), multiprocessing.get_context("fork")
    left = 0
    for _ in range(20):
        child = context.Process(target=again_and_again, args=(home, archives))
        child.start()
        time.sleep(rng.uniform(0.05, 0.5))
        os.kill(child.pid or 0, signal.SIGKILL)
        child.join()
        left += any((home / "incoming").iterdir())
        assert mixtures(home, known) == []
    assert left  # the case was met
    take(home / "bundle", archives[0], home / "results")
    assert not list((home / "incoming").iterdir())
    assert len(read_device(read_bundle(home / "bundle"), home / "results/pi4").results) == 8
    assert {path.name[0] for path in (home / "results/pi4").rglob("*.npy")} <= {"c", "p", "_"}  # no half files


@pytest.mark.slow
def test_a_reader_and_another_writer_meanwhile(home: Path) -> None:
    make_results(home / "bundle", home / "other" / "pi4", seed=3)
    known = (home / "board/pi4", home / "other/pi4", copied(home / "results/pi4", home / "first/pi4"))
    archives = [packed(known[0]), packed(known[1])]
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=again_and_again, args=(home, archives[:: 1 - 2 * turn])) for turn in (0, 1)]
    for each in writers:
        each.start()
    try:
        until = time.monotonic() + 8
        while time.monotonic() < until:
            assert mixtures(home, known) == []
        assert all(each.is_alive() for each in writers)
    finally:
        for each in writers:
            each.kill()
            each.join()


def test_between_two_renames(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut after each single step of a swap: the result is the old one, none, or the new one."""
    bundle, board = read_bundle(home / "bundle"), Board(home / "board/pi4")
    steps = 0

    class CutError(Exception):
        pass

    for most in range(40):
        copied(home / "results/pi4", home / "now/pi4")
        came, done = copied(board.folder, home / "came/pi4"), 0

        def counted(step: Callable[..., Any], most: int = most) -> Callable[..., Any]:
            def cut(*arguments: Any, **named: Any) -> Any:
                nonlocal done
                if done >= most:
                    raise CutError
                done += 1
                return step(*arguments, **named)

            return cut

        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", counted(Path.replace))
            patched.setattr(Path, "unlink", counted(Path.unlink))
            try:
                accept(bundle, came, home / "now")
            except CutError:
                steps += 1
            else:
                break
        found = read_device(bundle, home / "now/pi4").results
        assert 7 <= len(found) <= 8
        for (artifact, signals), each in found.items():
            place = f"{artifact.replace('/', '__')}/{signals}"
            assert any(
                np.array_equal(each.scores, np.load(one / f"{place}.npy"))  # type: ignore[arg-type]
                for one in (home / "results/pi4", board.folder)
            )
            read_times(each.result, home / "now/pi4" / artifact.replace("/", "__"))
    assert steps > 30


def test_a_room_of_its_own(tmp_path: Path) -> None:
    """Of a command that was killed the folder goes; that of one that runs stays."""
    (tmp_path / "incoming/.old").mkdir(parents=True)
    (tmp_path / "incoming/pi4").mkdir()
    with waiting_room(tmp_path / "bundle") as one, waiting_room(tmp_path / "bundle") as other:
        assert sorted((tmp_path / "incoming").iterdir()) == sorted((one, other))
    assert not list((tmp_path / "incoming").iterdir())


def test_a_disk_without_locks(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a network disk says it of a folder that is open to read."""

    def flock(handle: int, how: int) -> None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    monkeypatch.setattr("fcntl.flock", flock)
    assert len(take(home / "bundle", packed(home / "board/pi4"), home / "results")[1].results) == 8
    assert not list((home / "incoming").iterdir())


def test_many_are_counted_and_the_first_are_named() -> None:
    lines = arrivals.Arrived((), 0, tuple((f"r{number}", "stale") for number in range(1000))).lines()
    assert (len(lines), lines[0], lines[-1]) == (11, "r0 is left out: stale", "and 990 more are left out")


def test_a_list_that_names_more_than_there_is_room_for_in_a_result(home: Path) -> None:
    """Before a byte of it is unpacked."""
    path = packed(home / "board/pi4")

    def change(members: dict[str, bytes]) -> None:
        files = json.loads(members["files.json"])["files"]
        files[f"{ONE}.npy"][0] = 1_500_000_000
        members["files.json"] = json.dumps({"files": files}).encode()

    rewrite(path, change)
    with pytest.raises(InputError, match=r"one__onnx-fp32/clean.npy: 1,500,000,000 bytes, at most 4,672 can be right"):
        take(home / "bundle", path, home / "results")
