"""Bounds through sums of products: convolutions, dense layers, batch norms, means.

In: :class:`~models.hardened.ends.Ends` and constant weights. Out: bounds by centre and radius (Gowal et al. 2018,
section 3), moved outward by what float32 may add to a sum (:func:`~models.hardened.ends.gamma`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as f

from pulseproof.models.hardened.ends import Ends, NoBoundsError, gamma, is_whole

Rule = Callable[..., Any]


def _affine(x: Ends, weight: Tensor, bias: Tensor | None, terms: int, run: Callable[..., Tensor]) -> Ends:
    """``run(x, weight)`` plus ``bias`` (of the result's shape), by centre and radius. ``terms``: products a sum has."""
    weight = weight.to(x.dtype)
    if not x.unit:  # in training every pass over the values counts; halves are taken of the weights, which are fewer
        middle, around = run(x.lower + x.upper, weight / 2), run(x.upper - x.lower, weight.abs() / 2)
        middle = middle if bias is None else middle + bias.to(x.dtype)
        return x.like(middle - around, middle + around)
    centre, radius = (x.lower + x.upper) / 2, (x.upper - x.lower) / 2
    exact = x.whole and is_whole(weight) and (bias is None or is_whole(bias))
    if not exact:
        radius = radius + gamma(terms + 2, x.unit) * x.largest
    middle, around = run(centre, weight), run(radius, weight.abs())
    if bias is not None:
        bias = bias.to(x.dtype)
        middle = middle + bias
        # Whole biases beyond 2**24 were rounded on their way into a twin's float32.
        around = around + (gamma(terms + 2, x.unit) if not exact else x.unit * (bias.abs() >= 2**24)) * bias.abs()
    return x.like(middle - around, middle + around, exact)


def _constant(what: str, *values: Any) -> None:
    if any(isinstance(value, Ends) for value in values):
        raise NoBoundsError(f"there are no bounds for {what} whose weights depend on the signal")


def conv(function: Callable[..., Tensor], axes: int) -> Rule:
    def rule(
        x: Ends,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Ends:
        _constant("a convolution", weight, bias)
        shaped = None if bias is None else bias.reshape(-1, *[1] * axes)

        def run(values: Tensor, weights: Tensor) -> Tensor:
            return function(values, weights, None, stride, padding, dilation, groups)

        return _affine(x, weight, shaped, weight[0].numel(), run)

    return rule


def linear(x: Ends, weight: Tensor, bias: Tensor | None = None) -> Ends:
    _constant("a dense layer", weight, bias)
    return _affine(x, weight, bias, weight.shape[-1], f.linear)


def matmul(a: Any, b: Any) -> Ends:
    if isinstance(a, Ends) and isinstance(b, Ends):
        raise NoBoundsError("there are no bounds for a product of two signals")
    if isinstance(a, Ends):
        return _affine(a, b, None, b.shape[0] if b.ndim == 1 else b.shape[-2], torch.matmul)
    return _affine(b, a, None, a.shape[-1], lambda values, weights: torch.matmul(weights, values))


def batch_norm(
    x: Ends,
    mean: Tensor | None,
    variance: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Ends:
    if training or mean is None or variance is None:
        raise NoBoundsError("there are no bounds for a batch norm by the statistics of its batch")
    shape = [-1] + [1] * (x.ndim - 2)
    factor = (variance.to(x.dtype) + eps).rsqrt() * (1.0 if weight is None else weight.to(x.dtype))
    shift = (0.0 if bias is None else bias.to(x.dtype)) - mean.to(x.dtype) * factor
    lower, upper = x.lower * factor.reshape(shape), x.upper * factor.reshape(shape)
    if not x.unit and bool((factor >= 0).all()):  # as in most nets: no end becomes the other
        return x.like(lower + shift.reshape(shape), upper + shift.reshape(shape))
    found = x.like(
        torch.minimum(lower, upper) + shift.reshape(shape), torch.maximum(lower, upper) + shift.reshape(shape)
    )
    if not x.unit:
        return found
    return found.widened(
        gamma(6, x.unit)
        * (
            (x.largest + mean.abs().reshape(shape)) * factor.abs().reshape(shape)
            + (0.0 if bias is None else bias.abs().reshape(shape))
        )
    )


def sums(mean: bool) -> Rule:
    def rule(x: Ends, dim: Any = None, keepdim: bool = False, **kwargs: Any) -> Ends:
        axes = tuple(range(x.ndim)) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
        count = 1
        for axis in axes:
            count *= x.shape[axis]
        lower, upper = x.lower.sum(dim=axes, keepdim=keepdim), x.upper.sum(dim=axes, keepdim=keepdim)
        margin = 0.0 if x.whole and not mean else gamma(count + 1, x.unit) * x.largest.sum(dim=axes, keepdim=keepdim)
        by = count if mean else 1
        return x.like((lower - margin) / by, (upper + margin) / by, x.whole and not mean)

    return rule


def average_pool(function: Callable[..., Tensor]) -> Rule:
    def rule(x: Ends, kernel_size: Any, *args: Any, **kwargs: Any) -> Ends:
        count = kernel_size if isinstance(kernel_size, int) else int(torch.tensor(kernel_size).prod())
        lower, upper = (function(end, kernel_size, *args, **kwargs) for end in (x.lower, x.upper))
        margin = gamma(count + 1, x.unit) * function(x.largest, kernel_size, *args, **kwargs) if x.unit else 0.0
        return x.like(lower - margin, upper + margin)

    return rule
