"""TFLite files of nets: float through litert-torch, int8 through ai-edge-quantizer.

In: a :class:`~export.job.Job`. Out: a ``.tflite`` file, float32 ``signal`` (1, leads, samples) to float32 ``scores``
(1, classes).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from export.flatbuffer import rename_ends
from export.fold import for_export
from export.job import INPUT, OUTPUT, Job

CHUNK = 32  # calibration recordings whose activations are held at a time
LAST_LAYER = f"^{OUTPUT};?$"  # ai-edge-quantizer names an operator by its output tensor


def write_float(job: Job) -> None:
    """``tflite-fp32`` of any torch module."""
    convert(for_export(job.module), job.shape, job.out)


def convert(module: nn.Module, shape: tuple[int, int], path: Path) -> None:
    """Write a torch module with one input and one output as TFLite, batch 1."""
    import litert_torch

    litert_torch.convert(module.eval(), (torch.zeros(1, *shape),)).export(str(path))
    rename_ends(path)


def write_static(job: Job) -> None:
    """``tflite-int8-static`` of a net: weights int8 per channel, activations int8 with calibrated ranges."""
    _quantize(job, static=True, scope=".*")


def write_static_last_layer(job: Job) -> None:
    """``tflite-int8-static`` where only the last layer is quantized."""
    _quantize(job, static=True, scope=LAST_LAYER)


def write_weights(job: Job) -> None:
    """``tflite-int8-weights`` of a net: weights int8, activations quantized while it runs (dynamic range).

    One scale a matrix in linear layers: tflite-runtime 2.14 computes wrong scores, without an error, from more.
    """
    _quantize(job, static=False, scope=".*")


def write_weights_last_layer(job: Job) -> None:
    """``tflite-int8-weights`` where only the last layer is quantized."""
    _quantize(job, static=False, scope=LAST_LAYER)


def _quantize(job: Job, static: bool, scope: str) -> None:
    from ai_edge_quantizer import quantizer
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import QuantGranularity, TFLOperationName

    source = job.source
    tool = quantizer.Quantizer(str(source))
    if static:
        tool.add_static_config(scope, TFLOperationName.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8)
        # Float in and out; and the mean is subtracted before the signal is rounded, not after.
        for operator in (TFLOperationName.INPUT, TFLOperationName.OUTPUT, TFLOperationName.SUB):
            tool.update_quantization_recipe(".*", operator, None, AlgorithmName.NO_QUANTIZE)
        made = tool.quantize(_calibrate(tool, source, job), enable_progress_report=False)
    else:
        for operator in (TFLOperationName.CONV_2D, TFLOperationName.DEPTHWISE_CONV_2D):
            tool.add_dynamic_config(scope, operator, num_bits=8)
        tool.add_dynamic_config(
            scope, TFLOperationName.FULLY_CONNECTED, num_bits=8, granularity=QuantGranularity.TENSORWISE
        )
        made = tool.quantize(enable_progress_report=False)
    job.out.write_bytes(made.quantized_model)
    rename_ends(job.out)


def _calibrate(tool: Any, source: Path, job: Job) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Ranges of all activations over the calibration recordings, in the form that ai-edge-quantizer takes.

    Its own calibration gives a moving average of each recording's extremes, whatever the study asks for; it is only
    asked which tensors need a range.
    """
    signals = job.calibration
    needed = tool.calibrate({"serving_default": [{INPUT: signals[0][None]}]}, num_threads=1)
    wanted = {name for name, found in needed.items() if found}
    found = _ranges(source, signals, wanted, job.method)
    return {
        name: {"min": np.full_like(needed[name]["min"], low), "max": np.full_like(needed[name]["max"], high)}
        for name, (low, high) in found.items()
    }


def _ranges(
    path: Path, signals: NDArray[np.float32], wanted: set[str], method: str
) -> dict[str, tuple[np.float32, np.float32]]:
    """(lowest, highest) value of each tensor, by the very methods with which the ONNX files are calibrated."""
    from ai_edge_litert.interpreter import Interpreter
    from onnxruntime.quantization.calibrate import HistogramCollector

    from export.onnx_files import HISTOGRAM

    interpreter = Interpreter(str(path), num_threads=1, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    entrance = interpreter.get_input_details()[0]["index"]
    details = interpreter.get_tensor_details()
    places = {detail["name"]: detail["index"] for detail in details if detail["name"] in wanted}
    collector = HistogramCollector(method, scenario="same", **HISTOGRAM)
    extremes = {name: (np.float32(np.inf), np.float32(-np.inf)) for name in places}
    for first in range(0, len(signals), CHUNK):
        values: dict[str, list[NDArray[np.float32]]] = {name: [] for name in places}
        for signal in signals[first : first + CHUNK]:
            interpreter.set_tensor(entrance, signal[None])
            interpreter.invoke()
            for name, index in places.items():
                values[name].append(interpreter.get_tensor(index))
        if method == "minmax":
            for name, (low, high) in extremes.items():
                seen = np.stack(values[name])
                extremes[name] = (min(low, seen.min()), max(high, seen.max()))
        else:
            collector.collect(values)
    if method == "minmax":
        return extremes
    return {name: (found[0], found[1]) for name, found in collector.compute_collection_result().items()}
