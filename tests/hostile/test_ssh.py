"""The door ssh: a device that lies, is noisy, is slow, or says nothing at all. One sentence that names the step, in
bounded time and memory, and nothing is left; noise and greetings are no fault at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from pulseproof.bench.devices.clean import forget
from pulseproof.bench.devices.connection import Connection
from pulseproof.bench.devices.look import look
from pulseproof.bench.devices.run import bring, fetch, run
from pulseproof.bench.devices.session import Session
from pulseproof.bench.devices.spec import DeviceSpec
from pulseproof.core.errors import InputError
from tests.bench.devices.test_ssh import write_bundle
from tests.hostile import lying_ssh

Say = Callable[[str], None]
LONGEST_S, MOST_BYTES = 20.0, 64 << 20
# What is done to get to a step, and how a sentence calls it.
STEPS: dict[str, tuple[Callable[[Session, Say], object], str]] = {
    "home": (lambda session, say: session.settle(), "looking at it"),
    "look": (lambda session, say: look(session, say, False), "looking at it"),
    "put": (bring, "putting the runner there"),
    "have": (bring, "listing what is there"),
    "take": (bring, "copying"),
    "start": (run, "starting"),
    "follow": (run, "following"),
    "give": (fetch, "fetching results"),
    "clean": (lambda session, say: forget(session.device, session.whole, say, session.connection), "cleaning"),
}
MORE, SILENT = "more than it was asked for", "no answer for"
# {way to lie: ({step: words of the sentence}, "" for the others)}: None where the step holds.
EVERYWHERE: dict[str, dict[str, str | None]] = {
    "noisy": {"": None},
    "greets": {"": None},
    "greets_without_end": {"": "its login shell prints"},
    "no_shell": {"": "its login shell does not do what it is asked: This account is"},
    "endless": {"": MORE, "give": "is too long"},
    "endless_lines": {"": MORE, "give": "the list of files cannot be read"},
    "closes_its_input": {"": "error: no room", "look": "does not run there", "follow": None},
    "fails": {"": "it broke", "look": "does not run there (", "follow": None},
    "drops": {"": "cannot be reached (Connection"},
    "is_killed": {"": "status -9", "look": "does not run there", "follow": "ended without a word, 3 times"},
    "is_lost": {
        "": "status 3",
        "look": "does not run there",
        "follow": "ended without a word, 3 times",
        "give": "status 3",
    },
    "says_nothing": {
        "": "it answers",
        "home": "its home folder cannot be",
        "look": "does not answer as Python does",
        "have": "expected a list of files",
        "take": None,  # the runner then misses it
        "follow": None,
        "give": "the list of files ends too early",
    },
}
SLOWLY: dict[str, dict[str, str | None]] = {
    "silent": {"": SILENT},
    "silent_after_the_line": {"": SILENT},
    "stays": {"": SILENT},
    "drips": {"": SILENT},
    "endless_errors": {"": SILENT},
}
SAID: dict[str, dict[str, str]] = {
    "deep": {
        "look": "does not answer as Python does",
        "have": "expected a list of files",
        "put": "it answers",
        "start": "it answers",
        "give": "cannot be read",
    },
    "deep below a key": {"have": "expected a list of files", "give": "cannot be read"},
    "control characters": {
        "look": "does not answer as Python does",
        "put": "it answers",
        "have": "expected a list of files",
        "start": "it answers",
        "give": "ends too early",
        "clean": "it answers",
    },
    "no JSON": {"look": "does not answer as Python does", "have": "expected a list of files"},
    **{
        name: {"look": "does not answer as Python does"}
        for name in (
            "infinite room",
            "no number of room",
            "room of 5,000 digits",
            "negative room",
            "room that is true",
            "a version in words",
            "a version of one part",
            "a version of thousands",
            "modules that are none",
            "a thousand modules",
        )
    },
    "an old Python": {"look": "Python 2.7 there"},
    "no room": {"look": "MB are free there"},
    "no engine": {"look": "has no engine for .onnx files"},
    "no absolute home": {"home": "its home folder cannot be"},
    "a home that a terminal obeys": {"home": "its home folder cannot be"},
    "an option for a home": {"home": "its home folder cannot be"},
    "a list of files that is none": {"have": "expected a list of files"},
    "a file outside": {"give": "is not a name that may come"},
    "a name that a terminal obeys": {"give": "is not a name that may come"},
    "a file of other bytes": {"give": "SHA-256 is not the one announced"},
    "a file of half a petabyte": {"give": "562,949,953,421,312 bytes"},
    "a file of 3 GiB": {"give": "3,221,225,472 bytes"},
    "a file that ends too early": {"give": "4 bytes too early"},
    "more than it announced": {"give": "more comes than was announced"},
    "somebody else's folder": {"put": "and not ours", "clean": "has no pulseproof.folder"},
}
HELD = ["modules with names that a terminal obeys: look", "a list of files with other names: have"]


def spread(table: dict[str, dict[str, str | None]]) -> dict[str, tuple[str, str, str | None]]:
    """{"way: step": (way, step, words)} with every step."""
    return {f"{way}: {step}": (way, step, said.get(step, said[""])) for way, said in table.items() for step in STEPS}


CASES: dict[str, tuple[str, str, str | None]] = {
    **spread(EVERYWHERE),
    **{f"{way}: {step}": (way, step, words) for way, steps in SAID.items() for step, words in steps.items()},
    **{each: (*each.split(": "), None) for each in HELD},  # type: ignore[misc]
}
SLOW = spread(SLOWLY)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("study") / "bundle")


def device(pids: Path, way: str, step: str) -> DeviceSpec:
    pids.mkdir(exist_ok=True)
    ssh = (sys.executable, "-I", "-S", lying_ssh.__file__, str(pids), way, step)
    return DeviceSpec(name="b", address="b", ssh=ssh, folder="~/p", python="~/bin/python")


def printable(text: str) -> bool:
    """True for text that a terminal shows as it is; a sentence and its advice are two lines."""
    return all(line.isprintable() for line in text.split("\n"))


def meet(bundle: Path, tmp_path: Path, case: tuple[str, str, str | None], silence_s: float) -> None:
    """Do the step with that device, and hold everything that is promised against it."""
    way, step, words = case
    said: list[str] = []
    connection = Connection(device(tmp_path / "pids", way, step), said.append, (), silence_s, silence_s)
    do, called = STEPS[step]
    results = tmp_path / "results"
    session = Session(connection, bundle, results)
    tracemalloc.start()
    begun = time.monotonic()
    try:
        if words is None:
            do(session, said.append)
        else:
            with pytest.raises(InputError) as refused:
                do(session, said.append)
            assert words in refused.value.what
            assert called in refused.value.what or words not in (MORE, SILENT)
            assert refused.value.what.startswith("b: ") and refused.value.mend
            assert printable(str(refused.value))
            assert not results.exists()
        assert time.monotonic() - begun < LONGEST_S
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()
    assert all(map(printable, said))
    assert all(len(line) < 600 for line in said)
    assert not [each for each in (tmp_path / "pids").iterdir() if Path("/proc", each.name).exists()]


@pytest.mark.parametrize("name", CASES)
def test_one_sentence(name: str, bundle: Path, tmp_path: Path) -> None:
    meet(bundle, tmp_path, CASES[name], 30.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_a_device_that_hangs(name: str, bundle: Path, tmp_path: Path) -> None:
    meet(bundle, tmp_path, SLOW[name], 0.8)  # s of silence: the device is a Python, which starts late on a busy machine


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_random_damage(step: str, bundle: Path, tmp_path: Path) -> None:
    """35 damages by seed in each step: it goes on or is refused, in bounded time and memory."""
    held = 0
    for seed in range(35):
        said: list[str] = []
        connection = Connection(device(tmp_path / "pids", f"damaged-{seed}", step), said.append, (), 30.0, 30.0)
        session = Session(connection, bundle, tmp_path / str(seed))
        tracemalloc.start()
        begun = time.monotonic()
        try:
            STEPS[step][0](session, said.append)
            held += 1
        except InputError as refused:
            assert printable(str(refused))
            assert not session.results.exists()
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert time.monotonic() - begun < LONGEST_S
        assert peak < MOST_BYTES
        assert all(map(printable, said))
    assert held < 35


PROGRAM = """
import sys, typer
from pathlib import Path
from pulseproof.bench.devices.asked import Asked
from pulseproof.bench.devices.reach import named_devices, run_on_all
from pulseproof.core.terminal.console import run_app

app = typer.Typer()

@app.command()
def main(file: Path, bundle: Path, results: Path) -> None:
    run_on_all(named_devices([], file, Asked()), bundle, results)

run_app(app)
"""


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["it", "all of its terminal"])
@pytest.mark.parametrize(
    ("way", "step", "commands"),
    [("silent", "look", 1), ("silent", "take", 4), ("silent", "follow", 6), ("stays", "give", 7), ("drops", "look", 1)],
)
def test_it_can_be_stopped(whom: str, way: str, step: str, commands: int, bundle: Path, tmp_path: Path) -> None:
    """Two devices hang, or are waited for: an interrupt is answered within 2 s, and no ssh is left."""
    tables, folders = [], [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        ssh = list(device(folder, way, step).ssh)
        tables.append(f'[{folder.name}]\naddress = "b"\nssh = {ssh}\n')
    (tmp_path / "devices.toml").write_text("\n".join(tables))
    command = [sys.executable, "-c", PROGRAM, tmp_path / "devices.toml", bundle, tmp_path / "results"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as process:
        assert process.stderr
        until = time.monotonic() + 60
        while any(len(list(folder.iterdir())) < commands for folder in folders):
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.05)
        time.sleep(0.3)
        begun = time.monotonic()
        if whom == "it":
            process.send_signal(signal.SIGINT)
        else:
            os.killpg(process.pid, signal.SIGINT)
        said = process.stderr.read().decode()
        process.wait()
        assert time.monotonic() - begun < 2
    assert "Traceback" not in said
    assert process.returncode == 130
    assert not [each for folder in folders for each in folder.iterdir() if Path("/proc", each.name).exists()]
