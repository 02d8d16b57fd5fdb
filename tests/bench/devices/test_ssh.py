"""A bundle run through a real sshd on the loopback: cut, killed, out of disk, and still the results of a quiet run."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pulseproof.bench.bundle import runner_archive
from pulseproof.bench.devices import run as device_run
from pulseproof.bench.devices.asked import Asked
from pulseproof.bench.devices.clean import forget
from pulseproof.bench.devices.connection import Connection
from pulseproof.bench.devices.look import SPARE_BYTES
from pulseproof.bench.devices.run import run_on_device
from pulseproof.bench.devices.session import MARKER, Session
from pulseproof.bench.devices.spec import DeviceSpec, at_address
from pulseproof.bench.wire.results import read_bundle
from pulseproof.core.errors import InputError, NotHeldError
from pulseproof.core.study import load_study
from pulseproof.pipeline import bundle_study
from pulseproof.runtime.files import sha256_file
from tests.bench.devices.sshd import Server, needs_sshd, sshd
from tests.runtime import tiny_bundle as tiny

pytestmark = needs_sshd
MODELS = {
    f"{name}/{recipe}": write
    for name in ("one", "two")
    for recipe, write in (("onnx-fp32", tiny.onnx_linear), ("tflite-fp32", tiny.tflite_linear))
}
PAUSES = (0.1, 0.2, 0.4, 0.8, 1.5, 3.0)


def write_bundle(folder: Path, min_s: float = 0.0, models: dict[str, object] = MODELS) -> Path:
    """A bundle as the host makes it: with the fields that the home side reads, and the packed runner."""
    tiny.write_bundle(folder, models)
    head = json.loads((folder / "bundle.json").read_text())
    (folder / "runner.pyz").write_bytes(runner_archive())
    head["files"]["runner.pyz"] = {
        "sha256": sha256_file(folder / "runner.pyz"),
        "size_bytes": (folder / "runner.pyz").stat().st_size,
    }
    head["run"]["min_s"] = min_s
    head["device"] = {"sets": ["*"]}
    (folder / "bundle.json").write_text(json.dumps(head))
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with sshd(tmp_path_factory.mktemp("sshd")) as started:
        yield started


@pytest.fixture
def device(server: Server, request: pytest.FixtureRequest) -> DeviceSpec:
    """The board, with a folder of its own for each test."""
    return at_address(server.address, Asked(), server.ssh).model_copy(
        update={"folder": f"f{abs(hash(request.node.nodeid))}"}
    )


def scores(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("[!_]*.npy"))}


def go(device: DeviceSpec, bundle: Path, results: Path, said: list[str] | None = None) -> None:
    lines = [] if said is None else said
    connection = Connection(device, lines.append, PAUSES)
    run_on_device(device, bundle, results, lines.append, connection=connection)


@pytest.mark.slow
def test_end_to_end_and_again(server: Server, device: DeviceSpec, tmp_path: Path) -> None:
    bundle, said = write_bundle(tmp_path / "s" / "bundle"), list[str]()
    results = tmp_path / "s" / "results"
    go(device, bundle, results, said)
    found = scores(results / "board")
    assert set(found) == {
        f"{name.replace('/', '__')}/{each}.npy" for name in MODELS for each in ("clean", "pgd-0.01mV")
    }
    result = json.loads((results / "board/one__onnx-fp32/clean.json").read_text())
    assert (result["status"], result["device"]["evidence"]) == ("ok", "measured-on-device")
    assert any(line.startswith("copying 9 of") or "copying" in line for line in said)
    assert any("one/onnx-fp32: ok" in line for line in said)
    before = {path: path.stat().st_mtime_ns for path in (results / "board").rglob("*.*")}
    said.clear()
    go(device, bundle, results, said)
    assert not any("copying" in line for line in said)
    assert said[-1].startswith("0 files are new")
    assert {path: path.stat().st_mtime_ns for path in (results / "board").rglob("*.*")} == before
    assert not (tmp_path / "s" / "incoming" / "board").exists()

    extra = server.home / device.folder / "mine.txt"
    extra.write_text("the user's own")
    forget(device, bundle, said.append)
    assert not (server.home / device.folder / "tiny").exists()
    assert extra.exists()


@pytest.mark.slow
def test_a_greeting_and_a_noisy_ssh_do_no_harm(server: Server, device: DeviceSpec, tmp_path: Path) -> None:
    bundle, said = write_bundle(tmp_path / "bundle"), list[str]()
    expected = quiet(device, bundle, tmp_path / "quiet")
    greeting = server.home / "greeting"
    greeting.write_text("Welcome to \x1b[31mthis board\nlast login: never")
    try:
        go(device.model_copy(update={"ssh": (*device.ssh, "-vvv")}), bundle, tmp_path / "results", said)
    finally:
        greeting.unlink()
    assert scores(tmp_path / "results/board") == expected
    (line,) = [line for line in said if "is passed over" in line]
    assert "'Welcome to [31mthis board last login: never'" in line


@pytest.mark.slow
def test_only_what_changed_is_copied(device: DeviceSpec, tmp_path: Path) -> None:
    said: list[str] = []
    go(device, write_bundle(tmp_path / "a" / "bundle"), tmp_path / "a" / "results", said)
    changed = write_bundle(tmp_path / "b" / "bundle", min_s=0.01)  # another bundle.json alone
    said.clear()
    go(device, changed, tmp_path / "b" / "results", said)
    assert any(line.startswith("copying 1 of") for line in said)


@pytest.mark.slow
def test_a_failed_artifact_is_a_result(device: DeviceSpec, tmp_path: Path) -> None:
    bundle = write_bundle(
        tmp_path / "bundle",
        models={"good/onnx-fp32": tiny.onnx_linear, "bad/onnx-fp32": lambda path: path.write_bytes(b"no model")},
    )
    with pytest.raises(NotHeldError, match="some artifacts failed there"):
        go(device, bundle, tmp_path / "results")
    assert json.loads((tmp_path / "results/board/bad__onnx-fp32/clean.json").read_text())["status"] == "failed"
    assert json.loads((tmp_path / "results/board/good__onnx-fp32/clean.json").read_text())["status"] == "ok"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"python": "/no/such/python"}, "/no/such/python does not run there"),
        ({"address": "nowhere.invalid"}, "cannot be reached"),
    ],
)
def test_what_cannot_be_reached_or_used(device: DeviceSpec, tmp_path: Path, changed: dict[str, str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        go(device.model_copy(update=changed), write_bundle(tmp_path / "bundle"), tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_a_device_without_an_engine(server: Server, device: DeviceSpec, tmp_path: Path) -> None:
    """A Python that has neither numpy nor an engine: the system's, without its own packages."""
    bare = server.home / "bare"
    bare.write_text(f'#!/bin/sh\nexec {shutil.which("python3", path="/usr/bin") or "python3"} -I -S "$@"\n')
    bare.chmod(0o755)
    with pytest.raises(InputError, match=r"has no numpy and no engine for \.onnx files \(onnxruntime\)") as raised:
        go(device.model_copy(update={"python": str(bare)}), write_bundle(tmp_path / "bundle"), tmp_path / "results")
    assert "--setup" in raised.value.mend


@pytest.mark.slow
def test_the_environment_of_an_earlier_setup_is_found_and_goes_with_the_last_study(
    server: Server, device: DeviceSpec, tmp_path: Path
) -> None:
    place = server.home / device.folder / "venv"
    (place / "bin").mkdir(parents=True)
    (place / "bin/python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (place / "bin/python").chmod(0o755)
    (place / MARKER).touch()
    bundle, bare = write_bundle(tmp_path / "bundle"), server.home / "bare"
    bare.write_text(f'#!/bin/sh\nexec {shutil.which("python3", path="/usr/bin") or "python3"} -I -S "$@"\n')
    bare.chmod(0o755)
    go(device.model_copy(update={"python": str(bare)}), bundle, tmp_path / "results")
    assert len(list((tmp_path / "results/board").glob("*/[!_]*.json"))) == 8
    other = server.home / device.folder / "another"
    other.mkdir()
    (other / MARKER).touch()
    forget(device, bundle, print)
    assert place.exists()
    (other / MARKER).unlink()
    forget(device, bundle, print)
    assert not place.exists()
    assert other.exists()


PTB_XL = """
name = "ptb-xl"
title = "PTB-XL, a CNN of one epoch"
test_records = 100
[data]
source = "ptb-xl"
missing = "skip"
[models.cnn]
epochs = 1
[export]
recipes = ["onnx-fp32", "onnx-int8-static", "tflite-fp32", "tflite-int8-static"]
[attacks]
budgets_mv = [0.02]
steps = 3
references = 16
"""


@pytest.fixture(scope="module")
def ptb_xl(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of real recordings and a real net."""
    home = tmp_path_factory.mktemp("ptb-xl")
    (home / "ptb-xl.toml").write_text(PTB_XL)
    return bundle_study(load_study(home / "ptb-xl.toml"), data_root, home / "build", workers=0)


@pytest.fixture(params=["tiny", "ptb-xl"])
def bundle(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "tiny":
        return write_bundle(tmp_path / "bundle", min_s=0.4)
    folder: Path = request.getfixturevalue("ptb_xl")
    return folder


def study_of(bundle: Path) -> str:
    return str(json.loads((bundle / "bundle.json").read_text())["study"])


def quiet(device: DeviceSpec, bundle: Path, folder: Path) -> dict[str, bytes]:
    """The scores of an undisturbed run."""
    go(device.model_copy(update={"folder": device.folder + "q"}), bundle, folder)
    return scores(folder / "board")


@pytest.mark.slow
def test_cut_three_times(server: Server, device: DeviceSpec, bundle: Path, tmp_path: Path) -> None:
    expected = quiet(device, bundle, tmp_path / "quiet")
    said: list[str] = []
    over = threading.Event()
    cuts: list[int] = []

    def cut() -> None:
        while len(cuts) < 3 and not over.wait(0.6):
            if server.cut():
                cuts.append(1)

    cutter = threading.Thread(target=cut)
    cutter.start()
    try:
        go(device, bundle, tmp_path / "results", said)
    finally:
        over.set()
        cutter.join()
    assert len(cuts) == 3
    assert any("again in" in line for line in said)
    assert scores(tmp_path / "results" / "board") == expected


@pytest.mark.slow
def test_killed_twenty_times(
    server: Server, device: DeviceSpec, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runner and the process that watches it, at random moments; the command goes on by itself."""
    monkeypatch.setattr(device_run, "TRIES", 60)
    expected = quiet(device, bundle, tmp_path / "quiet")
    chance = random.Random(5)
    over, kills = threading.Event(), list[int]()

    def kill() -> None:
        while len(kills) < 20 and not over.wait(chance.uniform(0.05, 0.7)):
            for pid in runners(server.home / device.folder):
                os.kill(pid, signal.SIGKILL)
                kills.append(pid)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        rounds = 0
        while True:
            go(device, bundle, tmp_path / "results")
            rounds += 1
            if len(kills) >= 20:
                break
            shutil.rmtree(
                server.home / device.folder / study_of(bundle) / "results"
            )  # it was faster than the killer: once more
            assert rounds < 40
    finally:
        over.set()
        killer.join()
    assert len(kills) >= 20
    assert scores(tmp_path / "results" / "board") == expected
    for path in (tmp_path / "results" / "board").glob("*/*.json"):
        assert json.loads(path.read_text())["status"] == "ok"


def runners(folder: Path) -> list[int]:
    """The runner in this folder and the process that watches it; not the commands that a connection is waiting for."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            command = process.read_bytes().split(b"\0")
            ours = any(part.startswith(folder.name.encode()) for part in command)
            if ours and {b"run", b"_watch"} & set(command) and b"start" not in command:
                found.append(int(process.parent.name))
    return found


@pytest.mark.slow
def test_a_full_disk_is_a_sentence_and_then_it_goes_on(
    server: Server, device: DeviceSpec, bundle: Path, tmp_path: Path
) -> None:
    expected = quiet(device, bundle, tmp_path / "quiet")
    place = server.home / device.folder
    place.mkdir()
    size = SPARE_BYTES + (2 << 20) + 2 * sum(path.stat().st_size for path in bundle.rglob("*.*"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(place)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a small file system can only be mounted by root")
    try:
        filler = place / "filler"
        with pytest.raises(InputError, match="MB are free there"):
            filler.write_bytes(b"0" * (size - SPARE_BYTES + (2 << 20)))
            go(device, bundle, tmp_path / "results")
        filler.unlink()
        some = read_bundle(bundle).head.artifacts[0].name
        go(device.model_copy(update={"sets": ("clean",), "only": (some,)}), bundle, tmp_path / "results")
        session = Session(Connection(device, print, PAUSES), bundle, tmp_path / "results")
        device_run.bring(session, print)
        whole = os.statvfs(place)
        filler.write_bytes(b"0" * (whole.f_bavail * whole.f_frsize - 4096))  # no room for a result
        assert device_run.run(session, print) != 0
        filler.unlink()
        go(device, bundle, tmp_path / "results")
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
    assert scores(tmp_path / "results" / "board") == expected
