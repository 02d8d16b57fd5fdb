"""ADD, SUB and MUL of two tensors, or of one and constants, with broadcasting. In and out as in
:mod:`firmware.operators`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pulseproof.firmware.graph import NetOperator, NetTensor
from pulseproof.firmware.step import CConstant, CStep, c_factor, filled, limits, padded, row_major

SOURCES = ("elementwise.c",)
SHIFT = 20  # bits behind the point in a sum: LEFT_SHIFT of elementwise.c

WALK = """\
    static const pp_walk walk = {
        .size = $size,
        .a = $a_steps,
        .b = $b_steps,
    };
"""
SUM = """\
    static const pp_sum sum = {
        .a_offset = $a_offset, .b_offset = $b_offset, .output_offset = $y_offset,
        .a_factor = $a_factor, .b_factor = $b_factor, .output_factor = $y_factor,
        .sign = $sign, .least = $least, .most = $most,
    };
    pp_add(&walk, &sum, $a, $b, y);
    return 0;"""
PRODUCT = """\
    static const pp_product product = {
        .a_offset = $a_offset, .b_offset = $b_offset, .output_offset = $y_offset,
        .output_factor = $y_factor,
        .least = $least, .most = $most,
    };
    pp_multiply(&walk, &product, $a, $b, y);
    return 0;"""


def _sum(sign: int) -> Callable[[NetOperator], CStep]:
    def make(operator: NetOperator) -> CStep:
        a, b, y = operator.x(0), operator.x(1), operator.y
        twice = 2 * float(max(a.scale, b.scale))
        return _of_two(
            operator,
            SUM,
            a_factor=c_factor(float(a.scale) / twice),
            b_factor=c_factor(float(b.scale) / twice),
            y_factor=c_factor(twice / (2.0**SHIFT * float(y.scale))),
            sign=sign,
        )

    return make


def _product(operator: NetOperator) -> CStep:
    a, b, y = operator.x(0), operator.x(1), operator.y
    return _of_two(operator, PRODUCT, y_factor=c_factor(float(np.float32(a.scale * b.scale) / y.scale)))


def _of_two(operator: NetOperator, template: str, **more: object) -> CStep:
    a, b, y = operator.x(0), operator.x(1), operator.y
    size, of_a, of_b, _ = padded(operator, y.shape, _steps(operator, a), _steps(operator, b), row_major(y.shape))
    least, most = limits(operator)
    known = {name: one for name, one in (("a", a), ("b", b)) if one.values is not None}
    body = filled(
        WALK + template,
        size=size,
        a_steps=of_a,
        b_steps=of_b,
        a_offset=-a.zero,
        b_offset=-b.zero,
        y_offset=y.zero,
        least=least,
        most=most,
        **{name: "$" + name if name in known else name for name in ("a", "b")},
        **more,
    )
    computed = [(name, one) for name, one in (("a", a), ("b", b)) if name not in known]
    constants = tuple(CConstant(name, np.asarray(one.values).ravel()) for name, one in known.items())
    return CStep(
        operator,
        body,
        tuple(one for _, one in computed),
        tuple(name for name, _ in computed),
        constants,
        sources=SOURCES,
    )


def _steps(operator: NetOperator, tensor: NetTensor) -> list[int]:
    """The step along each axis of the output; 0 where the tensor is repeated."""
    wanted = operator.y.shape
    shape = (1,) * (len(wanted) - len(tensor.shape)) + tensor.shape
    if len(shape) != len(wanted) or any(one not in (1, all_) for one, all_ in zip(shape, wanted, strict=True)):
        raise operator.refusal(f"of shapes {tensor.shape} and {wanted}")
    return [0 if size == 1 else step for size, step in zip(shape, row_major(shape), strict=True)]


ARITHMETIC = {"ADD": _sum(1), "SUB": _sum(-1), "MUL": _product}
