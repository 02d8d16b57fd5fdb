"""ONNX's activations in torch: what bends one number, and what squeezes scores at the end of a graph.

In and out as in :mod:`twins.onnx.operators`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as f

from pulseproof.twins.ends import SIGMOID, TANH, End, softmax_end
from pulseproof.twins.onnx.node import Node, plain
from pulseproof.twins.steps import Run


def _softmax(log: bool) -> Callable[[Node], Run]:
    def read(node: Node) -> Run:
        shape = node.value(0).shape
        if node.opset >= 13:
            axis = node.get("axis", -1) % len(shape)
            return softmax_end(axis - len(shape), shape[axis], log)
        axis = node.get("axis", 1) % max(1, len(shape))  # up to 12 of all axes from this one on
        end = softmax_end(-1, shape[axis:].numel(), log)
        if axis == len(shape) - 1:
            return end

        def flat(run: Callable[..., Tensor]) -> Callable[..., Tensor]:
            return lambda x, *_: run(x.flatten(axis)).reshape(shape)

        if isinstance(end, End):
            return End(end.name, flat(end.run), flat(end.ranked))
        return flat(lambda x: torch.log_softmax(x, -1) if log else torch.softmax(x, -1))

    return read


def _hard_sigmoid(node: Node) -> Run:
    slope, offset = node.get("alpha", 0.2), node.get("beta", 0.5)
    if slope <= 0:
        raise node.refusal(f"alpha={slope}")
    return End("hard sigmoid", lambda x: (slope * x + offset).clamp(0, 1), lambda x: x)


def _clip(node: Node) -> Run:
    if node.opset < 11:
        low, high = node.get("min"), node.get("max")
    else:
        low = float(node.constant(1)) if node.given(1) else None
        high = float(node.constant(2)) if node.given(2) else None
    return lambda x, *_: x if low is None and high is None else x.clamp(low, high)


def _gelu(node: Node) -> Run:
    way = node.get("approximate", "none")
    return lambda x: f.gelu(x, approximate=way)


def _leaky(node: Node) -> Run:
    slope = node.get("alpha", 0.01)
    return lambda x: f.leaky_relu(x, slope)


def _elu(node: Node) -> Run:
    alpha = node.get("alpha", 1.0)
    return lambda x: f.elu(x, alpha)


def _celu(node: Node) -> Run:
    alpha = node.get("alpha", 1.0)
    return lambda x: f.celu(x, alpha)


def _selu(node: Node) -> Run:
    alpha, gamma = node.get("alpha", 1.6732632423543772), node.get("gamma", 1.0507009873554805)
    return lambda x: gamma * f.elu(x, alpha)


def _thresholded(node: Node) -> Run:
    alpha = node.get("alpha", 1.0)
    return lambda x: torch.where(x > alpha, x, torch.zeros_like(x))


ACTIVATIONS: dict[str, Callable[[Node], Run]] = {
    "Celu": _celu,
    "Clip": _clip,
    "Elu": _elu,
    "Gelu": _gelu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": plain(f.hardswish),
    "LeakyRelu": _leaky,
    "LogSoftmax": _softmax(log=True),
    "Mish": plain(f.mish),
    "PRelu": plain(lambda x, slope: torch.where(x < 0, x * slope, x)),
    "Relu": plain(torch.relu),
    "Selu": _selu,
    "Sigmoid": plain(SIGMOID),
    "Softmax": _softmax(log=False),
    "Softplus": plain(f.softplus),
    "Softsign": plain(f.softsign),
    "Tanh": plain(TANH),
    "ThresholdedRelu": _thresholded,
}
