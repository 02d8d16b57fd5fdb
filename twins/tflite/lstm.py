"""TFLite's fused LSTM in torch: float32, and full-integer (int8 activations and state, int16 gates and cell), and
with integer weights alone.

In: an UNIDIRECTIONAL_SEQUENCE_LSTM operator. Out: a function of its inputs. The order of these is that of TFLite's
``lstm_shared.h``; what is not a plain LSTM (projection, peepholes, layer norm, clipping) is refused. The integer one
rounds where the kernel does (Li and Alvarez 2021, "On the quantization of recurrent neural networks",
arXiv 2101.05453; ``CalculateLstmGateInteger8x8_16`` in TFLite's ``lstm_eval.cc``), with the kernel's own sigmoid and
tanh (:mod:`twins.tflite.fixed_point`).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import linear

from pulseproof.twins.rounding import fixed_point, rounded
from pulseproof.twins.steps import Run
from pulseproof.twins.tflite.fixed_point import away, factor_of, in_table, rounded_twice, sigmoid_table, tanh_table
from pulseproof.twins.tflite.hybrid import even_steps, uneven_steps
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
        if not all(whole):
            raise operator.refusal("integer weights of some gates")
        return _hybrid(operator)
    return _float(_clip(operator))


def _clip(operator: Operator, step: float = 1.0) -> Callable[[Tensor], Tensor]:
    """What keeps a cell within the limit that the file gives, where it gives one; ``step``: of its numbers."""
    limit = float(operator.option("cellClip", 0.0) or 0.0) / step
    return (lambda c: c.clamp(-limit, limit)) if limit > 0 else (lambda c: c)


def _float(clip: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    def run(x: Tensor, *inputs: Tensor | None) -> Tensor:
        weights, recurrent, biases = _parts(inputs)
        gates = linear(x, weights, biases)  # (1, steps, 4 hidden)
        h = c = torch.zeros(x.shape[0], recurrent.shape[1])
        states = []
        for at in range(x.shape[1]):
            i, forget, new, o = (gates[:, at] + h @ recurrent.T).chunk(4, dim=-1)
            c = clip(forget.sigmoid() * c + i.sigmoid() * new.tanh())
            h = o.sigmoid() * c.tanh()
            states.append(h)
        return torch.stack(states, dim=1)

    return run


def _hybrid(operator: Operator) -> Callable[..., Tensor]:
    """Integer weights: the signal and the hidden state are rounded to steps of their own at each time."""
    masked, hidden, clip = operator.masked, operator.shape(5)[0], _clip(operator)
    uneven = bool(operator.option("asymmetricQuantizeInputs"))

    def to_own(x: Tensor) -> tuple[Tensor, Tensor]:
        return (uneven_steps if uneven else even_steps)(x, (-1,), masked)

    def scales(first: int) -> Tensor:
        return torch.cat([torch.full((hidden,), operator.meaning(at).one) for at in range(first, first + 4)])

    of_input, of_hidden = scales(1), scales(5)

    def run(x: Tensor, *inputs: Tensor | None) -> Tensor:
        weights, recurrent, biases = _parts(inputs)
        steps, step = to_own(x)
        gates = linear(steps, weights) * step * of_input + biases
        h = c = torch.zeros(x.shape[0], hidden)
        states = []
        for at in range(x.shape[1]):
            held, step = to_own(h)
            i, forget, new, o = (gates[:, at] + (held @ recurrent.T) * step * of_hidden).chunk(4, dim=-1)
            c = clip(forget.sigmoid() * c + i.sigmoid() * new.tanh())
            h = o.sigmoid() * c.tanh()
            states.append(h)
        return torch.stack(states, dim=1)

    return run


def _integer(operator: Operator) -> Callable[..., Tensor]:
    masked, of_input, of_hidden = operator.masked, operator.meaning(0).one, operator.meaning(HIDDEN)
    of_cell, hidden = operator.meaning(CELL).one, operator.meaning(5).shape[0]
    clip, bits = _clip(operator, of_cell), round(15 + math.log2(of_cell))
    if (of_hidden.one, of_hidden.zero) != (operator.result.one, operator.result.zero):
        raise operator.refusal("a hidden state of another scale than the output")
    low, high = of_hidden.limits
    if of_cell != 2.0 ** (bits - 15) or not 0 <= bits <= 7:
        raise operator.refusal(f"a cell of scale {of_cell:g}")
    sigmoids, tanhs, of_cells = sigmoid_table(), tanh_table(3), tanh_table(bits)

    def factors(first: int, by: float) -> tuple[Tensor, Tensor]:
        """The fractions and powers of 2 by which the sums of the four gates are multiplied."""
        found = [factor_of(operator.meaning(at).one * by * GATE) for at in range(first, first + 4)]
        fraction, power = (torch.tensor(one, dtype=torch.float64) for one in zip(*found, strict=True))
        return fraction.repeat_interleave(hidden), power.repeat_interleave(hidden)

    from_input, from_hidden = factors(1, of_input), factors(5, of_hidden.one)

    def word(values: Tensor) -> Tensor:
        return away(values, masked, -32768, 32767)

    def run(x: Tensor, *inputs: Tensor | None) -> Tensor:
        weights, recurrent, biases = _parts(inputs)
        gates = word(rounded_twice(linear(x, weights, biases), *from_input, masked))
        h = torch.zeros(x.shape[0], hidden)
        c = torch.zeros(x.shape[0], hidden, dtype=torch.float64)
        states = []
        for at in range(x.shape[1]):
            sums = word(gates[:, at] + rounded_twice(h @ recurrent.T, *from_hidden, masked))
            i, forget, new, o = fixed_point(sums).chunk(4, dim=-1)
            entry, kept, shown = (in_table(sigmoids, one, (one / GATE).sigmoid() * SHARE) for one in (i, forget, o))
            fresh = in_table(tanhs, new, (new / GATE).tanh() * SHARE)
            c = clip(word(word(kept * c / SHARE) + word(entry * fresh / (SHARE * SHARE * of_cell))))
            squashed = in_table(of_cells, c, (c * of_cell).tanh() * SHARE)
            h = rounded(shown * squashed / (SHARE * SHARE * of_hidden.one), low, high, masked).float()
            states.append(h)
        return torch.stack(states, dim=1)

    return run


def _parts(inputs: tuple[Tensor | None, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Input weights, recurrent weights and biases of all gates (input, forget, cell, output), one below the other."""
    parts = [torch.cat([one for one in inputs[at : at + 4] if one is not None]) for at in (0, 4, 11)]
    return parts[0], parts[1], parts[2]


RECURRENT: dict[str, Callable[[Operator], Run]] = {"UNIDIRECTIONAL_SEQUENCE_LSTM": lstm}
