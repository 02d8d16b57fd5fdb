"""Rounding to integer steps with a straight-through gradient that stops where the quantizer clips.

In: a tensor in units of the quantizer's step. Out: whole numbers within its limits, as floats. Backward, rounding is
the identity (Bengio, Leonard and Courville 2013, arXiv 1308.3432) and clipping is what it is: no gradient passes where
the *unclipped* value lies outside the limits. Quantizers of deployed files have removed the ReLUs, because clipping at
the step that means 0.0 does their work. A gradient that passes there is that of a net without ReLUs: the scores are
right and an attack goes astray, so that the file looks robust (Athalye, Carlini and Wagner 2018, "Obfuscated
gradients", arXiv 1802.00420).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary


class _Clipped(torch.autograd.Function):
    """``clamp(round(x), low, high)``. Its gradient is that of ``clamp(x, low, high)``."""

    @staticmethod
    def forward(x: Tensor, low: float, high: float) -> Tensor:
        return torch.round(x).clamp_(low, high)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float, float], output: Tensor) -> None:
        x, ctx.low, ctx.high = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        inside = (x >= ctx.low) & (x <= ctx.high)
        return gradients[0] * inside, None, None

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, ...], x: Tensor, low: float, high: float) -> tuple[Tensor, int | None]:
        return _Clipped.apply(x, low, high), dims[0]  # element by element: where the batch lies does not matter


class _Unmasked(torch.autograd.Function):
    """The same values; the gradient passes everywhere."""

    @staticmethod
    def forward(x: Tensor, low: float, high: float) -> Tensor:
        return torch.round(x).clamp_(low, high)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float, float], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0], None, None

    @staticmethod
    def vmap(info: Any, dims: tuple[int | None, ...], x: Tensor, low: float, high: float) -> tuple[Tensor, int | None]:
        return _Unmasked.apply(x, low, high), dims[0]


def rounded(x: Tensor, low: float, high: float, masked: bool = True) -> Tensor:
    """``x`` (any shape), in steps, to the nearest whole number (half to even) within ``low`` to ``high``.

    ``masked``: no gradient where ``x`` lies outside of them.
    """
    if has_torch_function_unary(x):  # bounds pass through it by a rule of their own (:mod:`models.hardened.interval`)
        return handle_torch_function(rounded, (x,), x, low, high, masked)
    result: Tensor = (_Clipped if masked else _Unmasked).apply(x, low, high)
    return result


def rescaled(
    x: Tensor, by: Tensor | float, low: float, high: float, masked: bool = True, slack: float | None = None
) -> Tensor:
    """A whole number ``x`` times the factor ``by``, rounded: what an integer kernel does by a factor in fixed point.

    ``slack``: how far off the product, in steps, a kernel can be before it rounds; None: as far as one that multiplies
    a whole number by a factor of 31 bits. It changes no value here; bounds count it.
    """
    if has_torch_function_unary(x):
        return handle_torch_function(rescaled, (x,), x, by, low, high, masked, slack)
    return rounded(x * by, low, high, masked)


def looked_up(x: Tensor) -> Tensor:
    """Whole numbers that an integer kernel takes from a table or computes in fixed point: they, or the step beside."""
    if has_torch_function_unary(x):
        return handle_torch_function(looked_up, (x,), x)
    return x


def fixed_point(x: Tensor) -> Tensor:
    """Whole numbers of which an integer kernel has an approximation that is some steps off."""
    if has_torch_function_unary(x):
        return handle_torch_function(fixed_point, (x,), x)
    return x
