"""What a brought file says of itself, whatever a study asks of it.

In: a path. Out: its ends and operators, or InputError.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pulseproof.models.brought.onnx_checks import load_bounded, plain_inputs, shape_of, type_name
from pulseproof.models.brought.onnx_weights import graphs_of
from pulseproof.models.brought.tflite_checks import declared_of, found_in
from pulseproof.models.front.fitting import Steps
from pulseproof.models.front.layouts import Declared


@dataclass(frozen=True)
class FileEnd:
    """An input or output: ``shape`` with None for a free size, ``steps`` of one of whole numbers with a scale;
    ``inner``: what the graph calls it, where its signature has another name."""

    name: str
    kind: str
    shape: Declared | None
    steps: Steps | None = None
    inner: str | None = None


Described = tuple[tuple[FileEnd, ...], tuple[FileEnd, ...], tuple[str, ...], int | None]


def describe_onnx(path: Path, what: str) -> Described:
    """(inputs, outputs, operators, operator set). Raises InputError."""
    model = load_bounded(path, what)
    sides = plain_inputs(model.graph), list(model.graph.output)
    inputs, outputs = (
        tuple(FileEnd(each.name, type_name(each.type.tensor_type.elem_type), shape_of(each)) for each in side)
        for side in sides
    )
    operators = {node.op_type for graph in graphs_of(model) for node in graph.node}
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), None)
    return inputs, outputs, tuple(sorted(operators)), opset


def describe_tflite(path: Path, what: str) -> Described:
    """(inputs, outputs, operators, None). Raises InputError."""
    found = found_in(path, what)
    inputs, outputs = (
        tuple(
            FileEnd(
                str(each["signature"] or each["name"]),
                each["type"],
                declared_of(each),
                _steps(each["type"], each["scale"], each["zero"]) if each["scales"] == 1 else None,
                str(each["name"]),
            )
            for each in found[side]
        )
        for side in ("inputs", "outputs")
    )
    return inputs, outputs, tuple(found["operators"]), None


def _steps(kind: str, scale: float, zero: int) -> Steps | None:
    if not kind.startswith(("int", "uint")):
        return None
    limits = np.iinfo(kind)
    return Steps(int(limits.min), int(limits.max), scale, zero)
