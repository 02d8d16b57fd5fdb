"""A bundle carried to a device as one file, and its results carried home as another: end to end with the real runner.
Damaged ones of both: tests/hostile/bundle/test_archive.py and test_results.py."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pulseproof.bench.devices.asked import Asked
from pulseproof.bench.devices.carried import take, write_carried
from pulseproof.bench.devices.reach import forget_all, named_devices, run_on_all
from pulseproof.core.errors import InputError
from pulseproof.runtime.wire.carried import unpack
from pulseproof.runtime.wire.untrusted import BundleError
from tests.bench.devices.test_ssh import write_bundle


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with its bundle, and the file that is carried."""
    folder = tmp_path_factory.mktemp("carried") / "tiny"
    write_carried(write_bundle(folder / "bundle"), Asked())
    return folder


@pytest.fixture(scope="module")
def carried(home: Path) -> Path:
    return home / "tiny-bundle.pyz"


def on_device(carried: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What the file does in an empty folder, by a Python that does not see Pulseproof."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-I", str(carried), *arguments]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def results(carried: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """results.zip, as the device left it."""
    folder = tmp_path_factory.mktemp("board")
    done = on_device(carried, folder, "run", "--device", "pi4", "--limit", "12")
    assert done.returncode == 0, done.stderr
    assert "results.zip: carry it home" in done.stdout
    assert sorted(path.name for path in folder.iterdir()) == ["results", "results.zip"]
    return folder / "results.zip"


def test_there_and_back(home: Path, results: Path, tmp_path: Path) -> None:
    device, arrived = take(home / "bundle", results, tmp_path / "results")
    assert (device, len(arrived.results), arrived.left_out) == ("pi4", 8, ())
    there = results.parent / "results"
    for path in there.rglob("*.*"):
        if ".bundle" not in path.parts:
            assert (tmp_path / "results/pi4" / path.relative_to(there)).read_bytes() == path.read_bytes()
    assert not list((home / "incoming").iterdir())
    result = json.loads((tmp_path / "results/pi4/one__onnx-fp32/clean.json").read_text())
    assert (result["n"], result["device"]["evidence"]) == (12, "measured-on-device")


def test_an_archive_is_a_device_like_any_other(home: Path, results: Path, tmp_path: Path) -> None:
    devices = named_devices([f"carried:{results}"], None, Asked())
    run_on_all(devices, home / "bundle", tmp_path / "results")
    assert len(list((tmp_path / "results/pi4").rglob("*.json"))) == 9  # and device.json
    forget_all(devices, home / "bundle")
    assert results.exists()
    with pytest.raises(InputError, match="no such file"):
        run_on_all(named_devices(["carried:none.zip"], None, Asked()), home / "bundle", tmp_path / "results")


def test_it_goes_on_where_it_was(carried: Path, results: Path) -> None:
    """A second look finds everything; what was lost of the bundle is put there again."""
    board = results.parent
    before = {path: path.stat().st_mtime_ns for path in (board / "results").rglob("*.npy")}
    (board / "results/.bundle/signals/clean.npy").unlink()
    (board / "results/one__onnx-fp32/clean.json").unlink()
    done = on_device(carried, board, "run", "--device", "pi4", "--limit", "12")
    assert done.returncode == 0, done.stderr
    assert "2 files of the bundle were put there" in done.stdout  # bundle.json always
    changed = {path for path, at in before.items() if path.stat().st_mtime_ns != at}
    assert {path.parent.name for path in changed if ".bundle" not in path.parts} == {"one__onnx-fp32"}


def test_a_card_that_lost_a_bit(carried: Path, tmp_path: Path) -> None:
    assert on_device(carried, tmp_path / "b", "unpack", "results/.bundle").returncode == 0
    path = tmp_path / "b/results/.bundle/signals/clean.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    done = on_device(carried, tmp_path / "b", "run")
    assert done.returncode == 2
    assert done.stderr.endswith("in bundle.json; delete results/.bundle: the same command unpacks it again\n")
    shutil.rmtree(tmp_path / "b/results/.bundle")
    assert on_device(carried, tmp_path / "b", "run", "--only", "one/*", "--sets", "clean").returncode == 0


def test_its_other_commands_are_the_runners(carried: Path, tmp_path: Path) -> None:
    assert "engines" in json.loads(on_device(carried, tmp_path, "probe").stdout)
    assert on_device(carried, tmp_path, "unpack", "here").returncode == 0
    assert "4 artifacts, 2 signal sets" in on_device(carried, tmp_path, "verify", "here").stdout
    assert "carried" not in on_device(carried, tmp_path, "--help").stderr
    packed = on_device(carried, tmp_path, "pack", "here")
    assert (packed.returncode, packed.stderr) == (2, "error: here: no results there\n")


def test_it_is_made_again_only_when_it_differs(home: Path, carried: Path) -> None:
    before = carried.stat().st_mtime_ns
    write_carried(home / "bundle", Asked())
    assert carried.stat().st_mtime_ns == before
    bytes_before = carried.read_bytes()
    smaller = write_carried(home / "bundle", Asked(only=("one/*",)))
    assert len(zipfile.ZipFile(smaller).namelist()) < len(zipfile.ZipFile(io.BytesIO(bytes_before)).namelist())
    write_carried(home / "bundle", Asked())
    assert carried.read_bytes() == bytes_before  # the same bytes from the same bundle


def test_of_another_study(results: Path, tmp_path: Path) -> None:
    """Made from other bytes: a sentence, and nothing is taken."""
    other = write_bundle(tmp_path / "s/bundle")
    head = json.loads((other / "bundle.json").read_text())
    (other / "bundle.json").write_text(json.dumps({**head, "study": "another"}))
    with pytest.raises(InputError, match=r"no results of this study's bundle \(measured for the study tiny"):
        take(other, results, tmp_path / "s/results")
    assert not (tmp_path / "s/results").exists()


def test_no_room(carried: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pulseproof.runtime.wire.stream.shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 100)
    )  # type: ignore[attr-defined]
    with pytest.raises(BundleError, match=r"bytes are to come, at most 100 can be taken"):
        unpack(carried, tmp_path / "b")
