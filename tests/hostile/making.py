"""What the tables of the doors share: a bundle with results of a device, and what is asked of every refusal."""

from __future__ import annotations

import json
import multiprocessing
import random
import resource
import shutil
import unicodedata
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from pulseproof.runtime.wire.carry import pack
from tests.bench.devices.test_ssh import write_bundle
from tests.bench.making import entry, write_result
from tests.runtime import tiny_bundle as tiny

LIMIT_MB = 1024  # of the host, whatever comes


def make_home(folder: Path) -> Path:
    """A study of two models in two files each and two signal sets, with its bundle; returns its folder."""
    write_bundle(folder / "bundle")
    return folder


def make_results(bundle: Path, folder: Path, seed: int = 0) -> Path:
    """All results of a device that is called as ``folder``; returns it."""
    head = json.loads((bundle / "bundle.json").read_text())
    about = {"name": folder.name, "evidence": "measured-on-device", "fingerprint": {"machine": "aarch64", "cpu": "A72"}}
    rng = np.random.default_rng(seed)
    for artifact in head["artifacts"]:
        for signals in head["signals"]:
            scores = rng.normal(size=(tiny.N, tiny.CLASSES)).astype(np.float32)
            place = folder / artifact["name"].replace("/", "__")
            more: dict[str, Any] = {"device": about}
            if signals["method"] == "clean":
                place.mkdir(parents=True)
                np.save(place / "_clean.times.npy", rng.integers(1000, 2000, 200))
                more["times"] = {"file": "_clean.times.npy", "sha256": entry(place / "_clean.times.npy")["sha256"]}
            write_result(folder, head, artifact, signals, scores, **more)
    (folder / "device.json").write_text(json.dumps({"format": 1, **about, "engines": {}, "runs": []}))
    return folder


def packed(folder: Path) -> Path:
    """``folder`` as a device packs it: a list that is true of whatever lies there."""
    return pack(folder)


def rewrite(path: Path, change: Callable[[dict[str, bytes]], object]) -> None:
    """Take an archive apart, change its members, and put it together."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def list_name(members: dict[str, bytes]) -> str:
    (name,) = [each for each in members if each.endswith("files.json")]
    return name


def relist(members: dict[str, bytes], change: Callable[[dict[str, Any]], object]) -> None:
    """Change the list of files."""
    name = list_name(members)
    files = json.loads(members[name])["files"]
    change(files)
    members[name] = json.dumps({"files": files}).encode()


def listed_as_they_are(members: dict[str, bytes]) -> None:
    """Make the list of files true of the members."""
    name = list_name(members)
    prefix = name.removesuffix("files.json")
    files = json.loads(members[name])["files"]
    true = {each: members[prefix + each] for each in files if prefix + each in members}
    members[name] = json.dumps({"files": {k: [len(v), sha256(v).hexdigest()] for k, v in true.items()}}).encode()


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def expect_sentence(said: str) -> None:
    """One line that a terminal prints and does not obey."""
    assert 0 < len(said) < 2000
    odd = [letter for letter in said if unicodedata.category(letter) in ("Cc", "Cf", "Zl", "Zp")]
    assert not odd, f"{odd} in {said!r}"


HOSTILE = (
    *(None, True, -1, 0, 1 << 63, 10**300, 1e300, float("inf"), float("nan"), "", "../../x", "a\x00b", "\x1b[2J\u202e"),
    *("x" * 5000, [], [[]] * 50, {}, {"a": {"b": {}}}, [True, False], "0" * 64),
)


def hostile_value(text: str, rng: random.Random) -> str:
    """A JSON object with another value somewhere."""
    inner = whole = json.loads(text)
    while True:
        key = rng.choice(sorted(inner) if isinstance(inner, dict) else range(len(inner)))
        if not isinstance(inner[key], dict | list) or not inner[key] or rng.random() < 0.3:
            break
        inner = inner[key]
    inner[key] = rng.choice(HOSTILE)
    return json.dumps(whole)


def in_child(work: Callable[[], list[str]], seconds: float) -> list[str]:
    """What ``work`` found wrong, done in a child process that ends in time and takes less than LIMIT_MB more."""
    context = multiprocessing.get_context("fork")
    there, here = context.Pipe(duplex=False)

    def peak_mb() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def run() -> None:
        before = peak_mb()  # of the process that was forked: a worker of pytest has grown by its tests
        found = work()
        here.send((found, peak_mb() - before))

    child = context.Process(target=run)
    child.start()
    here.close()
    try:
        assert there.poll(seconds), f"not done within {seconds:g} s"
        found, grown_mb = there.recv()
    except EOFError:
        child.join()
        raise AssertionError(f"it ended with status {child.exitcode}") from None
    finally:
        child.kill()
        child.join()
    assert grown_mb < LIMIT_MB
    return list(found)


def copied(source: Path, target: Path) -> Path:
    """A fresh copy of a folder."""
    shutil.rmtree(target, ignore_errors=True)
    return Path(shutil.copytree(source, target))


def damaged_text(content: bytes, rng: random.Random) -> bytes:
    """A text file in which a few places were overwritten, cut out, filled with bytes or with signs of its syntax."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(data))
        match rng.randrange(4):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                del data[at : at + rng.randint(1, len(data) // 10)]
            case 2:
                data[at:at] = rng.randbytes(rng.randint(1, 20))
            case _:
                data[at:at] = rng.choice('[]{}"=.,0123456789e-').encode() * rng.randint(1, 99)
    return bytes(data)
