"""ONNX operators in torch, each as the specification has it (https://onnx.ai/onnx/operators/): the table of all.

In: a :class:`~twins.onnx.node.Node`, with what is known while the file is read. Out: a function of the node's inputs.
Whatever an attribute changes is either computed or refused. The families: :mod:`twins.onnx.arithmetic`,
:mod:`twins.onnx.activations`, :mod:`twins.onnx.moves`, :mod:`twins.onnx.layers`, :mod:`twins.onnx.recurrent`,
:mod:`twins.onnx.integers`, :mod:`twins.sorting`, :mod:`twins.onnx.classical` and
:mod:`twins.onnx.microsoft`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pulseproof.twins.onnx.activations import ACTIVATIONS
from pulseproof.twins.onnx.arithmetic import ARITHMETIC
from pulseproof.twins.onnx.classical import CLASSICAL
from pulseproof.twins.onnx.integers import INTEGERS
from pulseproof.twins.onnx.layers import LAYERS
from pulseproof.twins.onnx.microsoft import CUSTOM, MICROSOFT
from pulseproof.twins.onnx.moves import MOVES
from pulseproof.twins.onnx.node import Node
from pulseproof.twins.onnx.recurrent import RECURRENT
from pulseproof.twins.sorting import ONNX_SORTING
from pulseproof.twins.steps import Run

FAMILIES: Mapping[str, Mapping[str, Callable[[Node], Run]]] = {
    "arithmetic": ARITHMETIC,
    "activations": ACTIVATIONS,
    "moves": MOVES,
    "layers": LAYERS,
    "recurrent": RECURRENT,
    "integers": INTEGERS,
    "sorting": ONNX_SORTING,
    "classical": CLASSICAL,
    CUSTOM: MICROSOFT,
}
# Of the domains of ONNX; those of com.microsoft are looked up apart, for both know a Gelu.
OPERATORS: dict[str, Callable[[Node], Run]] = {
    name: read for domain, family in FAMILIES.items() if domain != CUSTOM for name, read in family.items()
}
