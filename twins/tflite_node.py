"""One operator of a TFLite file while it is read: its options, what its tensors' numbers mean, and how it refuses.

In: the operator, and a :class:`Reading` of its file. Out: what :mod:`twins.tflite_operators` and
:mod:`twins.tflite_lstm` build on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from pulseproof.twins.errors import NotCoveredError
from pulseproof.twins.rounding import rescaled, rounded
from pulseproof.twins.tflite_format import TfliteFile

LIMITS = {np.dtype(np.int8): (-128, 127), np.dtype(np.uint8): (0, 255), np.dtype(np.int16): (-32768, 32767)}
ACTIVATIONS = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT")


@dataclass(frozen=True)
class Meaning:
    """What a tensor's numbers mean: ``scale * (q - zero)`` of integers ``low`` to ``high``; ``scale`` is float32
    (channels,) or (1,), None for a tensor that is not quantized. ``channel``: the axis of several scales."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    scale: Tensor | None = None
    zero: int = 0
    channel: int = 0

    @property
    def one(self) -> float:
        """The scale of a tensor that has one."""
        assert self.scale is not None
        return float(self.scale[0])

    @property
    def limits(self) -> tuple[int, int]:
        """The smallest and largest number, less the zero point."""
        low, high = LIMITS[self.dtype]
        return low - self.zero, high - self.zero


class Operator:
    """One operator while the file is read: its options, the meaning of its tensors, the values of its constants."""

    def __init__(self, name: str, raw: Any, reading: Reading) -> None:
        self.kind, self.masked = name, reading.masked
        self.inputs, self.outputs = [int(at) for at in raw.inputs], [int(at) for at in raw.outputs]
        self.name = reading.graph.name(self.outputs[0])
        self._options, self._reading = raw.builtinOptions, reading

    def option(self, name: str, default: Any = None) -> Any:
        """One of its options."""
        return default if self._options is None else getattr(self._options, name, default)

    def refusal(self, what: str) -> NotCoveredError:
        """What to raise."""
        return NotCoveredError(f"operator {self.kind} ({self.name}) with {what} is not covered")

    def given(self, at: int) -> bool:
        """True when this input is there."""
        return at < len(self.inputs) and self.inputs[at] >= 0

    def meaning(self, at: int) -> Meaning:
        """What the numbers of an input mean."""
        return self._reading.meanings[self.inputs[at]]

    @property
    def result(self) -> Meaning:
        """What the numbers of the (first) output mean."""
        return self._reading.meanings[self.outputs[0]]

    def constant(self, at: int) -> Tensor:
        """An input that must be known while the file is read."""
        name = str(self.inputs[at])
        if name not in self._reading.constants:
            raise self.refusal(f"an input {at} that depends on the signal")
        return self._reading.constants[name]

    def integers(self, at: int) -> list[int]:
        """Whole numbers from a constant input."""
        return [int(value) for value in self.constant(at).reshape(-1)]

    @property
    def quantized(self) -> bool:
        """True when it takes and gives quantized numbers, False when it takes and gives floats; refused in between."""
        kinds = {meaning.scale is not None for meaning in (self.meaning(0), self.result)}
        if len(kinds) == 2:
            raise self.refusal("integers on one side and floats on the other")
        return kinds.pop()

    def finish(self, factor: float | Tensor = 1.0, slack: float | None = None) -> Callable[[Tensor], Tensor]:
        """What happens to a result: its activation, and of a quantized one the rescaling (by ``factor``, from its units
        to one; ``slack``: see :func:`twins.rounding.rescaled`) and rounding. The activation of a quantized one narrows
        the limits at which it is clipped."""
        code = int(self.option("fusedActivationFunction", 0) or 0)
        if code not in (0, 1, 3):
            raise self.refusal(f"the activation {ACTIVATIONS[code] if code < len(ACTIVATIONS) else code}")
        if self.result.scale is None:
            least, most = (None, None) if code == 0 else (0.0, 6.0 if code == 3 else None)
            return (lambda y: y) if code == 0 else (lambda y: y.clamp(least, most))
        low, high = self.result.limits
        if code:
            low = max(low, 0)
        if code == 3:
            high = min(high, round(6 / self.result.one))
        by, masked = factor / self.result.one, self.masked
        return lambda y: rescaled(y, by, low, high, masked, slack)


@dataclass
class Reading:
    """A file while it is read: ``meanings`` of its tensors, ``constants`` by the number of theirs. ``masked``: see
    :func:`twins.opening.open_twin`."""

    graph: TfliteFile
    masked: bool
    meanings: list[Meaning]
    constants: dict[str, Tensor]


def to_steps(meaning: Meaning, masked: bool, x: Tensor) -> Tensor:
    """Floats to the whole numbers that stand for them, less the zero point."""
    return rounded(x / meaning.one, *meaning.limits, masked)
