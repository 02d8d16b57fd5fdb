"""A file's operators in their order as one torch module.

In: steps, each a function with the names of what it takes and gives, and the constants by name. Out: a module that
runs them for a batch of recordings. A deployed file takes one recording, and its reshapes say so: the steps are written
for a batch of 1, and :func:`torch.func.vmap` maps them over the recordings, so that no operator has to guess which of
its axes is the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pulseproof.twins.errors import NotCoveredError

MOST = 2**24  # numbers that one operator gives for one recording: times a batch, they lie in this process
Run = Callable[..., Tensor | tuple[Tensor, ...]]


@dataclass(frozen=True)
class GraphStep:
    """``run`` takes the tensors named by ``inputs`` (None where one is left out) and gives those of ``outputs``.
    ``kind``: the operator's name in its format."""

    run: Run
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    kind: str = ""


def perform(step: GraphStep, values: dict[str, Tensor]) -> None:
    """Run one step: its results are put among the values."""
    results = step.run(*(values[name] if name else None for name in step.inputs))
    results = results if isinstance(results, tuple) else (results,)
    values.update((name, result) for name, result in zip(step.outputs, results, strict=False) if name)


def try_out(step: GraphStep, values: dict[str, Tensor]) -> None:
    """Run one step while its file is read. Raises NotCoveredError where it gives more than an attack has room for."""
    perform(step, values)
    large = max((values[name].numel() for name in step.outputs if name in values), default=0)
    if large > MOST:
        raise NotCoveredError(f"operator {step.kind} gives {large:,} numbers a recording, at most {MOST:,} are covered")


class Twin(nn.Module):
    """float32 (n, leads, samples) mV to float32 (n, classes), computed as a deployed file does.

    ``shape``: (leads, samples) that the file takes. ``output_step``: the step to which it rounds its scores, in their
    unit; None where it does not.
    """

    def __init__(
        self,
        steps: Sequence[GraphStep],
        constants: Mapping[str, Tensor],
        ends: tuple[str, str],
        shape: tuple[int, int],
        output_step: float | None,
    ) -> None:
        super().__init__()
        self.shape, self.output_step = shape, output_step
        self._entry, self._exit = ends
        self._constants = dict(constants)
        self._steps = _needed(steps, self._exit)
        used = {name for step in self._steps for name in step.inputs}
        self._places = {name: f"constant_{at}" for at, name in enumerate(constants) if name in used}
        for name, place in self._places.items():
            self.register_buffer(place, constants[name])
        computed = {name for step in self._steps for name in step.inputs if name} - set(self._places)
        last = {name: at for at, step in enumerate(self._steps) for name in step.inputs if name in computed}
        last.pop(self._exit, None)
        self._over = [[name for name, end in last.items() if end == at] for at in range(len(self._steps))]
        self.eval()

    def forward(self, signals: Tensor) -> Tensor:
        if signals.shape[1:] != self.shape:
            raise ValueError(f"the file takes recordings {self.shape}, not {tuple(signals.shape[1:])}")
        scores: Tensor = torch.func.vmap(self.one)(signals)
        return scores

    def before_ends(self) -> tuple[Twin, tuple[str, ...]] | None:
        """What gives this file's scores before a final sigmoid or softmax (:mod:`twins.ends`), in the same order, and
        the names of what was left out; None where it ends in none."""
        from pulseproof.twins.ends import before_ends

        found = before_ends(self._steps, self._constants, self._exit)
        if found is None:
            return None
        steps, scores, names = found
        return Twin(steps, self._constants, (self._entry, scores), self.shape, None), names

    def one(self, signal: Tensor) -> Tensor:
        """Scores (classes,) of one recording (leads, samples) mV; also of its bounds (:mod:`certify.interval`)."""
        values = {name: self.get_buffer(place) for name, place in self._places.items()}
        values[self._entry] = signal.unsqueeze(0)
        for step, over in zip(self._steps, self._over, strict=True):
            perform(step, values)
            for name in over:  # without gradients nothing else holds it: memory stays that of a few layers
                del values[name]
        return values[self._exit].squeeze(0)


def _needed(steps: Sequence[GraphStep], end: str) -> list[GraphStep]:
    """The steps on which a value depends, in their order."""
    wanted, kept = {end}, []
    for step in reversed(steps):
        if wanted & set(step.outputs):
            wanted |= set(step.inputs)
            kept.append(step)
    return kept[::-1]
