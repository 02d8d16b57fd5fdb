"""A file's operators in their order as one torch module.

In: steps, each a function with the names of what it takes and gives, and the constants by name. Out: a module that
runs them for a batch of recordings. A deployed file takes one recording, and its reshapes say so: the steps are written
for a batch of 1, and :func:`torch.func.vmap` maps them over the recordings, so that no operator has to guess which of
its axes is the batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pulseproof.twins.ends import before_ends
from pulseproof.twins.steps import GraphStep, perform

BATCH = 64


class Twin(nn.Module):
    """float32 (n, leads, samples) mV to float32 (n, classes), computed as a deployed file does.

    ``shape``: (leads, samples) that the file takes. ``output_step``: the step to which it rounds its scores, in their
    unit; None where it does not. ``own_steps``: it rounds some of its values to steps that it reads off each recording.
    """

    def __init__(
        self,
        steps: Sequence[GraphStep],
        constants: Mapping[str, Tensor],
        ends: tuple[str, str],
        shape: tuple[int, int],
        output_step: float | None,
        own_steps: bool = False,
    ) -> None:
        super().__init__()
        self.shape, self.output_step, self.own_steps = shape, output_step, own_steps
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
        found = before_ends(self._steps, self._constants, self._exit)
        if found is None:
            return None
        steps, scores, names = found
        return Twin(steps, self._constants, (self._entry, scores), self.shape, None, self.own_steps), names

    def one(self, signal: Tensor) -> Tensor:
        """Scores (classes,) of one recording (leads, samples) mV; also of its bounds
        (:mod:`models.hardened.interval`)."""
        values = {name: self.get_buffer(place) for name, place in self._places.items()}
        values[self._entry] = signal.unsqueeze(0)
        for step, over in zip(self._steps, self._over, strict=True):
            perform(step, values)
            for name in over:  # without gradients nothing else holds it: memory stays that of a few layers
                del values[name]
        return values[self._exit].squeeze(0)


def scores_of(twin: Twin, signals: NDArray[np.float32], batch_size: int = BATCH) -> NDArray[np.float32]:
    """A twin's scores float32 (k, classes)."""
    with torch.no_grad():
        parts = [twin(torch.from_numpy(signals[at : at + batch_size])) for at in range(0, len(signals), batch_size)]
    scores: NDArray[np.float32] = torch.cat(parts).numpy()
    return scores


def _needed(steps: Sequence[GraphStep], end: str) -> list[GraphStep]:
    """The steps on which a value depends, in their order."""
    wanted, kept = {end}, []
    for step in reversed(steps):
        if wanted & set(step.outputs):
            wanted |= set(step.inputs)
            kept.append(step)
    return kept[::-1]
