"""Inputs of a TFLite file beside the signal, held inside its graph: at numbers, or at RR intervals of the recording.

In: a model that is written (:class:`~models.front.tflite_nodes.TfliteNodes`) and an
:class:`~models.front.others.OtherInput`. Out: a constant in the place of that input, or operators that feed it.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from pulseproof.models.front.others import SHARE, TINY, OtherInput, RrPlan
from pulseproof.models.front.tflite_nodes import FLOAT32, TfliteNodes, reshape_options

TYPES = {
    getattr(schema.TensorType, name.upper()): np.dtype(name)
    for name in ("float32", "float16", "float64", "int8", "uint8", "int16", "uint16", "int32", "int64", "bool")
}


def put_other(made: TfliteNodes, other: OtherInput, signal: int, own: int) -> None:
    """Write what feeds the tensor ``own``, an input of the file; ``signal``: the recording in millivolts."""
    tensor = made.graph.tensors[own]
    if other.rr is None:
        values = np.array(other.values).astype(TYPES[tensor.type])
        made.hold(own, values, other.shape)
        return
    x = _intervals(made, other.rr, signal)
    if tensor.type == FLOAT32:
        made.add("RESHAPE", [x, made.held(other.shape)], own, reshape_options(other.shape))
    else:
        made.add("QUANTIZE", [made.reshape(x, other.shape)], own, schema.QuantizeOptionsT())


def _intervals(made: TfliteNodes, plan: RrPlan, signal: int) -> int:
    """As :class:`models.front.rr_module.RrModule`."""
    length = plan.samples - 2 * plan.slope
    slope = made.pair("SUB", made.slice(signal, 2 * plan.slope, length), made.slice(signal, 0, length))
    energy = made.reduce("MEAN", made.pair("MUL", slope, slope), (1,))
    energy = made.smoothed(energy, plan.smooth)
    own = made.slice(energy, plan.own[0], plan.own[1] - plan.own[0] + 1)
    beat = _weighed(made, own, _places(made, plan.own[0], plan.own[1] + 1))
    most = made.reduce("REDUCE_MAX", own, (2,))
    found = [_neighbour(made, plan, way, energy, beat, most) for way in plan.of]
    options = schema.ConcatenationOptionsT()
    options.axis = 2
    x = found[0] if len(found) == 1 else made.computed("CONCATENATION", found, (1, 1, len(found)), options)
    x = made.scalar("MUL", x, plan.scale)
    return made.scalar("ADD", x, plan.offset) if plan.offset else x


def _neighbour(made: TfliteNodes, plan: RrPlan, way: int, energy: int, beat: int, most: int) -> int:
    first, count = plan.side(way)
    seen, here = _part(made, energy, first, count), _places(made, first, first + count)
    largest = made.reduce("REDUCE_MAX", seen, (2,))
    least = made.computed("MINIMUM", [largest, most], (1, 1, 1), schema.MaximumMinimumOptionsT())
    above = made.greater(seen, made.scalar("MUL", least, SHARE))
    end = made.held([[[plan.places]]], np.float32)
    distance = here if way < 0 else made.held(plan.places - np.arange(first, first + count)[None, None], np.float32)
    edge = made.reduce("REDUCE_MAX", made.pair("MUL", above, distance), (2,))
    edge = edge if way < 0 else made.pair("SUB", end, edge)
    far, close = made.scalar("ADD", edge, way * (plan.hump + 0.5)), made.scalar("ADD", edge, -way * 0.5)
    low, high = (far, close) if way < 0 else (close, far)
    near = made.pair("MUL", made.greater(here, low), made.greater(high, here))
    place = _weighed(made, made.pair("MUL", seen, near), here)
    return made.pair("SUB", beat, place) if way < 0 else made.pair("SUB", place, beat)


def _weighed(made: TfliteNodes, energy: int, places: int) -> int:
    weights = made.pair("MUL", energy, energy)
    above, below = (made.reduce("MEAN", one, (2,)) for one in (made.pair("MUL", weights, places), weights))
    return made.pair("DIV", above, made.scalar("ADD", below, TINY))


def _part(made: TfliteNodes, x: int, first: int, count: int) -> int:
    return x if (first, count) == (0, made.shape(x)[2]) else made.slice(x, first, count)


def _places(made: TfliteNodes, first: int, last: int) -> int:
    return made.held(np.arange(first, last)[None, None], np.float32)
