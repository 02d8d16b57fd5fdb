"""The price of a file: what it holds and computes, and what it takes on a microcontroller.

In: a file that passed the gate, and the module that it was made from. Out: :class:`~export.manifest.Price`. Sizes that
the file itself tells are counted (:mod:`export.price.onnx_graph`, :mod:`export.price.tflite_graph`); for
microcontrollers their own tools are asked, each in a process of its own: TFLite Micro (:mod:`export.price.micro`),
Arm's vela (:mod:`export.price.ethos`), emlearn and a C compiler (:mod:`export.price.c_trees`). What has no price has a
reason.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from pulseproof.export.job import RefusedError
from pulseproof.export.manifest import Price
from pulseproof.export.price import c_trees, ethos, micro, onnx_graph, tflite_graph
from pulseproof.export.price.tally import Tally
from pulseproof.models.classical import FeatureModel
from pulseproof.models.trees import TreeArrays, TreeWalk


def price(path: Path, module: nn.Module) -> Price:
    """Count and measure one file. Raises InputError for an ONNX file that leaves leads or samples free."""
    trees = _trees_of(module)
    counted = onnx_graph.tally(path) if path.suffix == ".onnx" else _tally_tflite(path, trees)
    tools: dict[str, Callable[[], Any]] = {
        "micro": lambda: micro.micro(path),
        "ethos": lambda: ethos.ethos(path),
        "c_code": lambda: c_trees.c_code(trees),
    }
    prices: dict[str, Any] = {}
    unpriced: dict[str, str] = {}
    for name, ask in tools.items():
        try:
            prices[name] = ask()
        except RefusedError as refused:
            unpriced[name] = str(refused)
    return Price.model_validate(vars(counted) | prices | {"unpriced": unpriced})


def _trees_of(module: nn.Module) -> TreeArrays | None:
    head = module.head if isinstance(module, FeatureModel) else None
    return head.arrays if isinstance(head, TreeWalk) else None


def _tally_tflite(path: Path, trees: TreeArrays | None) -> Tally:
    """A walk through trees is a graph of look-ups: of its tables, what ONNX holds counts, so that both formats say the
    same of the same trees (a feature and a threshold a branch, a value a class at each leaf)."""
    counted = tflite_graph.tally(path, tables=trees is None)
    if trees is None:
        return counted
    leaves = int(trees.leaf.sum())
    in_trees = 2 * (len(trees.leaf) - leaves) + trees.value.shape[1] * leaves
    return Tally(counted.parameters + in_trees, counted.macs, counted.activation_bytes)
