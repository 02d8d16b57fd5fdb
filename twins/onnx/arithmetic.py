"""ONNX's arithmetic in torch: numbers one by one, sums and extremes along axes, comparisons.

In and out as in :mod:`twins.onnx.operators`. Integers, which are shapes and places, divide as integers do.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor

from pulseproof.twins.onnx.node import Node, plain
from pulseproof.twins.steps import Run


def _div(a: Tensor, b: Tensor) -> Tensor:
    if a.is_floating_point() or b.is_floating_point():
        return torch.div(a, b)
    return torch.div(a, b, rounding_mode="trunc")


def _mod(node: Node) -> Run:
    return torch.fmod if node.get("fmod", 0) else torch.remainder


def _of_all(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Node], Run]:
    return lambda node: lambda *values: reduce(function, values)


def _mean(*values: Tensor) -> Tensor:
    return reduce(torch.add, values) / len(values)


def _reduce(function: Callable[..., Tensor]) -> Callable[[Node], Run]:
    def read(node: Node) -> Run:
        axes = node.integers(1, "axes")
        if not axes:
            if node.get("noop_with_empty_axes", 0):
                return lambda x, _=None: x
            axes = list(range(node.value(0).ndim))
        keep = bool(node.get("keepdims", 1))
        return lambda x, _=None: function(x, dim=tuple(axes), keepdim=keep)

    return read


def _product(x: Tensor, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    for axis in sorted((one % x.ndim for one in dim), reverse=True):
        x = x.prod(dim=axis, keepdim=keepdim)
    return x


def _mean_of(x: Tensor, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    return torch.mean(x if x.is_floating_point() else x.float(), dim=dim, keepdim=keepdim)


def _length(x: Tensor, dim: tuple[int, ...], keepdim: bool) -> Tensor:
    """Its gradient at 0 is 0, not undefined."""
    total = (x * x).sum(dim=dim, keepdim=keepdim)
    zero = total == 0
    return torch.where(zero, total, torch.where(zero, torch.ones_like(total), total).sqrt())


def _arg(function: Callable[..., Tensor]) -> Callable[[Node], Run]:
    def read(node: Node) -> Run:
        node.demand(select_last_index=0)
        axis, keep = node.get("axis", 0), bool(node.get("keepdims", 1))
        return lambda x: function(x, dim=axis, keepdim=keep)

    return read


def _sums_so_far(node: Node) -> Run:
    node.demand(exclusive=0, reverse=0)
    axis = int(node.constant(1))
    return lambda x, _: torch.cumsum(x, dim=axis)


def _where(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(condition.bool(), a, b)


def _einsum(node: Node) -> Run:
    equation = node.get("equation")
    return lambda *values: torch.einsum(equation, *values)


def _power(node: Node) -> Run:
    """Where a power has no slope (a broken one of a negative number, which is no number; one below 1 of nothing) its
    gradient is taken to be 0: a transformer of powers computes both of its branches, and masks one."""

    def run(x: Tensor, y: Tensor) -> Tensor:
        exponent = y.detach().to(x.dtype)
        without = ((x == 0) & (exponent < 1)) | ((x < 0) & (exponent != exponent.round()))
        return torch.where(without, x.detach() ** exponent, torch.where(without, 1.0, x) ** exponent)

    if not node.is_constant(1):
        return run
    whole = node.value(1)
    if bool(((whole >= 1) & (whole == whole.round())).all()):
        return lambda x, y: torch.pow(x, y.to(x.dtype))
    return run


ARITHMETIC: dict[str, Callable[[Node], Run]] = {
    "Abs": plain(torch.abs),
    "Add": plain(torch.add),
    "And": plain(torch.logical_and),
    "ArgMax": _arg(torch.argmax),
    "ArgMin": _arg(torch.argmin),
    "Ceil": plain(torch.ceil),
    "Cos": plain(torch.cos),
    "CumSum": _sums_so_far,
    "Div": plain(_div),
    "Einsum": _einsum,
    "Equal": plain(torch.eq),
    "Erf": plain(torch.erf),
    "Exp": plain(torch.exp),
    "Floor": plain(torch.floor),
    "Greater": plain(torch.gt),
    "GreaterOrEqual": plain(torch.ge),
    "IsNaN": plain(torch.isnan),
    "Less": plain(torch.lt),
    "LessOrEqual": plain(torch.le),
    "Log": plain(torch.log),
    "MatMul": plain(torch.matmul),
    "Max": _of_all(torch.maximum),
    "Mean": plain(_mean),
    "Min": _of_all(torch.minimum),
    "Mod": _mod,
    "Mul": plain(torch.mul),
    "Neg": plain(torch.neg),
    "Not": plain(torch.logical_not),
    "Or": plain(torch.logical_or),
    "Pow": _power,
    "Reciprocal": plain(torch.reciprocal),
    "ReduceL1": _reduce(lambda x, dim, keepdim: x.abs().sum(dim=dim, keepdim=keepdim)),
    "ReduceL2": _reduce(_length),
    "ReduceLogSumExp": _reduce(torch.logsumexp),
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(_mean_of),
    "ReduceMin": _reduce(torch.amin),
    "ReduceProd": _reduce(_product),
    "ReduceSum": _reduce(torch.sum),
    "ReduceSumSquare": _reduce(lambda x, dim, keepdim: (x * x).sum(dim=dim, keepdim=keepdim)),
    "Round": plain(torch.round),
    "Sign": plain(torch.sign),
    "Sin": plain(torch.sin),
    "Sqrt": plain(torch.sqrt),
    "Sub": plain(torch.sub),
    "Sum": _of_all(torch.add),
    "Where": plain(_where),
}
