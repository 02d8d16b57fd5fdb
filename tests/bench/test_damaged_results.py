"""Five hundred damaged results, each from a seed: refused with a sentence that names the file, or marked, never
used."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.results import MAX_RESULT_BYTES, read_bundle, read_results
from core.errors import InputError
from tests.bench.making import entry, make_build

COUNT = 500
NAMES = (
    "../clean.npy",
    "/etc/hostname",
    "a/../../clean.npy",
    "C:\\clean.npy",
    "clean\x00.npy",
    ".clean.npy",
    "",
    "a" * 400,
)


class Planted:
    """What a pickle would run: it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (str(self.path), "w")


def flip(one: Path, rng: random.Random) -> None:
    """One bit of the scores."""
    data = bytearray(one.with_suffix(".npy").read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    one.with_suffix(".npy").write_bytes(data)


def cut(one: Path, rng: random.Random) -> None:
    path = rng.choice([one, one.with_suffix(".npy")])
    os.truncate(path, rng.randrange(path.stat().st_size - 2))


def remove(one: Path, rng: random.Random) -> None:
    one.with_suffix(".npy").unlink()


def link(one: Path, rng: random.Random) -> None:
    path = rng.choice([one, one.with_suffix(".npy"), one.parent])
    away = one.parents[3] / f"away-{path.name}"
    path.rename(away)
    path.symlink_to(away)


def scores_elsewhere(one: Path, rng: random.Random) -> None:
    change(one, "scores", "file", rng.choice(NAMES))


def wrong_hash(one: Path, rng: random.Random) -> None:
    change(one, "scores", "sha256", rng.choice(["0" * 64, "", "x" * 64, 7, None]))


def wrong_value(one: Path, rng: random.Random) -> None:
    where, values = rng.choice(
        [
            (("n",), [-1, 10**9, "7", 1.5, None]),
            (("latency_ms", "p50"), [-1.0, float("nan"), float("inf"), "1", [1]]),
            (("latency_ms", "count"), [0, -5, 1.5, "x"]),
            (("status",), ["fine", None, 1]),
            (("format",), [0, 2, "1", None]),
            (("device", "evidence"), ["measured", None, "emulated-time"]),
            (("device", "name"), ["../x", "a/b", "", None]),
            (("artifact", "name"), ["../x", "cnn", "cnn/x/y", None]),
            (("signals", "name"), ["../x", "", None, "a b"]),
            (("study",), ["../x", "", None]),
        ]
    )
    change(one, *where, rng.choice(values))


def drop_key(one: Path, rng: random.Random) -> None:
    value = json.loads(one.read_text())
    del value[rng.choice(["format", "study", "device", "artifact", "signals", "status", "scores", "n"])]
    one.write_text(json.dumps(value))


def huge(one: Path, rng: random.Random) -> None:
    one.write_bytes(b" " * (MAX_RESULT_BYTES + rng.randint(1, 1000)))


def deep(one: Path, rng: random.Random) -> None:
    one.write_text(rng.choice(["[", '{"a":']) * rng.randint(5_000, 100_000))


def wrong_array(one: Path, rng: random.Random) -> None:
    """Scores of another type or shape, their hash mended."""
    scores = np.load(one.with_suffix(".npy"))
    arrays: list[Any] = [
        scores[:-1],
        scores[:, :-1],
        scores.ravel(),
        scores.astype(np.int32),
        scores.astype(np.complex64),
    ]
    put(one, npy(rng.choice([*arrays, np.asfortranarray(scores), np.concatenate([scores] * 50)])))


def objects(one: Path, rng: random.Random) -> None:
    head = io.BytesIO()
    shape = np.load(one.with_suffix(".npy")).shape
    np.lib.format.write_array_header_1_0(head, {"descr": "|O", "fortran_order": False, "shape": shape})
    put(one, head.getvalue() + pickle.dumps(Planted(one.parents[3] / "planted")))


def claim(one: Path, rng: random.Random) -> None:
    head = io.BytesIO()
    shape = (rng.choice([10**9, 10**12, 2**62]), 3)
    np.lib.format.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": shape})
    put(one, head.getvalue() + b"\0" * 64)


def misplace(one: Path, rng: random.Random) -> None:
    """A result lies where another belongs."""
    if rng.random() < 0.5:
        one.rename(one.with_name("elsewhere.json"))
    else:
        one.parent.rename(one.parents[1] / "gru__onnx-fp32")


DAMAGES: tuple[Callable[[Path, random.Random], None], ...] = (
    *(flip, cut, remove, link, scores_elsewhere, wrong_hash, wrong_value, drop_key, huge, deep, wrong_array, objects),
    *(claim, misplace),
)


def change(one: Path, *where: Any) -> None:
    *keys, last, value = where
    whole = inner = json.loads(one.read_text())
    for key in keys:
        inner = inner[key]
    inner[last] = value
    one.write_text(json.dumps(whole))


def npy(array: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=False)
    return file.getvalue()


def put(one: Path, data: bytes) -> None:
    """Replace the scores, and mend the hash that the result names with them."""
    one.with_suffix(".npy").write_bytes(data)
    change(one, "scores", "sha256", entry(one.with_suffix(".npy"))["sha256"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("whole") / "made"
    make_build(home, budgets=(0.02,))
    return home


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damaged_results_are_refused(
    whole: Path, tmp_path: Path, damage: Callable[[Path, random.Random], None]
) -> None:
    for seed in range(-(-COUNT // len(DAMAGES))):
        rng = random.Random(1000 * DAMAGES.index(damage) + seed)
        home = tmp_path / str(seed) / "made"
        shutil.copytree(whole, home)
        bundle = read_bundle(home / "bundle")
        one = rng.choice(sorted((home / "results" / "host").glob("*/*.json")))
        damage(one, rng)
        there = {path.relative_to(home.parent) for path in home.parent.rglob("*")}
        try:
            (device,) = read_results(bundle, home / "results")
        except InputError as error:
            assert str(home) in error.what and "\n" not in error.what and len(error.what) < 2000 and error.mend
        else:
            assert [stale.path for stale in device.stale] == [one], "it was neither refused nor marked"
            assert device.stale[0].key not in device.results
        assert {path.relative_to(home.parent) for path in home.parent.rglob("*")} == there
        shutil.rmtree(home.parent)
