"""MEAN and REDUCE_MAX over any axes. In and out as in :mod:`firmware.operators`."""

from __future__ import annotations

import math

from pulseproof.firmware.graph import NetOperator
from pulseproof.firmware.step import CStep, braces, factor, filled, padded, row_major

SOURCES = ("reduce.c",)
HOW = """\
    static const pp_reduction how = {
        .kept_size = $kept_size,
        .kept_step = $kept_step,
        .summed_size = $summed_size,
        .summed_step = $summed_step,
    };
"""


def _how(operator: NetOperator) -> tuple[str, int]:
    """The C of what stays and what goes, and how many numbers become one."""
    x = operator.x()
    axes = {int(one) % len(x.shape) for one in operator.constant(1).ravel()}
    steps = row_major(x.shape)
    operator.gives(*(size for at, size in enumerate(x.shape) if at not in axes))
    walks: list[str] = []
    for summed in (False, True):
        chosen = [at for at in range(len(x.shape)) if (at in axes) == summed]
        walks += padded(operator, [x.shape[at] for at in chosen], [steps[at] for at in chosen])
    kept_size, kept_step, summed_size, summed_step = walks
    how = filled(HOW, kept_size=kept_size, kept_step=kept_step, summed_size=summed_size, summed_step=summed_step)
    return how, math.prod(x.shape[at] for at in axes)


def _mean(operator: NetOperator) -> CStep:
    x, y = operator.x(), operator.y
    how, count = _how(operator)
    multiplier, shift = factor(float(x.scale) / float(y.scale))
    # The factor takes 1 / count in, with as many bits as are free (QuantizedMeanOrSum).
    free = min(count.bit_length() - 1, 32, 31 + shift)
    scaled = braces(((multiplier << free) // count, shift - free))
    call = f"    pp_mean(&how, (pp_factor){scaled}, {-x.zero}, {y.zero}, x, y);\n    return 0;"
    return CStep(operator, how + call, (x,), ("x",), sources=SOURCES)


def _largest(operator: NetOperator) -> CStep:
    operator.same_scale(operator.x())
    how, _ = _how(operator)
    return CStep(operator, how + "    pp_largest(&how, x, y);\n    return 0;", (operator.x(),), ("x",), sources=SOURCES)


REDUCTIONS = {"MEAN": _mean, "REDUCE_MAX": _largest}
