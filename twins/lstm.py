"""The recurrence of an LSTM over the steps of a recording, in float."""

from __future__ import annotations

import torch
from torch import Tensor


def float_lstm(x: Tensor, weight: Tensor, recurrent: Tensor, bias: Tensor, bias_of_state: Tensor) -> Tensor:
    """Inputs (n, steps, inputs) to hidden states (n, steps, hidden), from a state of zeros.

    ``weight`` (4 hidden, inputs), ``recurrent`` (4 hidden, hidden) and two biases (4 hidden,), the gates in torch's
    order i f g o.
    """
    zeros = x.new_zeros(1, len(x), recurrent.shape[1])
    states, *_ = torch.lstm(
        x, (zeros, zeros), (weight, recurrent, bias, bias_of_state), True, 1, 0.0, False, False, batch_first=True
    )
    return states
