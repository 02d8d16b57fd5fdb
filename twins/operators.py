"""The operators that ONNX and TFLite share, on tensors with one dimension more in front (see :mod:`twins.graph`).

Axes, pads and shapes are those of the file: axis 0 here is dimension 1 of a tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

Binary = Callable[[Tensor, Tensor], Tensor]
Pads = Sequence[tuple[int, int]]  # before and after, an axis each

UNARY: Mapping[str, Callable[[Tensor], Tensor]] = {
    "abs": torch.abs,
    "exp": torch.exp,
    "identity": lambda x: x,
    "log": torch.log,
    "neg": torch.neg,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "sqrt": torch.sqrt,
    "tanh": torch.tanh,
}
BINARY: Mapping[str, Binary] = {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div}
REDUCE: Mapping[str, Callable[..., Tensor]] = {
    "mean": torch.mean,
    "sum": torch.sum,
    # amax and amin share the gradient among equal values.
    "max": torch.amax,
    "min": torch.amin,
}


def level(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors with as many dimensions each, new ones behind the recordings, so that they broadcast as in the
    file."""
    rank = max(tensor.ndim for tensor in tensors)
    return [tensor.reshape(len(tensor), *[1] * (rank - tensor.ndim), *tensor.shape[1:]) for tensor in tensors]


def broadcast(operator: Binary) -> Binary:
    """An operator between two tensors, in the file's broadcasting."""

    def run(a: Tensor, b: Tensor) -> Tensor:
        return operator(*level((a, b)))

    return run


def inner(axis: int, rank: int) -> int:
    """The dimension of an axis of a tensor that has ``rank`` axes in the file. Raises ValueError for none of them."""
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} of {rank}")
    return axis % rank + 1


def reduce(kind: str, axes: Sequence[int] | None, keep: bool) -> Callable[[Tensor], Tensor]:
    """Mean, sum, max or min over axes (None: all)."""

    def run(x: Tensor) -> Tensor:
        rank = x.ndim - 1
        dims = [inner(axis, rank) for axis in (range(rank) if axes is None else axes)]
        return REDUCE[kind](x, dim=dims, keepdim=keep)

    return run


def reshape(shape: Sequence[int]) -> Callable[[Tensor], Tensor]:
    """To a shape of the file; -1 is what is left over."""

    def run(x: Tensor) -> Tensor:
        return x.reshape(len(x), *shape)

    return run


def transpose(order: Sequence[int]) -> Callable[[Tensor], Tensor]:
    """Axes in another order."""

    def run(x: Tensor) -> Tensor:
        return x.permute(0, *(inner(axis, x.ndim - 1) for axis in order))

    return run


def concatenate(axis: int) -> Callable[..., Tensor]:
    """One tensor behind the other; one that depends on no recording is repeated."""

    def run(*tensors: Tensor) -> Tensor:
        n = max(len(tensor) for tensor in tensors)
        return torch.cat([tensor.expand(n, *tensor.shape[1:]) for tensor in tensors], inner(axis, tensors[0].ndim - 1))

    return run


def pad(pads: Pads, value: float) -> Callable[[Tensor], Tensor]:
    """Constant values before and after."""
    flat = [count for pair in reversed(pads) for count in pair]

    def run(x: Tensor) -> Tensor:
        return functional.pad(x, flat, value=value)

    return run


def cut(spans: Mapping[int, tuple[int, int]]) -> Callable[[Tensor], Tensor]:
    """{axis: (first, count)} of a tensor, all of the other axes."""

    def run(x: Tensor) -> Tensor:
        for axis, (first, count) in spans.items():
            x = x.narrow(inner(axis, x.ndim - 1), first, count)
        return x

    return run


def convolve(
    strides: Sequence[int], dilations: Sequence[int], groups: int, pads: Pads
) -> Callable[[Tensor, Tensor, Tensor | None], Tensor]:
    """One- or two-dimensional convolution of channels-first tensors; weights (1, out, in / groups, *kernel)."""
    even = all(before == after for before, after in pads)
    flat_pads = [count for pair in reversed(pads) for count in pair]

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        convolution = functional.conv1d if weight.ndim == 4 else functional.conv2d
        flat = x.flatten(0, 1)
        made = convolution(
            flat if even else functional.pad(flat, flat_pads),
            weight[0],
            None if bias is None else bias[0],
            stride=tuple(strides),
            padding=tuple(before for before, _ in pads) if even else 0,
            dilation=tuple(dilations),
            groups=groups,
        )
        return made.unflatten(0, x.shape[:2])

    return run


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias``; weights (1, out, in)."""
    return functional.linear(x, weight[0], None if bias is None else bias[0])
