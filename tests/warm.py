"""A Python that has other people's packages imported already, and runs each script in a fork of itself.

Torch, scikit-learn and the rest cost a new process seconds before its first line; a fork has them at once. None of our
own packages is imported before the fork: each script takes them from where it is told, as a new process would, and
whatever was edited in between is what it gets. For tests that need a process of their own, not for those of its start.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

IMPORTED = (
    *("numpy", "torch", "scipy.stats", "scipy.signal", "scipy.sparse", "pywt", "pydantic", "rich.progress", "typer"),
    *("sklearn.ensemble", "sklearn.linear_model", "sklearn.multiclass", "sklearn.multioutput", "sklearn.neighbors"),
    *("sklearn.pipeline", "sklearn.preprocessing", "skops.io", "onnx", "onnxruntime", "safetensors.torch", "pandas"),
)
SERVER = f"""
import importlib, json, os, sys, traceback

for name in {IMPORTED!r}:
    importlib.import_module(name)
rest = [place for place in sys.path if place not in ("", *os.environ.get("PYTHONPATH", "").split(os.pathsep))]


def run(asked):
    for stream, path in ((1, asked["out"]), (2, asked["errors"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.path[:] = ["", *os.environ["PYTHONPATH"].split(os.pathsep), *rest]
    sys.argv = ["-c", *asked["arguments"]]
    sys.dont_write_bytecode = True
    importlib.invalidate_caches()
    main = sys.modules["__main__"].__dict__
    for name in ("asked", "rest", "run", "line"):
        main.pop(name, None)
    status = 0
    try:
        exec(compile(asked["script"], "<string>", "exec"), main)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if any(name.split(".")[0] in ("pulseproof", "tests") for name in sys.modules):
    raise SystemExit("ours were imported before the fork")
print("ready", flush=True)
for line in sys.stdin:
    process = os.fork()
    if process == 0:
        run(json.loads(line))
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
"""


@dataclass(frozen=True)
class Ended:
    """How a script ended: its status (negative: the signal) and what it said."""

    returncode: int
    stdout: str
    stderr: str


def run_warm(script: str, *arguments: str, folder: Path, environment: dict[str, str], within_s: float = 600) -> Ended:
    """Run ``script`` as ``python -c`` does, in ``folder``; ``environment`` has a PYTHONPATH, where our packages are."""
    server = _server()
    with tempfile.TemporaryDirectory() as said:
        out, errors = Path(said, "out"), Path(said, "errors")
        asked = {
            "script": script,
            "arguments": arguments,
            "folder": str(folder),
            "environment": environment,
            "out": str(out),
            "errors": str(errors),
        }
        assert server.stdin is not None
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        status = int(_answer(server, within_s))
        return Ended(status, out.read_text(errors="replace"), errors.read_text(errors="replace"))


@functools.cache
def _server() -> subprocess.Popen[str]:
    """The process that forks, one for all tests of this process; it ends with its standard input."""
    own = {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=dict(os.environ) | own,
        text=True,
    )
    atexit.register(server.kill)
    assert _answer(server, 300) == "ready"
    return server


def _answer(server: subprocess.Popen[str], within_s: float) -> str:
    assert server.stdout is not None
    ready, _, _ = select.select([server.stdout], [], [], within_s)
    line = server.stdout.readline().strip() if ready else ""
    if not line:
        server.kill()
        _server.cache_clear()
        raise AssertionError(f"the process that forks says nothing (ended: {server.poll()})")
    return line
