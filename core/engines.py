"""The engines on which this host compares files, and the scores of a file on one of them.

In: a file and recordings. Out: its scores, computed in a process of its own (:mod:`core.limited`), so that a file that
crashes, hangs or eats memory costs that process. onnxruntime and ai_edge_litert are in this environment;
tflite_runtime needs an older numpy, hence one of its own, which ``make setup`` makes beside this one where there is a
wheel, and for which ``PULSEPROOF_TFLITE_RUNTIME`` can name another interpreter. Where there is none, files are not
compared on it, and the manifest says so by not naming it.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.errors import InputError
from pulseproof.core.limited import START_S, Limited
from pulseproof.runtime.engines import DEFAULT, ENGINES, available_engines
from pulseproof.runtime.words import one_line

FOREIGN = "tflite_runtime"
VARIABLE = "PULSEPROOF_TFLITE_RUNTIME"
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


def open_limited(path: Path, engine: str, shape: tuple[int, int], mode: str = DEFAULT) -> Limited:
    """A file in a process of its own (:mod:`core.limited`), for recordings ``shape`` (leads, samples). ``mode``: how
    the engine is to compute, see :data:`runtime.engines.MODES`.

    Raises EngineError with one sentence, without the file's name, when it does not open.
    """
    python = foreign_python() if engine == FOREIGN else Path(sys.executable)
    assert python is not None, f"{engine} is not among the engines here"
    return Limited(path, python, engine, shape, mode)


def score(path: Path, signals: NDArray[np.float32], engine: str, mode: str = DEFAULT) -> NDArray[np.float32]:
    """The scores float32 (k, classes) of ``signals`` (k, leads, samples) mV, one recording at a time on one thread, by
    a process that is opened for them.

    Raises EngineError with one sentence, without the file's name, when the file does not give them.
    """
    with open_limited(path, engine, (signals.shape[1], signals.shape[2]), mode) as limited:
        return limited.run(signals)


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
