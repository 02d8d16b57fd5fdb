"""Operators that move numbers and change none: views, one copy with a step along each axis, or several of these.

In and out as in :mod:`firmware.operators`. RESHAPE and its kin cost nothing: the same memory under another shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pulseproof.firmware.graph import NetOperator, NetTensor
from pulseproof.firmware.step import CStep, filled, padded, row_major

SOURCES = ("move.c",)
COPY = """\
    {
        static const pp_move move = {
            .size = $size,
            .from = $start,
            .to = $end,
        };
        pp_copy(&move, $x, $y);
    }
"""


def _view(operator: NetOperator) -> CStep:
    operator.same_scale(operator.x())
    operator.gives(operator.x().size)
    return CStep(operator, inputs=(operator.x(),), names=("x",), view=True)


def _copy(
    operator: NetOperator,
    size: Sequence[int],
    from_steps: Sequence[int],
    to_steps: Sequence[int],
    from_place: int = 0,
    to_place: int = 0,
    name: str = "x",
) -> str:
    sizes, start, end = padded(operator, size, from_steps, to_steps)
    x, y = (f"{one} + {place}" if place else one for one, place in ((name, from_place), ("y", to_place)))
    return filled(COPY, size=sizes, start=start, end=end, x=x, y=y)


def _of_one(operator: NetOperator, body: str) -> CStep:
    operator.same_scale(operator.x())
    return CStep(operator, f"{body}    return 0;", (operator.x(),), ("x",), sources=SOURCES)


def _transpose(operator: NetOperator) -> CStep:
    x, order = operator.x(), [int(one) for one in operator.constant(1).ravel()]
    steps = row_major(x.shape)
    operator.gives(*(x.shape[axis] for axis in order))
    if sorted(order) != list(range(len(x.shape))):
        raise operator.refusal(f"in the order {order}")
    return _of_one(
        operator, _copy(operator, operator.y.shape, [steps[axis] for axis in order], row_major(operator.y.shape))
    )


def _pad(operator: NetOperator) -> CStep:
    x, y = operator.x(), operator.y
    pads = operator.constant(1).reshape(-1, 2)
    if pads.min() < 0:
        raise operator.refusal("that cuts")
    operator.gives(*(size + int(sum(pair)) for size, pair in zip(x.shape, pads, strict=True)))
    filling = int(operator.constant(2)) if len(operator.inputs) > 2 and operator.inputs[2] is not None else y.zero
    steps = row_major(y.shape)
    place = sum(int(before) * step for (before, _), step in zip(pads, steps, strict=True))
    body = f"    memset(y, {filling}, {y.size});\n"
    return _of_one(operator, body + _copy(operator, x.shape, row_major(x.shape), steps, 0, place))


def _slice(operator: NetOperator) -> CStep:
    x = operator.x()
    steps = row_major(x.shape)
    first, sizes = (operator.constant(at).ravel() for at in (1, 2))
    wanted = [
        int(size) if size >= 0 else whole - int(at) for at, size, whole in zip(first, sizes, x.shape, strict=True)
    ]
    operator.gives(*wanted)
    if any(not 0 <= at <= at + size <= whole for at, size, whole in zip(first, wanted, x.shape, strict=True)):
        raise operator.refusal("beyond its input")
    place = sum(int(at) * step for at, step in zip(first, steps, strict=True))
    return _of_one(operator, _copy(operator, wanted, steps, row_major(wanted), place))


def _strided(operator: NetOperator) -> CStep:
    x = operator.x()
    if operator.option("ellipsisMask") or operator.option("newAxisMask"):
        raise operator.refusal("with an ellipsis or new axes")
    begin, end, strides = ([int(one) for one in operator.constant(at).ravel()] for at in (1, 2, 3))
    masks = operator.option("beginMask"), operator.option("endMask"), operator.option("shrinkAxisMask")
    sizes, steps, place = [], [], 0
    for axis, step in enumerate(row_major(x.shape)):
        masked = [bool(mask >> axis & 1) for mask in masks]
        if axis >= len(begin):
            chosen = range(x.shape[axis])
        elif masked[2]:
            first = begin[axis] + (x.shape[axis] if begin[axis] < 0 else 0)
            chosen = range(x.shape[axis])[first : first + 1]
        else:
            window = slice(None if masked[0] else begin[axis], None if masked[1] else end[axis], strides[axis])
            chosen = range(x.shape[axis])[window]
        place += (chosen[0] if len(chosen) else 0) * step
        sizes.append(len(chosen))
        steps.append(chosen.step * step)
    operator.gives(*sizes)
    return _of_one(operator, _copy(operator, sizes, steps, row_major(sizes), place))


def _concat(operator: NetOperator) -> CStep:
    y, axis = operator.y, int(operator.option("axis")) % len(operator.y.shape)
    if operator.option("fusedActivationFunction"):
        raise operator.refusal("with an activation")
    return _joined(operator, axis, [operator.x(at) for at in range(len(operator.inputs))], [*y.shape])


def _pack(operator: NetOperator) -> CStep:
    axis = int(operator.option("axis")) % len(operator.y.shape)
    return _joined(operator, axis, [operator.x(at) for at in range(len(operator.inputs))], [*operator.y.shape])


def _joined(operator: NetOperator, axis: int, parts: list[NetTensor], shape: list[int]) -> CStep:
    """Parts side by side along an axis; a part may lack it (PACK), then it is one long."""
    operator.same_scale(*parts)
    steps, body, at = row_major(shape), "", 0
    names = [f"x{number}" for number in range(len(parts))]
    for name, part in zip(names, parts, strict=True):
        if part.values is not None:
            raise operator.refusal("of constants")
        size = list(part.shape) if len(part.shape) == len(shape) else [*part.shape[:axis], 1, *part.shape[axis:]]
        if [*size[:axis], *size[axis + 1 :]] != [*shape[:axis], *shape[axis + 1 :]]:
            raise operator.refusal(f"of shapes {part.shape} and {tuple(shape)}")
        body += _copy(operator, size, row_major(size), steps, 0, at * steps[axis], name)
        at += size[axis]
    operator.gives(*shape[:axis], at, *shape[axis + 1 :])
    return CStep(operator, f"{body}    return 0;", tuple(parts), tuple(names), sources=SOURCES)


def _to_batch(operator: NetOperator) -> CStep:
    """Blocks of a recording become recordings: with a convolution between, a dilated one."""
    x, y = operator.x(), operator.y
    body = f"    memset(y, {y.zero}, {y.size});\n"
    for one in _blocks(operator, x.shape, y.shape):
        body += _copy(operator, one.size, one.whole_steps, one.block_steps, one.whole_place, one.block_place)
    return _of_one(operator, body)


def _from_batch(operator: NetOperator) -> CStep:
    """The other way round."""
    body = ""
    for one in _blocks(operator, operator.y.shape, operator.x().shape):
        body += _copy(operator, one.size, one.block_steps, one.whole_steps, one.block_place, one.whole_place)
    return _of_one(operator, body)


@dataclass(frozen=True)
class BlockCopy:
    """The samples of one block: how many along each axis, and where they lie in the whole recording and among the
    blocks."""

    size: list[int]
    whole_steps: list[int]
    block_steps: list[int]
    whole_place: int
    block_place: int


def _blocks(operator: NetOperator, whole: Sequence[int], blocks: Sequence[int]) -> Iterator[BlockCopy]:
    """The copies between a recording of shape ``whole`` and its ``blocks``. Sample t of a block is sample
    ``t * block + offset - before`` of the recording, where ``before`` are padded or cropped."""
    factors = [int(one) for one in operator.constant(1).ravel()]
    befores = [int(one) for one in operator.constant(2).reshape(-1, 2)[:, 0]]
    rest = len(factors) + 1
    if whole[0] != 1 or blocks[0] != math.prod(factors) or tuple(whole[rest:]) != tuple(blocks[rest:]):
        raise operator.refusal("of several recordings")
    whole_steps, block_steps = row_major(whole), row_major(blocks)
    strides = [0, *(step * by for step, by in zip(whole_steps[1:], factors, strict=False))]
    strides += whole_steps[len(strides) :]
    for number, offsets in enumerate(np.ndindex(*factors)):
        size, whole_place, block_place = [1], 0, number * block_steps[0]
        for axis, (by, offset, before) in enumerate(zip(factors, offsets, befores, strict=True), start=1):
            first = max(0, -(-(before - offset) // by))
            last = min((whole[axis] - 1 + before - offset) // by, blocks[axis] - 1)
            size.append(max(0, last - first + 1))
            whole_place += (first * by + offset - before) * whole_steps[axis]
            block_place += first * block_steps[axis]
        if min(size) > 0:
            yield BlockCopy([*size, *whole[len(size) :]], strides, block_steps, whole_place, block_place)


MOVES = {
    "BATCH_TO_SPACE_ND": _from_batch,
    "CONCATENATION": _concat,
    "EXPAND_DIMS": _view,
    "PACK": _pack,
    "PAD": _pad,
    "PADV2": _pad,
    "RESHAPE": _view,
    "SLICE": _slice,
    "SPACE_TO_BATCH_ND": _to_batch,
    "SQUEEZE": _view,
    "STRIDED_SLICE": _strided,
    "TRANSPOSE": _transpose,
}
