"""Inputs of an ONNX file beside the signal, held inside its graph: at numbers, or at RR intervals of the recording.

In: nodes that stand before a file's graph (:class:`~models.front.onnx_nodes.FrontNodes`) and an
:class:`~models.front.others.OtherInput`. Out: more of them, the last of which feeds that input.
"""

from __future__ import annotations

import numpy as np

from pulseproof.models.front.onnx_nodes import FLOAT, FrontNodes
from pulseproof.models.front.others import SHARE, TINY, OtherInput, RrPlan


def put_other(nodes: FrontNodes, other: OtherInput, signal: str, kind: int) -> None:
    """Write what feeds one input, a tensor of the type ``kind`` (of TensorProto.DataType)."""
    from onnx import helper

    if other.rr is None:
        values = np.array(other.values).reshape(other.shape)
        x = nodes.constant(values, helper.tensor_dtype_to_np_dtype(kind))
    else:
        x = nodes.reshape(_intervals(nodes, other.rr, signal), other.shape)
        x = nodes.add("Cast", x, to=kind) if kind != FLOAT else x
    nodes.add("Identity", x)
    nodes.made[-1].output[0] = other.name


def _intervals(nodes: FrontNodes, plan: RrPlan, signal: str) -> str:
    """As :class:`models.front.rr_module.RrModule`."""
    length = plan.samples - 2 * plan.slope
    slope = nodes.add("Sub", nodes.slice(signal, 2 * plan.slope, length), nodes.slice(signal, 0, length))
    energy = nodes.reduce("ReduceMean", nodes.add("Mul", slope, slope), (1,))
    energy = nodes.add("AveragePool", energy, kernel_shape=[plan.smooth])
    own = nodes.slice(energy, plan.own[0], plan.own[1] - plan.own[0] + 1)
    beat = _weighed(nodes, own, _places(nodes, plan.own[0], plan.own[1] + 1))
    most = nodes.reduce("ReduceMax", own, (2,))
    found = [_neighbour(nodes, plan, way, energy, beat, most) for way in plan.of]
    x = found[0] if len(found) == 1 else nodes.add("Concat", *found, axis=2)
    x = nodes.scalar("Mul", x, plan.scale)
    return nodes.scalar("Add", x, plan.offset) if plan.offset else x


def _neighbour(nodes: FrontNodes, plan: RrPlan, way: int, energy: str, beat: str, most: str) -> str:
    first, count = plan.side(way)
    seen, here = nodes.slice(energy, first, count), _places(nodes, first, first + count)
    least = nodes.scalar("Mul", nodes.add("Min", nodes.reduce("ReduceMax", seen, (2,)), most), SHARE)
    above = nodes.add("Cast", nodes.add("Greater", seen, least), to=FLOAT)
    end = nodes.constant([plan.places], np.float32)
    edge = nodes.reduce("ReduceMax", nodes.add("Mul", here if way < 0 else nodes.add("Sub", end, here), above), (2,))
    edge = edge if way < 0 else nodes.add("Sub", end, edge)
    far, close = nodes.scalar("Add", edge, way * (plan.hump + 0.5)), nodes.scalar("Add", edge, -way * 0.5)
    low, high = (far, close) if way < 0 else (close, far)
    inside = (nodes.add("Greater", here, low), nodes.add("Greater", high, here))
    near = nodes.add("Mul", *(nodes.add("Cast", one, to=FLOAT) for one in inside))
    place = _weighed(nodes, nodes.add("Mul", seen, near), here)
    return nodes.add("Sub", beat, place) if way < 0 else nodes.add("Sub", place, beat)


def _weighed(nodes: FrontNodes, energy: str, places: str) -> str:
    weights = nodes.add("Mul", energy, energy)
    above, below = (nodes.reduce("ReduceMean", one, (2,)) for one in (nodes.add("Mul", weights, places), weights))
    return nodes.add("Div", above, nodes.scalar("Add", below, TINY))


def _places(nodes: FrontNodes, first: int, last: int) -> str:
    return nodes.constant(np.arange(first, last)[None, None], np.float32)
