"""ONNX operators that put numbers elsewhere, repeat them, pad them, or say how many there are.

In and out as in :mod:`twins.onnx.operators`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as f

from pulseproof.twins.onnx.node import Node, plain
from pulseproof.twins.onnx.types import CASTS, type_name
from pulseproof.twins.steps import Run, expect_room


def for_torch(before: list[int], after: list[int]) -> list[int]:
    """Pads in torch's order: the last axis first, (before, after) of each."""
    return [size for pair in zip(reversed(before), reversed(after), strict=True) for size in pair]


def _reshape(node: Node) -> Run:
    old, wanted = node.value(0).shape, node.integers(1) or []
    if node.get("allowzero", 0):
        if 0 in wanted:
            raise node.refusal("allowzero=1")
        shape = wanted
    else:
        shape = [old[at] if size == 0 else size for at, size in enumerate(wanted)]
    return lambda x, _: x.reshape(shape)


def _flatten(node: Node) -> Run:
    axis = node.get("axis", 1) % (node.value(0).ndim + 1)
    rows = node.value(0).shape[:axis].numel()
    return lambda x: x.reshape(rows, -1)


def _transpose(node: Node) -> Run:
    order = node.get("perm", list(reversed(range(node.value(0).ndim))))
    return lambda x: x.permute(order)


def _unsqueeze(node: Node) -> Run:
    axes = node.integers(1, "axes") or []
    ndim = node.value(0).ndim + len(axes)
    places = sorted(axis % ndim for axis in axes)

    def run(x: Tensor, _: Tensor | None = None) -> Tensor:
        for place in places:
            x = x.unsqueeze(place)
        return x

    return run


def _squeeze(node: Node) -> Run:
    shape = node.value(0).shape
    axes = node.integers(1, "axes")
    gone = {at for at, size in enumerate(shape) if size == 1} if axes is None else {axis % len(shape) for axis in axes}
    if any(shape[at] != 1 for at in gone):
        raise node.refusal(f"axes {axes} of a tensor {tuple(shape)}")
    kept = [size for at, size in enumerate(shape) if at not in gone]
    return lambda x, _=None: x.reshape(kept)


def _slice(node: Node) -> Run:
    if node.opset < 10:
        starts, ends, axes, steps = node.get("starts"), node.get("ends"), node.get("axes"), None
    else:
        starts, ends, axes, steps = (node.integers(at) for at in (1, 2, 3, 4))
    starts, ends = starts or [], ends or []
    axes, steps = axes or list(range(len(starts))), steps or [1] * len(starts)
    where = [slice(None)] * node.value(0).ndim
    turned = []
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        if step == -1:
            turned.append(axis)
            size = node.value(0).shape[axis]
            first = min(start if start >= 0 else start + size, size - 1)
            last = end if end >= 0 else end + size if end >= -size else -1
            where[axis] = slice(last + 1, first + 1)
        elif step < 1:
            raise node.refusal(f"steps {steps}")
        else:
            where[axis] = slice(*slice(start, end, step).indices(node.value(0).shape[axis]))
    if turned:
        return lambda x, *_: x[tuple(where)].flip(turned)
    return lambda x, *_: x[tuple(where)]


def _concat(node: Node) -> Run:
    axis = node.get("axis")
    return lambda *parts: torch.cat(parts, dim=axis)


def _split(node: Node) -> Run:
    axis = node.get("axis", 0)
    sizes, whole = node.integers(1, "split"), node.value(0).shape[axis]
    if sizes is None:
        parts = node.get("num_outputs", len(node.outputs))
        each = -(-whole // parts)
        sizes = [min(each, whole - at * each) for at in range(parts)]
    return lambda x, _=None: torch.split(x, sizes, dim=axis)


def _gather(node: Node) -> Run:
    axis, indices = node.get("axis", 0) % node.value(0).ndim, node.constant(1)
    size = node.value(0).shape[axis]
    if indices.numel() and not -size <= int(indices.min()) <= int(indices.max()) < size:
        raise node.refusal(f"places outside of {size}")
    chosen = indices.to(torch.int64) % size
    before, after = node.value(0).shape[:axis], node.value(0).shape[axis:][1:]

    def run(x: Tensor, _: Tensor) -> Tensor:
        return x.index_select(axis, chosen.reshape(-1)).reshape((*before, *chosen.shape, *after))

    return run


def _gather_elements(node: Node) -> Run:
    axis = node.get("axis", 0)
    chosen = node.constant(1).to(torch.int64) % node.value(0).shape[axis]
    return lambda x, _: torch.gather(x, axis, chosen)


def _expand(node: Node) -> Run:
    shape = torch.broadcast_shapes(node.value(0).shape, tuple(node.integers(1) or []))
    return lambda x, _: x.expand(shape)


def _tile(node: Node) -> Run:
    times = node.integers(1) or []
    return lambda x, _: x.repeat(times)


def _pad(node: Node) -> Run:
    way = {"constant": "constant", "edge": "replicate", "reflect": "reflect"}.get(node.get("mode", "constant"))
    ndim = node.value(0).ndim
    pads = (node.integers(1) if node.opset >= 11 else node.get("pads")) or []
    axes = [axis % ndim for axis in node.integers(3) or range(ndim)]
    before, after = [0] * ndim, [0] * ndim
    for at, axis in enumerate(axes):
        before[axis], after[axis] = pads[at], pads[at + len(axes)]
    if way is None or (way != "constant" and (ndim not in (3, 4) or any(before[:2] + after[:2]))):
        raise node.refusal(f"mode={node.get('mode')}")
    if way != "constant":
        sizes = for_torch(before[2:], after[2:])
        return lambda x, *_: f.pad(x, sizes, mode=way)
    value = node.get("value", 0.0) if node.opset < 11 else float(node.constant(2)) if node.given(2) else 0.0
    sizes = for_torch(before, after)
    return lambda x, *_: f.pad(x, sizes, value=value)


def _cast(node: Node) -> Run:
    to = node.get("to")
    if to not in CASTS:
        raise node.refusal(f"data type {type_name(to)}")
    return lambda x: x.to(CASTS[to])


def _shape(node: Node) -> Run:
    start, end = node.get("start", 0), node.get("end")
    return lambda x: torch.tensor(x.shape[start:end], dtype=torch.int64)


def _filled(node: Node) -> Run:
    import numpy as np
    import onnx

    held = node.get("value")
    value = torch.zeros(1) if held is None else torch.from_numpy(np.array(onnx.numpy_helper.to_array(held)))
    shape = node.integers(0) or []
    expect_room(node.operator, shape)
    return lambda _: torch.full(shape, value.reshape(()).item(), dtype=value.dtype)


def _range(node: Node) -> Run:
    kind, (first, last, by) = node.constant(0).dtype, (node.constant(at).reshape(()).item() for at in range(3))
    expect_room(node.operator, [max(0, int((last - first) / by)) if by else 2**62])
    return lambda *_: torch.arange(first, last, by, dtype=kind)


def _resize(node: Node) -> Run:
    """Repeats samples a whole number of times, or draws lines between them, along the last axis or the last two."""
    old = node.value(0).shape
    if node.operator == "Upsample":
        scales = node.constant(1).reshape(-1).tolist() if node.given(1) else node.get("scales")
        sizes = [int(size * by) for size, by in zip(old, scales, strict=True)]
        asked = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    else:
        places = (1, 2) if node.opset < 11 else (2, 3)
        if node.given(places[1]) and node.constant(places[1]).numel():
            sizes = node.integers(places[1]) or []
        else:
            scales = node.constant(1 if node.opset < 11 else 2).reshape(-1).tolist()
            sizes = [int(size * by) for size, by in zip(old, scales, strict=True)]
        default = "asymmetric" if node.opset < 11 else "half_pixel"
        asked = {
            "coordinate_transformation_mode": node.get("coordinate_transformation_mode", default),
            "nearest_mode": node.get("nearest_mode", "floor" if node.opset < 11 else "round_prefer_floor"),
        }
    node.demand(antialias=0)
    mode, way = node.get("mode", "nearest"), asked["coordinate_transformation_mode"]
    axes = len(old) - 2
    if axes not in (1, 2) or list(sizes[:2]) != list(old[:2]):
        raise node.refusal(f"sizes {sizes} of a tensor {tuple(old)}")
    expect_room(node.operator, sizes)
    whole = all(size % before == 0 for size, before in zip(sizes, old, strict=True))
    if mode == "nearest" and whole and (way != "align_corners"):
        # Of a whole number of times every way of counting repeats each sample as often, but asymmetric's rounding up.
        if way == "asymmetric" and asked["nearest_mode"] != "floor":
            raise node.refusal(f"nearest_mode={asked['nearest_mode']}")
        return lambda x, *_: f.interpolate(x, size=sizes[2:], mode="nearest")
    if mode in ("linear", "bilinear") and way in ("half_pixel", "pytorch_half_pixel", "align_corners"):
        kind, corners = ("linear", "bilinear")[axes - 1], way == "align_corners"
        return lambda x, *_: f.interpolate(x, size=sizes[2:], mode=kind, align_corners=corners)
    raise node.refusal(f"mode={mode}, {way}")


def _reversed(node: Node) -> Run:
    """ReverseSequence, where every recording is as long as the axis of time."""
    time, lengths = node.get("time_axis", 0), node.constant(1)
    if bool((lengths != node.value(0).shape[time]).any()):
        raise node.refusal("lengths other than that of the signal")
    return lambda x, _: x.flip(time)


def _triangle(node: Node) -> Run:
    offset, upper = int(node.constant(1)) if node.given(1) else 0, node.get("upper", 1)
    cut = torch.triu if upper else torch.tril
    return lambda x, _=None: cut(x, offset)


MOVES: dict[str, Callable[[Node], Run]] = {
    "Cast": _cast,
    "CastLike": plain(lambda x, other: x.to(other.dtype)),
    "Concat": _concat,
    "ConstantOfShape": _filled,
    "Dropout": plain(lambda x, *_: (x, torch.ones(x.shape, dtype=torch.bool))),
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "Identity": plain(lambda x: x),
    "Pad": _pad,
    "Range": _range,
    "Reshape": _reshape,
    "Resize": _resize,
    "ReverseSequence": _reversed,
    "Shape": _shape,
    "Size": plain(lambda x: torch.tensor(x.numel(), dtype=torch.int64)),
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Trilu": _triangle,
    "Unsqueeze": _unsqueeze,
    "Upsample": _resize,
}
