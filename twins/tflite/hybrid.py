"""Weights of 8 bits and a float signal that is rounded while the file runs: TFLite's dynamic range.

In: floats. Out: whole numbers of 8 bits with the step and zero point that a kernel reads off them, a recording or a row
at a time. The step is a number like a constant for the gradient, which passes the rounding as if it were not there.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pulseproof.twins.rounding import rounded

LOW, HIGH = -128.0, 127.0
WIDE = 2.0**31


def own_steps(x: Tensor, axes: tuple[int, ...], masked: bool) -> tuple[Tensor, Tensor]:
    """``x`` in whole steps less their zero point, and the step: of the least and the greatest value along ``axes``,
    of which one is at most 0.0 and one at least (``xnn_f32_qd8_asymmetric_quantization_params`` in XNNPACK)."""
    held = x.detach()
    least = held.amin(dim=axes, keepdim=True).clamp(max=0.0)
    most = held.amax(dim=axes, keepdim=True).clamp(min=0.0)
    span = most - least
    flat = span == 0
    per_unit = (HIGH - LOW) / torch.where(flat, torch.ones_like(span), span)
    per_unit = torch.where(flat, torch.ones_like(span), per_unit)
    from_least, from_most = least * per_unit, most * per_unit
    zero = torch.where((LOW + from_least) + (HIGH + from_most) > 0, LOW - from_least, HIGH - from_most)
    zero = torch.round(zero.clamp(LOW, HIGH))
    steps = (rounded(x * per_unit, -WIDE, WIDE, masked) + zero).clamp(LOW, HIGH) - zero
    return steps, 1 / per_unit


def uneven_steps(x: Tensor, axes: tuple[int, ...], masked: bool) -> tuple[Tensor, Tensor]:
    """The same in the order in which a recurrent layer's kernel rounds (``AsymmetricQuantizeFloats`` in TFLite's
    ``portable_tensor_utils.cc``): a last digit decides a step."""
    held = x.detach().double()
    least, most = (
        end.float().double() for end in (held.amin(dim=axes, keepdim=True), held.amax(dim=axes, keepdim=True))
    )
    least, most = least.clamp(max=0.0), most.clamp(min=0.0)
    step = (most - least) / (HIGH - LOW)
    step = torch.where(step > 0, step, torch.ones_like(step))
    from_least, from_most = LOW - least / step, HIGH - most / step
    off_least, off_most = abs(LOW) + (least / step).abs(), abs(HIGH) + (most / step).abs()
    zero = torch.round(torch.where(off_least < off_most, from_least, from_most).clamp(LOW, HIGH)).float()
    step = step.float()
    shifted = x * (1 / step) + zero
    return rounded(shifted, LOW, HIGH, masked) - zero, step


def even_steps(x: Tensor, axes: tuple[int, ...], masked: bool) -> tuple[Tensor, Tensor]:
    """The same about 0.0, as a recurrent layer's kernel does it (``SymmetricQuantizeFloats``)."""
    largest = x.detach().abs().amax(dim=axes, keepdim=True)
    largest = torch.where(largest > 0, largest, torch.full_like(largest, HIGH))
    return rounded(x * (HIGH / largest), -HIGH, HIGH, masked), largest / HIGH
