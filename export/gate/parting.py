"""Where a refused file parts from its source: the layer to look at, not only the scores that came out wrong.

In: the file, the torch module and, for a smaller file, the float file that it was made from; a few recordings. Out:
half a sentence that names a layer by its name in the torch module, or None where it cannot be told: a guess would send
its reader to the wrong place.

All intermediate values are computed twice, in the source (:mod:`export.torch_layers`) and in the file. Those of a float
file are matched with the torch layers' by size and content, whatever the order of their axes (TFLite puts channels
last); those of a quantized file with the float file's by name. They are what the file's operators say, one by one,
without the fusions of an engine: a fault of an engine's fused kernel does not show.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pulseproof.export.fold import HELD, held_for_export
from pulseproof.export.job import INPUT
from pulseproof.export.tflite.flatbuffer import Graph
from pulseproof.export.torch_layers import TorchLayer, layers_of
from pulseproof.models.brought.model import FileModel

RECORDINGS = 4
# A layer in float32 is within 1e-6 of its values' root mean square, or 1e-5 behind many others.
FLOAT_ERROR = 1e-4
# Signal-to-quantization-noise ratio: 8 bits over the whole range of a layer give 30 to 45 dB, and noise of a third of
# the signal is what no later layer mends.
SQNR_DB = 10.0


@dataclass(frozen=True)
class Value:
    """What one operator of a file gives: ``name`` of the tensor, ``label`` of the operator for people, ``values`` float
    (k, 1, ...), one row a recording."""

    name: str
    label: str
    values: NDArray[Any]


def first_parting(path: Path, module: nn.Module, float_file: Path | None, signals: NDArray[np.float32]) -> str | None:
    """Half a sentence on where the file parts from its source, or None.

    ``signals`` (k, leads, samples) mV, of which a few are run. ``float_file`` is the source of a quantized or
    half-float file; a float file is held against ``module``.
    """
    rows = np.linspace(0, len(signals) - 1, min(RECORDINGS, len(signals))).round().astype(np.intp)
    try:
        found = values_of(path, signals[rows])
        layers = () if isinstance(module, FileModel) else layers_of(_written(module, signals), signals[rows])
        if float_file is None:
            layer = parting_of_float(layers, found)
            return None if layer is None else f"it first parts at {layer}"
        return parting_of_quantized(layers, values_of(float_file, signals[rows]), found)
    except Exception:  # any of three engines' types: the reason why the file is refused must not get lost over this
        return None


def _written(module: nn.Module, signals: NDArray[np.float32]) -> nn.Module:
    """The module as its float file was written."""
    return held_for_export(module, signals[:HELD]).module


def parting_of_float(layers: Sequence[TorchLayer], found: Sequence[Value]) -> str | None:
    """The first torch layer whose values are not in the file, nor those of any layer that they go into.

    A layer whose values are not in the file, while those of a later one that depends on them are, was fused with it. A
    normalisation may be in the weights behind it: for a layer without weights its values up to a scale and an offset
    are enough.
    """
    agrees = [_in_file(layer, found) is not None or (layer.plain and _scaled_in_file(layer, found)) for layer in layers]
    for at, layer in enumerate(layers):
        if not agrees[at] and not any(agrees[other] and at in later.behind for other, later in enumerate(layers)):
            return layer.name
    return None


def parting_of_quantized(layers: Sequence[TorchLayer], source: Sequence[Value], found: Sequence[Value]) -> str | None:
    """The first tensor of the float file that the smaller file has with less than SQNR_DB, or else the least exact."""
    names = {value.name: value.values for value in found}
    pairs = []
    for value in source:
        # Quantized and dequantized, as the next layer reads it, where the file holds that.
        other = names.get(f"{value.name}_DequantizeLinear_Output", names.get(value.name))
        if other is not None and other.shape == value.values.shape:
            pairs.append((value, sqnr_db(value.values, other)))
    if not pairs:
        return None
    named = _names(layers, source, {value.name for value, _ in pairs})
    for value, ratio in pairs:
        if ratio < SQNR_DB:
            return f"it first parts at {named[value.name]} ({_told(ratio)})"
    value, ratio = min(pairs, key=lambda pair: pair[1])
    if math.isinf(ratio):
        return None
    return f"its least exact layer is {named[value.name]} ({_told(ratio)})"


def sqnr_db(signal: NDArray[Any], noisy: NDArray[Any]) -> float:
    """Signal-to-quantization-noise ratio, 10 log10 of the power of ``signal`` over that of the difference: infinite
    where they are equal, minus infinity where ``noisy`` is not finite."""
    signal, noisy = signal.astype(np.float64), noisy.astype(np.float64)
    if not np.isfinite(noisy).all():
        return -math.inf
    power, noise = float(np.square(signal).sum()), float(np.square(signal - noisy).sum())
    if noise == 0:
        return math.inf
    return 10 * math.log10(power / noise) if power else -math.inf


def _told(ratio: float) -> str:
    if math.isfinite(ratio):
        return f"signal-to-quantization-noise ratio {ratio:.0f} dB"
    return "values that are not finite, or that are not 0 where they should be"


def _names(layers: Sequence[TorchLayer], source: Sequence[Value], kept: set[str]) -> dict[str, str]:
    """What to call each tensor of the float file: the torch layer that gives it, or the operator.

    A layer that was fused into the next one (its tensor is not ``kept`` in the smaller file) gives that one its name.
    """
    names = {value.name: value.label for value in source}
    tensors = [_in_file(layer, source) for layer in layers]
    shown = [tensor is not None and tensor.name in kept for tensor in tensors]
    for at in reversed(range(len(layers))):  # of several layers with the same values (dropout) the first one
        tensor, first = tensors[at], at
        if tensor is None:
            continue
        while (before := layers[first].before) is not None and not shown[before]:
            first = before
        names[tensor.name] = layers[first].name
    return names


def _in_file(layer: TorchLayer, found: Sequence[Value]) -> Value | None:
    """The first tensor of the file that holds the values of a torch layer."""
    return next((value for value in found if _same(layer.values, value.values)), None)


def _scaled_in_file(layer: TorchLayer, found: Sequence[Value]) -> bool:
    """True when the file holds the values of a torch layer up to a scale above 0 and an offset."""
    wanted = _standard(layer.values)
    return any(value.values.size == wanted.size and _same(wanted, _standard(value.values)) for value in found)


def _standard(values: NDArray[Any]) -> NDArray[np.float64]:
    """The values with mean 0 and standard deviation 1."""
    centred = values.astype(np.float64) - values.mean(dtype=np.float64)
    return np.asarray(centred / (centred.std() or 1.0))


def _same(expected: NDArray[Any], values: NDArray[Any]) -> bool:
    """True when both hold the same numbers, up to rounding, with their axes behind the first in any order."""
    if expected.size != values.size:
        return False
    if _close(expected.reshape(len(expected), -1), values.reshape(len(values), -1)):
        return True
    expected, values = (
        array.reshape(len(array), *(n for n in array.shape[1:] if n > 1)) for array in (expected, values)
    )
    if expected.ndim > 5 or sorted(expected.shape) != sorted(values.shape):
        return False
    orders = itertools.permutations(range(1, values.ndim))
    turned = (values.transpose(0, *order) for order in orders)
    return any(one.shape == expected.shape and _close(expected, one) for one in turned)


def _close(expected: NDArray[Any], values: NDArray[Any]) -> bool:
    if not np.isfinite(values).all():
        return False
    error = np.square(expected.astype(np.float64) - values).sum()
    return bool(error <= FLOAT_ERROR**2 * np.square(expected.astype(np.float64)).sum())


def values_of(path: Path, signals: NDArray[np.float32]) -> list[Value]:
    """The signal and all intermediate values of a file, in the order in which they are computed, dequantized where they
    are integers with a scale; what has neither floats nor a scale (shapes, indices) is left out."""
    computed = _onnx_values(path, signals) if path.suffix == ".onnx" else _tflite_values(path, signals)
    return [Value(INPUT, "the signal", signals[:, None]), *computed]


def _onnx_values(path: Path, signals: NDArray[np.float32]) -> list[Value]:
    import onnx
    import onnxruntime

    model = onnx.load(path)
    computed = {name: node for node in model.graph.node if node.op_type != "Constant" for name in node.output if name}
    ends = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in computed if name not in ends)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    entrance = session.get_inputs()[0].name
    rows = [
        dict(zip(computed, session.run(list(computed), {entrance: signal[None]}), strict=True)) for signal in signals
    ]
    return [
        Value(name, node.name or f"{node.op_type} {name}", np.stack([row[name] for row in rows]))
        for name, node in computed.items()
        if isinstance(rows[0][name], np.ndarray) and rows[0][name].dtype.kind == "f"
    ]


def _tflite_values(path: Path, signals: NDArray[np.float32]) -> list[Value]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        str(path),
        num_threads=1,
        experimental_preserve_all_tensors=True,
        # A delegate computes several operators at once, and leaves nothing of what is between them.
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    entrance = interpreter.get_input_details()[0]
    details = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    graph = Graph.open(path)
    computed = {
        int(index): operator
        for operator, code in zip(graph.operators(), graph.graph.operators, strict=True)
        for index in code.outputs
    }
    wanted = [at for at in computed if at in details and _has_floats(details[at])]
    rows = []
    for signal in signals:
        interpreter.reset_all_variables()
        interpreter.set_tensor(entrance["index"], _quantized(signal[None], entrance))
        interpreter.invoke()
        rows.append({at: _dequantized(interpreter.get_tensor(at), details[at]) for at in wanted})
    return [
        Value(details[at]["name"], f"{computed[at]} {_tail(details[at]['name'])}", np.stack([row[at] for row in rows]))
        for at in wanted
    ]


def _has_floats(detail: dict[str, Any]) -> bool:
    return np.dtype(detail["dtype"]).kind == "f" or len(detail["quantization_parameters"]["scales"]) == 1


def _quantized(values: NDArray[np.float32], detail: dict[str, Any]) -> NDArray[Any]:
    """What a file with an integer input is given."""
    if np.dtype(detail["dtype"]).kind == "f":
        return values
    quantization, limits = detail["quantization_parameters"], np.iinfo(detail["dtype"])
    steps = np.rint(values / quantization["scales"][0]) + quantization["zero_points"][0]
    return steps.clip(limits.min, limits.max).astype(detail["dtype"])


def _dequantized(values: NDArray[Any], detail: dict[str, Any]) -> NDArray[Any]:
    quantization = detail["quantization_parameters"]
    if values.dtype.kind == "f":
        return values
    return (values.astype(np.float32) - quantization["zero_points"][0]) * quantization["scales"][0]


def _tail(name: str) -> str:
    """The last part of a converter's name of a tensor, which is the path of all modules around it."""
    return name.rpartition("/")[2] or name
