"""The float module that is written to files: the trained one, rearranged without changing its scores.

Batch norms go into their convolutions (:mod:`models.fold`), and the scale of the normalisation goes into the weights of
the first convolution. The mean is still subtracted from the signal: the convolution pads with zeros after it, so taking
the mean into the bias would change the first and last samples.

So an int8 file quantizes the centred signal itself, in millivolts, once: ``round((x - mean) / step)``.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.fold import folded, held_fold
from models.held import Held, hold
from models.nets import Cnn, EcgLens, Normalise

HELD = 64  # validation recordings on which such a copy is held against its net


class Centre(nn.Module):
    """The first half of a normalisation: ``x - mean``, millivolts."""

    def __init__(self, normalise: Normalise) -> None:
        super().__init__()
        self.normalise = normalise

    def forward(self, x: Tensor) -> Tensor:
        return self.normalise.centred(x)


def held_for_export(module: nn.Module, signals: NDArray[np.float32]) -> Held:
    """:func:`for_export`, held against the module on recordings (k, leads, samples) mV; the module itself where the
    copy computes something else, and why. Without recordings there is nothing to hold it with."""
    if not len(signals):
        return Held(for_export(module), None)
    held = hold(lambda: for_export(module), module, torch.from_numpy(signals))
    if held.reason is None:
        return held
    part = held_fold(module, torch.from_numpy(signals))
    return held if part.reason is not None or part.module is module else part


def for_export(module: nn.Module) -> nn.Module:
    """A module with the scores of ``module``, up to float32 rounding, that converts to fewer operators."""
    if type(module) in (Cnn, EcgLens):  # not a user's subclass: its forward may do anything
        module = copy.deepcopy(module)
        assert isinstance(module, Cnn | EcgLens)
        first = next(part for part in module.body.modules() if isinstance(part, nn.Conv1d))
        with torch.no_grad():
            first.weight.mul_(module.normalise.scale)
        module.normalise = Centre(module.normalise)  # type: ignore[assignment]
    return folded(module)
