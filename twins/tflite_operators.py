"""TFLite operators in torch, float32 and with fixed quantization.

In: an :class:`~twins.tflite_node.Operator`. Out: a function of its inputs. Quantized tensors are whole numbers less
their zero point, so a product of two is in units of the product of their scales and is brought to the output's by one
factor, as the kernels do (Jacob et al. 2018, arXiv 1712.05877, section 2.2;
https://ai.google.dev/edge/litert/models/quantization_spec). Kernels rescale with a fixed-point factor of 31 bits or in
float32, and differ from each other by the rounding of a tie.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as f

from pulseproof.twins.ends import SIGMOID, TANH, End, softmax_end
from pulseproof.twins.rounding import looked_up
from pulseproof.twins.steps import Run
from pulseproof.twins.tflite_node import Meaning, Operator, to_steps

SAME, VALID = 0, 1


def _same_meaning(operator: Operator, meanings: Sequence[Meaning]) -> None:
    """Refuse an operator that moves numbers from one quantization to another."""
    operator.quantized  # noqa: B018 (refuses what is in between)
    first = operator.result
    for each in meanings:
        if first.scale is not None and (each.scale is None or (each.one, each.zero) != (first.one, first.zero)):
            raise operator.refusal("another scale on its input than on its output")


def _moves(read: Callable[[Operator], Run]) -> Callable[[Operator], Run]:
    """For operators that only put numbers elsewhere."""

    def checked(operator: Operator) -> Run:
        _same_meaning(operator, [operator.meaning(0)])
        return read(operator)

    return checked


def _reshape(operator: Operator) -> Run:
    shape = operator.result.shape
    return lambda x, *_: x.reshape(shape)


def _transpose(operator: Operator) -> Run:
    order = operator.integers(1)
    return lambda x, _: x.permute(order)


def _pad(operator: Operator) -> Run:
    pairs = operator.constant(1).reshape(-1, 2).tolist()
    sizes = [int(size) for pair in reversed(pairs) for size in pair]
    return lambda x, _: f.pad(x, sizes)  # with what stands for 0.0, which is 0 less the zero point


def _slice(operator: Operator) -> Run:
    starts, sizes = operator.integers(1), operator.integers(2)
    where = tuple(slice(start, None if size < 0 else start + size) for start, size in zip(starts, sizes, strict=True))
    return lambda x, *_: x[where]


def _concat(operator: Operator) -> Run:
    _same_meaning(operator, [operator.meaning(at) for at in range(len(operator.inputs))])
    axis, finish = int(operator.option("axis")), operator.finish()
    if operator.quantized and operator.option("fusedActivationFunction", 0):
        raise operator.refusal("an activation")
    return lambda *parts: torch.cat(parts, dim=axis) if operator.quantized else finish(torch.cat(parts, dim=axis))


def _quantize(operator: Operator) -> Run:
    before, after, masked = operator.meaning(0), operator.result, operator.masked
    if after.scale is None or len(after.scale) > 1:
        raise operator.refusal("several scales")
    if before.scale is None:
        return lambda x: to_steps(after, masked, x)
    # XNNPACK multiplies by a factor of 8 bits behind the point (``xnn_init_qs8_cvt_params``), off by half a unit.
    slack = 2.0**8 * 2.0**-9 if after.dtype.itemsize == 1 else 0.0
    return operator.finish(before.one, max(slack, before.one / after.one))


def _dequantize(operator: Operator) -> Run:
    before = operator.meaning(0)
    if before.scale is None:
        return lambda x: x.float()  # float16 weights
    scale = _along(before, len(before.shape))
    return lambda x: x * scale


def _along(meaning: Meaning, ndim: int) -> Tensor:
    """The scales in a shape that multiplies the tensor's own."""
    assert meaning.scale is not None
    return meaning.scale.reshape([-1 if at == meaning.channel else 1 for at in range(ndim)])


def _product(operator: Operator) -> Callable[[Tensor], Tensor]:
    """How a layer ends whose output channels are the last axis. Refuses weights that are not of the signal's kind."""
    signal, weight, result = operator.meaning(0), operator.meaning(1), operator.result
    if operator.quantized != (weight.scale is not None):
        raise operator.refusal("integer weights and float activations (quantized while it runs)")
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


def _conv(operator: Operator, depthwise: bool = False) -> Run:
    finish, weight = _product(operator), operator.meaning(1).shape  # (out, height, width, in), or (1, h, w, out)
    stride = [int(operator.option(name)) for name in ("strideH", "strideW")]
    dilation = [int(operator.option(name, 1)) for name in ("dilationHFactor", "dilationWFactor")]
    pads = [0, 0, 0, 0]
    if operator.option("padding") == SAME:
        rows, columns = (
            _same(size, wide, by, far)
            for size, wide, by, far in zip(operator.meaning(0).shape[1:3], weight[1:3], stride, dilation, strict=True)
        )
        pads = [*columns, *rows]
    group = operator.meaning(0).shape[3] if depthwise else 1
    if not depthwise and weight[3] != operator.meaning(0).shape[3]:
        raise operator.refusal("groups")
    order = (3, 0, 1, 2) if depthwise else (0, 3, 1, 2)
    even = pads[0] == pads[1] and pads[2] == pads[3]

    def run(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
        x = x.permute(0, 3, 1, 2)
        if not even:
            x = f.pad(x, pads)
        inside = (pads[2], pads[0]) if even else (0, 0)
        y = f.conv2d(x, w.permute(order), b, stride, inside, dilation, group)
        return finish(y.permute(0, 2, 3, 1))

    return run


def _same(size: int, wide: int, by: int, far: int) -> tuple[int, int]:
    """Zeros before and after an axis so that the result has ``ceil(size / by)`` of them."""
    total = max(0, (-(-size // by) - 1) * by + (wide - 1) * far + 1 - size)
    return total // 2, total - total // 2


def _depthwise(operator: Operator) -> Run:
    return _conv(operator, depthwise=True)


def _linear(operator: Operator) -> Run:
    finish, shape = _product(operator), operator.result.shape
    if operator.option("weightsFormat", 0):
        raise operator.refusal("shuffled weights")
    wide = operator.meaning(1).shape[1]
    return lambda x, w, b=None: finish(f.linear(x.reshape(-1, wide), w, b)).reshape(shape)


def _elementwise(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Operator], Run]:
    """ADD and SUB: each side is brought to the output's scale, and the result is rounded once."""

    def read(operator: Operator) -> Run:
        if not operator.quantized:
            finish = operator.finish()
            return lambda a, b: finish(function(a, b))
        left, right = _pair(operator)
        rescaled = operator.finish(slack=_slack_of_sum(operator, max(left, right)))
        return lambda a, b: rescaled(function(a * left, b * right))

    return read


def _slack_of_sum(operator: Operator, scale: float) -> float:
    """How far the kernels of ADD and SUB are off the sum, in steps, before they round it. ``scale``: the larger one of
    the two inputs.

    TFLite's reference (``add.h``) shifts both inputs, of 8 bits, left by 20, multiplies each by a factor of 31 bits
    that is at most a half, and the sum by another: units of 2 ``scale`` 2^-20. Each product is off by half a unit, by
    another half where its factor is below a half and is shifted back after, and by 2^(8+20-31) for the factor's bits:
    together 2 (1 + 1/8) + 1 units, 6.5 x 2^-20 ``scale``. XNNPACK (``xnn_init_qs8_add_minmax_params``) multiplies each
    input by a factor whose unit is at most 2^-20 of the larger one, off by half of it, and by 2^-24 for the float32
    that it is made of, and rounds the sum once: 2 x 2^8 (1/2 + 1/16) = 288 times 2^-20 ``scale``, which is more. Of 16
    bits the reference shifts by 15, off by 2 (1 + 1/2) + 1 units of 2 ``scale`` 2^-15; where all scales are powers of
    two it shifts one input back first instead, which rounds it to a step.
    """
    ratio = scale / operator.result.one
    return ratio * 288 * 2.0**-20 if operator.result.dtype.itemsize == 1 else ratio * 8 * 2.0**-15 + 0.5


def _multiply(operator: Operator) -> Run:
    if not operator.quantized:
        finish = operator.finish()
    else:
        left, right = _pair(operator)
        finish = operator.finish(left * right)
    return lambda a, b: finish(a * b)


def _pair(operator: Operator) -> tuple[float, float]:
    if operator.meaning(1).scale is None:
        raise operator.refusal("integers on one side and floats on the other")
    return operator.meaning(0).one, operator.meaning(1).one


def _mean(operator: Operator) -> Run:
    axes = tuple(operator.integers(1))
    keep = bool(operator.option("keepDims"))
    count = 1
    for axis in axes:
        count *= operator.meaning(0).shape[axis]
    if not operator.quantized:
        return lambda x, _: x.mean(dim=axes, keepdim=keep)
    finish = operator.finish(operator.meaning(0).one / count)
    return lambda x, _: finish(x.sum(dim=axes, keepdim=keep))


def _extreme(function: Callable[..., Tensor]) -> Callable[[Operator], Run]:
    def read(operator: Operator) -> Run:
        _same_meaning(operator, [operator.meaning(0)])
        axes, keep = tuple(operator.integers(1)), bool(operator.option("keepDims"))
        return lambda x, _: function(x, dim=axes, keepdim=keep)

    return read


def _float(function: Callable[[Tensor], Tensor]) -> Callable[[Operator], Run]:
    """An operator that is covered for floats alone: kernels look it up in a table for integers."""

    def read(operator: Operator) -> Run:
        if operator.quantized:
            raise operator.refusal("integers")
        return function

    return read


def _logistic(operator: Operator) -> Run:
    return _squeezed(operator, SIGMOID)


def _softmax(operator: Operator) -> Run:
    beta = float(operator.option("beta", 1.0))
    end = softmax_end(-1, operator.meaning(0).shape[-1])
    return _squeezed(operator, end, beta)


def _log_softmax(operator: Operator) -> Run:
    return _squeezed(operator, softmax_end(-1, operator.meaning(0).shape[-1], log=True))


def _squeezed(operator: Operator, end: Run, beta: float = 1.0) -> Run:
    """A sigmoid or softmax of ``beta`` times the input. The kernels for integers look it up, or compute it in fixed
    point: what they give is what the real function gives, rounded once, or the step beside it."""
    factor, after, masked = beta, operator.result, operator.masked
    if operator.quantized:
        factor *= operator.meaning(0).one

    def given(x: Tensor) -> Tensor:
        y = _one_of(end(x * factor))
        return y if after.scale is None else looked_up(to_steps(after, masked, y))

    if not isinstance(end, End):
        return given
    return End(end.name, given, lambda x: end.ranked(x * factor))


def _one_of(result: Tensor | tuple[Tensor, ...]) -> Tensor:
    return result[0] if isinstance(result, tuple) else result


def _lstm(operator: Operator) -> Run:
    from pulseproof.twins.tflite_lstm import lstm

    return lstm(operator)


OPERATORS: dict[str, Callable[[Operator], Run]] = {
    "ABS": _float(torch.abs),
    "ADD": _elementwise(torch.add),
    "CONCATENATION": _concat,
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "DEQUANTIZE": _dequantize,
    "EXP": _float(torch.exp),
    "EXPAND_DIMS": _moves(_reshape),
    "FULLY_CONNECTED": _linear,
    "LOG": _float(torch.log),
    "LOGISTIC": _logistic,
    "LOG_SOFTMAX": _log_softmax,
    "MEAN": _mean,
    "MUL": _multiply,
    "PAD": _moves(_pad),
    "QUANTIZE": _quantize,
    "REDUCE_MAX": _extreme(torch.amax),
    "REDUCE_MIN": _extreme(torch.amin),
    "RELU": _float(torch.relu),
    "RESHAPE": _moves(_reshape),
    "SLICE": _moves(_slice),
    "SOFTMAX": _softmax,
    "SQRT": _float(torch.sqrt),
    "SQUEEZE": _moves(_reshape),
    "SUB": _elementwise(torch.sub),
    "TANH": _float(TANH),
    "TRANSPOSE": _moves(_transpose),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm,
}
