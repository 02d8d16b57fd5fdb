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

from pulseproof.models.fold import folded, held_fold
from pulseproof.models.held import Held, hold
from pulseproof.models.nets import Normalise
from pulseproof.models.systems import SYSTEMS

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
    # By the very class, not a user's subclass of it: its forward may do anything.
    system = next((one for one in SYSTEMS.values() if one.net is type(module)), None)
    if system is not None and system.normalised_into is not None:
        module = copy.deepcopy(module)
        normalise, body = module.get_submodule("normalise"), module.get_submodule(system.normalised_into)
        assert isinstance(normalise, Normalise)
        first = next(part for part in body.modules() if isinstance(part, nn.Conv1d))
        with torch.no_grad():
            first.weight.mul_(normalise.scale)
        module.set_submodule("normalise", Centre(normalise))
    return folded(module)
