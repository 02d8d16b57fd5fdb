"""Functions of one int8 number, each a table of its 256 values: activations and changes of scale.

In and out as in :mod:`firmware.operators`. The tables hold what TFLite's reference kernels compute: LOGISTIC and TANH
in fixed point (``logistic.h``, ``tanh.h`` of reference_integer_ops), RELU, LEAKY_RELU and QUANTIZE by a rescaling,
HARD_SWISH in 16 bits (``hard_swish.h``), ELU by its own table of floats.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from pulseproof.firmware.gemmlowp import divided, hyperbolic_tangent, rescaled, saturated, sigmoid
from pulseproof.firmware.graph import NetOperator
from pulseproof.firmware.step import HIGH, LOW, CConstant, CStep, factor, half_away

Function = Callable[[int], int]  # of a number less its zero point, to one less its own
INPUT_BITS = 4  # integer bits of what the sigmoid of int8 takes


def _table(make: Callable[[NetOperator], Function]) -> Callable[[NetOperator], CStep]:
    def of(operator: NetOperator) -> CStep:
        x, y, function = operator.x(), operator.y, make(operator)
        operator.gives(x.size)
        values = [saturated(function(q - x.zero) + y.zero, LOW, HIGH) for q in range(LOW, HIGH + 1)]
        body = f"    pp_lookup($table, {x.size}, x, y);\n    return 0;"
        constant = CConstant("table", np.array(values, np.int8))
        return CStep(operator, body, (x,), ("x",), (constant,), sources=("lookup.c",))

    return of


def _squashed(function: Callable[[int, int], int], bits: int, zero: int) -> Callable[[NetOperator], Function]:
    """A sigmoid or tanh that gives ``bits`` bits behind the point."""

    def make(operator: NetOperator) -> Function:
        if (float(operator.y.scale), operator.y.zero) != (2.0**-bits, zero):
            raise operator.refusal("with another output than TFLite gives it")
        by = factor(float(operator.x().scale) * 2.0 ** (31 - INPUT_BITS))
        radius = ((1 << INPUT_BITS) - 1) * 2.0 ** (31 - INPUT_BITS) / 2.0 ** by[1]

        def of(x: int) -> int:
            if abs(x) >= math.floor(radius):
                return 1 << 8 if x > 0 else -(1 << 8) if zero == 0 else 0  # beyond the table's ends
            return divided(function(rescaled(x, by), INPUT_BITS), 31 - bits)

        return of

    return make


def _cut(least: float | None, most: float | None) -> Callable[[NetOperator], Function]:
    """RELU and its kin."""

    def make(operator: NetOperator) -> Function:
        y = operator.y
        by = factor(float(np.float32(operator.x().scale / y.scale)))
        low = -math.inf if least is None else half_away(float(np.float32(least) / y.scale))
        high = math.inf if most is None else half_away(float(np.float32(most) / y.scale))
        return lambda x: int(min(max(rescaled(x, by), low), high))

    return make


def _leaky(operator: NetOperator) -> Function:
    x, y = operator.x().scale, operator.y.scale
    rise = factor(float(np.float32(x / y)))
    fall = factor(float(np.float32(x * np.float32(operator.option("alpha", 0.0))) / y))
    return lambda q: rescaled(q, rise if q >= 0 else fall)


def _rescale(operator: NetOperator) -> Function:
    by = factor(float(operator.x().scale) / float(operator.y.scale))
    return lambda x: rescaled(x, by)


def _elu(operator: NetOperator) -> Function:
    by, back = float(operator.x().scale), float(np.float32(1) / operator.y.scale)

    def of(q: int) -> int:
        x = float(np.float32(by * q))
        return half_away(float(np.float32(np.float32(x if x > 0 else math.expm1(x)) * np.float32(back))))

    return of


def _hard_swish(operator: NetOperator) -> Function:
    fine = np.float32(operator.x().scale) / np.float32(128)
    out, out_shift = factor(float(fine / np.float32(operator.y.scale)))
    cut, cut_shift = factor(float(fine / (np.float32(3) / np.float32(32768))))
    out, cut = (min((one + (1 << 15)) >> 16, 32767) for one in (out, cut))
    if out_shift > 0:
        raise operator.refusal("with so fine a scale")

    def word(x: int) -> int:
        return saturated(x, -32768, 32767)

    def upper(a: int, b: int) -> int:
        return word((a * b + (1 << 14)) >> 15)

    def of(q: int) -> int:
        x = q * 128
        gate = word(x << cut_shift - 1) if cut_shift > 0 else x
        gate = upper(gate, cut)
        gate = word(gate << 1) if cut_shift > 0 else divided(gate, -cut_shift)
        gate = (gate + (1 << 15)) >> 1  # from 0 to 1, in units of 2**-15
        product = gate * upper(x, out)
        return divided(product >> 15 if product >= 0 else -(-product >> 15), -out_shift)

    return of


LOOKUPS = {
    "ELU": _table(_elu),
    "HARD_SWISH": _table(_hard_swish),
    "LEAKY_RELU": _table(_leaky),
    "LOGISTIC": _table(_squashed(sigmoid, 8, -128)),
    "QUANTIZE": _table(_rescale),
    "RELU": _table(_cut(0.0, None)),
    "RELU6": _table(_cut(0.0, 6.0)),
    "RELU_0_TO_1": _table(_cut(0.0, 1.0)),
    "RELU_N1_TO_1": _table(_cut(-1.0, 1.0)),
    "TANH": _table(_squashed(hyperbolic_tangent, 7, 0)),
}
