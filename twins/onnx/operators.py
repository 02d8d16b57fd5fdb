"""ONNX operators in torch, each as the specification has it (https://onnx.ai/onnx/operators/).

In: a :class:`~twins.onnx.node.Node`, with what is known while the file is read. Out: a function of the node's inputs.
Whatever an attribute changes is either computed or refused. A quantized tensor is held as whole numbers in float32: an
engine multiplies and adds them as integers and rescales in float32, which differs from float32 all the way by rounding
alone.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as f

from pulseproof.twins.ends import SIGMOID, TANH, End, softmax_end
from pulseproof.twins.onnx import classical
from pulseproof.twins.onnx.layers import batch_norm, conv, for_torch, gemm, global_mean, lstm
from pulseproof.twins.onnx.node import Node
from pulseproof.twins.rounding import rounded
from pulseproof.twins.steps import Run

LIMITS = {
    torch.uint8: (0, 255),
    torch.int8: (-128, 127),
    torch.int16: (-32768, 32767),
}
FLOAT, FLOAT64, INT32, INT64, BOOL = 1, 11, 6, 7, 9  # of TensorProto.DataType
CASTS = {FLOAT: torch.float32, FLOAT64: torch.float64, INT32: torch.int32, INT64: torch.int64, BOOL: torch.bool}


def _plain(function: Callable[..., Tensor]) -> Callable[[Node], Run]:
    return lambda node: function


def _quantize(node: Node) -> Run:
    node.demand(saturate=1, block_size=0, precision=0)
    kind = node.constant(2).dtype if node.given(2) else torch.uint8
    if kind not in LIMITS or node.get("output_dtype", 0):
        raise node.refusal(f"output type {kind}")
    low, high = LIMITS[kind]
    zeros = node.constant(2) if node.given(2) else torch.zeros(1)
    if zeros.numel() != 1 or node.constant(1).numel() != 1:
        raise node.refusal("a scale for each channel of an activation")
    zero, masked = int(zeros), node.masked

    def run(x: Tensor, scale: Tensor, _: Tensor | None = None) -> Tensor:
        return rounded(x / scale, low - zero, high - zero, masked) + zero

    return run


def _dequantize(node: Node) -> Run:
    node.demand(block_size=0)
    scale = node.constant(1)
    shape = [1] * node.value(0).ndim
    if scale.numel() > 1:
        shape[node.get("axis", 1)] = -1
    else:
        shape = []

    def run(q: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
        # Biases are int32 beyond what float32 holds exactly: the zero point is taken off before.
        centred = (
            q if zero is None else q - zero.reshape(shape).to(q.dtype if q.dtype == torch.int32 else torch.float32)
        )
        return centred.float() * scale.reshape(shape)

    return run


def _reduce(function: Callable[..., Tensor]) -> Callable[[Node], Run]:
    def read(node: Node) -> Run:
        axes = node.integers(1, "axes")
        if not axes:
            if node.get("noop_with_empty_axes", 0):
                return lambda x, _=None: x
            axes = list(range(node.value(0).ndim))
        keep = bool(node.get("keepdims", 1))
        return lambda x, _=None: function(x, dim=tuple(axes), keepdim=keep)

    return read


def _reshape(node: Node) -> Run:
    node.demand(allowzero=0)
    old, wanted = node.value(0).shape, node.integers(1) or []
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
    axes = node.integers(1) or []
    ndim = node.value(0).ndim + len(axes)
    places = sorted(axis % ndim for axis in axes)

    def run(x: Tensor, _: Tensor) -> Tensor:
        for place in places:
            x = x.unsqueeze(place)
        return x

    return run


def _squeeze(node: Node) -> Run:
    shape = node.value(0).shape
    axes = node.integers(1)
    gone = {at for at, size in enumerate(shape) if size == 1} if axes is None else {axis % len(shape) for axis in axes}
    if any(shape[at] != 1 for at in gone):
        raise node.refusal(f"axes {axes} of a tensor {tuple(shape)}")
    kept = [size for at, size in enumerate(shape) if at not in gone]
    return lambda x, _=None: x.reshape(kept)


def _slice(node: Node) -> Run:
    starts, ends = node.integers(1) or [], node.integers(2) or []
    axes = node.integers(3) or list(range(len(starts)))
    steps = node.integers(4) or [1] * len(starts)
    if min(steps) < 1:
        raise node.refusal(f"steps {steps}")
    where = [slice(None)] * node.value(0).ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        where[axis] = slice(start, end, step)
    return lambda x, *_: x[tuple(where)]


def _concat(node: Node) -> Run:
    axis = node.get("axis")
    return lambda *parts: torch.cat(parts, dim=axis)


def _gather(node: Node) -> Run:
    axis, indices = node.get("axis", 0), node.constant(1)
    size = node.value(0).shape[axis]
    chosen = indices.to(torch.int64) % size
    before, after = node.value(0).shape[:axis], node.value(0).shape[axis:][1:]

    def run(x: Tensor, _: Tensor) -> Tensor:
        return x.index_select(axis, chosen.reshape(-1)).reshape((*before, *chosen.shape, *after))

    return run


def _expand(node: Node) -> Run:
    shape = torch.broadcast_shapes(node.value(0).shape, tuple(node.integers(1) or []))
    return lambda x, _: x.expand(shape)


def _pad(node: Node) -> Run:
    node.demand(mode="constant")
    ndim, pads = node.value(0).ndim, node.integers(1) or []
    axes = node.integers(3) or list(range(ndim))
    before, after = [0] * ndim, [0] * ndim
    for at, axis in enumerate(axes):
        before[axis], after[axis] = pads[at], pads[at + len(axes)]
    value = float(node.constant(2)) if node.given(2) else 0.0
    sizes = for_torch(before, after)
    return lambda x, *_: f.pad(x, sizes, value=value)


def _cast(node: Node) -> Run:
    to = node.get("to")
    if to not in CASTS:
        raise node.refusal(f"data type {_type_name(to)}")
    return lambda x: x.to(CASTS[to])


def _type_name(code: int) -> str:
    import onnx

    return str(onnx.TensorProto.DataType.Name(code).lower())


def _clip(node: Node) -> Run:
    low = float(node.constant(1)) if node.given(1) else None
    high = float(node.constant(2)) if node.given(2) else None
    return lambda x, *_: x if low is None and high is None else x.clamp(low, high)


def _shape(node: Node) -> Run:
    start, end = node.get("start", 0), node.get("end")
    return lambda x: torch.tensor(x.shape[start:end], dtype=torch.int64)


def _softmax(log: bool) -> Callable[[Node], Run]:
    def read(node: Node) -> Run:
        ndim = node.value(0).ndim
        axis = node.get("axis", -1) % ndim
        return softmax_end(axis - ndim, node.value(0).shape[axis], log)

    return read


def _hard_sigmoid(node: Node) -> Run:
    slope, offset = node.get("alpha", 0.2), node.get("beta", 0.5)
    if slope <= 0:
        raise node.refusal(f"alpha={slope}")
    return End("hard sigmoid", lambda x: (slope * x + offset).clamp(0, 1), lambda x: x)


OPERATORS: dict[str, Callable[[Node], Run]] = {
    **classical.OPERATORS,
    "Abs": _plain(torch.abs),
    "Add": _plain(torch.add),
    "BatchNormalization": batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": conv,
    "DequantizeLinear": _dequantize,
    "Div": _plain(torch.div),
    "Dropout": _plain(lambda x, *_: x),
    "Exp": _plain(torch.exp),
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": gemm,
    "GlobalAveragePool": global_mean,
    "HardSigmoid": _hard_sigmoid,
    "Identity": _plain(lambda x: x),
    "LSTM": lstm,
    "Log": _plain(torch.log),
    "LogSoftmax": _softmax(log=True),
    "MatMul": _plain(torch.matmul),
    "Mul": _plain(torch.mul),
    "Neg": _plain(torch.neg),
    "Pad": _pad,
    "QuantizeLinear": _quantize,
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "ReduceMin": _reduce(torch.amin),
    "ReduceSum": _reduce(torch.sum),
    "Relu": _plain(torch.relu),
    "Reshape": _reshape,
    "Shape": _shape,
    "Sigmoid": _plain(SIGMOID),
    "Slice": _slice,
    "Softmax": _softmax(log=False),
    "Softplus": _plain(f.softplus),
    "Sqrt": _plain(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _plain(torch.sub),
    "Tanh": _plain(TANH),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
