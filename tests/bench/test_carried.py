"""A bundle carried to a device as one file, and its results carried home as another: end to end with the real runner,
and hundreds of damaged ones of both, each from a seed."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.asked import Asked
from bench.carried import take, write_carried
from core.errors import InputError
from runtime.carried import unpack
from runtime.untrusted import BundleError
from tests.bench.devices.test_ssh import write_bundle

EACH = 20  # seeds of each damage


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
    device, count, stale = take(home / "bundle", results, tmp_path / "results")
    assert (device, count, stale) == ("pi4", 8, 0)
    there = results.parent / "results"
    for path in there.rglob("*.*"):
        if ".bundle" not in path.parts:
            assert (tmp_path / "results/pi4" / path.relative_to(there)).read_bytes() == path.read_bytes()
    assert not list((home / "incoming").iterdir())
    result = json.loads((tmp_path / "results/pi4/one__onnx-fp32/clean.json").read_text())
    assert (result["n"], result["device"]["evidence"]) == (12, "measured-on-device")


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
    monkeypatch.setattr("runtime.stream.shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 100))  # type: ignore[attr-defined]
    with pytest.raises(BundleError, match=r"bytes are to come, at most 100 can be taken"):
        unpack(carried, tmp_path / "b")


# What somebody, or a bad card, may have done to the file on the way.


def rewrite(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """Take the archive apart, change its members, and put it together."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def relist(members: dict[str, bytes], change: Callable[[dict[str, Any]], None]) -> None:
    (name,) = [each for each in members if each.endswith("files.json")]
    files = json.loads(members[name])["files"]
    change(files)
    members[name] = json.dumps({"files": files}).encode()


def flip(path: Path, rng: random.Random) -> None:
    """One bit of a member's content."""

    def change(members: dict[str, bytes]) -> None:
        name = rng.choice([each for each in members if not each.startswith(("runtime", "__main__"))])
        data = bytearray(members[name])
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        members[name] = bytes(data)

    rewrite(path, change)


def cut(path: Path, rng: random.Random) -> None:
    os.truncate(path, rng.randrange(path.stat().st_size - 100))


def rubbish(path: Path, rng: random.Random) -> None:
    path.write_bytes(rng.randbytes(rng.randrange(5000)))


NAMES = ["../x.npy", "/etc/x.npy", "a/../../x.npy", ".x.npy", "a//x.npy", "a\\x.npy", "a/\x00.npy", "x.py", "n" * 400]


def named_elsewhere(path: Path, rng: random.Random) -> None:
    """A listed name that would lie outside, or that nobody may put there."""
    name = rng.choice(NAMES)

    def change(members: dict[str, bytes]) -> None:
        relist(members, lambda files: files.update({name: [3, "0" * 64]}))
        members[name] = b"bad"

    rewrite(path, change)


def wrong_entry(path: Path, rng: random.Random) -> None:
    value = rng.choice(
        [None, 7, "x", [], [3], [-1, "0" * 64], [3, "z"], ["3", "0" * 64], [1 << 60, "0" * 64], [True, "0" * 64], {}]
    )
    rewrite(path, lambda members: relist(members, lambda files: files.update({rng.choice(sorted(files)): value})))


def wrong_hash(path: Path, rng: random.Random) -> None:
    def change(files: dict[str, Any]) -> None:
        name = rng.choice(sorted(files))
        files[name] = [files[name][0], f"{rng.randrange(1 << 250):064x}"]

    rewrite(path, lambda members: relist(members, change))


def oversized(path: Path, rng: random.Random) -> None:
    """A member that is longer than it was, or shorter, as the list says; one that fills the disk."""

    def change(members: dict[str, bytes]) -> None:
        (prefix,) = [each.removesuffix("files.json") for each in members if each.endswith("files.json")]
        name = rng.choice([each for each in members if each.startswith(prefix) and each.endswith("npy")])
        members[name] = rng.choice([members[name][:-1], members[name] * 2, bytes(30_000_000)])
        size = rng.choice([len(members[name]), 1 << 49])
        relist(members, lambda files: files.update({name.removeprefix(prefix): [size, "0" * 64]}))

    rewrite(path, change)


def missing(path: Path, rng: random.Random) -> None:
    def change(members: dict[str, bytes]) -> None:
        del members[rng.choice([each for each in members if not each.startswith(("runtime", "__main__"))])]

    rewrite(path, change)


def odd_list(path: Path, rng: random.Random) -> None:
    def change(members: dict[str, bytes]) -> None:
        (name,) = [each for each in members if each.endswith("files.json")]
        members[name] = rng.choice(
            [
                b"",
                b"{",
                b"[]",
                b'{"files": []}',
                b'{"files": 7}',
                b"\xff",
                b"[" * 100_000,
                b'{"files": {}}',
                b" " * (17 << 20),
            ]
        )

    rewrite(path, change)


def encrypted(path: Path, rng: random.Random) -> None:
    """The flag of encryption, or a compression that Python does not know, on some member."""
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        inside = [each for each in archive.infolist() if not each.filename.startswith(("runtime", "__main__"))]
        one = rng.choice([each for each in inside if each.compress_size])
    at = data.index(b"PK\x01\x02", 0)
    while data[at + 46 : at + 46 + len(one.filename)] != one.filename.encode():
        at = data.index(b"PK\x01\x02", at + 4)
    if rng.randrange(2):
        data[at + 8] |= 1
        data[one.header_offset + 6] |= 1
    else:
        data[at + 10] = data[one.header_offset + 8] = rng.choice([1, 9, 97])
    path.write_bytes(data)


DAMAGES = (flip, cut, rubbish, named_elsewhere, wrong_entry, wrong_hash, oversized, missing, odd_list, encrypted)


def tree(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda one: one.__name__)
def test_a_damaged_carried_bundle_is_refused(carried: Path, tmp_path: Path, damage: Any) -> None:
    for seed in range(EACH):
        path, folder = tmp_path / f"{seed}.pyz", tmp_path / str(seed) / "bundle"
        shutil.copyfile(carried, path)
        damage(path, random.Random(seed))
        folder.parent.mkdir()
        with pytest.raises(BundleError) as refused:
            unpack(path, folder)
            raise AssertionError(f"seed {seed} was taken")
        assert "\n" not in str(refused.value) and len(str(refused.value)) < 2000
        assert [each for each in folder.parent.iterdir() if each != folder] == []
        assert not (folder / "bundle.json").exists() or damage in (missing,)
        assert not [each for each in tree(folder) if ".partial" in each.name]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda one: one.__name__)
def test_damaged_results_are_refused_whole(home: Path, results: Path, tmp_path: Path, damage: Any) -> None:
    before = tree(home)
    for seed in range(EACH):
        path = tmp_path / f"{seed}.zip"
        shutil.copyfile(results, path)
        damage(path, random.Random(seed))
        with pytest.raises(InputError) as refused:
            take(home / "bundle", path, tmp_path / "results")
            raise AssertionError(f"seed {seed} was taken")
        assert str(path) in refused.value.what and "\n" not in refused.value.what
        assert not (tmp_path / "results").exists()
    assert tree(home) == before


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m.update({"device.json": b"[]"}), "device.json: the file is not an object"),
        (lambda m: m.update({"device.json": b'{"name": "../x"}'}), "device.json: name: '../x' is not allowed there"),
        (
            lambda m: m.update({"device.json": b'{"name": "host"}'}),
            "a device cannot be called 'host', as this machine is",
        ),
        (lambda m: m.update({"device.json": b'{"name": "other"}'}), "lies in another's place"),
        (lambda m: m.pop("device.json"), "it has no device.json"),
        (lambda m: m.update({"one__onnx-fp32/clean.npy": pickled()}), "which are never unpickled"),
        (lambda m: m.update({"one__onnx-fp32/clean.json": b"{}"}), "one__onnx-fp32/clean.json: format: Field required"),
    ],
)
def test_what_is_listed_well_is_still_a_strangers(
    home: Path, results: Path, tmp_path: Path, change: Callable[[dict[str, bytes]], Any], says: str
) -> None:
    path = tmp_path / "r.zip"
    shutil.copyfile(results, path)

    def relisted(members: dict[str, bytes]) -> None:
        from hashlib import sha256

        change(members)
        listed = {name: [len(data), sha256(data).hexdigest()] for name, data in members.items() if name != "files.json"}
        if b"never" in says.encode():  # the result names its scores by their hash
            result = json.loads(members["one__onnx-fp32/clean.json"])
            result["scores"]["sha256"] = listed["one__onnx-fp32/clean.npy"][1]
            members["one__onnx-fp32/clean.json"] = json.dumps(result).encode()
            listed["one__onnx-fp32/clean.json"] = [
                len(members["one__onnx-fp32/clean.json"]),
                sha256(members["one__onnx-fp32/clean.json"]).hexdigest(),
            ]
        members["files.json"] = json.dumps({"files": listed}).encode()

    rewrite(path, relisted)
    with pytest.raises(InputError) as refused:
        take(home / "bundle", path, tmp_path / "results")
    assert says in refused.value.what
    assert not (tmp_path / "results").exists()


def pickled() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}, pickle.dumps], dtype=object), allow_pickle=True)
    return buffer.getvalue()
