"""A front and a tail in a TFLite file, before and behind its own graph, of which no operator and no number is changed.

In: the bytes of a checked file, a :class:`~models.front.plan.Front`, a :class:`~models.front.tail.Tail`. Out: the file
with more operators, all float32 and all of those that LiteRT and tflite-runtime both have; an input or output of whole
numbers gets a QUANTIZE or DEQUANTIZE between. Run by a process of its own for a stranger's file
(:mod:`models.front.tflite_child`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from pulseproof.models.front.plan import Front
from pulseproof.models.front.tail import Tail
from pulseproof.models.front.tflite_nodes import FLOAT32, PREFIX, TfliteNodes, reshape_options
from pulseproof.models.front.tflite_others import put_other

VALID = schema.Padding.VALID


def with_front_and_tail(content: bytes, front: Front, tail: Tail, output: int = 0) -> bytes:
    """The file with its front and tail; ``output``: which of its outputs is meant, in their order."""
    made = _Dressed(flatbuffer_utils.read_model_from_bytearray(bytearray(content)))
    own = list(made.graph.operators)
    chosen = int(made.graph.outputs[output])
    if len(made.graph.outputs) > 1:
        own = _needed(own, chosen)
    made.graph.operators = []
    held = {other.name: other for other in front.others}
    own_of = {at: _name(made.graph.tensors[at]) for at in map(int, made.graph.inputs)}
    signal = given = next(at for at, name in own_of.items() if name not in held)
    if not front.nothing or made.graph.tensors[signal].type == schema.TensorType.UINT8:
        signal = made.put_front(front, signal)
    for at, name in own_of.items():
        if at != given:
            put_other(made, held[name], signal, at)
    made.graph.operators += own
    scores = made.put_tail(tail, chosen)
    made.graph.inputs, made.graph.outputs = [signal], [scores]
    made.model.signatureDefs = None
    return made.packed()


def _name(tensor: Any) -> str:
    return bytes(tensor.name or b"").decode("utf-8", "replace")


def _needed(operators: Sequence[Any], output: int) -> list[Any]:
    """The operators of which an output is made."""
    wanted, kept = {output}, []
    for operator in reversed(operators):
        if wanted & {int(at) for at in operator.outputs}:
            kept.append(operator)
            wanted |= {int(at) for at in operator.inputs}
    return kept[::-1]


class _Dressed(TfliteNodes):
    """A model that gets a front and a tail; every method takes and gives the number of a tensor."""

    def put_front(self, front: Front, own: int) -> int:
        """The front that ends in the tensor ``own``, the file's input; returns the new input."""
        signal = x = self.tensor(f"{PREFIX}signal", (1, front.leads, front.samples))
        if front.clip_mv is not None:
            for operator, most in (("MINIMUM", front.clip_mv), ("MAXIMUM", -front.clip_mv)):
                bound = self.held([most], np.float32)
                x = self.computed(operator, [x, bound], self.shape(x), schema.MaximumMinimumOptionsT())
        x = self.gather(x, front.order) if front.order is not None else x
        x = self.slice(x, *front.window) if front.window is not None else x
        x = self.resampled(front, x) if front.resampling is not None else x
        x = self.scalar("MUL", x, front.per_mv) if front.per_mv != 1 else x
        x = self.normalised(front, x)
        x = self.scalar("MUL", x, front.scale) if front.scale != 1 else x
        x = self.scalar("ADD", x, front.offset) if front.offset else x
        x = self.transpose(x, (0, 2, 1)) if front.layout.turned else x
        shape = front.layout.shape
        if self.graph.tensors[own].type == FLOAT32:
            self.add("RESHAPE", [x, self.held(shape)], own, reshape_options(shape))
        else:
            self.add("QUANTIZE", [self.reshape(x, shape)], own, schema.QuantizeOptionsT())
        return signal

    def resampled(self, front: Front, x: int) -> int:
        how, (leads, length) = front.resampling, front.sees
        assert how is not None
        mean = self.reduce("MEAN", x, (2,))
        samples = self.shape(x)[2]
        x = self.reshape(self.pair("SUB", x, mean), (1, leads, samples, 1))
        pads = ((0, 0), (0, 0), (how.before, how.after), (0, 0))
        padded = (1, leads, samples + how.before + how.after, 1)
        x = self.computed("PAD", [x, self.held(pads)], padded, schema.PadOptionsT())
        options = schema.Conv2DOptionsT()
        options.padding, options.strideH, options.strideW = VALID, 1, how.down
        options.dilationHFactor = options.dilationWFactor = 1
        kernel, bias = self.held(how.kernel[:, None, :, None], np.float32), self.held(np.zeros(how.up), np.float32)
        x = self.computed("CONV_2D", [x, kernel, bias], (1, leads, how.blocks, how.up), options)
        x = self.reshape(x, (1, leads, how.blocks * how.up))
        x = self.slice(x, 0, length) if how.blocks * how.up != length else x
        return self.pair("ADD", x, mean)

    def normalised(self, front: Front, x: int) -> int:
        how = front.normalise
        if how in ("zscore", "zscore-lead"):
            axes = (1, 2) if how == "zscore" else (2,)
            centred = self.pair("SUB", x, self.reduce("MEAN", x, axes))
            variance = self.reduce("MEAN", self.pair("MUL", centred, centred), axes)
            small = self.scalar("ADD", variance, front.small**2)
            return self.pair("DIV", centred, self.computed("SQRT", [small], self.shape(small)))
        if how == "minmax":
            low, high = (self.reduce(operator, x, (1, 2)) for operator in ("REDUCE_MIN", "REDUCE_MAX"))
            return self._ranged(front, x, low, low, high)
        if how == "robust":
            shape = self.shape(x)
            ordered, places = self.tensor(self.named("sorted"), shape), self.tensor(self.named("of"), shape, np.int32)
            count = self.constant(self.named("constant"), np.array(shape[2], np.int32))
            self.add("TOPK_V2", [x, count], ordered, schema.TopKV2OptionsT(), 1, places)
            low, middle, high = (self._weighted(ordered, pairs) for pairs in front.quartiles)
            return self._ranged(front, x, middle, low, high)
        return x

    def _ranged(self, front: Front, x: int, zero: int, low: int, high: int) -> int:
        return self.pair("DIV", self.pair("SUB", x, zero), self.scalar("ADD", self.pair("SUB", high, low), front.small))

    def _weighted(self, ordered: int, pairs: Sequence[tuple[int, float]]) -> int:
        parts = [self.scalar("MUL", self.slice(ordered, place, 1), weight) for place, weight in pairs]
        return parts[0] if len(parts) == 1 else self.pair("ADD", *parts)

    def put_tail(self, tail: Tail, own: int) -> int:
        """The tail behind the tensor ``own``, the file's output; returns the new output, or ``own`` where none is
        needed."""
        kind, shape = self.graph.tensors[own].type, (1, tail.classes)
        right = tail.nothing and self.shape(own) == shape
        if right and kind != schema.TensorType.UINT8:
            return own
        x = own
        if kind != FLOAT32:
            x = self.tensor(self.named("dequantize"), self.shape(own))
            self.add("DEQUANTIZE", [own], x, schema.DequantizeOptionsT(), 1 if kind == schema.TensorType.UINT8 else 2)
        if self.shape(x) != (1, tail.given):
            x = self.reshape(x, (1, tail.given))
        if tail.columns is not None:
            x = self.gather(x, tail.columns)
        if tail.difference:
            x = self.pair("SUB", self.gather(x, (1,)), self.gather(x, (0,)))
        if tail.complement is not None:
            other = self.scalar("MUL", x, -1.0)
            other = self.scalar("ADD", other, 1.0) if tail.probability else other
            options = schema.ConcatenationOptionsT()
            options.axis = 1
            x = self.computed("CONCATENATION", [other, x] if tail.complement == 1 else [x, other], shape, options)
        return x
