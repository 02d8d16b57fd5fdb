"""The door of devices: what they are called and how they are written down, on the command line and in devices.toml; and
the folders there, of which only what we made, or found empty, is written to and removed."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pulseproof.bench.devices.asked import Asked
from pulseproof.bench.devices.clean import forget
from pulseproof.bench.devices.connection import Connection
from pulseproof.bench.devices.emulated.cores import CORES
from pulseproof.bench.devices.kinds import expect_free
from pulseproof.bench.devices.local import DEVICE
from pulseproof.bench.devices.look import look
from pulseproof.bench.devices.reach import named_devices
from pulseproof.bench.devices.run import bring
from pulseproof.bench.devices.session import MARKER, Session
from pulseproof.bench.devices.spec import DeviceSpec, read_devices
from pulseproof.core.errors import InputError
from tests.bench.devices.test_ssh import write_bundle
from tests.hostile import lying_ssh
from tests.hostile.making import damaged_text, expect_sentence

TAKEN = [DEVICE, DEVICE.upper(), *(core.device for core in CORES.values()), "Emulated-new"]
LOCAL_SSH = Path(lying_ssh.__file__).with_name("local_ssh.py")


def table(**fields: object) -> str:
    """A devices.toml of one device."""
    lines = [f"{name} = {value}" for name, value in {"address": '"a"', **fields}.items()]
    return "\n".join(["[pi4]", *lines])


# {what is wrong: (devices.toml, words of the sentence)}
FILES: dict[str, tuple[str | bytes, str]] = {
    **{f"called {name}": (f'[{name}]\naddress = "pi@board"\n', "cannot be called") for name in TAKEN},
    "a name that is a path": ('["../x"]\naddress = "a"', "[../x]: name"),
    "a name with a line end": ('["a\\n"]\naddress = "a"', "name"),
    "a name that a terminal obeys": ('["\\u001b[31m\\u202e"]\naddress = "a"', "name"),
    "a number of 5,000 digits": (table(limit="9" * 5000), "thousands of digits"),
    "nested deep": (f"x = {'[' * 20_000}{']' * 20_000}", "nested too deep"),
    "UTF-16": (table().encode("utf-16"), "not UTF-8"),
    "minutes without end": (table(minutes="inf"), "minutes"),
    "minutes that are no number": (table(minutes="nan"), "minutes"),
    "a million threads": (table(threads="1000000"), "threads"),
    "a limit beyond all": (table(limit="1" + "0" * 30), "limit"),
    "a limit below 1": (table(limit="0"), "limit"),
    "an address that is an option": (table(address='"-oProxyCommand=x"'), "address"),
    "a host that is an option": (table(address='"pi@-oProxyCommand"'), "address"),
    "an address with a command": (table(address='"pi@$(x)"'), "address"),
    "an address of two lines": (table(address='"a\\nb"'), "address"),
    "a folder that is an option": (table(folder='"-rf"'), "begins with '-'"),
    "a folder of somebody else": (table(folder='"~root/p"'), "only your own home there is known"),
    "a folder with a command": (table(folder='"$(x)"'), "folder"),
    "a folder of two words": (table(folder='"a b"'), "folder"),
    "no folder": (table(folder='""'), "folder"),
    "a folder of a megabyte": (table(folder=f'"{"a" * (1 << 20)}"'), "folder"),
    "a Python that is an option": (table(python='"-c"'), "begins with '-'"),
    "a Python of somebody else": (table(python='"~eve/python"'), "only your own home there is known"),
    "a Python that a terminal obeys": (table(python='"py\\u001b[31m"'), "cannot be printed"),
    "a Python with a NUL": (table(python='"py\\u0000"'), "cannot be printed"),
    "an ssh with a NUL": (table(ssh='["ssh", "\\u0000"]'), "cannot be printed"),
    "an ssh of no words": (table(ssh="[]"), "ssh"),
    "an ssh that is one text": (table(ssh='"ssh -p 22"'), "ssh"),
    "an artifact that a terminal obeys": (table(only='["\\u202e"]'), "cannot be printed"),
    "an unknown key": (table(sudo="true"), "sudo"),
    "a key that a terminal obeys": (table(**{'"\\u001b[31m"': "1"}), "Extra inputs are not permitted"),
    "a text that a terminal obeys": ('"\\u001b[31m" = 3', "is no table"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_devices(name: str, tmp_path: Path) -> None:
    content, words = FILES[name]
    path = tmp_path / "devices.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as refused:
        read_devices(path)
    assert str(path) in refused.value.what and words in refused.value.what
    assert len(str(refused.value)) < 1000
    assert all(line.isprintable() for line in str(refused.value).split("\n"))


# {what is wrong: (--device, --python, words of the sentence)}
TYPED: dict[str, tuple[str, str, str]] = {
    **{f"called {name}": (f"pi@{name}", "python3", "cannot be called") for name in TAKEN},
    "an option": ("-oProxyCommand=x", "python3", "address"),
    "a host that is an option": ("pi@-x", "python3", "address"),
    "a terminal obeys it": ("pi@\x1b[31m", "python3", "address"),
    "a Python that is an option": ("pi@b", "-c", "begins with '-'"),
    "a Python of somebody else": ("pi@b", "~eve/python", "only your own home there is known"),
    "a Python that a terminal obeys": ("pi@b", "py\u202e", "cannot be printed"),
}


@pytest.mark.parametrize("name", TYPED)
def test_a_device_as_it_is_typed(name: str) -> None:
    address, python, words = TYPED[name]
    with pytest.raises(InputError) as refused:
        named_devices([address], None, Asked(), python)
    assert words in refused.value.what
    assert all(line.isprintable() for line in str(refused.value).split("\n"))


@pytest.mark.parametrize("name", ["pi4", "hosting", "my-host", "not-emulated-core"])
def test_a_name_that_is_free(name: str) -> None:
    assert expect_free(name) == name


@pytest.mark.parametrize("ssh", ["/no/such/program", "/tmp", "-x", "\udcff"])
def test_an_ssh_that_cannot_be_run(ssh: str) -> None:
    device = DeviceSpec.model_construct(name="b", address="b", ssh=(ssh,))
    with pytest.raises(InputError, match="cannot be run here"):
        Connection(device, print, ()).run(["true"], "looking at it")


@pytest.mark.parametrize(("limit", "minutes"), [(1, 0.5), (1_234_567, 9999.25)])
def test_the_runner_reads_the_numbers_that_it_is_given(limit: int, minutes: float) -> None:
    assert Asked(limit=limit, minutes=minutes).options() == ["--limit", str(limit), "--minutes", str(minutes)]


# --- Folders there. The home folder has a name that a shell would take otherwise. ---


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("study") / "bundle")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "-my home; touch 'x' * $(touch y) \"~"
    (folder / "own").mkdir(parents=True)
    (folder / "own/thesis").write_text("years of work")
    for name, command in (("python", sys.executable), ("bare", f"{sys.executable} -I -S")):
        (folder / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (folder / name).chmod(0o755)
    return folder


def reach(home: Path, bundle: Path, **fields: Any) -> Session:
    ssh = (sys.executable, "-I", "-S", str(LOCAL_SSH), str(home))
    device = DeviceSpec(name="b", address="b", ssh=ssh, **{"folder": "~/p", "python": "~/python", **fields})
    return Session(Connection(device, print, (), 60.0), bundle, bundle.parent / "results")


def seen(home: Path) -> dict[str, str]:
    """What lies there, links not followed."""
    found = {}
    for path in home.rglob("*"):
        kind = "link" if path.is_symlink() else "folder" if path.is_dir() else path.read_text(errors="replace")
        found[path.relative_to(home).as_posix()] = kind
    return found


def ours(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).touch()
    return folder


def linked(path: Path, to: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(to)


BROUGHT = {"a folder in the home folder": "~/p", "the home folder": "~", "relative": "p", "here": "."}


@pytest.mark.parametrize("name", BROUGHT)
def test_a_folder_that_is_made(name: str, home: Path, bundle: Path) -> None:
    session, before = reach(home, bundle, folder=BROUGHT[name]), seen(home)
    look(session, print, False)
    bring(session, print)
    after = seen(home)
    made = {each for each in after if each not in before}
    place = "p/tiny" if name not in ("the home folder", "here") else "tiny"
    assert {f"{place}/{MARKER}", f"{place}/bundle/runner.pyz", f"{place}/bundle/bundle.json"} <= made
    assert {each.split("/")[0] for each in made} == {place.removesuffix("/tiny")}
    forget(session.device, bundle, print)
    left = {each: kind for each, kind in seen(home).items() if each != "p"}
    assert left == before


# {what is there: (how it got there, folder, what is done, words of the sentence)}: all of it stays as it was.
FOREIGN: dict[str, tuple[Callable[[Path], object], str, Callable[[Session], object], str]] = {
    "a folder of the study's name": (
        lambda home: (home / "own").rename(home / "tiny"),
        "~",
        lambda session: bring(session, print),
        "is not empty, and not ours",
    ),
    "a link to a folder": (
        lambda home: linked(home / "p/tiny", "../own"),
        "~/p",
        lambda session: bring(session, print),
        "not ours",
    ),
    "a link to one of ours": (
        lambda home: (ours(home / "own"), linked(home / "p/tiny", "../own")),
        "~/p",
        lambda session: bring(session, print),
        "not ours",
    ),
    "a link to nothing": (
        lambda home: linked(home / "p/tiny", "../nothing"),
        "~/p",
        lambda session: bring(session, print),
        "not ours",
    ),
    "a file": (
        lambda home: (home / "tiny").write_text("x"),
        "~",
        lambda session: bring(session, print),
        "not ours",
    ),
    "a virtual environment of the user": (
        lambda home: (home / "own").rename(home / "venv"),
        "~",
        lambda session: look(session, print, True),
        "not ours",
    ),
    "cleaning a folder of the study's name": (
        lambda home: (home / "own").rename(home / "tiny"),
        "~",
        lambda session: forget(session.device, session.whole, print),
        f"has no {MARKER}",
    ),
    "cleaning a link to one of ours": (
        lambda home: (ours(home / "own"), linked(home / "p/tiny", "../own")),
        "~/p",
        lambda session: forget(session.device, session.whole, print),
        f"has no {MARKER}",
    ),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_folder_of_somebody_else(name: str, home: Path, bundle: Path) -> None:
    make, folder, do, words = FOREIGN[name]
    make(home)
    before = seen(home)
    session = reach(home, bundle, folder=folder, python="~/bare")
    session.settle()
    with pytest.raises(InputError) as refused:
        do(session)
    assert words in refused.value.what
    assert seen(home) == before


# {what is there: (how it got there, what is gone after cleaning; all else stays)}
CLEANED: dict[str, tuple[Callable[[Path], object], set[str]]] = {
    "nothing": (lambda home: None, set()),
    "our folder with a link to another": (
        lambda home: linked(ours(home / "p/tiny") / "link", "../../own"),
        {"p/tiny", f"p/tiny/{MARKER}", "p/tiny/link"},
    ),
    "the last study and our environment": (
        lambda home: (ours(home / "p/tiny"), ours(home / "p/venv")),
        {"p/tiny", f"p/tiny/{MARKER}", "p/venv", f"p/venv/{MARKER}"},
    ),
    "another study and our environment": (
        lambda home: (ours(home / "p/tiny"), ours(home / "p/venv"), ours(home / "p/another")),
        {"p/tiny", f"p/tiny/{MARKER}"},
    ),
    "the user's environment": (
        lambda home: (ours(home / "p/tiny"), (home / "p/venv").mkdir()),
        {"p/tiny", f"p/tiny/{MARKER}"},
    ),
    "a link to one of our environments": (
        lambda home: (ours(home / "p/tiny"), ours(home / "own"), linked(home / "p/venv", "../own")),
        {"p/tiny", f"p/tiny/{MARKER}"},
    ),
}


@pytest.mark.parametrize("name", CLEANED)
def test_only_what_is_ours_is_removed(name: str, home: Path, bundle: Path) -> None:
    make, gone = CLEANED[name]
    make(home)
    before = seen(home)
    forget(reach(home, bundle).device, bundle, print)
    assert seen(home) == {each: kind for each, kind in before.items() if each not in gone}


WHOLE = b"""[pi4]
address = "pi@board"
python = "~/venv/bin/python"
folder = "pulseproof"
threads = 1
limit = 100
minutes = 0.5
only = ["cnn/*"]
sets = ["clean"]

[zero]
address = "pi@zero.local"
ssh = ["ssh", "-p", "2222"]
"""


def test_three_hundred_damages_are_read_or_refused_in_a_sentence(tmp_path: Path) -> None:
    path, refused = tmp_path / "devices.toml", 0
    path.write_bytes(WHOLE)
    assert [each.name for each in read_devices(path)] == ["pi4", "zero"]
    for seed in range(300):
        path.write_bytes(damaged_text(WHOLE, random.Random(seed)))
        try:
            read_devices(path)
        except InputError as error:
            refused += 1
            expect_sentence(error.what)
    assert refused > 150
