"""Which perturbations an attack may make, and how it moves among them: a ball, or something inside one.

In: points of an attack's way, tensors (n, leads, samples) mV. Out: what a step needs of them. An attack that is only
another set of allowed perturbations (:mod:`attacks.band`, :mod:`attacks.smooth`) is a region and nothing else: any
attack that steps can be made in it.
"""

from __future__ import annotations

from typing import ClassVar, Protocol, Self

import torch
from torch import Tensor

from pulseproof.attacks.aim.ball import LINF, TINY
from pulseproof.attacks.aim.norms import Norm


class Region(Protocol):
    """``norm``: in which its budget is meant. ``random``: a start of the shape of ``like``. ``project``: the way back
    from wherever a step led. ``steepest``: the direction of a step, a perturbation of size 1 mV along which a linear
    objective with this gradient grows most. ``shaped``: the perturbation that a point of the way stands for.
    ``at_rate``: the same region for recordings of ``fs_hz`` samples a second.
    """

    @property
    def norm(self) -> Norm: ...

    def random(self, like: Tensor, budget_mv: float, generator: torch.Generator) -> Tensor: ...

    def project(self, delta: Tensor, budget_mv: float) -> Tensor: ...

    def steepest(self, gradient: Tensor) -> Tensor: ...

    def shaped(self, delta: Tensor) -> Tensor: ...

    def at_rate(self, fs_hz: float) -> Region: ...


class InLinf:
    """A region inside the L-infinity ball; by itself, the whole ball. A part of it says what is other there."""

    norm: ClassVar[Norm] = "linf"

    def random(self, like: Tensor, budget_mv: float, generator: torch.Generator) -> Tensor:
        """See :class:`Region`."""
        return LINF.random(like, budget_mv, generator)

    def project(self, delta: Tensor, budget_mv: float) -> Tensor:
        """See :class:`Region`."""
        return LINF.project(delta, budget_mv)

    def steepest(self, gradient: Tensor) -> Tensor:
        """See :class:`Region`."""
        return LINF.steepest(gradient)

    def shaped(self, delta: Tensor) -> Tensor:
        """The point itself."""
        return delta

    def at_rate(self, fs_hz: float) -> Self:
        """The region itself: most know no frequencies."""
        del fs_hz
        return self


def share_left(gradient: Tensor, delta: Tensor, region: Region, budget_mv: float) -> Tensor:
    """(n,) from 0 to 2: what each perturbation (n, leads, samples) mV could still gain within the budget if the model
    were linear, as a share of what the steepest perturbation of the clean recording would gain there. It is 0 in the
    corner to which the gradient points, and without a gradient: there is nowhere to go.

    The gap of Frank and Wolfe (1956; Jaggi 2013), which bounds what is left where the objective is concave; divided by
    the gradient's own size, so that a recording whose objective is flat, because its opponents are far away, is not
    taken for one that has arrived.
    """
    slope = gradient.flatten(1)
    if region is LINF:
        most = torch.linalg.vector_norm(slope, 1, dim=1)  # of a gradient with its signs, in one go
    else:
        most = torch.linalg.vecdot(slope, region.steepest(gradient).flatten(1))
    has = torch.linalg.vecdot(slope, delta.flatten(1))
    return (most - has / budget_mv) / most.clamp_min(TINY)
