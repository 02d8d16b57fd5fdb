"""The layers of a net as TFLite writes them, in torch: convolutions, products, pools.

In and out as in :mod:`twins.tflite.operators`. The channels are the last axis.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as f

from pulseproof.twins.rounding import rounded
from pulseproof.twins.steps import Run
from pulseproof.twins.tflite.fixed_point import factor_of, rounded_twice
from pulseproof.twins.tflite.hybrid import even_steps, own_steps, uneven_steps
from pulseproof.twins.tflite.node import Operator, along, same_meaning

SAME, VALID = 0, 1
Finish = Callable[[Tensor, "Tensor | None"], Tensor]  # of sums, and the step of a signal that has one of its own


def _finish(operator: Operator) -> Callable[[Tensor], Tensor]:
    """How a layer ends whose output channels are the last axis. Refuses weights that are not of the signal's kind."""
    signal, weight, result = operator.meaning(0), operator.meaning(1), operator.result
    if operator.quantized != (weight.scale is not None):
        raise operator.refusal("float weights and integer activations")
    if result.scale is None:
        return operator.finish()
    assert weight.scale is not None
    if weight.zero or weight.dtype.itemsize > 1:
        raise operator.refusal("weights that are not symmetric 8-bit numbers")
    factor = signal.one * weight.scale
    if result.dtype.itemsize > 1:
        factor = torch.tensor([_reduced(float(one) / result.one) * result.one for one in factor])
    return operator.finish(factor)


def _reduced(factor: float) -> float:
    """A factor with the 15 bits that the kernels for 16-bit activations leave it, where they multiply a 64-bit sum
    (``MultiplyByQuantizedMultiplier`` in TFLite's ``common.cc``): up to half a step of 16 bits."""
    fraction, exponent = math.frexp(factor)
    whole = round(fraction * 2**31)
    return math.ldexp(((whole + 2**15) >> 16) if whole < 0x7FFF0000 else 0x7FFF, exponent - 15)


def _on_own_steps(operator: Operator, product: Callable[..., Tensor], axes: tuple[int, ...]) -> Callable[..., Tensor]:
    """A layer of integer weights on a float signal: the product of whole numbers, brought back and then biased."""
    weight, masked = operator.meaning(1), operator.masked
    if weight.zero or weight.dtype.itemsize > 1 or operator.result.scale is not None:
        raise operator.refusal("weights that are not symmetric 8-bit numbers")
    assert weight.scale is not None
    scale, finish = weight.scale, operator.finish()
    to_steps = own_steps
    if len(scale) == 1:  # XNNPACK leaves weights of one scale to TFLite's own kernel, which rounds as the file says
        to_steps = uneven_steps if operator.option("asymmetricQuantizeInputs", False) else even_steps

    def run(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
        steps, step = to_steps(x, axes, masked)
        sums = product(steps, w, None) * (step.reshape(-1, *[1] * (x.ndim - 1)) if axes != (-1,) else step) * scale
        return finish(sums if b is None else sums + b)

    return run


def _conv(operator: Operator, depthwise: bool = False) -> Run:
    weight, shape = operator.shape(1), operator.shape(0)  # (out, height, width, in), or (1, h, w, out)
    stride = [int(operator.option(name)) for name in ("strideH", "strideW")]
    dilation = [int(operator.option(name, 1)) for name in ("dilationHFactor", "dilationWFactor")]
    pads = [0, 0, 0, 0]
    if operator.option("padding") == SAME:
        rows, columns = (
            _same(size, wide, by, far)
            for size, wide, by, far in zip(shape[1:3], weight[1:3], stride, dilation, strict=True)
        )
        pads = [*columns, *rows]
    group = shape[3] if depthwise else 1
    if not depthwise and weight[3] != shape[3]:
        if shape[3] % weight[3]:
            raise operator.refusal("groups")
        group = shape[3] // weight[3]
    order = (3, 0, 1, 2) if depthwise else (0, 3, 1, 2)
    even = pads[0] == pads[1] and pads[2] == pads[3]

    def convolved(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
        x = x.permute(0, 3, 1, 2)
        if not even:
            x = f.pad(x, pads)
        inside = (pads[2], pads[0]) if even else (0, 0)
        y = f.conv2d(x, w.permute(order), b, stride, inside, dilation, group)
        return y.permute(0, 2, 3, 1)

    if operator.hybrid:
        return _on_own_steps(operator, convolved, (1, 2, 3))
    finish = _finish(operator)
    return lambda x, w, b=None: finish(convolved(x, w, b))


def _same(size: int, wide: int, by: int, far: int) -> tuple[int, int]:
    """Zeros before and after an axis so that the result has ``ceil(size / by)`` of them."""
    total = max(0, (-(-size // by) - 1) * by + (wide - 1) * far + 1 - size)
    return total // 2, total - total // 2


def _depthwise(operator: Operator) -> Run:
    return _conv(operator, depthwise=True)


def _linear(operator: Operator) -> Run:
    if operator.option("weightsFormat", 0):
        raise operator.refusal("shuffled weights")
    out, wide = operator.shape(1)
    shape = operator.shape(0)
    after = [*shape[:-1], out] if operator.option("keepNumDims", False) else [-1, out]

    def product(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
        return f.linear(x.reshape(-1, wide), w, b)

    if operator.hybrid:
        run = _on_own_steps(operator, product, (-1,))
        return lambda x, w, b=None: run(x.reshape(-1, wide), w, b).reshape(after)
    finish = _finish(operator)
    return lambda x, w, b=None: finish(product(x, w, b)).reshape(after)


def _batch_product(operator: Operator) -> Run:
    left, right = bool(operator.option("adjX", False)), bool(operator.option("adjY", False))

    def product(a: Tensor, b: Tensor) -> Tensor:
        return (a.transpose(-1, -2) if left else a) @ (b.transpose(-1, -2) if right else b)

    if operator.hybrid:
        scale, masked = operator.meaning(1), operator.masked
        if scale.zero or left:
            raise operator.refusal("weights that are not symmetric, or turned")
        by = along(scale, 1) if len(scale.shape) == 1 else scale.scale
        assert by is not None

        def run(a: Tensor, b: Tensor) -> Tensor:
            steps, step = own_steps(a, (-1,), masked)
            return product(steps, b) * step * by

        return run
    if not operator.quantized:
        return product
    factor = factor_of(operator.meaning(0).one * operator.meaning(1).one / operator.result.one)
    (low, high), masked = operator.result.limits, operator.masked
    return lambda a, b: rounded(rounded_twice(product(a, b), *factor, masked).float(), low, high, masked)


def _window(operator: Operator) -> tuple[list[int], list[int], list[int]]:
    """The size of a pool, its stride, and pads in torch's order."""
    size = [int(operator.option(name)) for name in ("filterHeight", "filterWidth")]
    stride = [int(operator.option(name)) for name in ("strideH", "strideW")]
    pads = [0, 0, 0, 0]
    if operator.option("padding") == SAME:
        rows, columns = (
            _same(long, wide, by, 1) for long, wide, by in zip(operator.shape(0)[1:3], size, stride, strict=True)
        )
        pads = [*columns, *rows]
    return size, stride, pads


def _most(operator: Operator) -> Run:
    same_meaning(operator, [operator.meaning(0)])
    (size, stride, pads), finish = _window(operator), _ends_of_pool(operator)

    def run(x: Tensor) -> Tensor:
        x = x.permute(0, 3, 1, 2)
        x = f.pad(x, pads, value=-torch.inf) if any(pads) else x
        return finish(f.max_pool2d(x, size, stride).permute(0, 2, 3, 1))

    return run


def _average(operator: Operator) -> Run:
    same_meaning(operator, [operator.meaning(0)])
    (size, stride, pads), finish = _window(operator), _ends_of_pool(operator)
    ones = f.pad(torch.ones(1, 1, *operator.shape(0)[1:3]), pads)
    share = f.avg_pool2d(ones, size, stride).permute(0, 2, 3, 1)  # of a window's samples that are there
    # Integers are divided with their zero point, and half a step goes away from 0.
    zero = operator.meaning(0).zero if operator.quantized else 0
    nudge = 0.25 / math.prod(size)

    def run(x: Tensor) -> Tensor:
        x = x.permute(0, 3, 1, 2)
        x = f.pad(x, pads) if any(pads) else x
        y = f.avg_pool2d(x, size, stride).permute(0, 2, 3, 1) / share
        return finish(y + nudge * torch.sign(y.detach() + zero)) if operator.quantized else finish(y)

    return run


def _ends_of_pool(operator: Operator) -> Callable[[Tensor], Tensor]:
    """Its activation; of integers also the rounding of a mean."""
    if not operator.quantized:
        return operator.finish()
    return operator.finish(operator.meaning(0).one)


def _conv_transpose(operator: Operator) -> Run:
    """TRANSPOSE_CONV of floats: the shape of the result, weights (out, h, w, in), the signal."""
    if operator.meaning(2).scale is not None or operator.meaning(1).scale is not None:
        raise operator.refusal("integers")
    _, rows, columns, _ = operator.integers(0)
    stride = [int(operator.option(name)) for name in ("strideH", "strideW")]
    weight, finish = operator.shape(1), operator.finish()
    before = [0, 0]
    if operator.option("padding") == SAME:
        pairs = zip(operator.shape(2)[1:3], weight[1:3], stride, (rows, columns), strict=True)
        before = [max(0, (size - 1) * by + wide - long) // 2 for size, wide, by, long in pairs]

    def run(_: Tensor, w: Tensor, x: Tensor, b: Tensor | None = None) -> Tensor:
        y = f.conv_transpose2d(x.permute(0, 3, 1, 2), w.permute(3, 0, 1, 2), b, stride)
        more = [max(0, before[1] + columns - y.shape[3]), max(0, before[0] + rows - y.shape[2])]
        y = f.pad(y, [0, more[0], 0, more[1]])
        return finish(y[:, :, before[0] : before[0] + rows, before[1] : before[1] + columns].permute(0, 2, 3, 1))

    return run


LAYERS: dict[str, Callable[[Operator], Run]] = {
    "AVERAGE_POOL_2D": _average,
    "BATCH_MATMUL": _batch_product,
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _linear,
    "MAX_POOL_2D": _most,
    "TRANSPOSE_CONV": _conv_transpose,
}
