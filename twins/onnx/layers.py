"""The layers of a net as ONNX writes them, in torch: convolution, dense, batch norm, mean over time, LSTM.

In and out as in :mod:`twins.onnx.operators`, which lists them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as f

from pulseproof.twins.onnx.node import Node
from pulseproof.twins.steps import Run


def conv(node: Node) -> Run:
    weight = node.value(1)
    axes = weight.ndim - 2
    if axes not in (1, 2):
        raise node.refusal(f"{axes} axes of space")
    convolve: Callable[..., Tensor] = f.conv1d if axes == 1 else f.conv2d
    stride, dilation = node.get("strides", [1] * axes), node.get("dilations", [1] * axes)
    group, before, after = node.get("group", 1), *_pads(node, list(weight.shape[2:]), stride, dilation)
    if before == after:
        return lambda x, w, b=None: convolve(x, w, b, stride, before, dilation, group)
    pads = for_torch(before, after)
    return lambda x, w, b=None: convolve(f.pad(x, pads), w, b, stride, 0, dilation, group)


def _pads(node: Node, kernel: list[int], stride: list[int], dilation: list[int]) -> tuple[list[int], list[int]]:
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


def for_torch(before: list[int], after: list[int]) -> list[int]:
    """Pads in torch's order: the last axis first, (before, after) of each."""
    return [size for pair in zip(reversed(before), reversed(after), strict=True) for size in pair]


def gemm(node: Node) -> Run:
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    left, right = node.get("transA", 0), node.get("transB", 0)

    def run(a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        product = (a.T if left else a) @ (b.T if right else b)
        product = product if alpha == 1 else alpha * product
        return product if c is None else product + (c if beta == 1 else beta * c)

    return run


def batch_norm(node: Node) -> Run:
    node.demand(training_mode=0)
    shape, small = [-1] + [1] * (node.value(0).ndim - 2), node.get("epsilon", 1e-5)

    def run(x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        factor = scale / torch.sqrt(variance + small)
        return x * factor.reshape(shape) + (bias - mean * factor).reshape(shape)

    return run


def global_mean(node: Node) -> Run:
    axes = tuple(range(2, node.value(0).ndim))
    return lambda x: x.mean(dim=axes, keepdim=True)


def lstm(node: Node) -> Run:
    node.demand(direction="forward", input_forget=0, layout=0, activations=["Sigmoid", "Tanh", "Tanh"])
    if node.get("clip") is not None or node.given(4) or node.given(7):
        raise node.refusal("a clip, lengths or peepholes")
    hidden = node.get("hidden_size")

    def run(
        x: Tensor,
        w: Tensor,
        r: Tensor,
        b: Tensor | None = None,
        _: Tensor | None = None,
        state: Tensor | None = None,
        cell: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        gates = x @ w[0].T  # (steps, n, 4 hidden): input, output, forget, cell
        if b is not None:
            gates = gates + (b[0, : 4 * hidden] + b[0, 4 * hidden :])
        none = torch.zeros(x.shape[1], hidden)
        h, c = (none if state is None else state[0]), (none if cell is None else cell[0])
        states, recurrent = [], r[0].T
        for at in range(x.shape[0]):
            i, o, forget, new = (gates[at] + h @ recurrent).chunk(4, dim=-1)
            c = forget.sigmoid() * c + i.sigmoid() * new.tanh()
            h = o.sigmoid() * c.tanh()
            states.append(h)
        return torch.stack(states).unsqueeze(1), h.unsqueeze(0), c.unsqueeze(0)

    return run
