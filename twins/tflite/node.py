"""One operator of a TFLite file while it is read: its options, what its tensors' numbers mean, and how it refuses.

In: the operator, and a :class:`Reading` of its file. Out: what the families of
:mod:`twins.tflite.operators` build on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from pulseproof.twins.errors import NotCoveredError
from pulseproof.twins.rounding import rescaled, rounded
from pulseproof.twins.steps import Run, Trial
from pulseproof.twins.tflite.format import TfliteFile

LIMITS = {np.dtype(np.int8): (-128, 127), np.dtype(np.uint8): (0, 255), np.dtype(np.int16): (-32768, 32767)}
RANGES: dict[int, tuple[float | None, float | None]] = {0: (None, None), 1: (0.0, None), 2: (-1.0, 1.0), 3: (0.0, 6.0)}
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
        self._options, self._reading = raw.builtinOptions or raw.builtinOptions2, reading

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

    def shape(self, at: int) -> tuple[int, ...]:
        """The sizes of an input, which are those for any recording; the file's own word on them may be of another
        number of recordings."""
        return tuple(self._reading.trial.values[self._reading.name(self.inputs[at])].shape)

    @property
    def result(self) -> Meaning:
        """What the numbers of the (first) output mean."""
        return self._reading.meanings[self.outputs[0]]

    def known(self, at: int) -> bool:
        """True when an input is there and does not depend on the signal."""
        return self.given(at) and self._reading.name(self.inputs[at]) in self._reading.trial.constants

    def constant(self, at: int) -> Tensor:
        """An input that must be known while the file is read."""
        if not self.known(at):
            raise self.refusal(f"an input {at} that depends on the signal")
        return self._reading.trial.constants[self._reading.name(self.inputs[at])]

    def integers(self, at: int) -> list[int]:
        """Whole numbers from a constant input."""
        return [int(value) for value in self.constant(at).reshape(-1)]

    @property
    def hybrid(self) -> bool:
        """True when its weights are integers and the signal is not: it is rounded to steps of its own while it runs."""
        return self.meaning(0).scale is None and self.meaning(1).scale is not None

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
        if code not in RANGES:
            raise self.refusal(f"the activation {ACTIVATIONS[code] if code < len(ACTIVATIONS) else code}")
        least, most = RANGES[code]
        if self.result.scale is None:
            return (lambda y: y) if code == 0 else (lambda y: y.clamp(least, most))
        low, high = self.result.limits
        low = low if least is None else max(low, round(least / self.result.one))
        high = high if most is None else min(high, round(most / self.result.one))
        by, masked = factor / self.result.one, self.masked
        return lambda y: rescaled(y, by, low, high, masked, slack)


@dataclass
class Reading:
    """A graph of a file while it is read: ``meanings`` of its tensors; ``trial``: what is known so far, by names; a
    tensor's name is ``prefix`` and its number, for a graph inside a loop is read once a turn, and that of a constant of
    the file is the same at each. ``masked``: see :func:`twins.opening.open_twin`."""

    graph: TfliteFile
    masked: bool
    meanings: list[Meaning]
    trial: Trial
    number: int = 0
    prefix: str = ""

    def name(self, at: int) -> str:
        """A tensor's name among the values; empty for one that is left out."""
        if at < 0:
            return ""
        return f"constant {self.number}.{at}" if self.graph.is_constant(at) else f"{self.prefix}{at}"


def to_steps(meaning: Meaning, masked: bool, x: Tensor) -> Tensor:
    """Floats to the whole numbers that stand for them, less the zero point."""
    return rounded(x / meaning.one, *meaning.limits, masked)


def along(meaning: Meaning, ndim: int) -> Tensor:
    """The scales in a shape that multiplies the tensor's own."""
    assert meaning.scale is not None
    return meaning.scale.reshape([-1 if at == meaning.channel else 1 for at in range(ndim)])


def same_meaning(operator: Operator, meanings: Sequence[Meaning]) -> None:
    """Refuse an operator that moves numbers from one quantization to another."""
    operator.quantized  # noqa: B018 (refuses what is in between)
    first = operator.result
    for each in meanings:
        if first.scale is not None and (each.scale is None or (each.one, each.zero) != (first.one, first.zero)):
            raise operator.refusal("another scale on its input than on its output")


def plain(function: Callable[..., Tensor]) -> Callable[[Operator], Run]:
    """An operator without options, covered for what is not quantized alone."""

    def read(operator: Operator) -> Run:
        if any(operator.meaning(at).scale is not None for at in range(len(operator.inputs)) if operator.given(at)):
            raise operator.refusal("integers")
        return function

    return read
