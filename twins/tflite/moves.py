"""TFLite operators that put numbers elsewhere, repeat them, pad them, bring them to another scale, or count them.

In and out as in :mod:`twins.tflite.operators`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as f

from pulseproof.twins.steps import Run, expect_room
from pulseproof.twins.tflite.node import Operator, along, same_meaning, to_steps


def _moves(read: Callable[[Operator], Run]) -> Callable[[Operator], Run]:
    """For operators that only put numbers elsewhere."""

    def checked(operator: Operator) -> Run:
        same_meaning(operator, [operator.meaning(0)])
        return read(operator)

    return checked


def _reshape(operator: Operator) -> Run:
    if operator.known(1):
        shape = operator.integers(1)
    elif operator.option("newShape") is not None:
        shape = [int(size) for size in operator.option("newShape")]
    else:
        shape = list(operator.result.shape)
    return lambda x, *_: x.reshape(shape)


def _expand(operator: Operator) -> Run:
    axis = int(operator.constant(1))
    return lambda x, _: x.unsqueeze(axis)


def _squeeze(operator: Operator) -> Run:
    shape = operator.shape(0)
    asked = operator.option("squeezeDims")
    axes = {int(axis) % len(shape) for axis in ([] if asked is None else asked)}
    gone = axes or {at for at, size in enumerate(shape) if size == 1}
    if any(shape[at] != 1 for at in gone):
        raise operator.refusal(f"axes {sorted(gone)} of a tensor {shape}")
    kept = [size for at, size in enumerate(shape) if at not in gone]
    return lambda x: x.reshape(kept)


def _transpose(operator: Operator) -> Run:
    order = operator.integers(1)
    return lambda x, _: x.permute(order)


def _pads(operator: Operator) -> list[int]:
    pairs = operator.constant(1).reshape(-1, 2).tolist()
    return [int(size) for pair in reversed(pairs) for size in pair]


def _pad(operator: Operator) -> Run:
    sizes, value = _pads(operator), float(operator.constant(2)) if operator.given(2) else 0.0
    return lambda x, *_: f.pad(x, sizes, value=value)  # with what stands for 0.0, which is 0 less the zero point


def _mirror(operator: Operator) -> Run:
    pairs, edge = operator.constant(1).reshape(-1, 2).tolist(), int(operator.option("mode", 0))
    shape, places = operator.shape(0), []
    for (before, after), size in zip(pairs, shape, strict=True):
        if max(before, after) > size - 1 + edge:
            raise operator.refusal("pads longer than the signal")
        # Without the outermost sample (0), or with it (1).
        left = [before - at - edge for at in range(before)]
        places.append(torch.tensor([*left, *range(size), *(size - 2 + edge - at for at in range(after))]))

    def run(x: Tensor, _: Tensor) -> Tensor:
        for axis, chosen in enumerate(places):
            x = x if len(chosen) == x.shape[axis] else x.index_select(axis, chosen)
        return x

    return run


def _slice(operator: Operator) -> Run:
    starts, sizes = operator.integers(1), operator.integers(2)
    where = tuple(slice(start, None if size < 0 else start + size) for start, size in zip(starts, sizes, strict=True))
    return lambda x, *_: x[where]


def _strided(operator: Operator) -> Run:
    """A slice as Python writes it. Bit k of a mask is of the k-th entry."""
    if operator.option("ellipsisMask", 0) or operator.option("newAxisMask", 0) or operator.option("offset", False):
        raise operator.refusal("an ellipsis, a new axis or an offset")
    starts, ends, steps = (operator.integers(at) for at in (1, 2, 3))
    masks = [int(operator.option(name, 0)) for name in ("beginMask", "endMask", "shrinkAxisMask")]
    where: list[slice | int] = []
    turned = []
    for at, (start, end, step) in enumerate(zip(starts, ends, steps, strict=True)):
        from_end, to_end, one = (bool(mask >> at & 1) for mask in masks)
        if one:
            where.append(start)
        elif step == -1:
            turned.append(at)
            size = operator.shape(0)[at]
            first = size - 1 if from_end else min(start if start >= 0 else start + size, size - 1)
            last = -1 if to_end else end if end >= 0 else end + size
            where.append(slice(max(last, -1) + 1, first + 1))
        elif step < 1:
            raise operator.refusal(f"steps {steps}")
        else:
            where.append(slice(None if from_end else start, None if to_end else end, step))
    if turned:
        if masks[2]:
            raise operator.refusal("a step of -1 beside an axis that is left out")
        return lambda x, *_: x[tuple(where)].flip(turned)
    return lambda x, *_: x[tuple(where)]


def _concat(operator: Operator) -> Run:
    same_meaning(operator, [operator.meaning(at) for at in range(len(operator.inputs))])
    axis, finish = int(operator.option("axis")), operator.finish()
    if operator.quantized and operator.option("fusedActivationFunction", 0):
        raise operator.refusal("an activation")
    return lambda *parts: torch.cat(parts, dim=axis) if operator.quantized else finish(torch.cat(parts, dim=axis))


def _pack(operator: Operator) -> Run:
    same_meaning(operator, [operator.meaning(at) for at in range(len(operator.inputs))])
    axis = int(operator.option("axis", 0))
    return lambda *parts: torch.stack(parts, dim=axis)


def _unpack(operator: Operator) -> Run:
    axis = int(operator.option("axis", 0))
    return lambda x: torch.unbind(x, dim=axis)


def _split(operator: Operator) -> Run:
    same_meaning(operator, [operator.meaning(1)])
    axis, parts = int(operator.constant(0)), len(operator.outputs)
    if operator.shape(1)[axis] % parts:
        raise operator.refusal(f"{parts} unequal parts")
    return lambda _, x: torch.chunk(x, parts, dim=axis)


def _split_sizes(operator: Operator) -> Run:
    same_meaning(operator, [operator.meaning(0)])
    sizes, axis = operator.integers(1), int(operator.constant(2))
    if -1 in sizes:
        sizes[sizes.index(-1)] = operator.shape(0)[axis] - sum(sizes) - 1
    return lambda x, *_: torch.split(x, sizes, dim=axis)


def _gather(operator: Operator) -> Run:
    same_meaning(operator, [operator.meaning(0)])
    if operator.option("batchDims", 0):
        raise operator.refusal("axes of a batch")
    shape = operator.shape(0)
    axis, chosen = int(operator.option("axis", 0)) % len(shape), operator.constant(1).to(torch.int64)
    if chosen.numel() and not 0 <= int(chosen.min()) <= int(chosen.max()) < shape[axis]:
        raise operator.refusal(f"places outside of {shape[axis]}")
    after = (*shape[:axis], *chosen.shape, *shape[axis + 1 :])
    return lambda x, _: x.index_select(axis, chosen.reshape(-1)).reshape(after)


def _tile(operator: Operator) -> Run:
    times = operator.integers(1)
    return lambda x, _: x.repeat(times)


def _fill(operator: Operator) -> Run:
    shape = operator.integers(0)
    expect_room(operator.kind, shape)
    return lambda _, value: value.reshape(()).expand(shape)


def _reverse(operator: Operator) -> Run:
    axes = operator.integers(1)
    return lambda x, _: x.flip(axes)


def _cast(operator: Operator) -> Run:
    if operator.meaning(0).scale is not None or operator.result.scale is not None:
        raise operator.refusal("integers")
    to = torch.from_numpy(np.zeros(0, operator.result.dtype)).dtype
    return lambda x: x.to(to)


def _shape(operator: Operator) -> Run:
    to = torch.from_numpy(np.zeros(0, operator.result.dtype)).dtype
    return lambda x: torch.tensor(x.shape, dtype=to)


def _quantize(operator: Operator) -> Run:
    before, after, masked = operator.meaning(0), operator.result, operator.masked
    if after.scale is None or len(after.scale) > 1:
        raise operator.refusal("several scales")
    if before.scale is None:
        return lambda x: to_steps(after, masked, x)
    # XNNPACK multiplies by a factor of 8 bits behind the point (``xnn_init_qs8_cvt_params``), off by half a unit.
    slack = 2.0**8 * 2.0**-9 if after.dtype.itemsize == 1 else 0.0
    return operator.finish(before.one, max(slack, before.one / after.one))


def _dequantize(operator: Operator) -> Run:
    before = operator.meaning(0)
    if before.scale is None:
        return lambda x: x.float()  # float16 weights
    scale = along(before, len(before.shape))
    return lambda x: x * scale


def _to_batch(operator: Operator) -> Run:
    """Blocks of the signal become recordings: with a convolution between, a dilated one."""
    same_meaning(operator, [operator.meaning(0)])
    block, pads = operator.integers(1), operator.constant(2).reshape(-1, 2).tolist()
    shape = operator.shape(0)
    sizes = [int(one) for pair in reversed([*pads, *[[0, 0]] * (len(shape) - 1 - len(block))]) for one in pair]
    padded = [size + sum(pair) for size, pair in zip(shape[1:], pads, strict=False)]
    if any(size % by for size, by in zip(padded, block, strict=True)):
        raise operator.refusal(f"blocks {block} of {padded}")
    rest, count = list(shape[1 + len(block) :]), len(block)
    apart = [shape[0], *(one for size, by in zip(padded, block, strict=True) for one in (size // by, by)), *rest]
    order = [*range(2, 2 * count + 1, 2), 0, *range(1, 2 * count, 2), *range(2 * count + 1, len(apart))]
    after = [shape[0] * math.prod(block), *(size // by for size, by in zip(padded, block, strict=True)), *rest]
    return lambda x, *_: f.pad(x, sizes).reshape(apart).permute(order).reshape(after)


def _from_batch(operator: Operator) -> Run:
    same_meaning(operator, [operator.meaning(0)])
    block, crops = operator.integers(1), operator.constant(2).reshape(-1, 2).tolist()
    shape, count = operator.shape(0), len(block)
    number = shape[0] // math.prod(block)
    apart = [*block, number, *shape[1:]]
    order = [count]
    for at in range(count):
        order += [count + 1 + at, at]
    order += list(range(2 * count + 1, len(apart)))
    whole = [size * by for size, by in zip(shape[1:], block, strict=False)]
    joined = [number, *whole, *shape[1 + count :]]
    where = (slice(None), *(slice(one, size - two) for (one, two), size in zip(crops, whole, strict=True)))
    return lambda x, *_: x.reshape(apart).permute(order).reshape(joined)[where]


def _resize(operator: Operator) -> Run:
    """Repeats samples a whole number of times."""
    same_meaning(operator, [operator.meaning(0)])
    _, rows, columns, _ = operator.shape(0)
    sizes = operator.integers(1)
    if operator.option("alignCorners") or sizes[0] % rows or sizes[1] % columns:
        raise operator.refusal(f"sizes {sizes} of {[rows, columns]}")
    expect_room(operator.kind, sizes)
    down, across = sizes[0] // rows, sizes[1] // columns
    return lambda x, _: x.repeat_interleave(down, dim=1).repeat_interleave(across, dim=2)


def _sums_so_far(operator: Operator) -> Run:
    if operator.quantized or operator.option("exclusive") or operator.option("reverse"):
        raise operator.refusal("integers, or another way round")
    axis = int(operator.constant(1))
    return lambda x, _: torch.cumsum(x, dim=axis)


MOVES: dict[str, Callable[[Operator], Run]] = {
    "BATCH_TO_SPACE_ND": _from_batch,
    "CAST": _cast,
    "CONCATENATION": _concat,
    "CUMSUM": _sums_so_far,
    "DEQUANTIZE": _dequantize,
    "EXPAND_DIMS": _moves(_expand),
    "FILL": _fill,
    "GATHER": _gather,
    "MIRROR_PAD": _moves(_mirror),
    "PACK": _pack,
    "PAD": _moves(_pad),
    "PADV2": _moves(_pad),
    "QUANTIZE": _quantize,
    "RESHAPE": _moves(_reshape),
    "RESIZE_NEAREST_NEIGHBOR": _resize,
    "REVERSE_V2": _moves(_reverse),
    "SHAPE": _shape,
    "SLICE": _moves(_slice),
    "SPACE_TO_BATCH_ND": _to_batch,
    "SPLIT": _split,
    "SPLIT_V": _split_sizes,
    "SQUEEZE": _moves(_squeeze),
    "STRIDED_SLICE": _moves(_strided),
    "TILE": _moves(_tile),
    "TRANSPOSE": _moves(_transpose),
    "UNPACK": _moves(_unpack),
    "ZEROS_LIKE": lambda operator: torch.zeros_like,
}
