"""The graph of a full-integer TFLite file, as the operators of a firmware see it.

In: a ``.tflite`` file, read by :mod:`twins.tflite.format`. Out: a :class:`NetGraph`: tensors with what their numbers
mean, operators with their options, and the int8 tensors at which it begins and ends. A QUANTIZE at the entrance and a
DEQUANTIZE at the exit are left to who calls the firmware; what only computes shapes is left out, since every shape is
known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.errors import InputError
from pulseproof.twins.tflite.format import TYPES, TfliteFile

KINDS = {code: dtype for dtype, code in TYPES.items()}
INT8, INT16 = np.dtype(np.int8), np.dtype(np.int16)
INTEGERS = (np.dtype(np.int32), np.dtype(np.int64))
MEND = "export the model as tflite-int8-full, or run this file on a device with an engine"


class NotInFirmwareError(InputError):
    """A file, or an operator of it, that is not made into firmware. One sentence that names it."""

    def __init__(self, what: str) -> None:
        super().__init__(what, MEND)

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str]]:
        return InputError, (self.what, self.mend)


@dataclass(frozen=True)
class NetTensor:
    """One tensor: ``scales`` float32 (1,) or (channels,), empty where it has none; its numbers mean
    ``scale * (q - zero)``. ``values``: those of a constant, in its shape."""

    at: int
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scales: NDArray[np.float32]
    zero: int
    values: NDArray[Any] | None

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def scale(self) -> np.float32:
        """The one scale of a tensor that has one."""
        found: np.float32 = self.scales[0]
        return found

    @property
    def activation(self) -> bool:
        """True for int8 numbers of one scale, which is what a firmware computes with."""
        return self.dtype == INT8 and len(self.scales) == 1


@dataclass(frozen=True)
class NetOperator:
    """One operator. ``inputs``: None for one that is left out."""

    at: int
    kind: str
    inputs: tuple[NetTensor | None, ...]
    outputs: tuple[NetTensor, ...]
    hidden: tuple[NetTensor, ...]  # its intermediates
    options: Any

    def option(self, name: str, default: Any = None) -> Any:
        """One of its options."""
        return default if self.options is None else getattr(self.options, name, default)

    def refusal(self, why: str) -> NotInFirmwareError:
        """What to raise."""
        return NotInFirmwareError(f"operator {self.kind} ({self.outputs[0].name}) {why} is not made into firmware")

    def tensor(self, place: int) -> NetTensor:
        """An input that must be there."""
        found = self.inputs[place] if place < len(self.inputs) else None
        if found is None:
            raise self.refusal(f"without its input {place}")
        return found

    def x(self, place: int = 0) -> NetTensor:
        """An input that is computed, int8 of one scale."""
        found = self.tensor(place)
        if not found.activation:
            raise self.refusal(f"on {found.dtype} numbers" + ("" if len(found.scales) == 1 else " of no single scale"))
        return found

    @property
    def y(self) -> NetTensor:
        """The (first) output, int8 of one scale."""
        if not self.outputs[0].activation:
            raise self.refusal(f"that gives {self.outputs[0].dtype} numbers")
        return self.outputs[0]

    def constant(self, place: int) -> NDArray[Any]:
        """The values of an input that must be known before it runs."""
        found = self.tensor(place)
        if found.values is None:
            raise self.refusal(f"with an input {place} that is not constant")
        return found.values

    def gives(self, *shape: int) -> None:
        """Refuse an operator whose output is declared with other than so many numbers: what is computed would be
        written beyond it. A file may be a stranger's."""
        if self.y.size != math.prod(shape) or min(shape, default=1) < 1:
            raise self.refusal(f"that is declared to give {self.y.shape}, not {shape},")

    def same_scale(self, *tensors: NetTensor) -> None:
        """Refuse to move numbers between tensors that mean something else by them."""
        if any((one.scale, one.zero) != (self.y.scale, self.y.zero) for one in tensors):
            raise self.refusal("from one scale to another")


@dataclass(frozen=True)
class NetGraph:
    """What is to be computed, from the int8 tensor ``entrance`` to the int8 tensor ``exit``. ``float_ends``: True when
    the file itself takes or gives floats."""

    entrance: NetTensor
    exit: NetTensor
    operators: tuple[NetOperator, ...]
    float_ends: bool


def read_graph(path: Path) -> NetGraph:
    """Read a file. Raises InputError when it is no TFLite file, NotInFirmwareError when it is none of int8 alone."""
    file = TfliteFile.open(path)
    if len(file.graph.inputs) != 1 or len(file.graph.outputs) != 1:
        raise NotInFirmwareError(f"{path}: a file of several inputs or outputs is not made into firmware")
    tensors = [_tensor(file, at) for at in range(len(file.graph.tensors))]
    operators = [
        NetOperator(
            at,
            kind,
            tuple(None if one < 0 else tensors[int(one)] for one in _list(raw.inputs)),
            tuple(tensors[int(one)] for one in _list(raw.outputs)),
            tuple(tensors[int(one)] for one in _list(raw.intermediates)),
            raw.builtinOptions or raw.builtinOptions2,
        )
        for at, (kind, raw) in enumerate(zip(file.operators(), file.graph.operators, strict=True))
    ]
    entrance, exit_ = (tensors[int(side[0])] for side in (file.graph.inputs, file.graph.outputs))
    graph = _with_real_shapes(_without_ends(NetGraph(entrance, exit_, tuple(operators), False)))
    for one, side in ((graph.entrance, "takes"), (graph.exit, "gives")):
        if not one.activation:
            raise NotInFirmwareError(
                f"{path}: it {side} {one.dtype} numbers, not int8 ones: it is not made into firmware"
            )
        if one.shape[:1] != (1,) or min(one.shape) < 1:
            raise NotInFirmwareError(f"{path}: it {side} a tensor of shape {one.shape}, not one recording")
    return graph


def _tensor(file: TfliteFile, at: int) -> NetTensor:
    raw = file.graph.tensors[at]
    if raw.type not in KINDS:
        raise NotInFirmwareError(f"tensor {file.name(at)}: numbers of type {raw.type} are not made into firmware")
    about = raw.quantization
    scales = np.array([] if about is None else _list(about.scale), np.float32)
    zeros = [] if about is None else _list(about.zeroPoint)
    shape = tuple(int(size) for size in _list(raw.shape))
    values = file.values(at).reshape(shape) if file.is_constant(at) else None
    return NetTensor(at, file.name(at), shape, KINDS[raw.type], scales, int(zeros[0]) if zeros else 0, values)


def _without_ends(graph: NetGraph) -> NetGraph:
    """The graph between a first QUANTIZE and a last DEQUANTIZE, without what only computes shapes."""
    operators = [one for one in graph.operators if one.outputs[0].dtype not in INTEGERS]
    entrance, exit_, float_ends = graph.entrance, graph.exit, False
    if entrance.dtype == np.float32:
        readers = [one for one in operators if entrance in one.inputs]
        if len(readers) == 1 and readers[0].kind == "QUANTIZE":
            operators.remove(readers[0])
            entrance, float_ends = readers[0].outputs[0], True
    if exit_.dtype == np.float32:
        maker = next((one for one in operators if exit_ in one.outputs), None)
        if maker is not None and maker.kind == "DEQUANTIZE":
            operators.remove(maker)
            exit_, float_ends = maker.tensor(0), True
    return NetGraph(entrance, exit_, tuple(operators), float_ends)


def _with_real_shapes(graph: NetGraph) -> NetGraph:
    """The shapes for one recording. Where a dilated convolution makes recordings of its blocks, a file that was
    converted for any number of recordings declares as many as it was made with."""
    real: dict[int, NetTensor] = {}
    operators = []
    for one in graph.operators:
        inputs = tuple(None if each is None else real.get(each.at, each) for each in one.inputs)
        outputs = tuple(_shaped(one, inputs, each) for each in one.outputs)
        real |= {each.at: each for each in outputs}
        operators.append(replace(one, inputs=inputs, outputs=outputs))
    return replace(graph, exit=real.get(graph.exit.at, graph.exit), operators=tuple(operators))


def _shaped(operator: NetOperator, inputs: Sequence[NetTensor | None], output: NetTensor) -> NetTensor:
    x = inputs[0]
    if x is None or not output.shape or not x.shape:
        return output
    if operator.kind in ("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"):
        block = [int(one) for one in operator.constant(1).ravel()]
        edges = [int(sum(pair)) for pair in operator.constant(2).reshape(-1, 2)]
        inner, rest = x.shape[1 : 1 + len(block)], x.shape[1 + len(block) :]
        if operator.kind == "SPACE_TO_BATCH_ND":
            sizes = [(size + edge) // by for size, edge, by in zip(inner, edges, block, strict=True)]
            return replace(output, shape=(x.shape[0] * math.prod(block), *sizes, *rest))
        sizes = [size * by - edge for size, edge, by in zip(inner, edges, block, strict=True)]
        return replace(output, shape=(x.shape[0] // math.prod(block), *sizes, *rest))
    declared = next(one for one in operator.inputs if one is not None)
    if x.shape == declared.shape or declared.shape[0] == 0:
        return output
    return replace(output, shape=(output.shape[0] * x.shape[0] // declared.shape[0], *output.shape[1:]))


def _list(values: Any) -> list[Any]:
    """The generated reader gives None, a list or an array."""
    return [] if values is None else list(values)
