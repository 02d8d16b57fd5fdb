"""The door of results that lie at home: what a disk, or somebody, did to them is refused in a sentence that names the
file, or marked, and never used."""

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

from pulseproof.bench.wire.results import MAX_RESULT_BYTES, read_bundle, read_results
from pulseproof.core.errors import InputError
from tests.bench.making import change_json, entry, make_build
from tests.bench.test_results import Made, linked, made, npy, put_scores, without
from tests.hostile.making import expect_sentence, hostile_value, in_child

__all__ = ["made"]  # the fixture
F4 = "'<f4'"


def deep_value(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels - 1):
        value = [value]
    return value


def header(descr: str, shape: str, data: bytes, order: str = "False") -> bytes:
    """A ``.npy`` file with such a header."""
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    text += b" " * (117 - len(text)) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


DAMAGE: dict[str, tuple[Callable[[Made], object], str, str]] = {
    # what was done, the file that the message must name, and what it must say
    "other scores": (lambda m: m.npy.write_bytes(npy(np.zeros((60, 3), np.float32))), "clean.npy", "SHA-256 differs"),
    "one bit": (
        lambda m: m.npy.write_bytes(m.npy.read_bytes()[:-1] + bytes([m.npy.read_bytes()[-1] ^ 1])),
        "clean.npy",
        "SHA-256 differs",
    ),
    "truncated": (lambda m: m.npy.write_bytes(m.npy.read_bytes()[:-7]), "clean.npy", "SHA-256 differs"),
    "truncated, hash mended": (lambda m: put_scores(m, m.npy.read_bytes()[:-7]), "clean.npy", "its header says"),
    "too long": (lambda m: put_scores(m, m.npy.read_bytes() + b"\0"), "clean.npy", "its header says"),
    "empty": (lambda m: put_scores(m, b""), "clean.npy", "not a .npy file"),
    "version 2": (lambda m: put_scores(m, npy(np.zeros((60, 3), np.float32), (2, 0))), "clean.npy", "version 1.0"),
    "objects": (lambda m: put_scores(m, npy(np.full((60, 3), None))), "clean.npy", "never unpickled"),
    "integers": (lambda m: put_scores(m, npy(np.zeros((60, 3), np.int32))), "clean.npy", "int32"),
    "complex": (lambda m: put_scores(m, npy(np.zeros((60, 3), np.complex64))), "clean.npy", "complex64"),
    "a class less": (lambda m: put_scores(m, npy(np.zeros((60, 2), np.float32))), "clean.npy", "(60, 2)"),
    "a recording less": (lambda m: put_scores(m, npy(np.zeros((59, 3), np.float32))), "clean.npy", "(59, 3)"),
    "flat": (lambda m: put_scores(m, npy(np.zeros(180, np.float32))), "clean.npy", "(180,)"),
    "Fortran order": (
        lambda m: put_scores(m, npy(np.asfortranarray(np.zeros((60, 3), np.float32)))),
        "clean.npy",
        "Fortran order",
    ),
    "huge scores": (lambda m: put_scores(m, npy(np.zeros((600, 3), np.float64))), "clean.npy", "at most"),
    "a boolean in the shape": (
        lambda m: put_scores(m, header(F4, "(True, 3)", bytes(12))),
        "clean.npy",
        "a shape that",
    ),
    "a shape below 0": (lambda m: put_scores(m, header(F4, "(-60, -3)", bytes(720))), "clean.npy", "a shape that no"),
    "a shape of 1,000 ones": (
        lambda m: put_scores(m, header(F4, f"({'1,' * 1000})", bytes(4))),
        "clean.npy",
        "a shape",
    ),
    "a shape of text": (lambda m: put_scores(m, header(F4, "'60'", bytes(4))), "clean.npy", "header cannot be read"),
    "arrays in an array": (
        lambda m: put_scores(m, header("('<f4', (60, 3))", "(1,)", bytes(720))),
        "clean.npy",
        "expected numbers",
    ),
    "nothing, a million million times": (
        lambda m: put_scores(m, header("'|V0'", "(1000000000000,)", b"")),
        "clean.npy",
        "expected numbers",
    ),
    "text in an array": (lambda m: put_scores(m, header("'|S4'", "(60, 3)", bytes(720))), "clean.npy", "expected num"),
    "scores of another set": (
        lambda m: change_json(m.json, scores__file="pgd-cnn-0.02mV.npy"),
        "clean.json",
        "names the scores pgd-cnn-0.02mV.npy, not clean.npy",
    ),
    "no scores": (lambda m: m.npy.unlink(), "clean.npy", "missing"),
    "scores are a folder": (lambda m: (m.npy.unlink(), m.npy.mkdir()), "clean.npy", "missing"),
    "scores are a link": (lambda m: linked(m.npy), "clean.npy", "a link"),
    "scores are a loop": (lambda m: (m.npy.unlink(), m.npy.symlink_to(m.npy)), "clean.npy", "a link"),
    "result is a link": (lambda m: linked(m.json), "clean.json", "a link"),
    "folder is a link": (lambda m: linked(m.json.parent), "cnn__onnx-fp32", "a link"),
    "scores above": (lambda m: change_json(m.json, scores__file="../clean.npy"), "clean.json", "scores.file"),
    "scores anywhere": (lambda m: change_json(m.json, scores__file="/etc/hostname"), "clean.json", "scores.file"),
    "scores hidden": (lambda m: change_json(m.json, scores__file=".clean.npy"), "clean.json", "scores.file"),
    "scores by backslash": (lambda m: change_json(m.json, scores__file="..\\clean.npy"), "clean.json", "scores.file"),
    "scores without a name": (lambda m: change_json(m.json, scores__file=""), "clean.json", "scores.file"),
    "hash of capitals": (lambda m: change_json(m.json, scores__sha256="A" * 64), "clean.json", "scores.sha256"),
    "no JSON": (lambda m: m.json.write_text("{'format': 1}"), "clean.json", "JSON"),
    "half of a JSON": (lambda m: m.json.write_text(m.json.read_text()[:200]), "clean.json", "JSON"),
    "empty JSON": (lambda m: m.json.write_bytes(b""), "clean.json", "JSON"),
    "not UTF-8": (lambda m: m.json.write_bytes(b'{"study": "\xff\xfe"}'), "clean.json", "JSON"),
    "nested without end": (lambda m: m.json.write_text("[" * 100_000), "clean.json", "JSON"),
    "nested 33 deep": (lambda m: change_json(m.json, x=deep_value(33)), "clean.json", "nested more than 32 deep"),
    "20,000 values": (lambda m: change_json(m.json, x=[0] * 20_000), "clean.json", "more than 10,000 values"),
    "a number of 5,000 digits": (
        lambda m: m.json.write_text(f'{{"n": {"9" * 5000}}}'),
        "clean.json",
        "a number of more than 400 digits",
    ),
    "a text without an end": (lambda m: m.json.write_text('{"\\"' + '\\"' * 300_000), "clean.json", "JSON"),
    "a key that a terminal obeys": (
        lambda m: change_json(m.json, device__fingerprint=7, **{"\x1b[2J\u202e": 1}),
        "clean.json",
        "device.fingerprint",
    ),
    "a list": (lambda m: m.json.write_text("[1, 2]"), "clean.json", "file: Input should be an object"),
    "huge": (lambda m: m.json.write_bytes(b" " * (MAX_RESULT_BYTES + 1)), "clean.json", "at most 1,048,576"),
    "format 2": (lambda m: change_json(m.json, format=2), "clean.json", "json: format: "),
    "no format": (lambda m: without(m.json, "format"), "clean.json", "json: format: "),
    "no device": (lambda m: without(m.json, "device"), "clean.json", "json: device: "),
    "n is text": (lambda m: change_json(m.json, n="60"), "clean.json", "json: n: "),
    "n is negative": (lambda m: change_json(m.json, n=-60), "clean.json", "json: n: "),
    "size is a fraction": (
        lambda m: change_json(m.json, artifact__size_bytes=1.5),
        "clean.json",
        "artifact.size_bytes",
    ),
    "size is true": (lambda m: change_json(m.json, artifact__size_bytes=True), "clean.json", "artifact.size_bytes"),
    "latency NaN": (lambda m: change_json(m.json, latency_ms__p50=float("nan")), "clean.json", "latency_ms.p50"),
    "latency infinite": (lambda m: change_json(m.json, latency_ms__p99=float("inf")), "clean.json", "latency_ms.p99"),
    "latency negative": (lambda m: change_json(m.json, latency_ms__p50=-1.0), "clean.json", "latency_ms.p50"),
    "no call was timed": (lambda m: change_json(m.json, latency_ms__count=0), "clean.json", "latency_ms.count"),
    "an unknown mark": (lambda m: change_json(m.json, marks=["fast"]), "clean.json", "marks.0"),
    "times elsewhere": (
        lambda m: change_json(m.json, times={"file": "../_clean.times.npy", "sha256": "0" * 64}),
        "clean.json",
        "times.file",
    ),
    "an emulated time": (
        lambda m: change_json(m.json, device__evidence="emulated-count"),
        "clean.json",
        "it has a time, but its processor was emulated",
    ),
    "status unknown": (lambda m: change_json(m.json, status="fine"), "clean.json", "json: status: "),
    "evidence unknown": (lambda m: change_json(m.json, device__evidence="measured"), "clean.json", "device.evidence"),
    "ok without scores": (lambda m: change_json(m.json, scores=None), "clean.json", "status is ok"),
    "ok without n": (lambda m: change_json(m.json, n=None), "clean.json", "status is ok"),
    "ok without engine": (lambda m: change_json(m.json, engine=None), "clean.json", "status is ok"),
    "artifact outside": (lambda m: change_json(m.json, artifact__name="../x/y"), "clean.json", "artifact.name"),
    "another artifact's": (
        lambda m: change_json(m.json, artifact__name="cnn/onnx-int8-static"),
        "clean.json",
        "another's place",
    ),
    "another signal set's": (
        lambda m: change_json(m.json, signals__name="pgd-cnn-0.02mV"),
        "clean.json",
        "another's place",
    ),
    "another device's": (lambda m: change_json(m.json, device__name="pi4"), "clean.json", "another's place"),
    "two kinds of evidence": (
        lambda m: change_json(m.json, device__evidence="measured-on-device"),
        "cnn__onnx-fp32",
        "evidence",
    ),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_refused_in_a_sentence_that_names_the_file(made: Made, what: str) -> None:
    damage, name, said = DAMAGE[what]
    damage(made)
    with pytest.raises(InputError) as caught:
        made.read()
    assert name in caught.value.what
    assert said in caught.value.what
    assert len(caught.value.what) < 500 + len(str(made.json))
    expect_sentence(caught.value.what)
    assert caught.value.mend


# Damage by chance.

COUNT = 300
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


def hostile_field(one: Path, rng: random.Random) -> None:
    one.write_text(hostile_value(one.read_text(), rng))


def insert(one: Path, rng: random.Random) -> None:
    path = rng.choice([one, one.with_suffix(".npy")])
    data = path.read_bytes()
    at = rng.randrange(1, len(data) - 2)
    path.write_bytes(data[:at] + b"\x01" * rng.randint(1, 2000) + data[at:])


def swap(one: Path, rng: random.Random) -> None:
    """Scores of another result."""
    own = one.with_suffix(".npy")
    others = [each for each in sorted(one.parents[1].glob("*/*.npy")) if each.read_bytes() != own.read_bytes()]
    shutil.copyfile(rng.choice(others), own)


DAMAGES: tuple[Callable[[Path, random.Random], None], ...] = (
    *(
        flip,
        cut,
        insert,
        swap,
        hostile_field,
        remove,
        link,
        scores_elsewhere,
        wrong_hash,
        wrong_value,
        drop_key,
        huge,
        deep,
        wrong_array,
        objects,
    ),
    *(claim, misplace),
)


def change(one: Path, *where: Any) -> None:
    *keys, last, value = where
    whole = inner = json.loads(one.read_text())
    for key in keys:
        inner = inner[key]
    inner[last] = value
    one.write_text(json.dumps(whole))


def put(one: Path, data: bytes) -> None:
    """Replace the scores, and mend the hash that the result names with them."""
    one.with_suffix(".npy").write_bytes(data)
    change(one, "scores", "sha256", entry(one.with_suffix(".npy"))["sha256"])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("whole") / "made"
    make_build(home, budgets=(0.02,))
    return home


@pytest.mark.slow
def test_300_damages(whole: Path, tmp_path: Path) -> None:
    """Refused in a sentence, or marked as stale, or a value that changes no score; nothing else happens."""
    bundle = read_bundle(whole / "bundle")
    (good,) = read_results(bundle, whole / "results")

    def work() -> list[str]:
        wrong = []
        for seed in range(COUNT):
            damage, rng = DAMAGES[seed % len(DAMAGES)], random.Random(seed)
            home = tmp_path / "one" / "made"
            shutil.copytree(whole / "results", home / "results")
            one = rng.choice(sorted((home / "results" / "host").glob("*/*.json")))
            key = (one.parent.name.replace("__", "/"), one.stem)
            damage(one, rng)
            there = sorted(home.parent.rglob("*"))
            try:
                (device,) = read_results(bundle, home / "results")
            except InputError as error:
                expect_sentence(error.what)
                if str(home) not in error.what or not error.mend:
                    wrong.append(f"{damage.__name__}, seed {seed}: {error.what}")
            else:
                same = damage is hostile_field and not device.stale
                if same and key in device.results:
                    found, was = device.results[key], good.results[key]
                    same = found.failure is not None or np.array_equal(found.scores, was.scores)
                if not same and ([each.path for each in device.stale] != [one] or key in device.results):
                    wrong.append(f"{damage.__name__}, seed {seed}: neither refused nor marked")
            if sorted(home.parent.rglob("*")) != there:
                wrong.append(f"{damage.__name__}, seed {seed}: something else happened")
            shutil.rmtree(home.parent)
        return wrong

    assert in_child(work, 300) == []
