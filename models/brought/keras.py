"""A Keras file or a SavedModel as the .tflite file that everything else here takes: converted by TensorFlow, elsewhere.

In: a ``.keras`` or ``.h5`` file, or the folder of a SavedModel. Out: a ``.tflite`` file beside nothing else. TensorFlow
is not installed here: on request an environment of its own is made for it (``requirements-tensorflow.lock``, with
hashes), or ``PULSEPROOF_TENSORFLOW`` names an interpreter that has it. The file is opened by that interpreter alone, in
a process with limits of time and memory (:mod:`models.brought.keras_child`); Keras's safe mode opens no Lambda layer,
whose code would be the stranger's.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from pulseproof.core.errors import InputError
from pulseproof.core.terminal.console import say
from pulseproof.runtime.files import replacing
from pulseproof.runtime.words import one_line

VARIABLE = "PULSEPROOF_TENSORFLOW"
LOCK = "requirements-tensorflow.lock"
SUFFIXES = (".keras", ".h5", ".hdf5")
HOME = Path(__file__).resolve().parents[2]
CHILD = Path(__file__).with_name("keras_child.py")
TIME_LIMIT_S = 600
INSTALL_S = 1800
SAID = 300
ASK = "give --with-tensorflow: it makes an environment with TensorFlow for this (once), and converts the file there"
MEND = "convert it with tf.lite.TFLiteConverter where it was made, and bring the .tflite file"


def is_keras(path: Path) -> bool:
    """True for a file of Keras, and for the folder of a SavedModel."""
    return path.suffix in SUFFIXES or (path / "saved_model.pb").is_file()


def convert_keras(path: Path, out: Path, with_tensorflow: bool = False) -> dict[str, Any]:
    """Convert a Keras file or SavedModel to ``out`` (.tflite). What TensorFlow says of it: ``tensorflow`` its version,
    ``input`` and ``outputs`` the shapes for one recording, ``largest`` how far the file's scores are from its own (None
    of several outputs).

    ``with_tensorflow``: an environment with TensorFlow may be made where there is none. Raises InputError: where there
    is none and none may be made, where the file is not opened or not converted.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file", "paths are relative to the working directory")
    if not is_keras(path):
        raise InputError(
            f"{path}: neither a file of Keras (.keras, .h5) nor a SavedModel's folder", "give one of these"
        )
    python = _python(path, with_tensorflow)
    with replacing(out) as temporary:
        return _converted(python, path, temporary)


def _python(path: Path, with_tensorflow: bool) -> Path:
    """The interpreter that has TensorFlow."""
    named = os.environ.get(VARIABLE)
    if named:
        found = shutil.which(named)
        if found is None:
            raise InputError(f"{VARIABLE}={named}: no such command", "give the path of a Python that has TensorFlow")
        return Path(found).absolute()
    folder = Path(sys.prefix) / "tensorflow"
    python = folder / "bin" / "python"
    if python.exists():
        return python
    if not with_tensorflow:
        raise InputError(f"{path}: only TensorFlow opens it, which is not installed here", f"{ASK}; or {MEND}")
    return _made(folder, python)


def _made(folder: Path, python: Path) -> Path:
    lock = HOME / LOCK
    if not lock.is_file():
        raise InputError(
            f"{LOCK} is not here: it comes with the checkout, not with the wheel",
            f"{VARIABLE}=another/bin/python names a Python that has TensorFlow; or {MEND}",
        )
    say(f"making an environment with TensorFlow in {folder}")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--disable-pip-version-check"]
    steps = [
        [sys.executable, "-m", "venv", "--without-pip", str(folder)],
        [*pip, "--require-hashes", "-r", str(lock)],
    ]
    try:
        for step in steps:
            subprocess.run(step, check=True, capture_output=True, text=True, timeout=INSTALL_S)
    except (OSError, subprocess.SubprocessError) as error:
        shutil.rmtree(folder, ignore_errors=True)  # half of one would be taken for a whole one
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines() or ["it says nothing"]
        raise InputError(
            f"TensorFlow could not be installed: {one_line(said[-1], SAID)}",
            f"{VARIABLE}=another/bin/python names a Python that has it; or {MEND}",
        ) from None
    return python


def _converted(python: Path, path: Path, out: Path) -> dict[str, Any]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    env |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "KERAS_BACKEND": "tensorflow"}
    try:
        child = subprocess.run(
            [python, "-I", str(CHILD), str(path.absolute()), str(out)],
            env=env,
            capture_output=True,
            timeout=TIME_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"{path}: TensorFlow does not convert it within {TIME_LIMIT_S} s", MEND) from None
    if child.returncode < 0:
        name = signal.Signals(-child.returncode).name
        raise InputError(f"{path}: it takes the process that reads it down ({name})", MEND)
    try:
        found: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        lines = child.stderr.decode(errors="replace").strip().splitlines() or ["it says nothing"]
        raise InputError(f"{path}: {python} does not convert it: {one_line(lines[-1], SAID)}", MEND) from None
    if "failed" in found:
        raise InputError(f"{path}: TensorFlow does not convert it: {one_line(str(found['failed']), SAID)}", MEND)
    return found
