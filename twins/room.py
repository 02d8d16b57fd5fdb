"""How much a file may ask for while it is read: what a stranger wrote is bounded before it is computed.

In: torch's operations as they come. Out: the same, or NotCoveredError before one that would give or multiply more
numbers than an attack has room or time for. Sizes stand in a file as numbers, so that a few bytes can ask for hundreds
of gigabytes; torch's own answer is the size on a device that holds nothing ("meta"), which is asked first wherever the
arguments do not already say that it is small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from pulseproof.twins.errors import NotCoveredError

MOST = 2**24  # numbers that one operator gives for one recording: times a batch, they lie in this process
MOST_IN_ALL = 2**32  # numbers that a whole file gives for one recording, and
MOST_PRODUCTS = 2**36  # numbers that it multiplies: minutes; a net for a wearable multiplies 2**20 to 2**30
MOST_OPERATIONS = 2**20  # of torch's, for one recording
_SMALL = 2**16
_PRODUCTS = ("convolution", "mm", "bmm", "addmm", "baddbmm", "linear")


def expect_room(kind: str, sizes: Sequence[int]) -> None:
    """Raises NotCoveredError where an operator of this ``kind`` gives a tensor of these ``sizes`` and it is too
    large."""
    count = math.prod(max(0, int(size)) for size in sizes)
    if count > MOST:
        raise NotCoveredError(f"operator {kind} gives {count:,} numbers a recording, at most {MOST:,} are covered")


class Room(TorchDispatchMode):
    """Within it no operation gives more than :data:`MOST` numbers, and all of them together no more than the rest.
    ``kind``: the operator of the file that is computed, for the sentence."""

    def __init__(self) -> None:
        super().__init__()
        self.kind, self.numbers, self.products, self.operations = "", 0, 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.operations += 1
        if self.operations > MOST_OPERATIONS:
            raise NotCoveredError(f"more than {MOST_OPERATIONS:,} operations a recording are not covered")
        leaves = tree_leaves((args, kwargs))
        tensors = [one for one in leaves if isinstance(one, Tensor)]
        bound = math.prod(max(1, one.numel()) for one in tensors)
        bound *= math.prod(max(1, abs(one)) for one in leaves if type(one) is int)
        if bound > _SMALL:
            self._ask(func, args, kwargs, tensors)
        return func(*args, **kwargs)

    def _ask(self, func: Any, args: Any, kwargs: Any, tensors: Sequence[Tensor]) -> None:
        where = {} if tensors else {"device": "meta"}
        try:
            found = func(*tree_map(_nowhere, args), **{**tree_map(_nowhere, kwargs), **where})
        except NotImplementedError:  # the size depends on the numbers: no more than they are
            found = tensors
        sizes = [one.numel() for one in tree_leaves(found) if isinstance(one, Tensor)]
        expect_room(self.kind, [max(sizes, default=0)])
        self.numbers += sum(sizes)
        if func.__name__.split(".")[0] in _PRODUCTS:
            factor = min((one.numel() // max(1, one.shape[0]) for one in tensors[-2:] if one.ndim > 1), default=1)
            self.products += max(sizes, default=0) * max(1, factor)
        if self.numbers > MOST_IN_ALL or self.products > MOST_PRODUCTS:
            raise NotCoveredError(
                f"more than {MOST_IN_ALL:,} numbers or {MOST_PRODUCTS:,} products a recording are not covered"
            )


def _nowhere(value: Any) -> Any:
    return torch.empty_like(value, device="meta") if isinstance(value, Tensor) else value
