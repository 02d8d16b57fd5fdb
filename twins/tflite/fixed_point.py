"""What TFLite computes in fixed point: a factor that rounds twice, and the sigmoid and tanh of the integer LSTM.

In: how many bits of a 16-bit number stand before its point. Out: a table of what the LSTM's kernel gives for each of
the 65,536 numbers, in units of 2**-15. The kernel has no table: it evaluates a Taylor series of exp on a quarter,
products of constants for the rest and Newton's iteration for a quotient, all in 16 bits (gemmlowp's ``fixedpoint.h``,
"fixed-point approximations of transcendental functions", as ``PortableApplySigmoid`` and ``PortableApplyTanh`` of
TFLite call it). What that is off by decides whole steps of the state, so it is done the same way here.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pulseproof.twins.rounding import rounded

Whole = NDArray[np.int64]
LOW, HIGH = -(2**15), 2**15 - 1
# exp(-2**k) for k from -2 on, and other constants, as 31-bit fractions.
POWERS = ((-2, 1672461947), (-1, 1302514674), (0, 790015084), (1, 290630308), (2, 39332535), (3, 720401), (4, 242))
EXP_EIGHTH, THIRD = 1895147668, 715827883
START, SLOPE = 1515870810, -1010580540  # 48/17 and -32/17, for Newton's first guess of a quotient


def _in_16_bits(constant: int) -> int:
    return int(_halved(np.array(constant), 16))


def _halved(x: Whole, times: int) -> Whole:
    """``x / 2**times``, rounded to the nearest, half away from zero."""
    mask = (1 << times) - 1
    return (x >> times) + ((x & mask) > (mask >> 1) + (x < 0))


def _doubled(x: Whole, times: int) -> Whole:
    return np.clip(x << times, LOW, HIGH)


def _times(a: Whole | int, b: Whole | int) -> Whole:
    """The upper half of twice the product, rounded."""
    product = np.asarray(a, np.int64) * b
    nudged = product + np.where(product >= 0, 1 << 14, 1 - (1 << 14))
    return np.minimum(np.where(nudged >= 0, nudged >> 15, -(-nudged >> 15)), HIGH)


def _exp_of_negative(a: Whole, integer_bits: int) -> Whole:
    """exp of numbers of so many integer bits, at most 0; in units of 2**-15."""
    fraction = 15 - integer_bits
    quarter = 1 << (fraction - 2)
    rest = (a & (quarter - 1)) - quarter  # from -1/4 to 0
    x = _doubled(rest, integer_bits) + (1 << 12)  # around -1/8
    x2 = _times(x, x)
    x3, x4 = _times(x2, x), _times(x2, x2)
    series = _halved(_times(_halved(x4, 2) + x3, _in_16_bits(THIRD)) + x2, 1)
    eighth = _in_16_bits(EXP_EIGHTH)
    result = np.clip(eighth + _times(eighth, x + series), LOW, HIGH)
    remainder = rest - a
    for power, constant in POWERS:
        if integer_bits > power:
            with_it = (remainder & (1 << (fraction + power))) != 0
            result = np.where(with_it, _times(result, _in_16_bits(constant)), result)
    if integer_bits > 5:
        result = np.where(a < -(1 << (fraction + 5)), 0, result)
    return np.where(a == 0, HIGH, result)


def _newton(a: Whole) -> Whole:
    """2 / (1 + a) of units of 2**-15; in units of 2**-13."""
    total = a + HIGH
    half = np.where(total >= 0, (total + 1) >> 1, -((1 - total) >> 1))
    x = _in_16_bits(START) + _times(half, _in_16_bits(SLOPE))
    for _ in range(3):
        x = x + _doubled(_times(x, (1 << 13) - _times(half, x)), 2)
    return x


@functools.cache
def sigmoid_table() -> Tensor:
    """Of numbers of 3 integer bits, from the lowest to the highest; float32 whole numbers."""
    a = np.arange(LOW, HIGH + 1)
    positive = _doubled(_newton(_exp_of_negative(-np.abs(a), 3)), 1)
    result = np.where(a > 0, positive, HIGH - positive)
    return torch.from_numpy(np.where(a == 0, 1 << 14, result).astype(np.float32))


@functools.cache
def tanh_table(integer_bits: int) -> Tensor:
    """Of numbers of so many integer bits (0 to 7), from the lowest to the highest; float32 whole numbers."""
    a = np.arange(LOW, HIGH + 1)
    size = _doubled(_newton(_exp_of_negative(-np.abs(a), integer_bits + 1)) - (1 << 13), 2)
    return torch.from_numpy(np.where(a == 0, 0, np.where(a < 0, -size, size)).astype(np.float32))


def away(x: Tensor, masked: bool, low: float = -(2.0**31), high: float = 2.0**31) -> Tensor:
    """To whole numbers within limits; half a step goes away from 0."""
    return rounded(x + 1e-9 * torch.sign(x.detach()), low, high, masked)


def rounded_twice(x: Tensor, fraction: Tensor | float, power: Tensor | float, masked: bool) -> Tensor:
    """Whole numbers times ``fraction * power`` as a kernel in fixed point has it: it rounds behind a fraction of 31
    bits, and again behind a power of 2 (``MultiplyByQuantizedMultiplier`` in TFLite's ``common.h``). Two roundings give
    the step beside it in one case of some hundred. float64."""
    return away(away(x.double() * fraction, masked) * power, masked)


def factor_of(by: float) -> tuple[float, float]:
    """The fraction and the power of 2 of a factor."""
    fraction, power = math.frexp(by)
    return fraction, 2.0**power


def in_table(table: Tensor, x: Tensor, smooth: Tensor) -> Tensor:
    """The table's value of whole 16-bit numbers ``x``, with the gradient of ``smooth``, which it approximates."""
    return table[(x.detach() - LOW).long()] + (smooth - smooth.detach())
