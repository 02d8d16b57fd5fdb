"""Small models whose scores are known by arithmetic, to find out whether an emulated engine computes rightly.

In comes a folder; out come files, float and int8, ONNX and TFLite, and for each the scores that a few signals must get.
A layer of convolution and a dense one have the same weights in all but ``int7.onnx``, where they are half as large. The
expected scores are computed here in 64-bit numbers (int8: in whole ones), by no engine: qemu 7.2 gives wrong int8
scores without a word when it is told to be a core with more instructions than it emulates well.

On a core with AVX2 and without VNNI, ONNX Runtime's kernels add two products of an unsigned and a signed byte in 16
bits, and what is larger is cut (VPMADDUBSW, Intel's manual, volume 2; onnxruntime #6004). That too is arithmetic
(:func:`expected`): an emulated core of this kind must give just these wrong scores for ``int8.onnx``, and the right
ones for ``int7.onnx``, whose largest sum, 255 * 64 * 2, fits.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pulseproof.export.tflite.flatbuffer import Graph

LEADS, SAMPLES, FILTERS, WIDTH, CLASSES = 8, 68, 16, 5, 4
PLACES = SAMPLES - WIDTH + 1
SIGNALS = 4
# Of the input (mV), the kernels, the convolution, the dense weights, the scores.
STEP, KERNEL_STEP, INNER_STEP, WEIGHT_STEP, SCORE_STEP = 0.02, 0.003, 0.05, 0.002, 0.11


# Of each format, and how far a rounding may take a score. LiteRT multiplies in 16 bits and adds in 32 everywhere.
_EXACT, _STEP = 1e-4, 1.01 * SCORE_STEP
_FILES = {
    "onnx": {"float": _EXACT, "int8": _STEP, "int7": _STEP},
    "tflite": {"float": _EXACT, "int8": _STEP},
}


@dataclass(frozen=True)
class Probe:
    """One file and the ``scores`` (n, classes) that it must give; ``within``: how far a rounding may take them."""

    file: Path
    scores: NDArray[np.float64]
    within: float


def signals() -> NDArray[np.float32]:
    """float32 (n, leads, samples) mV."""
    return np.random.default_rng(7).normal(0, 0.8, (SIGNALS, LEADS, SAMPLES)).astype(np.float32)


def write_probes(folder: Path, formats: tuple[str, ...], saturates: bool = False) -> list[Probe]:
    """Write the files of each format. ``saturates``: the scores expected of ``int8.onnx`` are those
    of a core whose 16-bit sums saturate."""
    rng = np.random.default_rng(8)
    kernels = rng.integers(-127, 128, (FILTERS, LEADS, WIDTH))
    weights = rng.integers(-127, 128, (CLASSES, FILTERS, PLACES))
    writers = {"onnx": _write_onnx, "tflite": _write_tflite}
    probes = []
    for kind in formats:
        for name, within in _FILES[kind].items():
            file, quantized = folder / f"{name}.{kind}", name != "float"
            both = (kernels // 2, weights // 2) if name == "int7" else (kernels, weights)
            writers[kind](file, both[0].astype(np.int8), both[1].astype(np.int8), quantized)
            wrong = saturates and file.name == "int8.onnx"
            probes.append(Probe(file, expected(*both, quantized, wrong), within))
    return probes


def expected(
    kernels: NDArray[Any], weights: NDArray[Any], quantized: bool, saturating: bool = False
) -> NDArray[np.float64]:
    """The scores of :func:`signals`: a convolution over time, then a dense layer. ``saturating``: each two neighbouring
    products of the sums over (lead, width) and over (filter, place) are added in 16 bits."""
    x = signals().astype(np.float64)
    if quantized:
        x = _steps(x, STEP)
    parts = np.lib.stride_tricks.sliding_window_view(x, WIDTH, axis=2)  # (n, leads, places, width)
    columns = parts.transpose(0, 2, 1, 3).reshape(SIGNALS, PLACES, LEADS * WIDTH)
    unit = STEP if quantized else 1.0
    inner = unit * KERNEL_STEP * _summed(columns, kernels.reshape(FILTERS, -1), saturating)  # (n, places, filters)
    if quantized:
        inner = _steps(inner, INNER_STEP)
    unit = INNER_STEP if quantized else 1.0
    scores = (
        unit
        * WEIGHT_STEP
        * _summed(inner.transpose(0, 2, 1).reshape(SIGNALS, -1), weights.reshape(CLASSES, -1), saturating)
    )
    return SCORE_STEP * _steps(scores, SCORE_STEP) if quantized else scores


def _summed(values: NDArray[Any], weights: NDArray[Any], saturating: bool) -> NDArray[Any]:
    """``values`` (..., k) times ``weights`` (m, k), summed over k. ``saturating``: as unsigned bytes times signed ones
    (zero point 128), products 2j and 2j + 1 added in 16 bits, what the zero point adds taken off in whole numbers."""
    if not saturating:
        return values @ weights.T
    products = (values[..., None, :] + 128) * weights
    pairs = np.clip(products[..., ::2] + products[..., 1::2], -(2**15), 2**15 - 1)
    return pairs.sum(axis=-1) - 128 * weights.sum(axis=-1)


def _steps(values: NDArray[Any], step: float) -> NDArray[Any]:
    return np.clip(np.rint(values / step), -128, 127)


def _write_onnx(path: Path, kernels: NDArray[np.int8], weights: NDArray[np.int8], quantized: bool) -> None:
    """The int8 file as the exporter's own: 8-bit unsigned activations between QuantizeLinear and DequantizeLinear."""
    kernels, weights = kernels[:, None], weights.reshape(CLASSES, -1)
    constants: dict[str, Any] = {"shape": np.array([1, 1, LEADS, SAMPLES], np.int64)}
    nodes = []

    def rounded(name: str, step: float) -> str:
        if not quantized:
            return name
        constants[f"{name}.step"], constants[f"{name}.zero"] = np.float32(step), np.uint8(128)
        nodes.append(helper.make_node("QuantizeLinear", [name, f"{name}.step", f"{name}.zero"], [f"{name}.q"]))
        ends = [f"{name}.q", f"{name}.step", f"{name}.zero"]
        nodes.append(helper.make_node("DequantizeLinear", ends, [f"{name}.dq"]))
        return f"{name}.dq"

    def constant(name: str, values: NDArray[np.int8], step: float) -> str:
        if not quantized:
            constants[name] = (step * values).astype(np.float32)
            return name
        constants[f"{name}.q"], constants[f"{name}.step"], constants[f"{name}.zero"] = (
            values,
            np.float32(step),
            np.int8(0),
        )
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}.q", f"{name}.step", f"{name}.zero"], [name]))
        return name

    nodes.append(helper.make_node("Reshape", ["signal", "shape"], ["image"]))
    ends = [rounded("image", STEP), constant("kernels", kernels, KERNEL_STEP)]
    nodes.append(helper.make_node("Conv", ends, ["inner"]))
    nodes.append(helper.make_node("Flatten", [rounded("inner", INNER_STEP)], ["flat"]))
    ends = [rounded("flat", INNER_STEP), constant("weights", weights, WEIGHT_STEP)]
    nodes.append(helper.make_node("Gemm", ends, ["dense"], transB=1))
    nodes.append(helper.make_node("Identity", [rounded("dense", SCORE_STEP)], ["scores"]))
    graph = helper.make_graph(
        nodes,
        "probe",
        [helper.make_tensor_value_info("signal", TensorProto.FLOAT, [1, LEADS, SAMPLES])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, CLASSES])],
        [numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def _write_tflite(path: Path, kernels: NDArray[np.int8], weights: NDArray[np.int8], quantized: bool) -> None:
    """The int8 file with float ends, as the exporter's own."""
    kernels = kernels[..., None]  # filters, height, width, channels
    weights = weights.transpose(0, 2, 1).reshape(CLASSES, -1)  # its images end in the channels
    graph = Graph.empty()
    kind: Any = np.int8 if quantized else np.float32

    def tensor(name: str, shape: tuple[int, ...], step: float) -> int:
        index = graph.tensor(name, shape, kind)
        if quantized:
            graph.graph.tensors[index].quantization = _scale(step)
        return index

    def constant(name: str, values: NDArray[np.int8], step: float) -> int:
        if quantized:
            return graph.constant(name, values, step)
        return graph.constant(name, (step * values).astype(np.float32))

    def biases(name: str, size: int, step: float) -> int:
        values = np.zeros(size, np.int32 if quantized else np.float32)
        return graph.constant(name, values, step if quantized else None)

    signal, scores = graph.tensor("signal", (1, LEADS, SAMPLES)), graph.tensor("scores", (1, CLASSES))
    image = signal
    if quantized:
        image = graph.add("QUANTIZE", [signal], tensor("steps", (1, LEADS, SAMPLES), STEP))
    shape = graph.constant("shape", np.array([1, LEADS, SAMPLES, 1], np.int32))
    image = graph.add(
        "RESHAPE", [image, shape], tensor("image", (1, LEADS, SAMPLES, 1), STEP), schema.ReshapeOptionsT()
    )
    convolution = schema.Conv2DOptionsT()
    convolution.padding, convolution.strideH, convolution.strideW = schema.Padding.VALID, 1, 1
    ends = [image, constant("kernels", kernels, KERNEL_STEP), biases("no bias", FILTERS, STEP * KERNEL_STEP)]
    inner = graph.add("CONV_2D", ends, tensor("inner", (1, 1, PLACES, FILTERS), INNER_STEP), convolution, 3)
    shape = graph.constant("flat shape", np.array([1, PLACES * FILTERS], np.int32))
    flat = graph.add(
        "RESHAPE", [inner, shape], tensor("flat", (1, PLACES * FILTERS), INNER_STEP), schema.ReshapeOptionsT()
    )
    ends = [flat, constant("weights", weights, WEIGHT_STEP), biases("none", CLASSES, INNER_STEP * WEIGHT_STEP)]
    dense = tensor("dense", (1, CLASSES), SCORE_STEP) if quantized else scores
    graph.add("FULLY_CONNECTED", ends, dense, schema.FullyConnectedOptionsT(), 4)
    if quantized:
        graph.add("DEQUANTIZE", [dense], scores, schema.DequantizeOptionsT(), 2)
    graph.graph.inputs, graph.graph.outputs = [signal], [scores]
    graph.write(path)


def _scale(step: float) -> Any:
    quantization = schema.QuantizationParametersT()
    quantization.scale, quantization.zeroPoint = [step], [0]
    return quantization
