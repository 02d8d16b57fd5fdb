"""The operators of a front (:mod:`models.front`) that few nets have: quotients, bounds, places chosen, and sorting.

In and out as in :mod:`twins.tflite_operators` and :mod:`twins.onnx_operators`, whose tables take them in. Floats alone:
a front stays float.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pulseproof.twins.onnx_node import Node
from pulseproof.twins.steps import Run
from pulseproof.twins.tflite_node import Operator


def _float(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Operator], Run]:
    def read(operator: Operator) -> Run:
        if operator.quantized:
            raise operator.refusal("integers")
        finish = operator.finish()
        return lambda a, b: finish(function(a, b))

    return read


def _gather(operator: Operator) -> Run:
    before, after = operator.meaning(0), operator.result
    if (before.scale is None) != (after.scale is None) or int(operator.option("batchDims", 0) or 0):
        raise operator.refusal("batches, or integers on one side and floats on the other")
    if before.scale is not None and (before.one, before.zero) != (after.one, after.zero):
        raise operator.refusal("another scale on its input than on its output")
    axis = int(operator.option("axis", 0) or 0)
    places, shape = operator.constant(1).reshape(-1).long(), after.shape
    return lambda x, _: x.index_select(axis, places).reshape(shape)


def _top_k(operator: Operator) -> Run:
    if operator.quantized:
        raise operator.refusal("integers")
    count = operator.integers(1)[0]
    return lambda x, _: tuple(torch.topk(x, count, dim=-1))


def _onnx_top_k(node: Node) -> Run:
    node.demand(largest=1)
    axis = node.get("axis", -1)
    count = node.integers(1, "k")
    if count is None:
        raise node.refusal("no k")
    return lambda x, _=None: tuple(torch.topk(x, count[0] if isinstance(count, list) else count, dim=axis))


TFLITE: dict[str, Callable[[Operator], Run]] = {
    "DIV": _float(torch.div),
    "GATHER": _gather,
    "MAXIMUM": _float(torch.maximum),
    "MINIMUM": _float(torch.minimum),
    "TOPK_V2": _top_k,
}
ONNX: dict[str, Callable[[Node], Run]] = {"TopK": _onnx_top_k}
