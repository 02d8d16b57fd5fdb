"""The doors of what is carried by hand: the bundle in one file (``bundle.pyz``) and ``results.zip``.

What somebody, or a bad card, may have done to them on the way is refused in a sentence that names the file, and nothing
of it stays."""

from __future__ import annotations

import os
import random
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pulseproof.bench.devices.asked import Asked
from pulseproof.bench.devices.carried import take, write_carried
from pulseproof.core.errors import InputError
from pulseproof.runtime.wire import zipped
from pulseproof.runtime.wire.carried import unpack
from pulseproof.runtime.wire.untrusted import BundleError
from tests.hostile.making import (
    copied,
    expect_sentence,
    hostile_value,
    in_child,
    list_name,
    listed_as_they_are,
    make_home,
    make_results,
    packed,
    relist,
    rewrite,
    tree,
)

DAMAGES = 300
SECONDS = 300


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study, the file that is carried, and earlier results of the device."""
    folder = make_home(tmp_path_factory.mktemp("carried") / "tiny")
    write_carried(folder / "bundle", Asked())
    make_results(folder / "bundle", folder / "results" / "pi4", seed=1)
    return folder


@pytest.fixture(scope="module")
def carried(home: Path) -> Path:
    return home / "tiny-bundle.pyz"


@pytest.fixture(scope="module")
def results(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed(make_results(home / "bundle", tmp_path_factory.mktemp("board") / "pi4", seed=2))


def set_list(content: bytes) -> Callable[[Path], None]:
    return lambda path: rewrite(path, lambda members: members.update({list_name(members): content}))


def listing(name: str, entry: object) -> Callable[[Path], None]:
    """A listed name, with a member of three bytes."""

    def change(members: dict[str, bytes]) -> None:
        relist(members, lambda files: files.update({name: entry}))
        members[list_name(members).removesuffix("files.json") + name] = b"bad"

    return lambda path: rewrite(path, change)


def crowded(path: Path) -> None:
    """A directory of 9 MB."""
    with zipfile.ZipFile(path, "a") as archive:
        for number in range(150):
            archive.writestr(zipfile.ZipInfo(f"{'n' * 60_000}{number}"), b"")


def long_directory(path: Path) -> None:
    """An end record that says: the directory has 4 GB."""
    data = path.read_bytes()
    at = data.rindex(b"PK\x05\x06")
    path.write_bytes(data[: at + 12] + struct.pack("<L", 0xFFFFFFF0) + data[at + 16 :])


def bomb(path: Path) -> None:
    """A member whose list says that a gigabyte of nothing comes out of a megabyte; the disk has not that much."""
    rewrite(path, lambda m: relist(m, lambda files: files.update({sorted(files)[-1]: [1 << 49, "0" * 64]})))


Z = "0" * 64
TABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda path: path.write_bytes(b""), "not a zip file"),
    "text": (lambda path: path.write_bytes(b"results"), "not a zip file"),
    "no list": (lambda path: rewrite(path, lambda m: m.pop(list_name(m))), "its list of files cannot be read"),
    "a list of nothing": (set_list(b""), "its list of files cannot be read"),
    "a list that is a list": (set_list(b"[]"), "its list of files cannot be read"),
    "files that are a list": (set_list(b'{"files": []}'), "its list of files cannot be read"),
    "a list in Latin-1": (set_list(b'{"files": {"\xff": 1}}'), "its list of files cannot be read"),
    "a list 100,000 deep": (set_list(b"[" * 100_000), "its list of files cannot be read"),
    "a list 900 deep": (set_list(b'{"files": {"a.npy": ' + b"[" * 900 + b"]" * 900 + b"}}"), "list of files cannot be"),
    "a list of 17 MB": (set_list(b" " * (17 << 20)), "its list of files is too long"),
    "a list of two million lists": (set_list(b'{"files": [' + b"[]," * 2_000_000 + b"0]}"), "list of files cannot be"),
    "a number of 5,000 digits": (set_list(b'{"files": {"a.npy": [' + b"9" * 5000 + b"]}}"), "list of files cannot be"),
    "a name above": (listing("../x.npy", [3, Z]), "'../x.npy' is not a name that may come"),
    "an absolute name": (listing("/etc/x.npy", [3, Z]), "'/etc/x.npy' is not a name that may come"),
    "a hidden name": (listing("a/.x.npy", [3, Z]), "'a/.x.npy' is not a name that may come"),
    "a name by backslash": (listing("a\\x.npy", [3, Z]), "is not a name that may come"),
    "a name that a terminal obeys": (listing("a/\x1b[2J\u202e.npy", [3, Z]), "is not a name that may come"),
    "a long name": (listing("n" * 400 + ".npy", [3, Z]), "is not a name that may come"),
    "a program": (listing("x.py", [3, Z]), "'x.py' is not a name that may come"),
    "a size below 0": (listing("device.json", [-1, Z]), "device.json: its size is not a number of bytes"),
    "a size that is true": (listing("device.json", [True, Z]), "device.json: its size is not a number of bytes"),
    "a size of 1e300": (listing("device.json", [1e300, Z]), "device.json: its size is not a number of bytes"),
    "no hash": (listing("device.json", [3, "z"]), "device.json: its SHA-256 is none"),
    "an entry of one": (listing("device.json", [3]), "the list of files cannot be read"),
    "a directory of 9 MB": (crowded, "not a zip file, or a damaged one"),
    "a directory of 4 GB": (long_directory, "not a zip file, or a damaged one"),
}


@pytest.mark.parametrize("what", TABLE)
def test_an_archive_of_a_stranger(what: str, home: Path, carried: Path, results: Path, tmp_path: Path) -> None:
    damage, said = TABLE[what]
    before = tree(home)
    for whole in (carried, results):
        path = tmp_path / whole.name
        shutil.copyfile(whole, path)
        damage(path)
        with pytest.raises((BundleError, InputError)) as refused:
            if whole == carried:
                unpack(path, tmp_path / "there" / "bundle")
            else:
                take(home / "bundle", path, home / "results")
        sentence = refused.value.what if isinstance(refused.value, InputError) else str(refused.value)
        expect_sentence(sentence)
        assert said in sentence
    assert tree(home) == before
    assert not list((home / "incoming").iterdir())
    assert not tree(tmp_path / "there")


def test_more_than_there_is_room_for(home: Path, carried: Path, results: Path, tmp_path: Path) -> None:
    """By the sizes of the list, before a byte is unpacked."""
    for whole in (carried, results):
        shutil.copyfile(whole, tmp_path / whole.name)
    bomb(tmp_path / carried.name)
    with pytest.raises(BundleError, match=r"bytes are to come, at most [\d,]+ can be taken"):
        unpack(tmp_path / carried.name, tmp_path / "bundle")
    bomb(tmp_path / results.name)
    with pytest.raises(InputError, match=r"562,949,953,421,312 bytes, at most [\d,]+ can be right"):
        take(home / "bundle", tmp_path / results.name, home / "results")
    assert not tree(tmp_path / "bundle")


def test_what_a_killed_one_left_half_written_goes(carried: Path, tmp_path: Path) -> None:
    half = tmp_path / "bundle/signals/.clean.x1.partial.npy"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    assert unpack(carried, tmp_path / "bundle") > 1
    assert not half.exists() and (tmp_path / "bundle/signals/clean.npy").exists()


# Damage by chance.


def flip(path: Path, rng: random.Random) -> None:
    """One bit of a member's content, or of the file."""

    def change(members: dict[str, bytes]) -> None:
        name = rng.choice(content(members))
        members[name] = flipped(members[name], rng)

    if rng.randrange(2):
        rewrite(path, change)
    else:
        path.write_bytes(flipped(path.read_bytes(), rng))


def flipped(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def content(members: dict[str, bytes]) -> list[str]:
    """The members that are not the runner's."""
    return sorted(each for each in members if not each.startswith(("runtime", "__main__")))


def cut(path: Path, rng: random.Random) -> None:
    os.truncate(path, rng.randrange(path.stat().st_size - 100))


def insert(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    at = rng.randrange(len(data))
    path.write_bytes(data[:at] + rng.randbytes(rng.randint(1, 3000)) + data[at:])


def rubbish(path: Path, rng: random.Random) -> None:
    path.write_bytes(rng.randbytes(rng.randrange(5000)))


def swap(path: Path, rng: random.Random) -> None:
    """Two members change places; the list may agree with that."""

    def change(members: dict[str, bytes]) -> None:
        one, other = rng.sample([each for each in content(members) if each != list_name(members)], 2)
        members[one], members[other] = members[other], members[one]
        if rng.randrange(2):
            listed_as_they_are(members)

    rewrite(path, change)


def wrong_entry(path: Path, rng: random.Random) -> None:
    value = rng.choice(
        [None, 7, "x", [], [3], [-1, Z], [3, "z"], ["3", Z], [1 << 60, Z], [True, Z], {}, [3, Z], [10**400, Z]]
    )
    rewrite(path, lambda members: relist(members, lambda files: files.update({rng.choice(sorted(files)): value})))


def resized(path: Path, rng: random.Random) -> None:
    """A member that is longer than it was, or shorter, as the list says."""

    def change(members: dict[str, bytes]) -> None:
        name = rng.choice([each for each in content(members) if each.endswith("npy")])
        members[name] = rng.choice([members[name][:-1], members[name] * 2, bytes(3_000_000)])
        listed_as_they_are(members)

    rewrite(path, change)


def lost(path: Path, rng: random.Random) -> None:
    rewrite(path, lambda members: members.pop(rng.choice(content(members))))


def hostile_field(path: Path, rng: random.Random) -> None:
    """A value of some JSON member, the list mended."""

    def change(members: dict[str, bytes]) -> None:
        name = rng.choice([each for each in content(members) if each.endswith(".json") and each != list_name(members)])
        members[name] = hostile_value(members[name].decode(), rng).encode()
        listed_as_they_are(members)

    rewrite(path, change)


def odd_member(path: Path, rng: random.Random) -> None:
    """The flag of encryption, or a compression that Python does not know, on some member."""
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        names = content({each.filename: b"" for each in archive.infolist() if each.compress_size})
        one = archive.getinfo(rng.choice(names))
    at = data.index(b"PK\x01\x02", 0)
    while data[at + 46 : at + 46 + len(one.filename)] != one.filename.encode():
        at = data.index(b"PK\x01\x02", at + 4)
    if rng.randrange(2):
        data[at + 8] |= 1
        data[one.header_offset + 6] |= 1
    else:
        data[at + 10] = data[one.header_offset + 8] = rng.choice([1, 9, 97])
    path.write_bytes(data)


BY_CHANCE = (flip, cut, insert, rubbish, swap, wrong_entry, resized, lost, hostile_field, odd_member)


@pytest.mark.slow
def test_300_damages_of_the_bundle_in_one_file(carried: Path, tmp_path: Path) -> None:
    """It is refused, or what was unpacked is what was packed."""
    with zipped.opened(carried) as opened:
        whole = {name: opened.read(f"bundle/{name}") for name in zipped.listed(opened, "bundle/")}

    def work() -> list[str]:
        wrong = []
        for seed in range(DAMAGES):
            damage = BY_CHANCE[seed % len(BY_CHANCE)]
            path, folder = tmp_path / "one.pyz", tmp_path / "there" / "bundle"
            shutil.rmtree(folder.parent, ignore_errors=True)
            shutil.copyfile(carried, path)
            damage(path, random.Random(seed))
            try:
                unpack(path, folder)
            except BundleError as error:
                expect_sentence(str(error))
            else:
                found = tree(folder)
                # A list that was mended says what it likes: the bundle's own hashes then tell (test_bundle.py).
                if found != whole and damage not in (swap, resized, hostile_field, lost):
                    wrong.append(f"{damage.__name__}, seed {seed}: taken")
            if any(".partial" in name for name in tree(folder)):
                wrong.append(f"{damage.__name__}, seed {seed}: left a half file")
        return wrong

    assert in_child(work, SECONDS) == []


@pytest.mark.slow
def test_300_damages_of_results(home: Path, results: Path, tmp_path: Path) -> None:
    """They are refused, and what was there stays; or every result is that of before, or the one that was sent."""
    place = copied(home, tmp_path / "tiny")
    before = tree(place / "results/pi4")
    with zipped.opened(results) as opened:
        sent = {name: opened.read(name) for name in zipped.listed(opened, "")}

    def work() -> list[str]:
        wrong = []
        for seed in range(DAMAGES):
            damage = BY_CHANCE[seed % len(BY_CHANCE)]
            path = tmp_path / "one.zip"
            shutil.copyfile(results, path)
            damage(path, random.Random(seed))
            try:
                take(place / "bundle", path, place / "results")
            except InputError as error:
                expect_sentence(error.what)
                if tree(place / "results") != {f"pi4/{name}": data for name, data in before.items()}:
                    wrong.append(f"{damage.__name__}, seed {seed}: refused, but something changed")
            else:
                found = tree(place / "results/pi4")
                for name in found:
                    if name.endswith(".npy") and found[name] not in (before.get(name), sent[name]):
                        wrong.append(f"{damage.__name__}, seed {seed}: {name} is neither")
                    same = found[name] in (before.get(name), sent.get(name))
                    if name.endswith(".json") and not same and damage not in (hostile_field, swap):
                        wrong.append(f"{damage.__name__}, seed {seed}: {name} is neither")
                copied(home / "results", place / "results")
            if list((place / "incoming").iterdir()):
                wrong.append(f"{damage.__name__}, seed {seed}: left something")
        return wrong

    assert in_child(work, SECONDS) == []
