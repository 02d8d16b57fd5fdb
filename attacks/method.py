"""What a method is to the grid that runs it: prepared once a (source, budget), then applied to shards of recordings.

In: the source's model and a :class:`Scene`, all that a method may know beside the recordings under attack. Out: a
:class:`Perturbed` for each shard. A method sees modules, plain ``predict`` functions and arrays, never files or data
sets. The table of all methods is :mod:`attacks.methods`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attacks.victims import Victims
from core.study import AttackSpec

# Scores float32 (n, classes) of signals float32 (n, leads, samples) mV, by whatever runs the file; one at a time.
Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]
# In which steps are taken; everything else is float32 (attacks.precision).
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Scene:
    """One budget of one source. ``step_mv``: of the recorder; ``fs_hz``: samples a second; ``references``: validation
    recordings, ``prevalence`` (classes,) the share of positives in the whole validation fold; ``training``: so many
    recordings of the training folds; ``noise``: recorded noise by name, float32 (channels, samples) at ``fs_hz``;
    ``parent``: the float module that a deployed file was made of; ``precision``: in which steps may be taken."""

    epsilon_mv: float
    step_mv: float
    fs_hz: float
    settings: AttackSpec
    references: Victims
    prevalence: Tensor
    training: Callable[[int], Victims]
    noise: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    parent: nn.Module | None = None
    precision: Precision = "float32"


@dataclass(frozen=True)
class Perturbed:
    """``delta`` float32 (n, leads, samples) mV, within the budget before it is rounded to the recorder's steps.
    ``facts``: one number a recording (n,) of what the set's description gives as a mean, such as ``queries``."""

    delta: Tensor
    facts: Mapping[str, Tensor] = field(default_factory=dict)


class Method(Protocol):
    """``model`` is the source: a module that gives gradients, a :data:`Predict`, or None for a control.

    :meth:`prepare` is done once and its arrays are handed to every shard, perhaps in another process; equal generators
    give equal bytes in both. ``settings`` (in the study's own words) are all that the bytes depend on beside the model,
    the recordings and the generator.
    """

    def prepare(
        self, model: nn.Module | Predict | None, scene: Scene, generator: torch.Generator
    ) -> dict[str, Tensor]: ...

    def perturb(
        self,
        model: nn.Module | Predict | None,
        scene: Scene,
        prepared: Mapping[str, Tensor],
        victims: Victims,
        generator: torch.Generator,
    ) -> Perturbed: ...
