"""What a method is to the grid that runs it: prepared once a (source, budget), then applied to shards of recordings.

In: the source's model and a :class:`Scene`, all that a method may know beside the recordings under attack. Out: a
:class:`Perturbed` for each shard. A method sees modules, plain ``predict`` functions and arrays, never files or data
sets. The table of all methods is :mod:`attacks.methods`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from pulseproof.attacks.aim.ball import BALLS
from pulseproof.attacks.aim.norms import NORMS, Norm
from pulseproof.attacks.aim.victims import Victims
from pulseproof.core.errors import InputError
from pulseproof.core.study import AttackSpec

# Scores float32 (n, classes) of signals float32 (n, leads, samples) mV, by whatever runs the file; one at a time.
Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]
# What an attack is made on: a module that gives gradients, a ``predict``, or nothing (a control).
Model = nn.Module | Predict | None
Prepared = Mapping[str, Tensor]  # what a method has prepared for every shard
ROUNDING = 1e-3  # of a budget: what float32 may leave a projected perturbation beyond it
# In which steps are taken; everything else is float32 (attacks.precision).
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Scene:
    """One budget of one source. ``step_mv``: of the recorder; ``fs_hz``: samples a second; ``references``: validation
    recordings, ``prevalence`` (classes,) the share of positives in the whole validation fold; ``training``: so many
    recordings of the training folds; ``noise``: recorded noise by name, float32 (channels, samples) at ``fs_hz``;
    ``parent``: the float module that a deployed file was made of; ``precision``: in which steps may be taken."""

    budget_mv: float
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
    """``model`` is the source.

    ``norm``: in which norm the budget is meant (:mod:`attacks.aim.ball` says how each is measured), or ``"none"``.
    ``bounded``: whether what it makes keeps within the budget in that norm. Both are declared by every method; what
    goes beyond what it declares is refused, never clipped into it.

    :meth:`prepare` is done once and its arrays are handed to every shard, perhaps in another process; equal generators
    give equal bytes in both. ``settings`` (in the study's own words) are all that the bytes depend on beside the model,
    the recordings and the generator.
    """

    @property
    def norm(self) -> Norm: ...

    @property
    def bounded(self) -> bool: ...

    def prepare(self, model: Model, scene: Scene, generator: Generator) -> dict[str, Tensor]: ...

    def perturb(
        self, model: Model, scene: Scene, made: Prepared, victims: Victims, generator: Generator
    ) -> Perturbed: ...


def expect_declared(name: str, method: Any) -> None:
    """Raises InputError, which names the method, unless it says its norm and its bound in words that are known here."""
    norm, bounded = getattr(method, "norm", None), getattr(method, "bounded", None)
    mend = f"norm is one of {', '.join(NORMS)}, bounded is True or False: attacks/method.py says what they mean"
    if norm not in NORMS:
        raise InputError(f"method {name}: {'declares no norm' if norm is None else f'there is no norm {norm!r}'}", mend)
    if not isinstance(bounded, bool):
        raise InputError(f"method {name}: does not declare whether it is bounded", mend)
    if bounded and norm == "none":
        raise InputError(f"method {name}: says that it is bounded, and in no norm", mend)


def expect_inside(name: str, method: Method, delta: Tensor, budget_mv: float, ids: Sequence[str]) -> None:
    """Raises InputError, which names the method and a recording of ``ids`` (n,), for a perturbation (n, leads, samples)
    mV that is not finite, or beyond the bound that the method declares: to cut it back would be another attack than the
    one that was made."""
    strange = torch.nonzero(~torch.isfinite(delta).flatten(1).all(dim=1)).flatten()
    if len(strange):
        raise InputError(
            f"method {name}: its perturbation of recording {ids[int(strange[0])]} is not finite",
            "look at the model's scores and gradients on that recording: one of them is not a number",
        )
    if not method.bounded or method.norm == "none" or not len(delta):
        return
    sizes = BALLS[method.norm].size(delta)
    at = int(sizes.argmax())
    if sizes[at] > budget_mv * (1 + ROUNDING):
        raise InputError(
            f"method {name}: made a perturbation of {float(sizes[at]):.4g} mV (recording {ids[at]}) in the norm that "
            f"it declares, {method.norm}, beyond the budget of {budget_mv:g} mV",
            "let it keep inside that ball, or declare the norm that bounds it, or bounded = False (attacks/method.py)",
        )
