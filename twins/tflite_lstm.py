"""TFLite's fused LSTM in torch, float32.

In: an UNIDIRECTIONAL_SEQUENCE_LSTM operator. Out: a function of its inputs. The order of these is that of TFLite's
``lstm_shared.h``; what is not a plain LSTM (projection, peepholes, layer norm, clipping) is refused.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import linear

from twins.program import Run
from twins.tflite_file import Operator

# input; 4 input weights, 4 recurrent weights (input, forget, cell, output gate); 3 peepholes; 4 biases; 2 of the
# projection; hidden state and cell; 4 of layer norm.
PEEPHOLES, BIASES, PROJECTION, NORMS = range(9, 12), range(12, 16), range(16, 18), range(20, 24)
TANH = 4


def lstm(operator: Operator) -> Run:
    """See the module."""
    if operator.quantized or operator.meaning(1).scale is not None:
        raise operator.refusal("integers")
    if any(operator.given(at) for at in (*PEEPHOLES, *PROJECTION, *NORMS)):
        raise operator.refusal("peepholes, projection or layer norm")
    if not all(operator.given(at) for at in (*range(9), *BIASES)):
        raise operator.refusal("a gate left out")
    if operator.option("cellClip") or operator.option("projClip") or operator.option("timeMajor"):
        raise operator.refusal("clipping, or time first")
    if operator.option("diagonalRecurrentTensors") or operator.option("fusedActivationFunction") != TANH:
        raise operator.refusal("diagonal weights, or another activation than TANH")
    hidden = operator.meaning(5).shape[0]

    def run(x: Tensor, *inputs: Tensor) -> Tensor:
        weights, recurrent = torch.cat(inputs[0:4]), torch.cat(inputs[4:8])
        gates = linear(x, weights, torch.cat(inputs[11:15]))  # (1, steps, 4 hidden)
        h = c = torch.zeros(x.shape[0], hidden)
        states = []
        for at in range(x.shape[1]):
            i, forget, new, o = (gates[:, at] + h @ recurrent.T).chunk(4, dim=-1)
            c = forget.sigmoid() * c + i.sigmoid() * new.tanh()
            h = o.sigmoid() * c.tanh()
            states.append(h)
        return torch.stack(states, dim=1)

    return run
