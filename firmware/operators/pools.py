"""Pools, by CMSIS-NN: AVERAGE_POOL_2D, MAX_POOL_2D. In and out as in :mod:`firmware.operators`."""

from __future__ import annotations

from collections.abc import Callable

from pulseproof.firmware.graph import NetOperator
from pulseproof.firmware.operators.layers import SAME, places
from pulseproof.firmware.step import CStep, braces, filled, limits

POOL = """\
    const cmsis_nn_context scratch = {$scratch, $bytes};
    const cmsis_nn_pool_params params = {$stride, $padding, $activation};
    const cmsis_nn_dims x_size = $x, window = $w, y_size = $y;
    return $kernel(&scratch, &params, &x_size, x, &window, &y_size, y);"""


def _pool(kernel: str, scratched: bool) -> Callable[[NetOperator], CStep]:
    def make(operator: NetOperator) -> CStep:
        x, y = operator.x(), operator.y
        operator.same_scale(x)
        if x.shape[0] != 1:
            raise operator.refusal("of several recordings")
        window = operator.option("filterHeight"), operator.option("filterWidth")
        strides = operator.option("strideH"), operator.option("strideW")
        operator.gives(1, *places(operator, window), x.shape[-1])
        before = (0, 0)
        if operator.option("padding") == SAME:
            missing = [(y.shape[at + 1] - 1) * strides[at] + window[at] - x.shape[at + 1] for at in (0, 1)]
            before = (max(0, missing[0]) // 2, max(0, missing[1]) // 2)
        scratch = 4 * x.shape[-1] if scratched else 0  # a sum for each channel
        body = filled(
            POOL,
            kernel=kernel,
            scratch="scratch_memory" if scratch else "NULL",
            bytes=scratch,
            stride=braces(reversed(strides)),
            padding=braces(reversed(before)),
            activation=braces(limits(operator)),
            x=braces(x.shape),
            w=braces((1, *window, 1)),
            y=braces(y.shape),
        )
        return CStep(operator, body, (x,), ("x",), scratch=scratch)

    return make


POOLS = {"AVERAGE_POOL_2D": _pool("arm_avgpool_s8", True), "MAX_POOL_2D": _pool("arm_max_pool_s8", False)}
