"""TFLite's activations in torch: what bends one number, and what squeezes scores at the end of a graph.

In and out as in :mod:`twins.tflite.operators`. Of integers a kernel looks them up in a table of all 256 of them, or
computes them in fixed point: what it gives is what the real function gives, rounded once, or the step beside it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as f

from pulseproof.twins.ends import SIGMOID, TANH, End, softmax_end
from pulseproof.twins.rounding import looked_up, rescaled, rounded
from pulseproof.twins.steps import Run
from pulseproof.twins.tflite.node import Operator, to_steps


def _softmax(log: bool) -> Callable[[Operator], Run]:
    def read(operator: Operator) -> Run:
        beta = 1.0 if log else float(operator.option("beta", 1.0))
        return _squeezed(operator, softmax_end(-1, operator.shape(0)[-1], log), beta)

    return read


def _bends(function: Run) -> Callable[[Operator], Run]:
    return lambda operator: _squeezed(operator, function)


def _squeezed(operator: Operator, end: Run, beta: float = 1.0) -> Run:
    """A function of ``beta`` times the input."""
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


def _cut(least: float | None, most: float | None) -> Callable[[Operator], Run]:
    """RELU and its kin: of integers a rescaling that is cut at what stands for its ends."""

    def read(operator: Operator) -> Run:
        if not operator.quantized:
            return lambda x: x.clamp(least, most)
        after, masked = operator.result, operator.masked
        low, high = after.limits
        low = low if least is None else max(low, round(least / after.one))
        high = high if most is None else min(high, round(most / after.one))
        by = operator.meaning(0).one / after.one
        return lambda x: rescaled(x, by, low, high, masked)

    return read


def _leaky(operator: Operator) -> Run:
    slope = float(operator.option("alpha", 0.0))
    if not operator.quantized:
        return lambda x: f.leaky_relu(x, slope)
    by = operator.meaning(0).one / operator.result.one
    # XNNPACK's factors have 8 bits behind the point (``xnn_init_qs8_lrelu_scalar_params``), and half a step goes up.
    rise, fall = (round(256 * one) / 256 for one in (by, by * slope))
    (low, high), masked = operator.result.limits, operator.masked
    return lambda x: rounded(torch.where(x < 0, x * fall, x * rise) + 2.0**-10, low, high, masked)


def _of_two_slopes(operator: Operator, function: Callable[..., Tensor]) -> Run:
    finish = operator.finish(operator.meaning(0).one)
    return lambda x, *_: finish(function(x, *_))


def _prelu(operator: Operator) -> Run:
    def bend(x: Tensor, slope: Tensor) -> Tensor:
        return torch.where(x < 0, x * slope, x)

    if not operator.quantized:
        return bend
    of_slope = operator.meaning(1)
    return _of_two_slopes(operator, lambda x, slope: bend(x, slope * of_slope.one))


def _gelu(operator: Operator) -> Run:
    way = "tanh" if operator.option("approximate", False) else "none"
    return _squeezed(operator, lambda x: f.gelu(x, approximate=way))


def _inverse_root(operator: Operator) -> Run:
    """RSQRT. Of an integer that stands for 0.0 a kernel gives the largest there is."""
    if not operator.quantized:
        return torch.rsqrt
    least = 0.5 * operator.meaning(0).one
    return _squeezed(operator, lambda x: torch.rsqrt(x.clamp_min(least)))


ACTIVATIONS: dict[str, Callable[[Operator], Run]] = {
    "ELU": _bends(f.elu),
    "GELU": _gelu,
    "HARD_SWISH": _bends(f.hardswish),
    "LEAKY_RELU": _leaky,
    "LOGISTIC": _bends(SIGMOID),
    "LOG_SOFTMAX": _softmax(log=True),
    "PRELU": _prelu,
    "RELU": _cut(0.0, None),
    "RELU6": _cut(0.0, 6.0),
    "RELU_0_TO_1": _cut(0.0, 1.0),
    "RELU_N1_TO_1": _cut(-1.0, 1.0),
    "RSQRT": _inverse_root,
    "SOFTMAX": _softmax(log=False),
    "TANH": _bends(TANH),
}
