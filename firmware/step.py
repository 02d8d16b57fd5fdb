"""One operator as C: a function that calls a kernel, the constants that it needs, and its tensors.

In: a :class:`~firmware.graph.NetOperator`. Out: a :class:`CStep`, made by the families in :mod:`firmware.operators`,
which the planner and the templates read. Here are the words that all families share: initialisers of C, and factors in
fixed point as TFLite makes them (``QuantizeMultiplier`` in ``quantization_util.cc``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseproof.firmware.graph import NetOperator, NetTensor

C_TYPES = {"int8": "int8_t", "int16": "int16_t", "int32": "int32_t", "float32": "float"}
LOW, HIGH = -128, 127


@dataclass(frozen=True)
class CConstant:
    """An array in flash: its name within the step, and its values, flat."""

    name: str
    values: NDArray[Any]

    @property
    def c_type(self) -> str:
        """Of one of its numbers."""
        return C_TYPES[self.values.dtype.name]


@dataclass(frozen=True)
class CStep:
    """One operator as C. ``body``: the statements of its function, in which inputs are called by ``names``, the output
    ``y``, and a constant ``$name``; it ends with ``return``. ``scratch``: bytes that it
    needs while it runs. ``sources``: files of C beside the CMSIS-NN library. ``view``: its output is its input, under
    another shape, and nothing is to be done."""

    operator: NetOperator
    body: str = ""
    inputs: tuple[NetTensor, ...] = ()
    names: tuple[str, ...] = ()
    constants: tuple[CConstant, ...] = ()
    scratch: int = 0
    sources: tuple[str, ...] = ()
    view: bool = False

    @property
    def output(self) -> NetTensor:
        """What it computes."""
        return self.operator.outputs[0]


def filled(template: str, **fields: object) -> str:
    """A template of C with its ``$fields``; those that are not given stay, for the names of constants."""
    return Template(template).safe_substitute({name: str(one) for name, one in fields.items()})


def factor(real: float) -> tuple[int, int]:
    """(multiplier, shift) of ``real = multiplier * 2**(shift - 31)``, the multiplier of 31 bits."""
    if real == 0:
        return 0, 0
    fraction, shift = math.frexp(real)
    multiplier = math.floor(fraction * 2.0**31 + 0.5)  # half goes up, as in std::round of a positive number
    if multiplier == 1 << 31:
        multiplier, shift = multiplier // 2, shift + 1
    return (0, 0) if shift < -31 else (multiplier, shift)


def c_factor(real: float) -> str:
    """A ``pp_factor``."""
    return braces(factor(real))


def braces(values: Iterable[int]) -> str:
    """An initialiser of numbers."""
    return "{" + ", ".join(str(int(one)) for one in values) + "}"


def limits(operator: NetOperator) -> tuple[int, int]:
    """The least and the most of an int8 output after the operator's activation (``CalculateActivationRange``)."""
    code = int(operator.option("fusedActivationFunction", 0) or 0)
    ranges: dict[int, tuple[float | None, float | None]] = {
        0: (None, None),
        1: (0.0, None),
        2: (-1.0, 1.0),
        3: (0.0, 6.0),
    }
    if code not in ranges:
        raise operator.refusal("with another activation than RELU, RELU6 or RELU_N1_TO_1")
    y = operator.y

    def step_of(value: float) -> int:
        return y.zero + half_away(float(np.float32(value) / y.scale))

    least, most = ranges[code]
    low = LOW if least is None else max(LOW, step_of(least))
    return low, HIGH if most is None else min(HIGH, step_of(most))


def half_away(value: float) -> int:
    """To the nearest whole number, half away from zero."""
    return math.floor(value + 0.5) if value >= 0 else math.ceil(value - 0.5)


def joined(sizes: Sequence[int], *steps: Sequence[int]) -> tuple[list[int], list[list[int]]]:
    """The same walk over fewer axes: those of size 1 are left out, neighbours that all ``steps`` cross in one are made
    one. From the outermost to the innermost axis."""
    found: list[tuple[int, list[int]]] = []
    for size, *each in zip(sizes, *steps, strict=True):
        if size == 1:
            continue
        if found and all(outer == inner * size for outer, inner in zip(found[-1][1], each, strict=True)):
            found[-1] = (found[-1][0] * size, each)
        else:
            found.append((size, each))
    return [size for size, _ in found], [[each[at] for _, each in found] for at in range(len(steps))]


AXES = 5  # PP_AXES of kernels.h


def padded(operator: NetOperator, sizes: Sequence[int], *steps: Sequence[int]) -> tuple[str, ...]:
    """The initialisers of sizes and steps over :data:`AXES` axes. Refused where there are more."""
    short, walks = joined(sizes, *steps)
    missing = AXES - len(short)
    if missing < 0:
        raise operator.refusal(f"over {len(short)} axes")
    return (braces([1] * missing + short), *(braces([0] * missing + walk) for walk in walks))


def row_major(shape: Sequence[int]) -> list[int]:
    """The step along each axis of a tensor."""
    return [math.prod(shape[at + 1 :]) for at in range(len(shape))]
