"""The door of a brought estimator: its archive is measured before it is opened, its trees before they are walked."""

from __future__ import annotations

import io
import resource
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulseproof.core.errors import InputError
from pulseproof.core.study import Study
from pulseproof.models.brought.estimator_files import load_estimator, read_strangers
from pulseproof.models.run import train_study
from tests.hostile import making_estimators as making
from tests.hostile.making_estimators import X, members_of, npy, pack, with_array, with_schema
from tests.models.making import small_recordings

MEND = "write it again"
HOME = Path(__file__).parents[3]
DAMAGES = 300
Make = Callable[[Path], Path]


def changed(kind: str, at: tuple[str, int], value: Any, field: str | None = None) -> Make:
    """An estimator of that kind with one field of one node changed."""

    def change(nodes: np.ndarray) -> None:
        nodes[at[0]][at[1]] = value

    return lambda path: with_array(path, kind, change, field or at[0])


def member(name: str, content: bytes, kind: str = "linear", **how: Any) -> Make:
    """An estimator with one member more."""
    return lambda path: pack(path, {**members_of(kind), name: content}, **how)


def nested(path: Path) -> Path:
    inner = making.bomb(path.with_name("inner.zip"), "data.npy", 700)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", members_of("linear")["schema.json"])
        archive.write(inner, "matrix.npz")
    inner.unlink()
    return path


def with_bits(path: Path, at: int, value: int) -> Path:
    """A flag in the list of members, and in the member itself."""
    data = bytearray(pack(path, members_of("linear")).read_bytes())
    data[data.find(b"PK\x01\x02") + at + 2] = data[at] = value
    path.write_bytes(data)
    return path


def other_name(path: Path) -> Path:
    """A member of a very long name, which its own header does not have: zipfile repeats both, byte by byte."""
    data = bytearray(pack(path, {**members_of("linear"), "\u00e9" * 30_000: b""}).read_bytes())
    data[data.find("\u00e9".encode() * 9)] ^= 1
    path.write_bytes(data)
    return path


def end_says(path: Path, size: int) -> Path:
    """An archive that says that the list of its members has so many bytes."""
    data = bytearray(pack(path, members_of("linear")).read_bytes())
    end = data.rfind(b"PK\x05\x06")
    data[end + 12 : end + 16] = size.to_bytes(4, "little")
    path.write_bytes(data)
    return path


def of_long_form(path: Path) -> Path:
    data = bytearray(pack(path, members_of("linear")).read_bytes())
    end = data.rfind(b"PK\x05\x06")
    path.write_bytes(data[:end] + b"PK\x06\x07" + bytes(16) + data[end:])
    return path


def another_tree(path: Path) -> Path:
    """A tree of neighbours whose list of points names one that is not there."""
    members = members_of("neighbours")
    for name, content in members.items():
        array = np.load(io.BytesIO(content), allow_pickle=False) if name.endswith(".npy") else np.zeros(0)
        if array.shape == (200,) and sorted(array) == list(range(200)):
            array[0] = 10**9
            members[name] = npy(array)
            return pack(path, members)
    raise AssertionError("no list of points")


def machine(
    find: Callable[[np.ndarray], bool], change: Callable[[np.ndarray], np.ndarray], kind: str = "vectors"
) -> Make:
    """A support vector machine, the first array that ``find`` knows changed."""

    def make(path: Path) -> Path:
        members = members_of(kind)
        for name, content in members.items():
            array = np.load(io.BytesIO(content), allow_pickle=False) if name.endswith(".npy") else np.zeros(0)
            if find(array):
                members[name] = npy(change(array))
                return pack(path, members)
        raise AssertionError("no such array")

    return make


def counts(array: np.ndarray) -> bool:
    return array.shape == (2,) and array.dtype == np.int32 and int(array.sum()) > 99


# name: (how the archive is made, what the sentence says)
WRONG: dict[str, tuple[Make, str]] = {
    "4 MB that unpack to 4 GB": (making.bomb, "unpack to 4,194,304,"),
    "an archive in it that unpacks to 700 MB": (nested, "its arrays unpack to"),
    "an array asked for 3,000 times": (making.asks_often, "its schema asks for 2,400,"),
    "a schema of 70 MB": (
        lambda f: pack(f, {"schema.json": bytes(70 << 20), "noise": np.random.default_rng(0).bytes(1 << 20)}),
        "its schema has 73,400,320 bytes",
    ),
    "a schema of two million lists": (
        lambda f: with_schema(f, "linear", lambda _: "[" + "[]," * 2**21 + "0]"),
        "parts",
    ),
    "a schema 100,000 deep": (
        lambda f: with_schema(f, "linear", lambda _: "[" * 10**5 + "]" * 10**5),
        "RecursionError",
    ),
    "a number of 5,000 digits": (lambda f: with_schema(f, "linear", lambda _: "9" * 5000), "4300 digits"),
    "no schema": (lambda f: pack(f, {"other": b""}), "schema.json"),
    "a header that says 2**40": (member("a.npy", npy(np.zeros(3), shape=(2**40,))), "its header says 8,796,093,022,"),
    "a header of other arithmetic": (member("a.npy", npy(np.zeros(3), shape=(-3,))), "a.npy has"),
    "an array of objects": (member("a.npy", npy(np.zeros(3), descr="|O")), "a.npy holds Python objects"),
    "no array at all": (member("a.npy", b"\x80\x04K\x01."), "not a readable skops file"),
    "packed by LZMA": (member("b", bytes(99), compression=zipfile.ZIP_LZMA), "is packed as skops packs none"),
    "encrypted": (lambda f: with_bits(f, 6, 1), "is packed as skops packs none"),
    "a name of 60,000 letters": (other_name, "differ"),
    "a header of 2,000 fields": (
        member("a.npy", npy(np.zeros(3, [(f"field{number}", "f8") for number in range(200)])[:0], shape=(7,))),
        "its header says 15,",
    ),
    "a list of members of 4 GB": (lambda f: end_says(f, 2**32 - 1), "its list of members has 4,294,967,295 bytes"),
    "a list of members of the long form": (of_long_form, "longer than any estimator's"),
    "cut short": (lambda f: f.write_bytes(pack(f, members_of("tree")).read_bytes()[:900]) and f, "cut short"),
    "a tree that goes round": (changed("tree", ("left_child", 0), 0), "a node whose child does not come after it"),
    "a tree that goes back": (changed("tree", ("right_child", 1), 0), "a node whose child does not come after it"),
    "a tree with a child far away": (changed("tree", ("right_child", 0), 2**40), "a node whose child does not come"),
    "a tree with a feature far away": (changed("tree", ("feature", 0), 2**40), "asks for a feature that is none of 5"),
    "a tree with feature -9": (changed("tree", ("feature", 0), -9), "asks for a feature that is none of 5"),
    "a forest with a tree that goes round": (changed("forest", ("left_child", 0), 0), "does not come after it"),
    "boosted trees that go round": (changed("boosted", ("left", 0), 0), "does not come after it"),
    "boosted trees with a feature far away": (changed("boosted", ("feature_idx", 0), 2**40), "is none of 5"),
    "boosted trees with categories": (changed("boosted", ("is_categorical", 0), 1), "categories that are not there"),
    "neighbours that are not there": (another_tree, "is not the tree of its own points"),
    "a million support vectors that are not there": (
        machine(counts, lambda array: array + np.int32(10**6)),
        "counts [",
    ),
    "support vectors counted below zero": (machine(counts, lambda array: array * np.int32([-1, 1])), "counts [-"),
    "half of the coefficients": (
        machine(lambda array: array.ndim == 2 and array.shape[0] == 1, lambda array: array[:, ::2].copy()),
        "has coefficients to show of shape (1,",
    ),
    "a machine in a vote that counts wrongly": (
        machine(counts, lambda array: array + np.int32(9), "vote"),
        "counts [",
    ),
}


def expect_sentence(error: InputError, *words: str) -> None:
    assert all(word in error.what for word in words), error.what
    assert error.what.isprintable() and error.mend.isprintable() and error.mend
    assert "Traceback" not in error.what and len(error.what) < 1200


@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused_before_it_is_opened(name: str, tmp_path: Path) -> None:
    make, said = WRONG[name]
    path = make(tmp_path / "x.skops")
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(InputError) as raised:
        load_estimator(path, MEND)
    expect_sentence(raised.value, str(path), said)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 << 10  # kB
    assert time.monotonic() - begun < 30 and [one.name for one in tmp_path.iterdir()] == ["x.skops"]


@pytest.mark.parametrize("kind", making.KINDS)
def test_what_is_right_is_taken(kind: str, tmp_path: Path) -> None:
    loaded = load_estimator(pack(tmp_path / "x.skops", members_of(kind)), MEND)
    assert np.array_equal(loaded.predict(X), making.KINDS[kind]().predict(X))


def outputs(count: int) -> Make:
    """A tree that says that it has ``count`` outputs: its own code then reads behind a list of one."""

    def change(schema: str) -> str:
        at = schema.index('"sklearn.tree._tree"')
        return schema[:at] + schema[at:].replace('"content": "1"', f'"content": "{count}"')

    return lambda path: with_schema(path, "tree", change)


@pytest.mark.slow
def test_an_estimator_is_read_by_a_process_that_may_die_first(tmp_path: Path) -> None:
    """What takes scikit-learn down while it reads is a sentence of the study."""
    path = outputs(2**28)(tmp_path / "x.skops")
    recordings = small_recordings(tmp_path / "recordings" / "small")
    asked = {"name": "small", "title": "small", "data": {"source": "synthetic"}, "models": {"own": {"file": str(path)}}}
    with pytest.raises(InputError) as raised:
        train_study(Study.model_validate(asked), recordings, tmp_path)
    expect_sentence(raised.value, f"[models.own]: {path}: ")
    assert not list((tmp_path / "small" / "models" / "own").glob("*.skops"))


READS = """
import signal, sys
from pathlib import Path
from pulseproof.core.errors import InputError
from pulseproof.models.brought.estimator_files import load_estimator
from pulseproof.runtime.score import confine
from tests.hostile.making_estimators import X, damaged
confine(2 << 30)
for seed in range(int(sys.argv[2]), int(sys.argv[3])):
    signal.alarm(60)
    print(seed, "reads", flush=True)
    try:
        estimator = load_estimator(damaged(Path(sys.argv[1]), seed), "write it again")
    except InputError as error:
        assert error.what.startswith(sys.argv[1]) and error.what.isprintable() and len(error.what) < 1200, error.what
        continue
    print(seed, "asks", flush=True)
    try:
        estimator.predict(X)
    except Exception:  # scikit-learn's own words about numbers that do not fit together
        pass
"""


@pytest.mark.slow
def test_300_random_damages_end_in_a_sentence_or_an_estimator(tmp_path: Path) -> None:
    """Read one after the other by a process that goes on where it died: it may die while it reads, of which a study
    makes a sentence, and never of an estimator that was taken."""
    path, first, died, asked = tmp_path / "x.skops", 0, [], 0
    while first < DAMAGES:
        command = [sys.executable, "-c", READS, str(path), str(first), str(DAMAGES)]
        ended = subprocess.run(command, cwd=HOME, capture_output=True, text=True, timeout=1200, check=False)
        *_, last = ended.stdout.split("\n")[:-1]
        asked += ended.stdout.count("asks")
        if ended.returncode == 0:
            break
        assert ended.returncode < 0 and last.endswith("reads"), (last, ended.stderr[-2000:])
        died.append(int(last.split()[0]))
        first = died[-1] + 1
    assert asked
    for seed in died[:2]:
        with pytest.raises(InputError) as raised:
            read_strangers(making.damaged(path, seed), f"own: {path}")
        expect_sentence(raised.value, str(path))
