"""The layers of a net as ONNX writes them, in torch: convolution, dense, normalisation, pools.

In and out as in :mod:`twins.onnx.operators`, which lists them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as f

from pulseproof.twins.onnx.moves import for_torch
from pulseproof.twins.onnx.node import Node
from pulseproof.twins.steps import Run


def conv(node: Node) -> Run:
    weight = node.value(1)
    axes = weight.ndim - 2
    if axes not in (1, 2):
        raise node.refusal(f"{axes} axes of space")
    convolve: Callable[..., Tensor] = f.conv1d if axes == 1 else f.conv2d
    stride, dilation = node.get("strides", [1] * axes), node.get("dilations", [1] * axes)
    group, before, after = node.get("group", 1), *pads_of(node, list(weight.shape[2:]), stride, dilation)
    if before == after:
        return lambda x, w, b=None: convolve(x, w, b, stride, before, dilation, group)
    pads = for_torch(before, after)
    return lambda x, w, b=None: convolve(f.pad(x, pads), w, b, stride, 0, dilation, group)


def pads_of(node: Node, kernel: list[int], stride: list[int], dilation: list[int]) -> tuple[list[int], list[int]]:
    """Zeros before and after each axis of space."""
    axes, way = len(kernel), node.get("auto_pad", "NOTSET")
    if way == "NOTSET":
        pads = node.get("pads", [0] * (2 * axes))
        return list(pads[:axes]), list(pads[axes:])
    if way == "VALID":
        return [0] * axes, [0] * axes
    if way not in ("SAME_UPPER", "SAME_LOWER"):
        raise node.refusal(f"auto_pad={way}")
    sizes = node.value(0).shape[2:]
    total = [
        max(0, (-(-size // by) - 1) * by + (width - 1) * wide + 1 - size)
        for size, width, by, wide in zip(sizes, kernel, stride, dilation, strict=True)
    ]
    small, large = [one // 2 for one in total], [one - one // 2 for one in total]
    return (small, large) if way == "SAME_UPPER" else (large, small)


def gemm(node: Node) -> Run:
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    left, right = node.get("transA", 0), node.get("transB", 0)

    def run(a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        product = (a.T if left else a) @ (b.T if right else b)
        product = product if alpha == 1 else alpha * product
        return product if c is None else product + (c if beta == 1 else beta * c)

    return run


def batch_norm(node: Node) -> Run:
    node.demand(training_mode=0, spatial=1)
    shape, small = [-1] + [1] * (node.value(0).ndim - 2), node.get("epsilon", 1e-5)

    def run(x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        factor = scale / torch.sqrt(variance + small)
        return x * factor.reshape(shape) + (bias - mean * factor).reshape(shape)

    return run


def instance_norm(node: Node) -> Run:
    small = node.get("epsilon", 1e-5)
    return lambda x, scale, bias: f.instance_norm(x, None, None, scale, bias, True, 0.0, small)


def group_norm(node: Node) -> Run:
    groups, small, shape = node.get("num_groups"), node.get("epsilon", 1e-5), node.value(0).shape
    each = node.value(1).numel() == groups and node.opset < 21  # up to 20 a scale for each group, from 21 a channel

    def run(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        if each:
            scale, bias = (one.repeat_interleave(shape[1] // groups) for one in (scale, bias))
        return f.group_norm(x, groups, scale, bias, small)

    return run


def layer_norm(node: Node) -> Run:
    shape, small = node.value(0).shape, node.get("epsilon", 1e-5)
    over = list(shape[node.get("axis", -1) % len(shape) :])
    return lambda x, scale, bias=None: (
        f.layer_norm(x, over, scale.expand(over), None, small) + (0 if bias is None else bias)
    )


def length_norm(node: Node) -> Run:
    node.demand(p=2)
    axis = node.get("axis", -1)
    return lambda x: x / torch.linalg.vector_norm(x, dim=axis, keepdim=True)


def global_mean(node: Node) -> Run:
    axes = tuple(range(2, node.value(0).ndim))
    return lambda x: x.mean(dim=axes, keepdim=True)


def global_max(node: Node) -> Run:
    axes = tuple(range(2, node.value(0).ndim))
    return lambda x: x.amax(dim=axes, keepdim=True)


@dataclass(frozen=True)
class _Window:
    """Where a pool looks: ``pads`` in torch's order, which fill up a last window that is not whole."""

    size: list[int]
    stride: list[int]
    dilation: list[int]
    pads: list[int]
    padded: list[int]


def _window(node: Node) -> _Window:
    size = list(node.get("kernel_shape"))
    ones = [1] * len(size)
    stride, dilation = list(node.get("strides", ones)), list(node.get("dilations", ones))
    if len(size) not in (1, 2):
        raise node.refusal(f"{len(size)} axes of space")
    before, after = pads_of(node, size, stride, dilation)
    padded = for_torch(before, after)
    if node.get("ceil_mode", 0):
        for at, long in enumerate(node.value(0).shape[2:]):
            left = long + before[at] + after[at] - (size[at] - 1) * dilation[at] - 1
            more = -left % stride[at]
            # A window that would begin behind the signal is none.
            starts = (left + more) // stride[at] * stride[at]
            after[at] += more if starts < long + before[at] else 0
    return _Window(size, stride, dilation, for_torch(before, after), padded)


def max_pool(node: Node) -> Run:
    node.demand(storage_order=0)
    if len(node.outputs) > 1:
        raise node.refusal("places as a second output")
    one = _window(node)
    pool: Callable[..., Tensor] = f.max_pool1d if len(one.size) == 1 else f.max_pool2d

    def run(x: Tensor) -> Tensor:
        x = f.pad(x, one.pads, value=-torch.inf) if any(one.pads) else x
        return pool(x, one.size, one.stride, 0, one.dilation)

    return run


def average_pool(node: Node) -> Run:
    one = _window(node)
    if any(each != 1 for each in one.dilation):
        raise node.refusal(f"dilations={one.dilation}")
    pool: Callable[..., Tensor] = f.avg_pool1d if len(one.size) == 1 else f.avg_pool2d
    shape = (1, 1, *node.value(0).shape[2:])
    counted = torch.ones(shape)
    if node.get("count_include_pad", 0):
        counted = f.pad(counted, one.padded, value=1.0)
        rest = [all_ - some for all_, some in zip(one.pads, one.padded, strict=True)]
        counted = f.pad(counted, rest)
    else:
        counted = f.pad(counted, one.pads)
    share = pool(counted, one.size, one.stride)  # of a window's samples that count
    if bool((share == 1).all()):
        return lambda x: pool(f.pad(x, one.pads) if any(one.pads) else x, one.size, one.stride)
    return lambda x: pool(f.pad(x, one.pads) if any(one.pads) else x, one.size, one.stride) / share


def conv_transpose(node: Node) -> Run:
    node.demand(auto_pad="NOTSET")
    axes = node.value(1).ndim - 2
    pads, ones = node.get("pads", [0] * (2 * axes)), [1] * axes
    if axes not in (1, 2) or list(pads[:axes]) != list(pads[axes:]) or node.get("output_shape"):
        raise node.refusal("uneven pads, or an output shape")
    convolve: Callable[..., Tensor] = f.conv_transpose1d if axes == 1 else f.conv_transpose2d
    stride, more, dilation = (
        node.get(name, of) for name, of in (("strides", ones), ("output_padding", [0] * axes), ("dilations", ones))
    )
    group, inside = node.get("group", 1), list(pads[:axes])
    return lambda x, w, b=None: convolve(x, w, b, stride, inside, more, group, dilation)


LAYERS: dict[str, Callable[[Node], Run]] = {
    "AveragePool": average_pool,
    "BatchNormalization": batch_norm,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Gemm": gemm,
    "GlobalAveragePool": global_mean,
    "GlobalMaxPool": global_max,
    "GroupNormalization": group_norm,
    "InstanceNormalization": instance_norm,
    "LayerNormalization": layer_norm,
    "LpNormalization": length_norm,
    "MaxPool": max_pool,
}
