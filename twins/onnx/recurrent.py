"""ONNX's recurrent layers in torch: LSTM, GRU and a plain RNN, forward, reverse and in both directions.

In and out as in :mod:`twins.onnx.operators`. The gates are in ONNX's order: input, output, forget, cell of an LSTM;
update, reset, hidden of a GRU.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pulseproof.twins.onnx.node import Node
from pulseproof.twins.steps import Run

Layer = Callable[[Tensor, Tensor, Tensor, "Tensor | None", Tensor, "Tensor | None"], tuple[Tensor, ...]]
ACTIVATIONS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}


def _lstm(x: Tensor, w: Tensor, r: Tensor, b: Tensor | None, h: Tensor, c: Tensor | None) -> tuple[Tensor, ...]:
    assert c is not None
    gates, hidden, recurrent = x @ w.T, h.shape[-1], r.T  # (steps, n, 4 hidden)
    if b is not None:
        gates = gates + (b[: 4 * hidden] + b[4 * hidden :])
    states = []
    for at in range(x.shape[0]):
        i, o, forget, new = (gates[at] + h @ recurrent).chunk(4, dim=-1)
        c = forget.sigmoid() * c + i.sigmoid() * new.tanh()
        h = o.sigmoid() * c.tanh()
        states.append(h)
    return torch.stack(states), h, c


def _gru(before: bool) -> Layer:
    """``before``: the reset gate comes before the product with the recurrent weights (``linear_before_reset`` 0)."""

    def layer(x: Tensor, w: Tensor, r: Tensor, b: Tensor | None, h: Tensor, _: Tensor | None) -> tuple[Tensor, ...]:
        hidden = h.shape[-1]
        zeros = torch.zeros(3 * hidden, dtype=x.dtype)
        of_input, of_state = (zeros, zeros) if b is None else (b[: 3 * hidden], b[3 * hidden :])
        gates, recurrent, states = x @ w.T + of_input, r.T, []
        for at in range(x.shape[0]):
            z, s, new = gates[at].chunk(3, dim=-1)
            if before:
                both = h @ recurrent[:, : 2 * hidden] + of_state[: 2 * hidden]
                update, reset = ((z + both[..., :hidden]).sigmoid(), (s + both[..., hidden:]).sigmoid())
                fresh = (new + (reset * h) @ recurrent[:, 2 * hidden :] + of_state[2 * hidden :]).tanh()
            else:
                own_z, own_s, own = (h @ recurrent + of_state).chunk(3, dim=-1)
                update, reset = (z + own_z).sigmoid(), (s + own_s).sigmoid()
                fresh = (new + reset * own).tanh()
            h = (1 - update) * fresh + update * h
            states.append(h)
        return torch.stack(states), h

    return layer


def _rnn(x: Tensor, w: Tensor, r: Tensor, b: Tensor | None, h: Tensor, _: Tensor | None) -> tuple[Tensor, ...]:
    hidden, states, sums = h.shape[-1], [], x @ w.T
    if b is not None:
        sums = sums + (b[:hidden] + b[hidden:])
    for at in range(x.shape[0]):
        h = (sums[at] + h @ r.T).tanh()
        states.append(h)
    return torch.stack(states), h


def recurrent(node: Node) -> Run:
    """See the module. Refuses a clip, peepholes, lengths other than all of the signal, and other activations."""
    kind, way = node.operator, node.get("direction", "forward")
    ways = 2 if way == "bidirectional" else 1
    node.demand(input_forget=0, layout=0, activations=ACTIVATIONS[kind] * ways)
    if node.get("clip") is not None or node.given(7):
        raise node.refusal("a clip or peepholes")
    if node.given(4) and bool((node.constant(4) != node.value(0).shape[0]).any()):
        raise node.refusal("lengths other than that of the signal")
    layer: Layer = {"LSTM": _lstm, "RNN": _rnn}.get(kind) or _gru(not node.get("linear_before_reset", 0))
    hidden = node.get("hidden_size")

    def run(
        x: Tensor,
        w: Tensor,
        r: Tensor,
        b: Tensor | None = None,
        _: Tensor | None = None,
        state: Tensor | None = None,
        cell: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        found = []
        none = torch.zeros(x.shape[1], hidden, dtype=x.dtype)
        for at in range(ways):
            turned = way == "reverse" or at == 1
            h, c = (none if one is None else one[at] for one in (state, cell))
            every, *last = layer(x.flip(0) if turned else x, w[at], r[at], None if b is None else b[at], h, c)
            found.append((every.flip(0) if turned else every, *last))
        return tuple(torch.stack(parts, dim=0 if at else 1) for at, parts in enumerate(zip(*found, strict=True)))

    return run


RECURRENT: dict[str, Callable[[Node], Run]] = dict.fromkeys(ACTIVATIONS, recurrent)
