"""A run on a device over ssh: look at it, bring the bundle, start, follow, bring the results home.

In come a device, a bundle's folder and the folder of results; out go the device's results, each checked as a stranger's
before it is put in its place. Every step can be cut at any moment: the same command goes on from there, and a run that
was started goes on without us.
"""

from __future__ import annotations

import json
import shlex
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.arrivals import MOST_BYTES, accept, may_come, waiting_room
from bench.devices.connection import DROPPED, Connection, DroppedError, pour
from bench.devices.spec import DeviceSpec
from bench.part import make_part
from bench.results import read_bundle
from bench.schema import plain
from core.errors import InputError, NotHeldError
from runtime import stream
from runtime.detached import LOST
from runtime.files import sha256_file
from runtime.untrusted import BundleError

OLDEST = (3, 9)  # Python
ENGINES = {"onnx": ("onnxruntime",), "tflite": ("ai_edge_litert", "tflite_runtime")}
PACKAGES = ("numpy", "onnxruntime", "ai-edge-litert")
SPARE_BYTES = 64 << 20  # left free on the device, beside the bundle
MARKER = "pulseproof.folder"  # lies in a folder that we made, and may remove
TRIES = 3  # of a run that ends without a word
LOOK = """
import importlib.util, json, os, shutil, sys
wanted = ("numpy", "onnxruntime", "ai_edge_litert", "tflite_runtime")
found = [name for name in wanted if importlib.util.find_spec(name)]
home = os.path.expanduser(sys.argv[1])
while not os.path.isdir(home):
    home = os.path.dirname(home) or "."
print(json.dumps({"python": sys.version_info[:2], "modules": found, "free": shutil.disk_usage(home).free}))
"""


@dataclass
class Session:
    """One device during one command. ``home`` is the folder of this study there."""

    connection: Connection
    whole: Path  # the study's bundle; ``bundle`` is the part of it that this device gets
    results: Path
    bundle: Path = field(init=False)
    limit: int | None = field(init=False)
    python: str = field(init=False)
    home: str = field(init=False)
    head: Any = field(init=False)

    def __post_init__(self) -> None:
        head = read_bundle(self.whole).head
        self.bundle = make_part(
            self.whole, self.whole.parent / "parts" / self.device.name, self.device.asked(), head.device
        )
        self.head = read_bundle(self.bundle).head
        self.limit = self.device.limit or head.device.records
        self.python = self.device.python
        self.home = f"{self.device.folder}/{self.head.study}"

    @property
    def device(self) -> DeviceSpec:
        return self.connection.device

    @property
    def venv(self) -> str:
        """Where --setup puts a virtual environment; all studies there share it."""
        return f"{self.device.folder}/venv"

    @property
    def venv_python(self) -> str:
        return f"{self.venv}/bin/python"

    def runner(self, *arguments: str) -> list[str]:
        """A command of the runner there."""
        return [self.python, f"{self.home}/bundle/runner.pyz", *arguments]

    def ask(self, arguments: list[str], given: bytes, what: str) -> bytes:
        """What a command there prints. Raises InputError with what it says when it ends badly."""
        status, out, said = self.connection.patiently(lambda: self.connection.run(arguments, given), what)
        if status != 0:
            raise InputError(
                f"{self.device.address}: {what}: {said or f'ended with status {status}'}",
                "mend it there; the same command goes on from here",
            )
        return out


def run_on_device(
    device: DeviceSpec,
    bundle: Path,
    results: Path,
    say: Callable[[str], None],
    setup: bool = False,
    connection: Connection | None = None,
) -> None:
    """Run a bundle on a device and bring its results to ``results/<device>/``.

    ``setup``: make a virtual environment there when numpy or an engine is missing. Raises InputError when the device
    cannot be reached or used, NotHeldError when artifacts failed there.
    """
    session = Session(connection or Connection(device, say), bundle, results)
    look(session, say, setup)
    bring(session, say)
    status = run(session, say)
    count = fetch(session, say)
    say(f"{count} files are new here, in {results / device.name}")
    if status == 1:
        raise NotHeldError(f"{device.name}: some artifacts failed there; the table names them and says why")
    if status != 0:
        raise InputError(f"{device.name}: the runner ended with status {status}", "what it said is above")


def look(session: Session, say: Callable[[str], None], setup: bool) -> None:
    """Check that the device can run the bundle. Raises InputError that says what is missing and how to get it."""
    found = _look(session)
    missing = _missing(session, found)
    if missing and _is_set_up(session):
        session.python = session.venv_python
        found = _look(session)
        missing = _missing(session, found)
    if missing and setup:
        _set_up(session, say)
        found = _look(session)
        missing = _missing(session, found)
    if missing:
        raise InputError(
            f"{session.device.address}: {session.python} there has no {' and no '.join(missing)}",
            "--setup makes a virtual environment there that has, or name one: --python path/bin/python",
        )
    free, need = found["free"] / 1e6, sum(entry.size_bytes for entry in session.head.files.values()) / 1e6
    if found["free"] < SPARE_BYTES:
        raise InputError(
            f"{session.device.address}: {free:.0f} MB are free there; the bundle has {need:.0f} MB",
            "make room there, or ask for fewer signal sets (--sets)",
        )
    version = ".".join(map(str, found["python"]))
    say(f"Python {version}, {', '.join(found['modules'])}, {free / 1e3:.1f} GB free")


def _look(session: Session) -> dict[str, Any]:
    arguments = [session.python, "-c", LOOK, session.home]
    status, out, said = session.connection.patiently(lambda: session.connection.run(arguments), "looking at it")
    if status != 0:
        raise InputError(
            f"{session.device.address}: {session.python} does not run there ({said.rpartition(': ')[2] or status})",
            "install Python 3.9 or later there, or name it: --python /path/to/python3",
        )
    try:
        found: dict[str, Any] = json.loads(out.decode().strip().rpartition("\n")[2])
        version = tuple(int(part) for part in found["python"])
        found["modules"] = [plain(str(each)) for each in found["modules"]]
        found["free"] = int(found["free"])
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f"{session.device.address}: does not answer as Python does", "does its login shell print something?"
        ) from None
    if version < OLDEST:
        raise InputError(
            f"{session.device.address}: Python {'.'.join(map(str, version))} there, the runner needs 3.9",
            "install a newer one there, and name it: --python /path/to/python3",
        )
    return found


def _missing(session: Session, found: dict[str, Any]) -> list[str]:
    """What the artifacts need and the device has not."""
    missing = [] if "numpy" in found["modules"] else ["numpy"]
    formats = sorted({each.format for each in session.head.artifacts})
    able = [each for each in formats if set(ENGINES[each]) & set(found["modules"])]
    return missing if able else [*missing, *(f"engine for .{each} files ({ENGINES[each][0]})" for each in formats)]


def _is_set_up(session: Session) -> bool:
    """True when an earlier --setup made a virtual environment there."""
    arguments = ["test", "-x", session.venv_python]
    return session.connection.patiently(lambda: session.connection.run(arguments, b""), "looking at it")[0] == 0


def _set_up(session: Session, say: Callable[[str], None]) -> None:
    """Make a virtual environment in our folder there, with numpy and the engines."""
    python = session.venv_python
    commands = [
        [session.device.python, "-m", "venv", session.venv],
        [python, "-m", "pip", "install", "--only-binary", ":all:", *PACKAGES],
        ["touch", f"{session.venv}/{MARKER}"],
    ]
    for command in commands:
        say(f"there: {shlex.join(command)}")
        session.ask(command, b"", shlex.join(command))
    session.python = python


def bring(session: Session, say: Callable[[str], None]) -> None:
    """Bring the bundle there: the runner first, which then takes what is missing or changed."""
    folder = f"{session.home}/bundle"
    place = shlex.quote(folder)
    put = f"mkdir -p {place} && touch {shlex.quote(f'{session.home}/{MARKER}')} && "
    put += f"cat > {place}/.runner && mv {place}/.runner {place}/runner.pyz"
    session.ask(["sh", "-c", put], (session.bundle / "runner.pyz").read_bytes(), "putting the runner there")
    wanted = {name: [each.size_bytes, each.sha256] for name, each in session.head.files.items() if name != "runner.pyz"}
    head = session.bundle / "bundle.json"
    wanted["bundle.json"] = [head.stat().st_size, sha256_file(head)]  # last: without it there is no bundle

    def attempt() -> None:
        there = _files(session.ask(session.runner("have", folder), b"", "listing what is there"))
        missing = {name: entry for name, entry in wanted.items() if there.get(name) != entry}
        if missing:
            total = sum(size for size, _ in missing.values())
            say(f"copying {len(missing)} of {len(wanted)} files, {total / 1e6:.1f} MB")
            _send(session, folder, missing)

    session.connection.patiently(attempt, "copying")


def _files(said: bytes) -> dict[str, Any]:
    try:
        files: dict[str, Any] = json.loads(said)["files"]
        return files if isinstance(files, dict) else {}
    except (ValueError, KeyError, TypeError):
        return {}


def _send(session: Session, folder: str, missing: dict[str, list[Any]]) -> None:
    with session.connection.start(session.runner("take", folder)) as process:
        assert process.stdin and process.stdout and process.stderr
        said: list[bytes] = []
        reader = threading.Thread(target=pour, args=(process.stderr, said.append), daemon=True)
        answers = threading.Thread(target=pour, args=(process.stdout, lambda piece: None), daemon=True)
        reader.start()
        answers.start()
        with suppress(BrokenPipeError):
            stream.send(session.bundle, missing, process.stdin)
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.wait()
        reader.join()
        answers.join()
    last = plain(b"".join(said).decode("utf-8", "replace").strip().rpartition("\n")[2])
    if process.returncode == DROPPED:
        raise DroppedError(last)
    if process.returncode != 0:
        raise InputError(f"{session.device.address}: copying: {last}", "mend it there; the same command goes on")


def run(session: Session, say: Callable[[str], None]) -> int:
    """Start the runner there, detached, and follow it to its end; returns its exit status."""
    out = f"{session.home}/results"
    command = ["run", f"{session.home}/bundle", "--out", out, "--device", session.device.name]
    # Which artifacts and sets: those of the part that is there.
    asked = replace(session.device.asked(), only=(), sets=(), limit=session.limit)
    command += ["--evidence", "measured-on-device", *asked.options()]
    for left in reversed(range(TRIES)):
        if session.ask(session.runner("start", out, *command), b"", "starting").strip() == b"running already":
            say("a run is on there already: following it")
        status = _follow(session, out, say)
        if status != LOST and status >= 0:
            return status
        if left:
            say("the run ended without a word: killed, or the power went; it goes on")
    raise InputError(
        f"{session.device.name}: the run ended without a word, {TRIES} times",
        "look at its memory and its power supply; the same command goes on from here",
    )


def _follow(session: Session, out: str, say: Callable[[str], None]) -> int:
    at = 0
    rest = b""

    def hear(piece: bytes) -> None:
        nonlocal at, rest
        at += len(piece)
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            say(plain(line.decode("utf-8", "replace")))

    def attempt() -> int:
        with session.connection.start(session.runner("follow", out, "--at", str(at))) as process:
            assert process.stdin and process.stdout and process.stderr
            process.stdin.close()
            pour(process.stdout, hear)
            said = plain(process.stderr.read().decode("utf-8", "replace").strip().rpartition("\n")[2])
            process.wait()
        if process.returncode == DROPPED:
            raise DroppedError(said)
        return process.returncode

    return session.connection.patiently(attempt, "following; the run goes on there")


def fetch(session: Session, say: Callable[[str], None]) -> int:
    """Bring home what is new of this bundle, and say what is left out; returns how many files. Raises InputError for
    what is no result, or a damaged one: then what is here stays as it is."""
    bundle, target = read_bundle(session.whole), session.results / session.device.name
    most = may_come(bundle)
    here = stream.listed(target, most)
    request = json.dumps({"files": here, "wanted": sorted(most)}).encode() + b"\n"
    with waiting_room(session.whole) as room:
        incoming = room / session.device.name

        def attempt() -> None:
            shutil.rmtree(incoming, ignore_errors=True)
            with session.connection.start(session.runner("give", f"{session.home}/results")) as process:
                assert process.stdin and process.stdout and process.stderr
                with suppress(BrokenPipeError):
                    process.stdin.write(request)
                    process.stdin.close()
                try:
                    for _ in stream.receive(process.stdout, incoming, most.get, MOST_BYTES):
                        pass
                except BundleError as error:
                    process.kill()
                    said = plain(process.stderr.read().decode("utf-8", "replace").strip().rpartition("\n")[2])
                    if process.wait() in (DROPPED, -9) and "too early" in str(error):
                        raise DroppedError(said or str(error)) from None
                    raise InputError(
                        f"{session.device.address}: what it gives is refused: {error}", "update it there"
                    ) from None

        session.connection.patiently(attempt, "fetching results")
        try:
            arrived = accept(bundle, incoming, session.results)
        except InputError as error:
            raise InputError(f"{session.device.address}: {error.what}", error.mend) from None
    for line in arrived.lines():
        say(line)
    return arrived.files


def forget(device: DeviceSpec, bundle: Path, say: Callable[[str], None]) -> None:
    """Remove what was put there for this study; with the last study, the virtual environment that --setup made."""
    session = Session(Connection(device, say), bundle, bundle.parent / "results")
    mine = f"{session.home}/{MARKER}"
    script = f"if test -f {shlex.quote(mine)}; then rm -rf {shlex.quote(session.home)}; echo removed; "
    script += f"elif test -e {shlex.quote(session.home)}; then echo no; else echo nothing; fi"
    folder, venv = shlex.quote(session.device.folder), shlex.quote(f"{session.venv}/{MARKER}")
    script += f"; if test -f {venv} && ! ls -d {folder}/*/{MARKER} | grep -qv {venv}; then rm -rf {folder}/venv; fi"
    said = session.ask(["sh", "-c", script], b"", "cleaning").decode("ascii", "replace").strip()
    if said == "no":
        raise InputError(f"{device.address}: {session.home} there has no {MARKER}", "it is not ours: remove it by hand")
    say(f"{said} {session.home}")
