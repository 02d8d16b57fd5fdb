"""ONNX's integers in torch: rounding to steps, also to steps that are read off the recording, and products of them.

In and out as in :mod:`twins.onnx.operators`. A quantized tensor is held as whole numbers in float32: an engine
multiplies and adds them as integers, which is exact in float32 up to 2**24, and rescales in float32. Where the step
depends on the recording (DynamicQuantizeLinear) it is a number like a constant for the gradient, which passes the
rounding as if it were not there.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as f

from pulseproof.twins.onnx.layers import conv, pads_of
from pulseproof.twins.onnx.moves import for_torch
from pulseproof.twins.onnx.node import Node
from pulseproof.twins.onnx.types import LIMITS
from pulseproof.twins.rounding import rounded
from pulseproof.twins.steps import Run

WIDE = 2.0**31


def _quantize(node: Node) -> Run:
    node.demand(saturate=1, block_size=0, precision=0)
    kind = node.constant(2).dtype if node.given(2) else torch.uint8
    if kind not in LIMITS or node.get("output_dtype", 0):
        raise node.refusal(f"output type {kind}")
    low, high = LIMITS[kind]
    zeros = node.constant(2) if node.given(2) else torch.zeros(1)
    if zeros.numel() != 1 or node.constant(1).numel() != 1:
        raise node.refusal("a scale for each channel of an activation")
    zero, masked = int(zeros), node.masked

    def run(x: Tensor, scale: Tensor, _: Tensor | None = None) -> Tensor:
        return rounded(x / scale.reshape(()), low - zero, high - zero, masked) + zero

    return run


def _dequantize(node: Node) -> Run:
    node.demand(block_size=0)
    scale = node.constant(1)
    shape = [1] * node.value(0).ndim
    if scale.numel() > 1:
        shape[node.get("axis", 1)] = -1
    else:
        shape = []

    def run(q: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
        # Biases are int32 beyond what float32 holds exactly: the zero point is taken off before.
        centred = (
            q if zero is None else q - zero.reshape(shape).to(q.dtype if q.dtype == torch.int32 else torch.float32)
        )
        return centred.float() * scale.reshape(shape)

    return run


def dynamic(node: Node) -> Run:
    """The step and zero point of this recording, from its least and greatest value, of which one is at most 0.0 and one
    at least: see the operator's definition."""
    masked = node.masked

    def run(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        held = x.detach()
        least, most = held.amin().clamp(max=0.0), held.amax().clamp(min=0.0)
        step = (most - least) / 255
        step = torch.where(step > 0, step, torch.ones_like(step))
        zero = torch.round(-least / step).clamp(0, 255)
        return (rounded(x / step, -WIDE, WIDE, masked) + zero).clamp(0, 255), step, zero

    return run


def centred(q: Tensor, zero: Tensor | None, along: int | None = None) -> Tensor:
    """Whole numbers less their zero point; ``along``: the axis of several."""
    if zero is None:
        return q.float()
    if zero.numel() > 1 and along is not None:
        zero = zero.reshape([-1 if at == along % q.ndim else 1 for at in range(q.ndim)])
    return q.float() - zero.float()


def _product(node: Node) -> Run:
    return lambda a, b, of_a=None, of_b=None: centred(a, of_a, -2) @ centred(b, of_b, -1)


def _conv_integer(node: Node) -> Run:
    convolve = conv(node)
    return lambda x, w, of_x=None, of_w=None: convolve(centred(x, of_x), centred(w, of_w, 0))


def _rescaled(node: Node, at: int) -> Callable[[Tensor, Tensor | float], Tensor]:
    """To the output's steps, whose scale and zero point are the inputs ``at`` and behind it."""
    step, zeros = node.constant(at).reshape(()), node.constant(at + 1)
    if zeros.dtype not in LIMITS:
        raise node.refusal(f"output type {zeros.dtype}")
    zero, (low, high), masked = int(zeros), LIMITS[zeros.dtype], node.masked
    return lambda y, by: rounded(y * (by / step), low - zero, high - zero, masked) + zero


def _linear_conv(node: Node) -> Run:
    weight = node.value(3)
    shape = [1, -1, *[1] * (weight.ndim - 2)]
    stride = node.get("strides", [1] * (weight.ndim - 2))
    dilation = node.get("dilations", [1] * (weight.ndim - 2))
    pads = for_torch(*pads_of(node, list(weight.shape[2:]), stride, dilation))
    group, finish = node.get("group", 1), _rescaled(node, 6)
    convolve: Callable[..., Tensor] = f.conv1d if weight.ndim == 3 else f.conv2d

    def run(x: Tensor, sx: Tensor, zx: Tensor, w: Tensor, sw: Tensor, zw: Tensor, *rest: Tensor | None) -> Tensor:
        bias = rest[2] if len(rest) > 2 else None
        signal = f.pad(centred(x, zx), pads)
        sums = convolve(signal, centred(w, zw, 0), None if bias is None else bias.float(), stride, 0, dilation, group)
        return finish(sums, (sx * sw).reshape(shape if sw.numel() > 1 else ()))

    return run


def _linear_product(node: Node) -> Run:
    finish = _rescaled(node, 6)

    def run(a: Tensor, sa: Tensor, za: Tensor, b: Tensor, sb: Tensor, zb: Tensor, *_: Tensor | None) -> Tensor:
        return finish(centred(a, za, -2) @ centred(b, zb, -1), sa * sb)

    return run


INTEGERS: dict[str, Callable[[Node], Run]] = {
    "ConvInteger": _conv_integer,
    "DequantizeLinear": _dequantize,
    "DynamicQuantizeLinear": dynamic,
    "MatMulInteger": _product,
    "QLinearConv": _linear_conv,
    "QLinearMatMul": _linear_product,
    "QuantizeLinear": _quantize,
}
