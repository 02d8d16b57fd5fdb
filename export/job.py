"""What a recipe is given to do its work, what it says of it, and how it says that it cannot.

A :class:`ExportJob` goes in, a file at ``job.out`` and a :class:`MadeFile` come out, or :class:`RefusedError` with one
sentence for the manifest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pulseproof.export.fold import held_for_export
from pulseproof.runtime.words import one_line

INPUT = "signal"
OUTPUT = "scores"
SENTENCE = 240  # characters of a converter's message that a manifest keeps


class RefusedError(Exception):
    """The file cannot be made, or must not be shipped. The message is one sentence for people."""


class NotApplicableError(RefusedError):
    """There is no such file of such a model: nothing that could make it knows what the model is made of. The message is
    one sentence for people."""


@dataclass(frozen=True)
class ExportJob:
    """One artifact to make.

    ``module``: the trained torch module, millivolts to scores. ``shape``: (leads, samples). ``out``: where the file
    goes. For a quantized file, ``source`` is the float file of the same format (else ``out``). For one with calibrated
    ranges, ``calibration`` is float32 (k, leads, samples) mV of training recordings (else k = 0), and ``method`` says
    how ranges are read off them. For a mixed one, ``keep_float`` names the layers to keep in float (their names in the
    source file); when it is empty, the ``sensitive_layers`` most sensitive ones are kept. ``signals``: validation
    recordings, float32 (k, leads, samples) mV, on which a copy that is written in the module's place is held.
    """

    module: nn.Module
    shape: tuple[int, int]
    out: Path
    source: Path
    calibration: NDArray[np.float32]
    method: str
    keep_float: tuple[str, ...] = ()
    sensitive_layers: int = 2
    signals: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32))

    def copy(self) -> tuple[nn.Module, str | None]:
        """The module as it is written, and what must be said of it: see :func:`export.fold.held_for_export`."""
        held = held_for_export(self.module, self.signals)
        return held.module, None if held.reason is None else f"batch norms not folded: of such a copy, {held.reason}"


@dataclass(frozen=True)
class MixedLayer:
    """A layer of a mixed file. ``error``: root mean square change of the scores on calibration recordings when this
    layer alone is int8, in units of the scores' standard deviation. ``kept``: it stayed float. ``bytes_cost``: what
    keeping it in float adds to the file."""

    name: str
    error: float
    kept: bool
    bytes_cost: int


@dataclass(frozen=True)
class MadeFile:
    """What a recipe says of the file that it made. ``note``: what every table must say beside its numbers, such as what
    stayed float; ``layers``: those of a mixed file, the most sensitive first."""

    note: str | None = None
    layers: tuple[MixedLayer, ...] = ()


def front_note(module: nn.Module) -> str | None:
    """What was put before and behind the graph of a brought file, for every table that shows it; None for nothing."""
    front = getattr(module, "front", None)
    return f"before and behind its owner's graph: {front}" if front else None


def sentence(error: BaseException) -> str:
    """A converter's message as one short sentence: its first line that says something, without a traceback, without the
    place in the converter's own C++ sources, without its middle where it is long."""
    lines = str(error).splitlines()
    text = next((line for line in lines if any(letter.isalnum() for letter in line)), "no message")
    return f"{type(error).__name__}: {one_line(text, SENTENCE - len(type(error).__name__) - 2)}"
