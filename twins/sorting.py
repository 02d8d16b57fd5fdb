"""Sorting in torch: what the front of a brought file needs for a median (:mod:`models.front`), and few nets have.

In and out as in :mod:`twins.onnx.operators` and :mod:`twins.tflite.operators`, whose tables take these in.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from pulseproof.twins.onnx.node import Node
from pulseproof.twins.steps import Run
from pulseproof.twins.tflite.node import Operator


def _top_k(operator: Operator) -> Run:
    if operator.quantized:
        raise operator.refusal("integers")
    count = operator.integers(1)[0]
    return lambda x, _: tuple(torch.topk(x, count, dim=-1))


def _onnx_top_k(node: Node) -> Run:
    node.demand(largest=1)
    axis, count = node.get("axis", -1), node.integers(1, "k")
    if count is None:
        raise node.refusal("no k")
    return lambda x, _=None: tuple(torch.topk(x, count[0] if isinstance(count, list) else count, dim=axis))


SORTING: dict[str, Callable[[Operator], Run]] = {"TOPK_V2": _top_k}
ONNX_SORTING: dict[str, Callable[[Node], Run]] = {"TopK": _onnx_top_k}
