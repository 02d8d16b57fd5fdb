"""TFLite's fused LSTM in torch: float32, and full-integer (int8 activations and state, int16 gates and cell), and
with integer weights alone.

In: an UNIDIRECTIONAL_SEQUENCE_LSTM operator. Out: a function of its inputs. The order of these is that of TFLite's
``lstm_shared.h``; what is not a plain LSTM (projection, peepholes, layer norm, clipping) is refused. The integer one
rounds where the kernel does (Li and Alvarez 2021, "On the quantization of recurrent neural networks",
arXiv 2101.05453; ``CalculateLstmGateInteger8x8_16`` in TFLite's ``lstm_eval.cc``): the kernel's sigmoid and tanh are
fixed-point approximations, here they are exact and then rounded to 16 bits.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import linear

from pulseproof.twins.rounding import fixed_point, rounded
from pulseproof.twins.steps import Run
from pulseproof.twins.tflite.hybrid import even_steps
from pulseproof.twins.tflite.node import Operator

# input; 4 input weights, 4 recurrent weights (input, forget, cell, output gate); 3 peepholes; 4 biases; 2 of the
# projection; hidden state and cell; 4 of layer norm.
PEEPHOLES, BIASES, PROJECTION, NORMS = range(9, 12), range(12, 16), range(16, 18), range(20, 24)
HIDDEN, CELL = 18, 19
TANH = 4
GATE = 2.0**12  # steps of a gate before its sigmoid in 1.0
SHARE = 2.0**15  # steps of a sigmoid or tanh in 1.0


def lstm(operator: Operator) -> Run:
    """See the module."""
    if any(operator.given(at) for at in (*PEEPHOLES, *PROJECTION, *NORMS)):
        raise operator.refusal("peepholes, projection or layer norm")
    if not all(operator.given(at) for at in (*range(9), *BIASES, HIDDEN, CELL)):
        raise operator.refusal("a gate left out")
    if operator.option("cellClip") or operator.option("projClip"):
        raise operator.refusal("clipping")
    if operator.option("diagonalRecurrentTensors") or operator.option("fusedActivationFunction") != TANH:
        raise operator.refusal("diagonal weights, or another activation than TANH")
    run = _of_kind(operator)
    if not operator.option("timeMajor"):
        return run
    return lambda x, *inputs: run(x.transpose(0, 1), *inputs).transpose(0, 1)


def _of_kind(operator: Operator) -> Callable[..., Tensor]:
    if operator.quantized:
        return _integer(operator)
    whole = [operator.meaning(at).scale is not None for at in range(1, 9)]
    if any(whole):
        if not all(whole) or operator.option("asymmetricQuantizeInputs"):
            raise operator.refusal("integer weights of some gates, or a zero point of the signal's own")
        return _hybrid(operator)
    return _float


def _float(x: Tensor, *inputs: Tensor | None) -> Tensor:
    weights, recurrent, biases = _parts(inputs)
    gates = linear(x, weights, biases)  # (1, steps, 4 hidden)
    h = c = torch.zeros(x.shape[0], recurrent.shape[1])
    states = []
    for at in range(x.shape[1]):
        i, forget, new, o = (gates[:, at] + h @ recurrent.T).chunk(4, dim=-1)
        c = forget.sigmoid() * c + i.sigmoid() * new.tanh()
        h = o.sigmoid() * c.tanh()
        states.append(h)
    return torch.stack(states, dim=1)


def _hybrid(operator: Operator) -> Callable[..., Tensor]:
    """Integer weights: the signal and the hidden state are rounded to steps of their own, at each time, about 0.0."""
    masked, hidden = operator.masked, operator.shape(5)[0]

    def scales(first: int) -> Tensor:
        return torch.cat([torch.full((hidden,), operator.meaning(at).one) for at in range(first, first + 4)])

    of_input, of_hidden = scales(1), scales(5)

    def run(x: Tensor, *inputs: Tensor | None) -> Tensor:
        weights, recurrent, biases = _parts(inputs)
        steps, step = even_steps(x, -1, masked)
        gates = linear(steps, weights) * step * of_input + biases
        h = c = torch.zeros(x.shape[0], hidden)
        states = []
        for at in range(x.shape[1]):
            held, step = even_steps(h, -1, masked)
            i, forget, new, o = (gates[:, at] + (held @ recurrent.T) * step * of_hidden).chunk(4, dim=-1)
            c = forget.sigmoid() * c + i.sigmoid() * new.tanh()
            h = o.sigmoid() * c.tanh()
            states.append(h)
        return torch.stack(states, dim=1)

    return run


def _integer(operator: Operator) -> Callable[..., Tensor]:
    masked, of_input, of_hidden = operator.masked, operator.meaning(0).one, operator.meaning(HIDDEN)
    of_cell, hidden = operator.meaning(CELL).one, operator.meaning(5).shape[0]
    if of_hidden.zero or operator.result.zero or operator.result.one != of_hidden.one:
        raise operator.refusal("a hidden state with a zero point, or of another scale than the output")

    def scales(first: int, by: float) -> Tensor:
        return torch.cat(
            [torch.full((hidden,), operator.meaning(at).one * by * GATE) for at in range(first, first + 4)]
        )

    from_input, from_hidden = scales(1, of_input), scales(5, of_hidden.one)

    def word(values: Tensor) -> Tensor:
        return rounded(values, -32768, 32767, masked)

    def run(x: Tensor, *inputs: Tensor | None) -> Tensor:
        weights, recurrent, biases = _parts(inputs)
        gates = word(linear(x, weights, biases) * from_input)
        h = c = torch.zeros(x.shape[0], hidden)
        states = []
        for at in range(x.shape[1]):
            sums = word(gates[:, at] + rounded((h @ recurrent.T) * from_hidden, -(2.0**31), 2.0**31, masked)) / GATE
            i, forget, new, o = sums.chunk(4, dim=-1)
            entry, kept = fixed_point(word(i.sigmoid() * SHARE)), word(forget.sigmoid() * SHARE)
            fresh = word(new.tanh() * SHARE)
            c = word(word(kept * c / SHARE) + word(entry * fresh / (SHARE * SHARE * of_cell)))
            squashed = word((c * of_cell).tanh() * SHARE)
            h = rounded(word(o.sigmoid() * SHARE) * squashed / (SHARE * SHARE * of_hidden.one), -128, 127, masked)
            states.append(h)
        return torch.stack(states, dim=1)

    return run


def _parts(inputs: tuple[Tensor | None, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Input weights, recurrent weights and biases of all gates (input, forget, cell, output), one below the other."""
    parts = [torch.cat([one for one in inputs[at : at + 4] if one is not None]) for at in (0, 4, 11)]
    return parts[0], parts[1], parts[2]


RECURRENT: dict[str, Callable[[Operator], Run]] = {"UNIDIRECTIONAL_SEQUENCE_LSTM": lstm}
