"""What a recipe is given to do its work, and how it says that it cannot.

A :class:`Job` goes in, a file at ``job.out`` comes out, or :class:`RefusedError` with one sentence for the manifest.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

INPUT = "signal"
OUTPUT = "scores"
SENTENCE = 240  # characters of a converter's message that a manifest keeps


class RefusedError(Exception):
    """The file cannot be made, or must not be shipped. The message is one sentence for people."""


@dataclass(frozen=True)
class Job:
    """One artifact to make.

    ``module``: the trained torch module, millivolts to scores. ``shape``: (leads, samples). ``out``: where the file
    goes. For a quantized file, ``source`` is the float file of the same format (else ``out``). For one with calibrated
    ranges, ``calibration`` is float32 (k, leads, samples) mV of training recordings (else k = 0), and ``method`` says
    how ranges are read off them.
    """

    module: nn.Module
    shape: tuple[int, int]
    out: Path
    source: Path
    calibration: NDArray[np.float32]
    method: str


def sentence(error: BaseException) -> str:
    """A converter's message as one short sentence: its first line that says something, without a traceback."""
    lines = [" ".join(line.split()) for line in str(error).splitlines()]
    text = next((line for line in lines if any(letter.isalnum() for letter in line)), "no message")
    text = f"{type(error).__name__}: {text}"
    return text if len(text) <= SENTENCE else text[: SENTENCE - 3] + "..."
