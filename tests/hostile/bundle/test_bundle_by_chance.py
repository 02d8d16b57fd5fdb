"""The door of a bundle, damaged by chance: 300 times from a seed it is refused with a sentence, and nothing else
happens; or it is read as what it is, within its bounds."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulseproof.bench.wire.results import read_bundle
from pulseproof.core.errors import InputError
from pulseproof.runtime.wire.bundle import NAME, SET_NAME, Bundle, open_bundle
from pulseproof.runtime.wire.untrusted import MAX_JSON_BYTES, BundleError
from tests.bench.devices.test_ssh import write_bundle
from tests.hostile.making import expect_sentence, hostile_value, in_child
from tests.runtime import tiny_bundle as tiny

COUNT = 300
NAMES = (
    "../x.npy",
    "/etc/hostname",
    "signals/../../x",
    "signals//clean.npy",
    "C:\\x",
    "signals/\x00",
    "./labels.npy",
    "~/x",
    "a" * 400,
)
Head = dict[str, Any]


class Planted:
    """What a pickle would run: it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (str(self.path), "w")


def flip(home: Path, rng: random.Random) -> None:
    """One bit of a listed file."""
    path = listed(home, rng)
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def cut(home: Path, rng: random.Random) -> None:
    path = rng.choice([listed(home, rng), home / "bundle.json"])
    os.truncate(path, rng.randrange(path.stat().st_size - 1))


def grow(home: Path, rng: random.Random) -> None:
    with listed(home, rng).open("ab") as file:
        file.write(rng.randbytes(rng.randint(1, 5000)))


def remove(home: Path, rng: random.Random) -> None:
    listed(home, rng).unlink()


def link(home: Path, rng: random.Random) -> None:
    """A file, or the folder it is in, becomes a link to where it went."""
    path = listed(home, rng)
    path = path.parent if path.parent != home and rng.random() < 0.5 else path
    away = home.parent / "away"
    path.rename(away)
    path.symlink_to(away)


def name_elsewhere(home: Path, rng: random.Random) -> None:
    """A file is listed under a path that leaves the bundle."""
    head = read(home)
    name = rng.choice(sorted(head["files"]))
    head["files"][rng.choice(NAMES)] = head["files"].pop(name)
    save(home, head)


def point_elsewhere(home: Path, rng: random.Random) -> None:
    head = read(home)
    rng.choice(head["artifacts"] + head["signals"])["file"] = rng.choice(NAMES)
    save(home, head)


def wrong_number(home: Path, rng: random.Random) -> None:
    head = read(home)
    entry = head["files"][rng.choice(sorted(head["files"]))]
    entry["size_bytes"] = rng.choice([-1, entry["size_bytes"] + 1, 1 << 62, 1.5, "7", None, True])
    save(home, head)


def wrong_hash(home: Path, rng: random.Random) -> None:
    head = read(home)
    head["files"][rng.choice(sorted(head["files"]))]["sha256"] = rng.choice(["0" * 64, "", "x" * 64, 7, None, "A" * 63])
    save(home, head)


def drop_key(home: Path, rng: random.Random) -> None:
    head = read(home)
    key = rng.choice(["format", "study", "task", "files", "artifacts", "signals", "run"])
    del head[key]
    save(home, head)


def wrong_type(home: Path, rng: random.Random) -> None:
    head = read(home)
    key = rng.choice(["format", "study", "task", "files", "artifacts", "signals", "run"])
    head[key] = rng.choice([None, 7.5, "../..", [7], {"a": 1}, True])
    save(home, head)


def huge(home: Path, rng: random.Random) -> None:
    (home / "bundle.json").write_bytes(b" " * (MAX_JSON_BYTES + rng.randint(1, 1000)))


def deep(home: Path, rng: random.Random) -> None:
    opening = rng.choice(["[", '{"a":'])
    (home / "bundle.json").write_text(opening * rng.randint(5_000, 200_000))


def wrong_array(home: Path, rng: random.Random) -> None:
    """An array of another type or shape, its hash mended."""
    name = rng.choice(["labels.npy", "patients.npy", "signals/clean.npy"])
    array = np.load(home / name)
    arrays: list[np.ndarray[Any, Any]] = [
        array[:-1],
        array.astype(np.float64),
        array[None],
        array.astype(">i4"),
        np.concatenate([array, array]),
        np.empty((0, *array.shape[1:]), array.dtype),
    ]
    np.save(home / name, rng.choice(arrays))
    reseal(home)


def objects(home: Path, rng: random.Random) -> None:
    """An array of objects that would make a file when it is unpickled."""
    name = rng.choice(["labels.npy", "patients.npy", "signals/clean.npy"])
    head = io.BytesIO()
    shape = np.load(home / name).shape
    np.lib.format.write_array_header_1_0(head, {"descr": "|O", "fortran_order": False, "shape": shape})
    (home / name).write_bytes(head.getvalue() + pickle.dumps(Planted(home.parent / "planted")))
    reseal(home)


def claim(home: Path, rng: random.Random) -> None:
    """A header that claims terabytes."""
    name = rng.choice(["labels.npy", "signals/clean.npy"])
    head = io.BytesIO()
    shape = (rng.choice([10**9, 10**12, 2**62]), *np.load(home / name).shape[1:])
    dtype = np.load(home / name).dtype.str
    np.lib.format.write_array_header_1_0(head, {"descr": dtype, "fortran_order": False, "shape": shape})
    (home / name).write_bytes(head.getvalue() + b"\0" * 64)
    reseal(home)


def twice(home: Path, rng: random.Random) -> None:
    head = read(home)
    kind = rng.choice(["artifacts", "signals"])
    head[kind].append(rng.choice(head[kind]))
    save(home, head)


def special(home: Path, rng: random.Random) -> None:
    """A pipe in the place of a file: reading it would wait for ever."""
    path = listed(home, rng)
    path.unlink()
    os.mkfifo(path)


def hostile_field(home: Path, rng: random.Random) -> None:
    path = home / "bundle.json"
    path.write_text(hostile_value(path.read_text(), rng))


def swap(home: Path, rng: random.Random) -> None:
    """Two files change places."""
    one = listed(home, rng)
    others = [home / name for name in sorted(read(home)["files"])]
    other = rng.choice([each for each in others if each.read_bytes() != one.read_bytes()])
    one.rename(home / "between")
    other.rename(one)
    (home / "between").rename(other)


def flip_head(home: Path, rng: random.Random) -> None:
    """A byte of the head: it may be another bundle's head then, but no odd one."""
    path = home / "bundle.json"
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] = rng.randrange(256)
    path.write_bytes(data)


DAMAGES: tuple[Callable[[Path, random.Random], None], ...] = (
    *(
        hostile_field,
        swap,
        flip_head,
        flip,
        cut,
        grow,
        remove,
        link,
        name_elsewhere,
        point_elsewhere,
        wrong_number,
        wrong_hash,
        drop_key,
        wrong_type,
    ),
    *(huge, deep, wrong_array, objects, claim, twice, special),
)


def read(home: Path) -> Head:
    head: Head = json.loads((home / "bundle.json").read_text())
    return head


def save(home: Path, head: Head) -> None:
    (home / "bundle.json").write_text(json.dumps(head))


def reseal(home: Path) -> None:
    tiny.seal(home, read(home))


def listed(home: Path, rng: random.Random) -> Path:
    return home / rng.choice(sorted(read(home)["files"]))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("whole") / "bundle")


MENDED = (hostile_field, flip_head)  # what the head then says may be said


def expect_bounds(found: Bundle) -> None:
    """All that the runner's later steps take for granted."""
    assert all(re.fullmatch(NAME, part) for each in found.artifacts for part in each.name.split("/"))
    assert all(re.fullmatch(SET_NAME, each.name) for each in found.signals) and re.fullmatch(NAME, found.study)
    assert 0 < found.adc_step_mv < 1e4 and 0 < found.fs_hz < 1e7 and 1 <= found.run.threads <= 256
    assert (found.shape, found.n) == ((tiny.LEADS, tiny.SAMPLES), tiny.N)
    assert all(text.isprintable() for each in found.artifacts for text in each.not_on.values())


@pytest.mark.slow
def test_300_damages(whole: Path, tmp_path: Path) -> None:
    """By the runner and by the host."""

    def work() -> list[str]:
        wrong = []
        for seed in range(COUNT):
            damage, home = DAMAGES[seed % len(DAMAGES)], tmp_path / "one" / "bundle"
            shutil.copytree(whole, home)
            damage(home, random.Random(seed))
            there = sorted(home.parent.rglob("*"))
            try:
                found = open_bundle(home)
            except BundleError as error:
                expect_sentence(str(error))
                if str(home) not in str(error):
                    wrong.append(f"{damage.__name__}, seed {seed}: {error}")
            else:
                expect_bounds(found)
                if damage not in MENDED:
                    wrong.append(f"{damage.__name__}, seed {seed}: taken by the runner")
            try:
                read_bundle(home)
            except InputError as error:
                expect_sentence(error.what)
            if sorted(home.parent.rglob("*")) != there:
                wrong.append(f"{damage.__name__}, seed {seed}: something else happened")
            shutil.rmtree(home.parent)
        return wrong

    assert in_child(work, 300) == []
