"""Look at a device before anything is done there: which Python, what it has, how much room; what --setup puts there.

In comes a session; its ``python`` is the one that can run the bundle afterwards, its paths are settled. What is missing
is one sentence that says how to get it.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Annotated

from pydantic import Field, ValidationError

from pulseproof.bench.devices.session import LOOKING, Session
from pulseproof.bench.wire.schema import Wire, plain
from pulseproof.core.errors import InputError

OLDEST = (3, 9)  # Python
ENGINES = {"onnx": ("onnxruntime",), "tflite": ("ai_edge_litert", "tflite_runtime")}
PACKAGES = ("numpy", "onnxruntime", "ai-edge-litert")
SPARE_BYTES = 64 << 20  # left free on the device, beside the bundle
SETUP_BYTES = 4 << 20  # of what pip says
LOOK = """
import importlib.util, json, os, shutil, sys
wanted = ("numpy", "onnxruntime", "ai_edge_litert", "tflite_runtime")
found = [name for name in wanted if importlib.util.find_spec(name)]
home = sys.argv[1]
while not os.path.isdir(home):
    home = os.path.dirname(home) or "."
print(json.dumps({"python": sys.version_info[:2], "modules": found, "free": shutil.disk_usage(home).free}))
"""
Number = Annotated[int, Field(ge=0, le=1000)]


class FoundThere(Wire):
    """What LOOK prints: the version of Python, which of the modules it has, free bytes."""

    python: tuple[Number, Number]
    modules: Annotated[tuple[str, ...], Field(max_length=16)]
    free: Annotated[int, Field(ge=0, le=1 << 60)]


def look(session: Session, say: Callable[[str], None], setup: bool) -> None:
    """Check that the device can run the bundle. Raises InputError that says what is missing and how to get it."""
    session.settle()
    own = session.python
    found = _look(session, say)
    missing = _missing(session, found)
    if missing and _is_set_up(session):
        session.python = session.venv_python
        found = _look(session)
        missing = _missing(session, found)
    if missing and setup:
        _set_up(session, own, say)
        found = _look(session)
        missing = _missing(session, found)
    if missing:
        raise InputError(
            f"{session.device.address}: {session.python} there has no {' and no '.join(missing)}",
            "--setup makes a virtual environment there that has, or name one: --python path/bin/python",
        )
    free = found.free / 1e6
    if found.free < SPARE_BYTES:
        raise InputError(
            f"{session.device.address}: {free:.0f} MB are free there; the bundle has {session.size_bytes / 1e6:.0f} MB",
            "make room there, or ask for fewer signal sets (--sets)",
        )
    version = ".".join(map(str, found.python))
    say(f"Python {version}, {', '.join(_modules(found))}, {free / 1e3:.1f} GB free")


def _look(session: Session, say: Callable[[str], None] | None = None) -> FoundThere:
    arguments = [session.python, "-c", LOOK, session.home]
    answer = session.connection.patiently(lambda: session.connection.run(arguments, LOOKING), LOOKING)
    greeting = plain(answer.greeting.decode("utf-8", "replace"))
    if greeting and say is not None:
        say(f"its login shell prints {greeting[:60]!r} before each answer; that is passed over")
    if answer.status != 0:
        raise InputError(
            f"{session.device.address}: {session.python} does not run there "
            f"({answer.said.rpartition(': ')[2] or f'status {answer.status}'})",
            "install Python 3.9 or later there, or name it: --python /path/to/python3",
        )
    try:
        found = FoundThere.model_validate_json(answer.out)
    except ValidationError:
        raise InputError(
            f"{session.device.address}: {LOOKING}: {session.python} does not answer as Python does, but "
            f"{plain(answer.out.decode('utf-8', 'replace'))[:60]!r}",
            "name a Python 3.9 or later there: --python /path/to/python3",
        ) from None
    if found.python < OLDEST:
        raise InputError(
            f"{session.device.address}: Python {'.'.join(map(str, found.python))} there, the runner needs 3.9",
            "install a newer one there, and name it: --python /path/to/python3",
        )
    return found


def _modules(found: FoundThere) -> list[str]:
    """Those that matter here."""
    return [name for name in ("numpy", *ENGINES["onnx"], *ENGINES["tflite"]) if name in found.modules]


def _missing(session: Session, found: FoundThere) -> list[str]:
    """What the artifacts need and the device has not."""
    missing = [] if "numpy" in found.modules else ["numpy"]
    formats = sorted({each.format for each in session.head.artifacts})
    able = [each for each in formats if set(ENGINES[each]) & set(found.modules)]
    return missing if able else [*missing, *(f"engine for .{each} files ({ENGINES[each][0]})" for each in formats)]


def _is_set_up(session: Session) -> bool:
    """True when an earlier --setup made a virtual environment there."""
    arguments = ["test", "-x", session.venv_python]
    return session.connection.patiently(lambda: session.connection.run(arguments, LOOKING), LOOKING).status == 0


def _set_up(session: Session, own: str, say: Callable[[str], None]) -> None:
    """Make a virtual environment of the Python ``own`` in our folder there, with numpy and the engines."""
    python = session.venv_python
    session.claim(session.venv, "", b"", f"making {session.venv}")
    commands = [
        [own, "-m", "venv", session.venv],
        [python, "-m", "pip", "install", "--only-binary", ":all:", *PACKAGES],
    ]
    for command in commands:
        said = shlex.join(command)
        say(f"there: {said}")
        session.ask(command, b"", said, SETUP_BYTES, session.connection.slow_s)
    session.python = python
