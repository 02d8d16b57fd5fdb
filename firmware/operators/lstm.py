"""The full-integer LSTM: UNIDIRECTIONAL_SEQUENCE_LSTM with int8 input and state and an int16 cell.

In and out as in :mod:`firmware.operators`. The scales of a gate are multiplied in float32, as in
``PopulateQuantizedLstmParams8x8_16`` of TFLite's ``unidirectional_sequence_lstm.cc``; what the zero points of input and
state add to every sum is in the biases.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pulseproof.firmware.graph import INT16, NetOperator, NetTensor
from pulseproof.firmware.step import CConstant, CStep, c_factor, filled

# Places among the inputs, as in TFLite's lstm_shared.h: weights of the input, of the state, biases.
GATES = {"input": (1, 5, 12), "forget": (2, 6, 13), "cell": (3, 7, 14), "output": (4, 8, 15)}
UNUSED = (*range(9, 12), 16, 17, *range(20, 24))  # peepholes, projection, layer norm
HIDDEN, CELL = 18, 19
TANH = 4  # the schema's code
GATE = np.float32(2.0**-12)  # the step of a gate before its sigmoid

GATE_OF = """\
        .$gate = {
            .input_weights = $$${gate}_input_weights,
            .state_weights = $$${gate}_state_weights,
            .input_bias = $$${gate}_input_bias,
            .state_bias = $$${gate}_state_bias,
            .input_factor = $input_factor,
            .state_factor = $state_factor,
        },
"""
LAYER = """\
    static const pp_lstm_layer layer = {
        .steps = $steps, .inputs = $inputs, .cells = $cells,
$gates        .state_factor = $factor, .state_offset = $offset,
        .cell_bits = $bits, .cell_clip = $clip,
    };
    pp_lstm(&layer, x, y, scratch_memory);
    return 0;"""


def _lstm(operator: NetOperator) -> CStep:
    x, y, hidden, cell = operator.x(), operator.y, operator.tensor(HIDDEN), operator.tensor(CELL)
    _expect_plain(operator, hidden, cell)
    steps, inputs, cells = x.shape[1], x.shape[2], y.shape[2]
    operator.gives(steps, cells)
    gates, constants = "", []
    for gate, (of_x, of_state, of_bias) in GATES.items():
        input_weights, state_weights = operator.constant(of_x), operator.constant(of_state)
        bias = operator.constant(of_bias).astype(np.int64)
        if (input_weights.shape, state_weights.shape, bias.shape) != ((cells, inputs), (cells, cells), (cells,)):
            raise operator.refusal("with weights of other sizes than its own")
        zeros = {"input": -x.zero * _sums(input_weights) + bias, "state": -hidden.zero * _sums(state_weights)}
        gates += filled(
            GATE_OF,
            gate=gate,
            input_factor=c_factor(float(operator.tensor(of_x).scale * x.scale / GATE)),
            state_factor=c_factor(float(operator.tensor(of_state).scale * hidden.scale / GATE)),
        )
        constants += [
            CConstant(f"{gate}_input_weights", input_weights.ravel()),
            CConstant(f"{gate}_state_weights", state_weights.ravel()),
            CConstant(f"{gate}_input_bias", zeros["input"].astype(np.int32)),
            CConstant(f"{gate}_state_bias", zeros["state"].astype(np.int32)),
        ]
    bits = round(15 + math.log2(float(cell.scale)))
    clip = float(operator.option("cellClip", 0.0) or 0.0)
    body = filled(
        LAYER,
        steps=steps,
        inputs=inputs,
        cells=cells,
        gates=gates,
        factor=c_factor(float(np.float32(2.0**-15 / float(hidden.scale) * 2.0**-15))),
        offset=hidden.zero,
        bits=bits,
        clip=int(np.clip(np.float32(clip) / cell.scale, 0, 32767)) if clip > 0 else 0,
    )
    return CStep(operator, body, (x,), ("x",), tuple(constants), 2 * 5 * cells, ("lstm.c",))


def _expect_plain(operator: NetOperator, hidden: NetTensor, cell: NetTensor) -> None:
    """Refuse all that is not a plain LSTM of one recording, from its first step to its last."""
    x, y = operator.x(), operator.y
    if any(at < len(operator.inputs) and operator.inputs[at] is not None for at in UNUSED):
        raise operator.refusal("with peepholes, a projection or layer norm")
    if operator.option("timeMajor") or operator.option("diagonalRecurrentTensors") or x.shape[0] != 1:
        raise operator.refusal("with time before recordings, diagonal weights or several recordings")
    if operator.option("fusedActivationFunction") != TANH or operator.option("projClip"):
        raise operator.refusal("with another activation than TANH, or a clipped projection")
    if not hidden.activation or (hidden.scale, hidden.zero) != (y.scale, y.zero):
        raise operator.refusal("with a hidden state of another scale than the output")
    bits = 15 + math.log2(float(cell.scale)) if cell.dtype == INT16 and len(cell.scales) == 1 else math.nan
    if bits not in range(0, 7):
        raise operator.refusal("with a cell of that scale")
    inner = operator.hidden[4] if len(operator.hidden) > 4 else hidden
    if inner.scales.size and (inner.scale, inner.zero) != (hidden.scale, hidden.zero):
        raise operator.refusal("with a projection")
    for places in GATES.values():
        for at in places[:2]:
            if operator.tensor(at).dtype != np.int8 or len(operator.tensor(at).scales) != 1 or operator.tensor(at).zero:
                raise operator.refusal("with weights that are not int8 of one scale")


def _sums(weights: NDArray[np.int8]) -> NDArray[np.int64]:
    """Of each row."""
    found: NDArray[np.int64] = weights.astype(np.int64).sum(axis=1)
    return found


RECURRENT = {"UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm}
