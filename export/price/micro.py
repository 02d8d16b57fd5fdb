"""What a TFLite file takes in TFLite Micro, Google's interpreter for microcontrollers, run here.

In: a ``.tflite`` file. Out: :class:`~export.manifest.Micro`, the arena that it needs, or RefusedError with the reason
why TFLite Micro does not run it. TFLite Micro does not refuse all that it does not know: it multiplied the int8 weights
of a hybrid LSTM as if they were float, and read nothing where a file keeps its weights behind the flatbuffer. So its
scores are compared with LiteRT's, and a file on which they differ has no price.

The arena is the reference kernels'. A part's own (CMSIS-NN) may ask for scratch memory on top.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from pulseproof.export.job import RefusedError
from pulseproof.export.manifest import Micro
from pulseproof.export.price import child
from pulseproof.export.price.arena import LIMIT_S

RAM_BYTES = 256 * 1024
FLASH_BYTES = 1024 * 1024
GENEROUS_BYTES = 64 * 1024 * 1024
STEP_BYTES = 64  # how finely the arena is searched; tensors in it are aligned to 16
DIFFERENCE = 0.05  # of the largest score; or two steps of a quantized one. What went wrong so far was off by 1 or more.
STEPS = 2
PLACE = re.compile(r"\S+\.(?:cc|h)(?::\d+)?:? ")  # in its source code
TOTAL = re.compile(r"Arena allocation total (\d+) bytes")


def micro(path: Path) -> Micro:
    """The price of a file. Raises RefusedError."""
    if path.suffix != ".tflite":
        raise RefusedError("TFLite Micro reads TFLite files only")
    error, found = _start(path, GENEROUS_BYTES)
    if found is None:
        raise RefusedError(f"TFLite Micro does not take it: {_reason(error)}")
    _compare(found)
    reported = TOTAL.search(error)
    if reported is None:
        raise RefusedError("TFLite Micro did not report its arena")
    arena = _least(path, int(reported[1]), found)
    return Micro(
        version=metadata.version("tflite-micro"),
        arena_bytes=arena,
        fits=arena <= RAM_BYTES and path.stat().st_size <= FLASH_BYTES,
    )


def _least(path: Path, reported: int, scores: dict[str, Any]) -> int:
    """The arena in which the file runs, in whole steps, each candidate tried.

    What TFLite Micro reports is what the file holds in the end; while it starts, it may need more (a small LSTM: by a
    third), and does not always notice when that is missing.
    """
    enough = -(-reported // STEP_BYTES) * STEP_BYTES
    if _runs(path, enough, scores):
        return enough
    gap = STEP_BYTES
    while not _runs(path, enough + gap, scores):
        gap *= 2
        if enough + gap > GENEROUS_BYTES:
            raise RefusedError(f"TFLite Micro reports an arena of {reported} bytes, and runs it in none of that order")
    short, enough = enough + gap // 2 if gap > STEP_BYTES else enough, enough + gap
    while enough - short > STEP_BYTES:
        middle = (short + enough) // 2 // STEP_BYTES * STEP_BYTES
        short, enough = (short, middle) if _runs(path, middle, scores) else (middle, enough)
    return enough


def _runs(path: Path, arena_bytes: int, scores: dict[str, Any]) -> bool:
    """It starts in this arena, and gives the very scores that it gave in a generous one."""
    try:
        return _start(path, arena_bytes)[1] == scores
    except child.KilledError:
        return False


def _start(path: Path, arena_bytes: int) -> tuple[str, dict[str, Any] | None]:
    """What it said, and the scores; None when it does not run. By its path: ``-m`` would import torch first."""
    script = Path(__file__).with_name("arena.py")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(script), str(path.resolve()), str(arena_bytes)]
        done = child.run("TFLite Micro", command, Path(folder), LIMIT_S)
    return done.stderr, json.loads(done.stdout) if done.returncode == 0 else None


def _compare(scores: dict[str, Any]) -> None:
    """Raises RefusedError when the scores are not LiteRT's."""
    ours, theirs = np.array(scores["micro"]), np.array(scores["litert"])
    largest = float(np.abs(theirs).max())
    difference = float(np.abs(ours - theirs).max())
    if difference <= max(DIFFERENCE * largest, STEPS * scores["step"]):  # not so when there is a NaN
        return
    wrong = f"differ from LiteRT's by {difference:.3g}, the largest being {largest:.3g}"
    wrong = wrong if np.isfinite(ours).all() else "are not numbers"
    raise RefusedError(f"TFLite Micro runs it without an error, but its scores {wrong}")


def _reason(error: str) -> str:
    """What the interpreter said before Python's traceback."""
    said, _, trace = error.partition("Traceback (most recent call last)")
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith("INFO:")]
    return child.short(PLACE.sub("", "; ".join(lines)) or trace.strip().splitlines()[-1])
