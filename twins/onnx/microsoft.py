"""Operators of ONNX Runtime's own (domain ``com.microsoft``) in torch: what its quantizer and its optimizers write.

In: a :class:`~twins.onnx.node.Node`. Out: a function of its inputs, as ONNX Runtime's page of contributed operators has
it (ContribOperators.md of https://github.com/microsoft/onnxruntime). The integer ones (QLinear...) take
whole numbers with a scale and a zero point each and give whole numbers: the value of the float operator, rounded to the
output's steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as f

from pulseproof.twins.onnx.integers import centred, dynamic
from pulseproof.twins.onnx.layers import average_pool, conv, gemm, global_mean
from pulseproof.twins.onnx.node import Node, plain
from pulseproof.twins.onnx.types import LIMITS
from pulseproof.twins.rounding import rounded
from pulseproof.twins.steps import Run

CUSTOM = "com.microsoft"
OWN_STEPS = ("DynamicQuantizeMatMul",)  # their steps are read off each recording


def _activated(node: Node) -> Callable[[Tensor], Tensor]:
    """What a fused operator does last."""
    kind, said = node.get("activation", ""), node.get("activation_params", [])
    known: dict[str, Callable[[Tensor], Tensor]] = {
        "": lambda y: y,
        "Relu": torch.relu,
        "Tanh": torch.tanh,
        "Sigmoid": torch.sigmoid,
        "LeakyRelu": lambda y: f.leaky_relu(y, said[0] if said else 0.01),
        "Clip": lambda y: y.clamp(*said[:2]),
        "HardSigmoid": lambda y: (y * said[0] + said[1]).clamp(0, 1),
    }
    if kind not in known or (kind in ("Clip", "HardSigmoid") and len(said) != 2):
        raise node.refusal(f"activation={kind}")
    return known[kind]


def _fused_conv(node: Node) -> Run:
    convolve: Callable[..., Any] = conv(node)
    last = _activated(node)
    return lambda x, w, b=None, z=None: last(convolve(x, w, b) if z is None else convolve(x, w, b) + z)


def _fused_gemm(node: Node) -> Run:
    product: Callable[..., Any] = gemm(node)
    last = _activated(node)
    return lambda *inputs: last(product(*inputs))


def _fused_product(node: Node) -> Run:
    node.demand(transBatchA=0, transBatchB=0)
    alpha, left, right = node.get("alpha", 1.0), node.get("transA", 0), node.get("transB", 0)

    def run(a: Tensor, b: Tensor) -> Tensor:
        product = (a.transpose(-1, -2) if left else a) @ (b.transpose(-1, -2) if right else b)
        return product if alpha == 1 else alpha * product

    return run


def _quick_gelu(node: Node) -> Run:
    alpha = node.get("alpha", 1.702)
    return lambda x: x * torch.sigmoid(alpha * x)


def _fast_gelu(x: Tensor, bias: Tensor | None = None) -> Tensor:
    return f.gelu(x if bias is None else x + bias, approximate="tanh")


def _skip_norm(node: Node) -> Run:
    if any(node.outputs[1:3]):
        raise node.refusal("its mean or deviation as an output")
    small, width = node.get("epsilon", 1e-12), [node.value(0).shape[-1]]
    several = len(node.outputs) > 1

    def run(x: Tensor, skip: Tensor, scale: Tensor, *rest: Tensor | None) -> Tensor | tuple[Tensor, ...]:
        beta, bias = (*rest, None, None)[:2]
        total = x + skip if bias is None else x + skip + bias
        normed = f.layer_norm(total, width, scale, beta, small)
        return (normed, total, total, total)[: len(node.outputs)] if several else normed

    return run


def _attention(node: Node) -> Run:
    """Of one tensor to itself, without a mask or a past."""
    if any(node.given(at) for at in range(3, len(node.inputs))) or len(node.outputs) > 1:
        raise node.refusal("a mask, a past or a bias of places")
    node.demand(unidirectional=0, do_rotary=0)
    if node.get("qkv_hidden_sizes"):
        raise node.refusal("heads of several sizes")
    heads, width = node.get("num_heads"), node.value(1).shape[1] // 3
    scale = node.get("scale", 0.0) or (width // heads) ** -0.5

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        together = x @ weight if bias is None else x @ weight + bias
        parts = together.reshape(*x.shape[:2], 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        shares = torch.softmax(parts[0] @ parts[1].transpose(-1, -2) * scale, dim=-1)
        return (shares @ parts[2]).transpose(1, 2).reshape(*x.shape[:2], width)

    return run


def _to_steps(node: Node, at: int) -> Callable[..., Tensor]:
    """Floats to the output's steps, whose scale and zero point are the inputs ``at`` and behind it; what is in steps
    already says a scale of 1."""
    scale = node.constant(at).reshape(())
    zeros = node.constant(at + 1) if node.given(at + 1) else torch.zeros((), dtype=torch.uint8)
    if zeros.dtype not in LIMITS:
        raise node.refusal(f"output type {zeros.dtype}")
    zero, (low, high), masked = int(zeros), LIMITS[zeros.dtype], node.masked
    return lambda y, by=scale: rounded(y / by, low - zero, high - zero, masked) + zero


def _floats(q: Tensor, scale: Tensor, zero: Tensor | None) -> Tensor:
    return centred(q, None if zero is None else zero.reshape(())) * scale.reshape(())


def _sum(node: Node) -> Run:
    finish = _to_steps(node, 6)
    return lambda a, sa, za, b, sb, zb, *_: finish(_floats(a, sa, za) + _floats(b, sb, zb))


def _times(node: Node) -> Run:
    """The kernel multiplies whole numbers, and that by the ratio of the scales: a tie is a tie in this order alone."""
    scale = node.constant(6).reshape(())
    finish = _to_steps(node, 6)

    def run(a: Tensor, sa: Tensor, za: Tensor | None, b: Tensor, sb: Tensor, zb: Tensor | None, *_: Tensor) -> Tensor:
        one, two = (centred(q, None if zero is None else zero.reshape(())) for q, zero in ((a, za), (b, zb)))
        return finish(one * two * (sa.reshape(()) * sb.reshape(()) / scale), 1.0)

    return run


def _of_one(make: Callable[[Node], Run]) -> Callable[[Node], Run]:
    """An operator of (x, its scale, its zero point, the output's scale and zero point)."""

    def read(node: Node) -> Run:
        float_, finish = make(node), _to_steps(node, 3)
        return lambda x, sx, zx, *_: finish(float_(_floats(x, sx, zx)))

    return read


def _leaky(node: Node) -> Run:
    alpha = node.get("alpha", 0.01)
    return lambda x: f.leaky_relu(x, alpha)


def _mean(node: Node) -> Run:
    node.demand(channels_last=0)
    return global_mean(node)


def _pool(node: Node) -> Run:
    node.demand(channels_last=0)
    return average_pool(node)


def _softmax(node: Node) -> Run:
    axis = node.get("axis", -1)
    if node.get("opset", 13) < 13:
        raise node.refusal("the softmax of an operator set below 13")
    return lambda x: torch.softmax(x, dim=axis)


def _concat(node: Node) -> Run:
    axis, finish = node.get("axis"), _to_steps(node, 0)

    def run(_: Tensor, __: Tensor, *parts: Tensor) -> Tensor:
        return torch.cat([finish(_floats(*parts[at : at + 3])) for at in range(0, len(parts), 3)], dim=axis)

    return run


def _integer_gemm(node: Node) -> Run:
    """QGemm: int32 sums with a bias of their scale; floats come out where no output scale is given."""
    left, right, alpha = node.get("transA", 0), node.get("transB", 0), node.get("alpha", 1.0)
    finish = _to_steps(node, 7) if node.given(7) else None

    def run(a: Tensor, sa: Tensor, za: Tensor, b: Tensor, sb: Tensor, zb: Tensor, *rest: Tensor | None) -> Tensor:
        a, b = centred(a, za), centred(b, zb, 0 if right else 1)
        sums = (a.T if left else a) @ (b.T if right else b)
        bias = rest[0] if rest else None
        sums = sums if bias is None else sums + bias.float()
        y = sums * (alpha * sa * sb)
        return y if finish is None else finish(y)

    return run


def _product_to_float(a: Tensor, b: Tensor, sa: Tensor, sb: Tensor, *rest: Tensor | None) -> Tensor:
    za, zb, bias = (*rest, None, None, None)[:3]
    y = (centred(a, za) @ centred(b, zb, -1)) * (sa * sb)
    return y if bias is None else y + bias


def _dynamic_product(node: Node) -> Run:
    quantize = dynamic(node)

    def run(a: Tensor, b: Tensor, sb: Tensor, zb: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        steps, step, zero = quantize(a)
        return _product_to_float(steps, b, step, sb, zero, zb, bias)

    return run


MICROSOFT: dict[str, Callable[[Node], Run]] = {
    "Attention": _attention,
    "BiasGelu": plain(lambda x, bias: f.gelu(x + bias)),
    "DynamicQuantizeMatMul": _dynamic_product,
    "FastGelu": plain(_fast_gelu),
    "FusedConv": _fused_conv,
    "FusedGemm": _fused_gemm,
    "FusedMatMul": _fused_product,
    "Gelu": plain(f.gelu),
    "MatMulIntegerToFloat": plain(_product_to_float),
    "QGemm": _integer_gemm,
    "QLinearAdd": _sum,
    "QLinearAveragePool": _of_one(_pool),
    "QLinearConcat": _concat,
    "QLinearGlobalAveragePool": _of_one(_mean),
    "QLinearLeakyRelu": _of_one(_leaky),
    "QLinearMul": _times,
    "QLinearSigmoid": _of_one(lambda node: torch.sigmoid),
    "QLinearSoftmax": _of_one(_softmax),
    "QuickGelu": _quick_gelu,
    "SkipLayerNormalization": _skip_norm,
}
