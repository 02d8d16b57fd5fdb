"""What a quantized file's scores are by its own integers, and whether an engine gives them.

In: a file, recordings, and the scores that an engine gave for them. Out: :class:`Exactness`, how far those scores are
from the file's exact arithmetic, and the mark that their rows carry where that is more than a step. The exact
arithmetic is the twin's, where the twin covers the file and the engine in its exact mode agrees with it; else the
engine's in that mode. An engine can differ from it: x86 processors without VNNI multiply signed by unsigned bytes
through 16-bit sums that saturate, and ONNX Runtime's and PyTorch's kernels there give other scores without a word
(onnxruntime #6004, #5849, #14642; PyTorch #103646). What the engine adds is not what quantization costs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pulseproof.core import engines
from pulseproof.core.errors import InputError
from pulseproof.runtime.engines import EngineError
from pulseproof.runtime.exact import DIFFERS, SATURATES
from pulseproof.twins.errors import NotCoveredError
from pulseproof.twins.opening import open_twin
from pulseproof.twins.output_step import output_step
from pulseproof.twins.program import Twin, scores_of

Floats = NDArray[np.float32]
Mode = Literal["unoptimized", "precise", "reference"]
STEPS = 1.0  # of the file's own rounding of scores: its engine at another optimisation level differs as much
SLACK = 0.01  # of a step: scores are steps times a float32 scale
FLOAT_STEP = 1e-4  # of the scores' spread, where the file does not round them
PROBED = 16  # recordings on which an engine's exact mode is tried where the twin says already that all is well


@dataclass(frozen=True)
class Exactness:
    """An engine's scores beside a file's exact arithmetic.

    ``against``: whose arithmetic that is: "twin", or the engine's ``mode``; ``mode``: the mode in which this engine
    gives the exact scores on this file, None where none does. ``records``: compared; ``within``: one step of the scores
    in their unit (:func:`unit_of`); ``largest``: the largest difference of any score, in such steps. ``mark``:
    ``engine-saturates`` where the engine is more than a step off and exact without its saturating kernels,
    ``engine-differs`` where it is off for another cause, None where it is exact. ``scores``: the exact ones float32
    (k, classes), there only with a mark.
    """

    against: str
    mode: Mode | None
    records: int
    within: float
    largest: float
    mark: str | None
    scores: Floats | None = field(default=None, repr=False, compare=False)


def unit_of(step: float | None, scores: Floats) -> float:
    """One step of a file's scores, in their unit; 1e-4 of their spread where it does not round them."""
    return step or FLOAT_STEP * float(scores.std()) or 1.0


def mode_of(path: Path, step: float | None) -> Mode | None:
    """In which mode an engine computes this file exactly; None where there is no such thing: a TFLite file that rounds
    its activations while it runs leaves to the kernel how.

    Operator by operator an ONNX file's integers are exact, but a float operator may round in its last digit, and where
    activations are rounded by a range that is read off them, such a digit moves a step. Scores that are not rounded are
    therefore held against the same fusions without the saturating kernels.
    """
    if path.suffix == ".onnx":
        return "precise" if step is None else "unoptimized"
    return None if step is None else "reference"


def compare(path: Path, signals: Floats, scores: Floats, engine: str, twin: Twin | None = None) -> Exactness | None:
    """Hold ``scores`` float32 (k, classes), which ``engine`` gave for ``signals`` (k, leads, samples) mV, against the
    exact arithmetic of the quantized file at ``path``; None where that is not defined or cannot be had here.

    ``twin``: that of the file, where it is open already.
    """
    try:
        step = output_step(path)
        twin = twin or open_twin(path)
    except (NotCoveredError, InputError):
        twin = None
    step = step if twin is None else twin.output_step
    unit, mode = unit_of(step, scores), mode_of(path, step)
    own = None if twin is None else scores_of(twin, signals)
    if own is not None and not beyond(scores, own, unit):
        if mode is not None:
            some = _in_mode(path, signals[:PROBED], engine, mode)
            mode = None if some is None or beyond(some, own[:PROBED], unit) else mode
        return Exactness("twin", mode, len(scores), unit, apart(scores, own, unit), None)
    exact = None if mode is None else _in_mode(path, signals, engine, mode)
    if exact is None or mode is None:
        return None
    if not beyond(scores, exact, unit):
        return Exactness(mode, mode, len(scores), unit, apart(scores, exact, unit), None)
    against: str = mode
    if own is not None and not beyond(own, exact, unit):
        exact, against = own, "twin"
    return Exactness(
        against, mode, len(scores), unit, apart(scores, exact, unit), _cause(path, signals, engine, exact, unit), exact
    )


def apart(scores: Floats, others: Floats, unit: float) -> float:
    """The largest difference of any two scores, in units of ``unit``."""
    return float(np.abs(scores.astype(np.float64) - others).max() / unit)


def beyond(scores: Floats, others: Floats, unit: float) -> bool:
    """True where any two scores are more than a step apart; also where one is not a number."""
    return not apart(scores, others, unit) <= STEPS + SLACK


def _cause(path: Path, signals: Floats, engine: str, exact: Floats, unit: float) -> str:
    """The mark of an engine that is more than a step off: its saturating kernels are to blame where it is exact without
    them."""
    if path.suffix != ".onnx":
        return DIFFERS
    without = _in_mode(path, signals, engine, "precise")
    return DIFFERS if without is None or beyond(without, exact, unit) else SATURATES


def _in_mode(path: Path, signals: Floats, engine: str, mode: Mode) -> Floats | None:
    """An engine's scores in one of its exact modes; None where it has no such mode or cannot run the file in it."""
    try:
        return engines.score(path, signals, engine, mode)
    except EngineError:
        return None
