"""TFLite's arithmetic in torch: numbers one by one, sums and extremes along axes, comparisons.

In and out as in :mod:`twins.tflite.operators`. Of quantized numbers each side is brought to the output's scale, and the
result is rounded once.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pulseproof.twins.rounding import rounded
from pulseproof.twins.steps import Run
from pulseproof.twins.tflite.fixed_point import factor_of, rounded_twice
from pulseproof.twins.tflite.node import Operator, plain, same_meaning

SHIFT = 7


def _elementwise(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Operator], Run]:
    """ADD and SUB."""

    def read(operator: Operator) -> Run:
        if not operator.quantized:
            finish = operator.finish()
            return lambda a, b: finish(function(a, b))
        left, right = _pair(operator)
        rescaled = operator.finish(slack=_slack_of_sum(operator, max(left, right)))
        return lambda a, b: rescaled(function(a * left, b * right))

    return read


def _slack_of_sum(operator: Operator, scale: float) -> float:
    """How far the kernels of ADD and SUB are off the sum, in steps, before they round it. ``scale``: the larger one of
    the two inputs.

    TFLite's reference (``add.h``) shifts both inputs, of 8 bits, left by 20, multiplies each by a factor of 31 bits
    that is at most a half, and the sum by another: units of 2 ``scale`` 2^-20. Each product is off by half a unit, by
    another half where its factor is below a half and is shifted back after, and by 2^(8+20-31) for the factor's bits:
    together 2 (1 + 1/8) + 1 units, 6.5 x 2^-20 ``scale``. XNNPACK (``xnn_init_qs8_add_minmax_params``) multiplies each
    input by a factor whose unit is at most 2^-20 of the larger one, off by half of it, and by 2^-24 for the float32
    that it is made of, and rounds the sum once: 2 x 2^8 (1/2 + 1/16) = 288 times 2^-20 ``scale``, which is more. Of 16
    bits the reference shifts by 15, off by 2 (1 + 1/2) + 1 units of 2 ``scale`` 2^-15; where all scales are powers of
    two it shifts one input back first instead, which rounds it to a step.
    """
    ratio = scale / operator.result.one
    return ratio * 288 * 2.0**-20 if operator.result.dtype.itemsize == 1 else ratio * 8 * 2.0**-15 + 0.5


def _multiply(operator: Operator) -> Run:
    if not operator.quantized:
        finish = operator.finish()
    else:
        left, right = _pair(operator)
        finish = operator.finish(left * right)
    return lambda a, b: finish(a * b)


def _difference(operator: Operator) -> Run:
    if not operator.quantized:
        return lambda a, b: (a - b) * (a - b)
    left, right = _pair(operator)
    unit, after, masked = 2 * max(left, right), operator.result, operator.masked
    # The kernel brings both to one scale with 7 bits behind the point, and rounds there.
    of_left, of_right = (factor_of(one / unit) for one in (left, right))
    back = factor_of(unit * unit / (4.0**SHIFT * after.one))

    def run(a: Tensor, b: Tensor) -> Tensor:
        apart = rounded_twice(a * 2**SHIFT, *of_left, masked) - rounded_twice(b * 2**SHIFT, *of_right, masked)
        return rounded(rounded_twice(apart * apart, *back, masked).float(), *after.limits, masked)

    return run


def _divide(operator: Operator) -> Run:
    if operator.quantized:
        raise operator.refusal("integers")
    finish = operator.finish()

    def run(a: Tensor, b: Tensor) -> Tensor:
        if a.is_floating_point():
            return finish(a / b)
        return torch.div(a, b, rounding_mode="trunc")

    return run


def _pair(operator: Operator) -> tuple[float, float]:
    if operator.meaning(1).scale is None:
        raise operator.refusal("integers on one side and floats on the other")
    return operator.meaning(0).one, operator.meaning(1).one


def _of_two(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Operator], Run]:
    """MAXIMUM and MINIMUM."""

    def read(operator: Operator) -> Run:
        same_meaning(operator, [operator.meaning(0), operator.meaning(1)])
        return function

    return read


def _axes(operator: Operator) -> tuple[tuple[int, ...], bool]:
    return tuple(operator.integers(1)), bool(operator.option("keepDims"))


def _mean(operator: Operator) -> Run:
    axes, keep = _axes(operator)
    count = 1
    for axis in axes:
        count *= operator.shape(0)[axis]
    if not operator.quantized:
        return lambda x, _: x.mean(dim=axes, keepdim=keep)
    finish = operator.finish(operator.meaning(0).one / count)
    return lambda x, _: finish(x.sum(dim=axes, keepdim=keep))


def _sum(operator: Operator) -> Run:
    axes, keep = _axes(operator)
    if not operator.quantized:
        return lambda x, _: x.sum(dim=axes, keepdim=keep)
    finish = operator.finish(operator.meaning(0).one)
    return lambda x, _: finish(x.sum(dim=axes, keepdim=keep))


def _product(operator: Operator) -> Run:
    if operator.quantized:
        raise operator.refusal("integers")
    axes, keep = _axes(operator)

    def run(x: Tensor, _: Tensor) -> Tensor:
        kind = x.dtype
        for axis in sorted((one % x.ndim for one in axes), reverse=True):
            x = x.prod(dim=axis, keepdim=keep)
        return x.to(kind)

    return run


def _extreme(function: Callable[..., Tensor]) -> Callable[[Operator], Run]:
    def read(operator: Operator) -> Run:
        same_meaning(operator, [operator.meaning(0)])
        axes, keep = _axes(operator)
        return lambda x, _: function(x, dim=axes, keepdim=keep)

    return read


def _floored(a: Tensor, b: Tensor) -> Tensor:
    return torch.div(a, b, rounding_mode="floor")


def _negative(operator: Operator) -> Run:
    if not operator.quantized:
        return torch.neg
    finish = operator.finish(operator.meaning(0).one)
    return lambda x: finish(-x)


def _select(operator: Operator) -> Run:
    if operator.result.scale is not None:
        raise operator.refusal("integers")
    return torch.where


def _length_one(operator: Operator) -> Run:
    """L2_NORMALIZATION of floats, along the last axis."""
    if operator.quantized:
        raise operator.refusal("integers")
    return lambda x: x / (x * x).sum(dim=-1, keepdim=True).clamp_min(1e-12).sqrt()


ARITHMETIC: dict[str, Callable[[Operator], Run]] = {
    "ABS": plain(torch.abs),
    "ADD": _elementwise(torch.add),
    "CEIL": plain(torch.ceil),
    "COS": plain(torch.cos),
    "DIV": _divide,
    "EQUAL": plain(torch.eq),
    "EXP": plain(torch.exp),
    "FLOOR": plain(torch.floor),
    "FLOOR_DIV": plain(_floored),
    "FLOOR_MOD": plain(torch.remainder),
    "GREATER": plain(torch.gt),
    "GREATER_EQUAL": plain(torch.ge),
    "L2_NORMALIZATION": _length_one,
    "LESS": plain(torch.lt),
    "LESS_EQUAL": plain(torch.le),
    "LOG": plain(torch.log),
    "LOGICAL_AND": plain(torch.logical_and),
    "LOGICAL_NOT": plain(torch.logical_not),
    "LOGICAL_OR": plain(torch.logical_or),
    "MAXIMUM": _of_two(torch.maximum),
    "MEAN": _mean,
    "MINIMUM": _of_two(torch.minimum),
    "MUL": _multiply,
    "NEG": _negative,
    "NOT_EQUAL": plain(torch.ne),
    "POW": plain(torch.pow),
    "REDUCE_MAX": _extreme(torch.amax),
    "REDUCE_MIN": _extreme(torch.amin),
    "REDUCE_PROD": _product,
    "ROUND": plain(torch.round),
    "SELECT": _select,
    "SELECT_V2": _select,
    "SIGN": plain(torch.sign),
    "SIN": plain(torch.sin),
    "SQRT": plain(torch.sqrt),
    "SQUARE": plain(torch.square),
    "SQUARED_DIFFERENCE": _difference,
    "SUB": _elementwise(torch.sub),
    "SUM": _sum,
}
