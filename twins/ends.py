"""Scores before what squeezes them: the end of a file's graph, for whoever asks for their order alone.

In: the steps of a twin. Out: the same steps with a final sigmoid, softmax or logarithm of either taken away, also where
the file rounds, clips, shifts or rearranges behind it; or None where the graph ends in none.

A sigmoid that is sure has no gradient: in float32 nothing is left of it at 40 times a logit, and a file of 8 bits
rounds it away at five. An attack made there goes nowhere, and the file looks robust (Carlini and Wagner 2017, section
5.2; Athalye et al. 2018). An AUC asks how a class's scores order the recordings, and any increasing function keeps that
order, so an attack may be made before it. Behind a softmax the score of class k is p = exp(z_k) / sum exp(z_j), whose
order is that of its log-odds, log(p / (1 - p)) = z_k - log sum over the other classes of exp(z_j): see
:func:`log_odds`. A logit alone orders the recordings otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pulseproof.twins.steps import GraphStep, Run


@dataclass(frozen=True)
class End:
    """An operator that squeezes scores: ``run`` is what the file computes, ``ranked`` what it computes it from, in the
    same order and never flat; ``name`` tells which."""

    name: str
    run: Callable[..., Tensor]
    ranked: Callable[..., Tensor]

    def __call__(self, *values: Tensor | None) -> Tensor:
        return self.run(*values)


def log_odds(z: Tensor, dim: int) -> Tensor:
    """log(p / (1 - p)) of ``p = softmax(z, dim)``, from logits: exact where p is 0 or 1 in float32."""
    z = z.movedim(dim, -1)
    itself = torch.eye(z.shape[-1], dtype=torch.bool)
    others = z.unsqueeze(-2).masked_fill(itself, -torch.inf).logsumexp(dim=-1)
    return (z - others).movedim(-1, dim)


def softmax_end(dim: int, size: int, log: bool = False) -> Run:
    """Softmax over ``size`` values along ``dim``, or its logarithm. Of a single value it is 1, whatever the signal."""
    run = torch.log_softmax if log else torch.softmax
    if size < 2:
        return lambda x, *_: run(x, dim)
    return End("softmax", lambda x, *_: run(x, dim), lambda x, *_: log_odds(x, dim))


SIGMOID = End("sigmoid", torch.sigmoid, lambda x: x)
TANH = End("tanh", torch.tanh, lambda x: x)
# Operators behind an end that only put numbers elsewhere: what ranks before one ranks behind it.
MOVES = {
    *("Cast", "Concat", "Dropout", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Squeeze"),
    *("Transpose", "Unsqueeze"),
    *("CONCATENATION", "EXPAND_DIMS", "GATHER", "RESHAPE", "SLICE", "SQUEEZE", "TRANSPOSE"),
}
# Increasing functions of one number: what stands before one ranks as well.
INCREASING = {
    *("Clip", "DequantizeLinear", "Log", "QuantizeLinear"),
    *("DEQUANTIZE", "LOG", "QUANTIZE"),
}
# Of the signal on one side and a constant on the other: the sign with which the result follows the left and the right
# side; None: that of the constant. Left out: a constant divided by the signal.
AFFINE: Mapping[str, tuple[int | None, int | None]] = {
    **dict.fromkeys(("Add", "ADD"), (1, 1)),
    **dict.fromkeys(("Sub", "SUB"), (1, -1)),
    **dict.fromkeys(("Mul", "MUL"), (None, None)),
    "Div": (None, 0),
}


@dataclass
class _Walk:
    """Back from the scores. ``makers``: the step that gives each value; ``added``: the steps of what stands before the
    ends, under names of their own, for a value may have other users; ``found``: the names of the ends."""

    makers: Mapping[str, GraphStep]
    constants: Mapping[str, Tensor]
    added: list[GraphStep]
    found: list[str]

    def before(self, name: str) -> str:
        """The name of a value that orders recordings as ``name`` does, from before an end; ``name`` where there is
        none."""
        step = self.makers.get(name)
        if step is None or step.outputs[0] != name:
            return name
        if isinstance(step.run, End):
            self.found.append(step.run.name)
            return self._add(name, step.run.ranked, step.inputs)
        signal = [at for at, one in enumerate(step.inputs) if one and one not in self.constants]
        if step.kind in MOVES:
            inputs = tuple(self.before(one) if at in signal else one for at, one in enumerate(step.inputs))
            return name if inputs == step.inputs else self._add(name, step.run, inputs)
        if len(signal) != 1:
            return name
        at, sign = signal[0], self._sign(step, signal[0])
        inner = self.before(step.inputs[at]) if sign else step.inputs[at]
        if inner == step.inputs[at]:
            return name
        if sign < 0:
            self.found.append("minus")
        return self._add(name, _follows(sign), (inner,))

    def _sign(self, step: GraphStep, at: int) -> int:
        """1 where the result of a step rises with its input ``at``, -1 where it falls, 0 where neither is sure."""
        if step.kind in INCREASING:
            return 1 if at == 0 else 0
        if step.kind not in AFFINE or len(step.inputs) != 2:
            return 0
        other, sign = self.constants[step.inputs[1 - at]], AFFINE[step.kind][at]
        if other.numel() != 1:  # a scale for each class would do as well; it may also make many numbers of one
            return 0
        return int(torch.sign(other.reshape(()))) if sign is None else sign

    def _add(self, name: str, run: Run, inputs: tuple[str, ...]) -> str:
        added = GraphStep(run, inputs, (f"before {name}",))
        self.added.append(added)
        return added.outputs[0]


def _follows(sign: int) -> Run:
    return (lambda x: x) if sign > 0 else (lambda x: -x)


def before_ends(
    steps: Sequence[GraphStep], constants: Mapping[str, Tensor], scores: str
) -> tuple[list[GraphStep], str, tuple[str, ...]] | None:
    """The steps and some more, the name of what then stands for ``scores``, and the ends that are left out (in the
    order of their columns); None where the graph ends in none."""
    walk = _Walk({name: step for step in steps for name in step.outputs}, constants, [], [])
    name = walk.before(scores)
    return ([*steps, *walk.added], name, tuple(walk.found)) if walk.found else None
