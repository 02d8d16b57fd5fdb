"""The engines on which this host compares files, and the scores of a file on one of them.

In: a file and recordings. Out: its scores, computed by :mod:`runtime.score` in a process of its own, so that a file
that crashes, hangs or eats memory costs that process. onnxruntime and ai_edge_litert are in this environment;
tflite_runtime needs an older numpy, hence one of its own, which ``make setup`` makes beside this one where there is a
wheel, and for which ``PULSEPROOF_TFLITE_RUNTIME`` can name another interpreter. Where there is none, files are not
compared on it, and the manifest says so by not naming it.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import runtime
from core.errors import InputError
from runtime.engines import DEFAULT, ENGINES, EngineError, available_engines
from runtime.files import read_array
from runtime.supervise import THREAD_VARIABLES
from runtime.words import one_line

FOREIGN = "tflite_runtime"
VARIABLE = "PULSEPROOF_TFLITE_RUNTIME"
# Of a file that fits a wearable, one inference takes milliseconds and all of it some megabytes.
SILENCE_S = 60  # the longest that importing, opening or one inference may take
MEMORY_MB = 4096
START_S, RECORDING_S = 120, 2  # of the whole process: only an interpreter that never comes to the file needs this limit
SAID = 600  # characters: an engine's sentence, and what to do about it, were cut to their size where they were said
_ASK = "from importlib.metadata import version as v; print(v('tflite-runtime'), v('numpy'))"


@functools.lru_cache(maxsize=1)
def here() -> dict[str, str]:
    """{engine: version} of all engines on which files are compared on this host; read once a process.

    Raises InputError when there is an environment for tflite_runtime that does not work.
    """
    found = available_engines()
    python = foreign_python()
    if python is not None:
        found[FOREIGN] = _foreign_version(python)
    return found


def foreign_python() -> Path | None:
    """The interpreter that has tflite_runtime: the one named by the variable, else the one that make setup made.

    Raises InputError when there is no such command as the variable names.
    """
    named = os.environ.get(VARIABLE)
    made = Path(sys.prefix) / "tflite-runtime" / "bin" / "python"
    if not named:
        return made if made.exists() else None
    found = shutil.which(named)
    if found is None:
        raise InputError(f"{VARIABLE}={named}: no such command", "give the path of a Python that has tflite-runtime")
    return Path(found).absolute()  # not resolved: behind a link, an environment's Python would be another one


def engines_of(file_format: str) -> tuple[str, ...]:
    """The engines here that open files of this format ("onnx", "tflite"), the one that decides about a file first."""
    return tuple(name for name, _ in ENGINES[file_format] if name in here())


def score(path: Path, signals: NDArray[np.float32], engine: str, mode: str = DEFAULT) -> NDArray[np.float32]:
    """The scores float32 (k, classes) of ``signals`` (k, leads, samples) mV, one recording at a time on one thread.
    ``mode``: how the engine is to compute, see :data:`runtime.engines.MODES`.

    Raises EngineError with one sentence, without the file's name, when the file does not give them.
    """
    python = foreign_python() if engine == FOREIGN else Path(sys.executable)
    assert python is not None, f"{engine} is not among the engines here"
    with tempfile.TemporaryDirectory(prefix="pulseproof-") as folder:
        # The runtime alone, behind a link: what else lies beside it (in site-packages, say) is not for that Python.
        Path(folder, "runtime").symlink_to(Path(runtime.__file__).parent, target_is_directory=True)
        given, out = Path(folder, "signals.npy"), Path(folder, "scores.npy")
        np.save(given, signals)
        command = [python, "-m", "runtime.score", path.absolute(), given, out, "--engine", engine, "--mode", mode]
        limits = ["--limit-s", str(SILENCE_S), "--memory-mb", str(MEMORY_MB)]
        threads = dict.fromkeys(THREAD_VARIABLES, "1")
        limit = START_S + RECORDING_S * len(signals)
        errors = Path(folder, "errors.txt")  # not a pipe: a process that it leaves behind would keep that open
        try:
            with errors.open("wb") as sink:
                status = subprocess.run(
                    [*map(str, command), *limits],
                    cwd=folder,
                    env={**os.environ, **threads, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=sink,
                    timeout=limit,
                    check=False,
                ).returncode
        except subprocess.TimeoutExpired:
            raise EngineError(f"it did not come to an end within {limit} s") from None
        except OSError as error:
            raise EngineError(f"{python} does not start: {error.strerror}") from None
        if status != 0:
            said = [line for line in errors.read_text("utf-8", "replace").splitlines() if _tells(line)]
            whole = (
                said[-1].replace(f"{path.absolute()}: ", "").replace(str(path.absolute()), path.name) if said else ""
            )
            raise EngineError(_how_it_ended(status, one_line(whole, SAID) if said else ""))
        try:
            return np.asarray(read_array(out), np.float32)
        except (OSError, ValueError):
            raise EngineError("its process ended without an error and without scores") from None


def _how_it_ended(status: int, last: str) -> str:
    """What became of the process, in one sentence: the signal that it died of, or the last line that it said."""
    if status == -signal.SIGALRM:
        return f"one step of it (opening the file, or one inference) took more than {SILENCE_S} s"
    if status < 0:
        reason = f"it crashed its process ({signal.Signals(-status).name})"
        return f"{reason}; its last words: {last}" if last else reason
    if status == 1 and last:
        return last
    return f"its process ended with status {status}" + (f": {last}" if last else "")


def _tells(line: str) -> bool:
    return bool(line.strip()) and not line.startswith("INFO:")  # LiteRT greets with its delegates


def _foreign_version(python: Path) -> str:
    """The version of tflite_runtime in its environment."""
    mend = f"make setup makes that environment anew; {VARIABLE} names another interpreter"
    try:
        said = subprocess.run(
            [python, "-c", _ASK],
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
            capture_output=True,
            text=True,
            timeout=START_S,
            check=True,
        )
        version, numpy_version = said.stdout.split()
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        told = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise InputError(f"{python}: it has no tflite-runtime ({one_line(told[-1])})", mend) from None
    if int(numpy_version.partition(".")[0]) > 1:  # it imports, and dies when a file is opened
        raise InputError(f"{python}: tflite-runtime does not work with its numpy {numpy_version}", mend)
    return version
