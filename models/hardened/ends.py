"""The lowest and the highest value of every element of a tensor, and what a rule asks of them.

In: two tensors of one shape. Out: :class:`Ends`, which rules (:mod:`models.hardened.rules`) take and give; with torch's
own functions they are a :class:`~models.hardened.interval.Bounded`.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor

UNIT = 2.0**-24  # of float32: the largest relative error of one operation


class NoBoundsError(Exception):
    """A function of a signal that has no rule here, by its name."""


class Ends:
    """``lower`` and ``upper``: tensors of one shape, in the unit of what they bound. ``unit``: the relative error of
    one operation of the engine (0: none is counted). ``whole``: all values between them are whole numbers."""

    def __init__(self, lower: Tensor, upper: Tensor, unit: float = UNIT, whole: bool = False) -> None:
        self.lower, self.upper, self.unit, self.whole = lower, upper, unit, whole

    def like(self, lower: Tensor, upper: Tensor, whole: bool = False) -> Self:
        """Other bounds, for the same engine."""
        return type(self)(lower, upper, self.unit, whole)

    @property
    def shape(self) -> torch.Size:
        return self.lower.shape

    @property
    def ndim(self) -> int:
        return self.lower.ndim

    @property
    def dtype(self) -> torch.dtype:
        return self.lower.dtype

    @property
    def device(self) -> torch.device:
        return self.lower.device

    @property
    def T(self) -> Self:  # noqa: N802 (torch's name)
        return self.like(self.lower.T, self.upper.T, self.whole)

    @property
    def largest(self) -> Tensor:
        """The largest absolute value that an element can have."""
        return torch.maximum(self.lower.abs(), self.upper.abs())

    def size(self, dim: int | None = None) -> Any:
        return self.lower.shape if dim is None else self.lower.shape[dim]

    def dim(self) -> int:
        return self.lower.ndim

    def numel(self) -> int:
        return self.lower.numel()

    def widened(self, by: Tensor | float) -> Self:
        """Moved outward by ``by``, which is not negative."""
        return self.like(self.lower - by, self.upper + by)


def gamma(terms: int, unit: float) -> float:
    """The relative error of a sum of ``terms`` products, whatever its order."""
    return terms * unit / (1 - terms * unit)


def one_of(*values: Any) -> Ends:
    """The first of the values that has ends, which knows the engine."""
    return next(value for value in values if isinstance(value, Ends))


def ends_of(value: Any) -> tuple[Any, Any]:
    return (value.lower, value.upper) if isinstance(value, Ends) else (value, value)


def is_whole(value: Any) -> bool:
    """True where all numbers are whole: of an interval as it says, of a constant as it is."""
    if isinstance(value, Ends):
        return value.whole
    if isinstance(value, Tensor):
        return not value.is_floating_point() or bool((value == value.round()).all())
    return float(value).is_integer()
