"""Convolutions, by CMSIS-NN, and linear layers: CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED.

In and out as in :mod:`firmware.operators`. CMSIS-NN itself picks the kernel for a core: for SIMD (Cortex-M4, M7, M33),
for vectors (Cortex-M55), or plain C.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pulseproof.firmware.graph import NetOperator
from pulseproof.firmware.step import CConstant, CStep, braces, factor, filled, limits

SAME = 0  # the schema's code; 1 is VALID
CHANNELS_MVE = 124  # CH_IN_BLOCK_MVE of CMSIS-NN: channels that its depthwise kernel for vectors copies at a time
MOST = 65535  # CMSIS-NN holds the sizes of a convolution in 16 bits

LAYER = """\
    const cmsis_nn_context scratch = {$scratch, $bytes};
    const $params params = {$input_offset, $output_offset, $multiplier$stride, $padding, $dilation, $activation};
    const cmsis_nn_per_channel_quant_params factors = {
        (int32_t *)(uintptr_t)$multipliers, /* CMSIS-NN does not write to them */
        (int32_t *)(uintptr_t)$shifts,
    };
    const cmsis_nn_dims x_size = $x, weights_size = $w, bias_size = $b, y_size = $y;
    return $kernel(&scratch, &params, &factors, &x_size, x, &weights_size, $weights, &bias_size, $bias, &y_size, y);"""

DENSE = """\
    static const pp_dense_layer layer = {
        .rows = $rows, .inputs = $inputs, .outputs = $outputs,
        .weights = $weights,
        .bias = $bias,
        .multipliers = $multipliers,
        .shifts = $shifts,
        .output_offset = $output_offset, .least = $least, .most = $most,
    };
    pp_dense(&layer, x, y);
    return 0;"""


def _conv(operator: NetOperator) -> CStep:
    channels = operator.x().shape[-1]
    filters, height, width, depth = operator.constant(1).shape
    if depth != channels:
        raise operator.refusal("in groups")
    dilated = _dilation(operator) != (1, 1)
    pointwise = (height, width) == (1, 1) and not dilated and _padding(operator, height, width) == (0, 0)
    # Two columns of 16-bit numbers; of the vectors, four of 8 bits, filled up to whole registers.
    column = channels * height * width
    scratch = 0 if pointwise else max(4 * column, 32 * -(-column // 8))
    return _layer(operator, "arm_convolve_wrapper_s8", "cmsis_nn_conv_params", filters, (height, width), "", scratch)


def _depthwise(operator: NetOperator) -> CStep:
    _, height, width, filters = operator.constant(1).shape
    channels = operator.x().shape[-1]
    if filters % channels:
        raise operator.refusal("of filters that are no multiple of the channels")
    times = filters // channels
    whole = times == 1 and _dilation(operator) == (1, 1)
    scratch = max(2 * channels, 4 * CHANNELS_MVE) * height * width if whole else 0
    kernel = "arm_depthwise_conv_wrapper_s8"
    return _layer(operator, kernel, "cmsis_nn_dw_conv_params", filters, (height, width), f"{times}, ", scratch)


def _layer(
    operator: NetOperator, kernel: str, params: str, filters: int, size: tuple[int, int], multiplier: str, scratch: int
) -> CStep:
    x, y, weights = operator.x(), operator.y, operator.tensor(1)
    height, width = size
    if max(*x.shape, *y.shape) > MOST or weights.dtype != np.int8 or weights.zero:
        raise operator.refusal("of such sizes or weights")
    operator.gives(x.shape[0], *_places(operator, height, width), filters)
    channels = 1 if multiplier else x.shape[-1]
    body = filled(
        LAYER,
        kernel=kernel,
        params=params,
        multiplier=multiplier,
        scratch="scratch_memory" if scratch else "NULL",
        bytes=scratch,
        input_offset=-x.zero,
        output_offset=y.zero,
        stride=braces((operator.option("strideW"), operator.option("strideH"))),
        padding=braces(reversed(_padding(operator, height, width))),
        dilation=braces(reversed(_dilation(operator))),
        activation=braces(limits(operator)),
        x=braces(x.shape),
        w=braces((1 if multiplier else filters, height, width, filters if multiplier else channels)),
        b=braces((1, 1, 1, filters)),
        y=braces(y.shape),
    )
    return CStep(
        operator, body, (x,), ("x",), (*_of_channels(operator, filters), *_weights(operator, filters)), scratch
    )


def _of_channels(operator: NetOperator, filters: int) -> tuple[CConstant, CConstant]:
    """What brings the sums of each output channel to the output's scale."""
    x, y, scales = operator.x(), operator.y, operator.tensor(1).scales
    if len(scales) not in (1, filters):
        raise operator.refusal(f"with {len(scales)} scales of {filters} filters")
    found = [
        factor(float(x.scale) * float(one) / float(y.scale)) for one in np.broadcast_to(scales, (filters,)).tolist()
    ]
    multipliers, shifts = (np.array(each, np.int32) for each in zip(*found, strict=True))
    return CConstant("multipliers", multipliers), CConstant("shifts", shifts)


def _weights(operator: NetOperator, filters: int) -> tuple[CConstant, CConstant]:
    given = len(operator.inputs) > 2 and operator.inputs[2] is not None
    bias: NDArray[np.int32] = operator.constant(2).ravel() if given else np.zeros(filters, np.int32)
    if bias.dtype != np.int32 or bias.size != filters:
        raise operator.refusal(f"with a bias of {bias.size} numbers, {bias.dtype},")
    return CConstant("weights", operator.constant(1).ravel()), CConstant("bias", bias)


def _dilation(operator: NetOperator) -> tuple[int, int]:
    """(rows, columns)."""
    return int(operator.option("dilationHFactor", 1) or 1), int(operator.option("dilationWFactor", 1) or 1)


def _places(operator: NetOperator, height: int, width: int) -> list[int]:
    """How many places a window has along rows and columns."""
    return places(operator, (height, width), _dilation(operator))


def places(operator: NetOperator, window: tuple[int, int], dilation: tuple[int, int] = (1, 1)) -> list[int]:
    """How many places a window (rows, columns) has along rows and columns."""
    strides = int(operator.option("strideH")), int(operator.option("strideW"))
    if min(*strides, *dilation, *window) < 1 or len(operator.x().shape) != 4:
        raise operator.refusal("of such sizes")
    found = []
    for size, reach, by, apart in zip(operator.x().shape[1:3], window, strides, dilation, strict=True):
        inside = size if operator.option("padding") == SAME else size - (reach - 1) * apart
        found.append(-(-inside // by))
    return found


def _padding(operator: NetOperator, height: int, width: int) -> tuple[int, int]:
    """(rows above, columns before), as ``ComputePadding`` has it."""
    if operator.option("padding") != SAME:
        return 0, 0
    x, y = operator.x().shape, operator.y.shape
    strides, dilation = (operator.option("strideH"), operator.option("strideW")), _dilation(operator)
    found = []
    for axis, size in enumerate((height, width)):
        reach = (size - 1) * dilation[axis] + 1
        found.append(max(0, (y[axis + 1] - 1) * strides[axis] + reach - x[axis + 1]) // 2)
    return found[0], found[1]


def _dense(operator: NetOperator) -> CStep:
    x, y, weights = operator.x(), operator.y, operator.tensor(1)
    outputs, inputs = operator.constant(1).shape
    if weights.dtype != np.int8 or weights.zero or x.size % inputs:
        raise operator.refusal("of such sizes or weights")
    rows = x.size // inputs
    operator.gives(rows, outputs)
    least, most = limits(operator)
    body = filled(DENSE, rows=rows, inputs=inputs, outputs=outputs, output_offset=y.zero, least=least, most=most)
    of_weights, bias = _weights(operator, outputs)
    sums = operator.constant(1).astype(np.int64).sum(axis=1)
    whole = CConstant("bias", (bias.values - x.zero * sums).astype(np.int32))
    constants = (*_of_channels(operator, outputs), of_weights, whole)
    return CStep(operator, body, (x,), ("x",), constants, sources=("dense.c",))


LAYERS = {"CONV_2D": _conv, "DEPTHWISE_CONV_2D": _depthwise, "FULLY_CONNECTED": _dense}
