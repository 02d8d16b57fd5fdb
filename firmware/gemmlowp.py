"""Fixed-point arithmetic in 32 bits, of which tables of 256 numbers are made: what TFLite's reference kernels compute.

In: whole numbers of Python. Out: the same. As gemmlowp's ``fixedpoint.h`` ("fixed-point approximations of
transcendental functions"); a fraction of 31 bits behind so many integer bits. The 16-bit kin of it, for twins of LSTM
layers, is :mod:`twins.tflite.fixed_point`.
"""

from __future__ import annotations

from pulseproof.twins.tflite.fixed_point import EXP_EIGHTH, POWERS, SLOPE, START, THIRD

LOW, HIGH = -(2**31), 2**31 - 1


def saturated(x: int, low: int = LOW, high: int = HIGH) -> int:
    """Within limits."""
    return min(max(x, low), high)


def divided(x: int, power: int) -> int:
    """``x / 2**power``, half a step away from zero."""
    mask = (1 << power) - 1
    return (x >> power) + int((x & mask) > (mask >> 1) + (x < 0))


def times(a: int, b: int) -> int:
    """The upper half of twice the product, rounded."""
    return saturated((a * b + (1 << 30)) >> 31)


def rescaled(x: int, factor: tuple[int, int]) -> int:
    """``MultiplyByQuantizedMultiplier``: ``pp_rescale`` of the firmware."""
    multiplier, shift = factor
    return divided(times(x << max(shift, 0), multiplier), max(-shift, 0))


def sigmoid(a: int, bits: int) -> int:
    """Of a number with so many integer bits; of 31 bits behind the point."""
    if a == 0:
        return 1 << 30
    positive = saturated(_quotient(_exp_of_negative(-abs(a), bits)) << 1)
    return positive if a > 0 else HIGH - positive


def hyperbolic_tangent(a: int, bits: int) -> int:
    """Of a number with so many integer bits; of 31 bits behind the point."""
    size = saturated((_quotient(_exp_of_negative(-abs(a), bits + 1)) - (1 << 29)) << 2)
    return 0 if a == 0 else size if a > 0 else -size


def _exp_of_negative(a: int, bits: int) -> int:
    fraction = 31 - bits
    quarter = 1 << (fraction - 2)
    rest = (a & (quarter - 1)) - quarter  # from -1/4 to 0
    x = saturated(rest << bits) + (1 << 28)  # around -1/8
    x2 = times(x, x)
    x3, x4 = times(x2, x), times(x2, x2)
    series = divided(times(divided(x4, 2) + x3, THIRD) + x2, 1)
    result = EXP_EIGHTH + times(EXP_EIGHTH, x + series)
    for power, constant in POWERS:
        if bits > power and (rest - a) & (1 << (fraction + power)):
            result = times(result, constant)
    if bits > 5 and a < -(1 << (fraction + 5)):
        return 0
    return HIGH if a == 0 else result


def _quotient(a: int) -> int:
    """2 / (1 + a), of 29 bits behind the point."""
    total = a + HIGH
    half = (total + 1) >> 1 if total >= 0 else -((1 - total) >> 1)
    x = START + times(half, SLOPE)
    for _ in range(3):
        x += saturated(times(x, (1 << 29) - times(half, x)) << 2)
    return x
