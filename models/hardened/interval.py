"""Numbers known by their bounds, which pass through a twin's own operators and come out as bounds of its scores.

In: a :class:`Bounded`, the lowest and the highest value of every sample of a recording. Out: bounds of whatever a torch
function computes of it. It takes torch's functions by its protocol (``__torch_function__``), so that the operators of
:mod:`twins`, and the layers of a torch module, run on it as they are: what bounds a file's scores is the file's own
graph, roundings and clamps included, and not a second reading of it (interval propagation: Gowal et al. 2018, arXiv
1810.12715). A function that has no rule (:mod:`models.hardened.rules`) is refused by name. ``unit = 0`` leaves the
margins for rounding away: for training, where bounds are a loss and not a promise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from pulseproof.models.hardened.ends import Ends, NoBoundsError
from pulseproof.models.hardened.rules import RULES


class Bounded(Ends):
    """Bounds that compute, as a tensor does."""

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        return apply(func.__name__.strip("_"), *args, **(kwargs or {}))

    def __getitem__(self, where: Any) -> Bounded:
        return self.like(self.lower[where], self.upper[where], self.whole)

    def __add__(self, other: Any) -> Any:
        return apply("add", self, other)

    def __radd__(self, other: Any) -> Any:
        return apply("add", self, other)

    def __sub__(self, other: Any) -> Any:
        return apply("sub", self, other)

    def __rsub__(self, other: Any) -> Any:
        return apply("sub", other, self)

    def __mul__(self, other: Any) -> Any:
        return apply("mul", self, other)

    def __rmul__(self, other: Any) -> Any:
        return apply("mul", self, other)

    def __truediv__(self, other: Any) -> Any:
        return apply("div", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return apply("div", other, self)

    def __matmul__(self, other: Any) -> Any:
        return apply("matmul", self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return apply("matmul", other, self)

    def __neg__(self) -> Any:
        return apply("neg", self)

    def __pow__(self, other: Any) -> Any:
        return apply("pow", self, other)

    # What is true of both ends need not be true between them: there is no rule, and so a refusal by name.

    __hash__ = Ends.__hash__

    def __eq__(self, other: object) -> Any:
        return apply("eq", self, other)

    def __ne__(self, other: object) -> Any:
        return apply("ne", self, other)

    def __lt__(self, other: Any) -> Any:
        return apply("lt", self, other)

    def __le__(self, other: Any) -> Any:
        return apply("le", self, other)

    def __gt__(self, other: Any) -> Any:
        return apply("gt", self, other)

    def __ge__(self, other: Any) -> Any:
        return apply("ge", self, other)

    def is_floating_point(self) -> bool:
        """True: bounds are float64, those of whole numbers too."""
        return True

    def __getattr__(self, name: str) -> Any:
        if name not in RULES and (name.startswith("_") or not callable(getattr(Tensor, name, None))):
            raise AttributeError(name)
        return lambda *args, **kwargs: apply(name, self, *args, **kwargs)


def apply(name: str, *args: Any, **kwargs: Any) -> Any:
    """What the torch function of this name gives of arguments of which some are intervals."""
    rule = RULES.get(name)
    if rule is None:
        raise NoBoundsError(f"there are no bounds for {name} of a signal")
    return rule(*args, **kwargs)
