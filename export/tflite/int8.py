"""Quantized TFLite files of nets and of models on features, through ai-edge-quantizer.

In: a :class:`~export.job.ExportJob` whose ``source`` is the float TFLite file. Out: a ``.tflite`` file, from and to
float32 but for :func:`write_full`, and what must be said of it: what stayed float.

Weights are int8, symmetric: one scale a channel in convolutions (Krishnamoorthi 2018, arXiv 1806.08342), one a matrix
in linear layers. From more than one, tflite-runtime 2.14 computes wrong scores without an error, both with activations
quantized on the fly and with int16 ones. It costs nothing that could be measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pulseproof.export.job import INPUT, OUTPUT, ExportJob, MadeFile, RefusedError
from pulseproof.export.tflite.flatbuffer import FLOATS, Graph, float_note, int8_share, rename_ends
from pulseproof.export.tflite.ranges import calibrate, share_scale

MATRICES = ("FULLY_CONNECTED", "BATCH_MATMUL")
ALL = (".*", ("ALL_SUPPORTED", *MATRICES))  # what is said of a kind of operator counts more than what is said of all
LAYERS = (".*", ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"))
PRODUCTS = (".*", MATRICES)
LAST_LAYER = (f"^{OUTPUT};?$", MATRICES)
Scope = tuple[str, tuple[str, ...]]  # pattern of names (an operator has that of its output tensor), kinds of operators


def write_dynamic(job: ExportJob) -> MadeFile:
    """``tflite-int8-dynamic`` of a net: weights int8, activations quantized while it runs."""
    return _whole(job, None, LAYERS)


def write_dynamic_products(job: ExportJob) -> MadeFile:
    """``tflite-int8-dynamic`` of a model on features: only the matrix products are quantized."""
    return _products_only(job, None)


def write_dynamic_last_layer(job: ExportJob) -> MadeFile:
    """``tflite-int8-dynamic`` where only the last layer is quantized."""
    return _last_layer_only(job, None)


def write_static(job: ExportJob) -> MadeFile:
    """``tflite-int8-static`` of a net: activations int8 with calibrated ranges."""
    return _whole(job, 8, ALL)


def write_static_products(job: ExportJob) -> MadeFile:
    """``tflite-int8-static`` of a model on features: only the matrix products are quantized."""
    return _products_only(job, 8)


def write_static_last_layer(job: ExportJob) -> MadeFile:
    """``tflite-int8-static`` where only the last layer is quantized."""
    return _last_layer_only(job, 8)


def write_int16x8(job: ExportJob) -> MadeFile:
    """``tflite-int16x8`` of a net: activations int16, symmetric, with calibrated ranges; weights int8."""
    return _whole(job, 16, ALL)


def write_int16x8_products(job: ExportJob) -> MadeFile:
    """``tflite-int16x8`` of a model on features: only the matrix products are quantized."""
    return _products_only(job, 16)


def write_int16x8_last_layer(job: ExportJob) -> MadeFile:
    """``tflite-int16x8`` where only the last layer is quantized."""
    return _last_layer_only(job, 16)


def write_full(job: ExportJob) -> MadeFile:
    """``tflite-int8-full`` of a net: as static, with an int8 signal and int8 scores, for a microcontroller.

    The signal has to be rounded before its mean can be subtracted. Signal and difference share one scale, so that the
    subtraction shifts by whole steps: with two scales each sample would be rounded a second time (measured on MIT-BIH:
    a quarter more error in the scores of ECG-Lens). Raises RefusedError when an operator has no int8 form.
    """
    tool = quantizer_of(job.source)
    add_static(tool, 8, ALL)
    ranges = calibrate(tool, job)
    _, difference = normalisation(job.source)
    if difference is not None and INPUT in ranges and difference in ranges:
        share_scale(ranges, INPUT, difference)
    save(tool, job.out, ranges)
    left = _float_operators(job.out)
    if left:
        job.out.unlink()
        raise RefusedError(f"it would not be int8 throughout: {', '.join(left)} stayed float")
    return MadeFile()


def quantizer_of(source: Path) -> Any:
    """An ai-edge-quantizer on a float file, without a recipe yet."""
    from ai_edge_quantizer import quantizer

    return quantizer.Quantizer(str(source))


def add_static(tool: Any, bits: int, scope: Scope) -> None:
    """Ask for weights of 8 and activations of ``bits`` bits with calibrated ranges, in and out too."""
    for pattern, operator, each in _asked(scope):
        tool.add_static_config(pattern, operator, bits, 8, each)


def keep_float(tool: Any, names: Iterable[str] = (), kinds: Iterable[str] = ()) -> None:
    """Ask that operators stay float: those of which the output tensor has one of these names, or of these kinds."""
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import TFLOperationName

    for kind in kinds:
        tool.update_quantization_recipe(".*", TFLOperationName[kind], None, AlgorithmName.NO_QUANTIZE)
    for name in names:
        tool.update_quantization_recipe(
            pattern_of(name), TFLOperationName.ALL_SUPPORTED, None, AlgorithmName.NO_QUANTIZE
        )


def pattern_of(name: str) -> str:
    """The pattern that finds one operator, by the name of its output tensor."""
    return f"^{re.escape(name)};?$"


def keep_ends_float(tool: Any, source: Path) -> None:
    """Ask for a float signal and float scores, and for the mean to be subtracted before the signal is rounded."""
    mean, difference = normalisation(source)
    keep_float(tool, kinds=("INPUT", "OUTPUT"), names=[name for name in (mean, difference) if name is not None])


def save(tool: Any, path: Path, ranges: Any = None) -> None:
    """Quantize and write the file."""
    made = tool.quantize(ranges, enable_progress_report=False)
    path.write_bytes(made.quantized_model)
    rename_ends(path)


def normalisation(source: Path) -> tuple[str | None, str | None]:
    """The output tensors of the MEAN (where a recording loses its own) and the SUB that begin a net; None for none."""
    graph = Graph.open(source)
    signal = int(graph.graph.inputs[0])
    made_by = {outputs[0]: name for name, _, _, outputs in graph.steps() if outputs}
    for name, _, inputs, outputs in graph.steps():
        if name == "SUB" and inputs[0] == signal:
            mean = inputs[1] if made_by.get(inputs[1]) == "MEAN" else None
            return None if mean is None else graph.name(mean), graph.name(outputs[0])
    return None, None


def expect_products(source: Path) -> None:
    """Raises RefusedError when a file has no matrix product with weights that could be made smaller."""
    if all(only_sums for _, only_sums in _products(source)):
        raise RefusedError("it has no matrix product with constant weights that could be made smaller")


def sums(source: Path) -> list[str]:
    """Output tensors of the products with a matrix of zeros and ones: they add up what others computed.

    There are no weights to make smaller, and rounding the powers of a spectrum to one step before they are added loses
    the small bands: on PTB-XL that alone costs a decision tree .1 of AUC.
    """
    return [name for name, only_sums in _products(source) if only_sums]


def _products(source: Path) -> list[tuple[str, bool]]:
    """(output tensor, whether its weights are all 0 or 1) of each product with a constant matrix."""
    graph = Graph.open(source)
    return [
        (graph.name(outputs[0]), bool(np.isin(graph.values(inputs[1]), (0, 1)).all()))
        for name, _, inputs, outputs in graph.steps()
        if name in MATRICES and graph.is_constant(inputs[1])
    ]


def _whole(job: ExportJob, bits: int | None, scope: Scope) -> MadeFile:
    _quantize(job, bits, scope)
    return MadeFile(float_note(job.out))


def _products_only(job: ExportJob, bits: int | None) -> MadeFile:
    expect_products(job.source)
    _quantize(job, bits, PRODUCTS, sums(job.source))
    return MadeFile(_only("matrix products", job.out))


def _last_layer_only(job: ExportJob, bits: int | None) -> MadeFile:
    _quantize(job, bits, LAST_LAYER)
    return MadeFile(_only("last layer", job.out))


def _quantize(job: ExportJob, bits: int | None, scope: Scope, but: Iterable[str] = ()) -> None:
    """Write a file with weights of 8 bits and activations of ``bits``; None: quantized while it runs."""
    tool = quantizer_of(job.source)
    if bits is None:
        for pattern, operator, each in _asked(scope):
            tool.add_dynamic_config(pattern, operator, 8, each)
        keep_float(tool, but)
        save(tool, job.out)
    else:
        add_static(tool, bits, scope)
        keep_float(tool, but)
        keep_ends_float(tool, job.source)
        save(tool, job.out, calibrate(tool, job))


def _asked(scope: Scope) -> Iterator[tuple[str, Any, Any]]:
    """(pattern of names, operator, how many scales its weights get) of each kind of operator in a scope."""
    from ai_edge_quantizer.qtyping import QuantGranularity, TFLOperationName

    pattern, operators = scope
    for operator in operators:
        each = QuantGranularity.TENSORWISE if operator in MATRICES else QuantGranularity.CHANNELWISE
        yield pattern, TFLOperationName[operator], each


def _only(what: str, path: Path) -> str:
    return f"int8 in its {what} only, {int8_share(path):.0%} of its weights; all else stayed float"


def _float_operators(path: Path) -> list[str]:
    """The kinds of operators that read or write a float tensor."""
    graph = Graph.open(path)
    found = {
        name
        for name, _, inputs, outputs in graph.steps()
        if any(graph.graph.tensors[at].type in FLOATS for at in (*inputs, *outputs))
    }
    return sorted(found - {"QUANTIZE", "DEQUANTIZE"}) or sorted(found)
