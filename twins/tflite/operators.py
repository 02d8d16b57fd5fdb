"""TFLite operators in torch, float32, with fixed quantization and with a dynamic range: the table of all.

In: an :class:`~twins.tflite.node.Operator`. Out: a function of its inputs. Quantized tensors are whole numbers less
their zero point, so a product of two is in units of the product of their scales and is brought to the output's by one
factor, as the kernels do (Jacob et al. 2018, arXiv 1712.05877, section 2.2;
https://ai.google.dev/edge/litert/models/quantization_spec). Kernels rescale with a fixed-point factor of 31 bits or in
float32, and differ from each other by the rounding of a tie. The families: :mod:`twins.tflite.arithmetic`,
:mod:`twins.tflite.activations`, :mod:`twins.tflite.moves`, :mod:`twins.tflite.layers` and :mod:`twins.tflite.lstm`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pulseproof.twins.sorting import SORTING
from pulseproof.twins.steps import Run
from pulseproof.twins.tflite.activations import ACTIVATIONS
from pulseproof.twins.tflite.arithmetic import ARITHMETIC
from pulseproof.twins.tflite.layers import LAYERS
from pulseproof.twins.tflite.lstm import RECURRENT
from pulseproof.twins.tflite.moves import MOVES
from pulseproof.twins.tflite.node import Operator

FAMILIES: Mapping[str, Mapping[str, Callable[[Operator], Run]]] = {
    "arithmetic": ARITHMETIC,
    "activations": ACTIVATIONS,
    "moves": MOVES,
    "layers": LAYERS,
    "recurrent": RECURRENT,
    "sorting": SORTING,
}
OPERATORS: dict[str, Callable[[Operator], Run]] = {
    name: read for family in FAMILIES.values() for name, read in family.items()
}
