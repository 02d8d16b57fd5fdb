"""TFLite files with float arithmetic: float32 through litert-torch, weights in half through ai-edge-quantizer.

In: a :class:`~export.job.ExportJob`. Out: a ``.tflite`` file, float32 ``signal`` (1, leads, samples) to float32
``scores`` (1, classes). The quantized recipes are in :mod:`export.tflite.int8` and :mod:`export.tflite.mixed`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from pulseproof.export.job import ExportJob, MadeFile, front_note
from pulseproof.export.tflite.flatbuffer import Graph, rename_ends
from pulseproof.export.tflite.int8 import (
    expect_products,
    write_dynamic,
    write_dynamic_last_layer,
    write_dynamic_products,
    write_full,
    write_int16x8,
    write_int16x8_last_layer,
    write_int16x8_products,
    write_static,
    write_static_last_layer,
    write_static_products,
)
from pulseproof.export.tflite.mixed import write_mixed
from pulseproof.models.brought.model import FileModel

__all__ = [
    "convert",
    "write_dynamic",
    "write_dynamic_last_layer",
    "write_dynamic_products",
    "write_float",
    "write_fp16",
    "write_fp16_products",
    "write_full",
    "write_given",
    "write_int16x8",
    "write_int16x8_last_layer",
    "write_int16x8_products",
    "write_mixed",
    "write_static",
    "write_static_last_layer",
    "write_static_products",
]


def write_float(job: ExportJob) -> MadeFile:
    """``tflite-fp32`` of any torch module."""
    module, note = job.copy()
    convert(module, job.shape, job.out)
    graph = Graph.open(job.out)
    if _mean_in_place(graph):
        graph.write(job.out)
    return MadeFile(note)


def convert(module: nn.Module, shape: tuple[int, int], path: Path) -> None:
    """Write a torch module with one input and one output as TFLite, batch 1."""
    import litert_torch

    litert_torch.convert(module.eval(), (torch.zeros(1, *shape),)).export(str(path))
    rename_ends(path)


def write_fp16(job: ExportJob) -> MadeFile:
    """``tflite-fp16`` of a net: weights stored in half, made float32 when the file is opened; arithmetic is float32."""
    _halve(job, ".*", "ALL_SUPPORTED")
    return MadeFile()


def write_fp16_products(job: ExportJob) -> MadeFile:
    """``tflite-fp16`` of a model on features: only the constants of matrix products are stored in half.

    A threshold of a tree in half would send other recordings down the other branch. Raises RefusedError when it has no
    such constants.
    """
    expect_products(job.source)
    _halve(job, ".*", "FULLY_CONNECTED")
    return MadeFile("only the constants of its matrix products are stored in half")


def write_given(job: ExportJob) -> MadeFile:
    """``tflite-as-given``: the very bytes of the file that was taken."""
    assert isinstance(job.module, FileModel)
    shutil.copyfile(job.module.path, job.out)
    return MadeFile(front_note(job.module))


def _halve(job: ExportJob, scope: str, operators: str) -> None:
    from ai_edge_quantizer import quantizer
    from ai_edge_quantizer.algorithm_manager import AlgorithmName
    from ai_edge_quantizer.qtyping import (
        ComputePrecision,
        OpQuantizationConfig,
        TensorDataType,
        TensorQuantizationConfig,
        TFLOperationName,
    )

    config = OpQuantizationConfig(
        weight_tensor_config=TensorQuantizationConfig(num_bits=16, dtype=TensorDataType.FLOAT),
        compute_precision=ComputePrecision.FLOAT,
        explicit_dequantize=True,
    )
    tool = quantizer.Quantizer(str(job.source))
    tool.update_quantization_recipe(scope, TFLOperationName[operators], config, AlgorithmName.FLOAT_CASTING)
    job.out.write_bytes(tool.quantize(enable_progress_report=False).quantized_model)
    rename_ends(job.out)


def _mean_in_place(graph: Graph) -> bool:
    """Take the mean over time where the convolutions left the values, and not after two operators that turn them.

    The converter gives TRANSPOSE (1, 1, time, channels) to (1, channels, 1, time), RESHAPE to (1, channels, time) and
    MEAN over the last axis: it is MEAN over the axes 1 and 2 of what came in. Returns whether there was one.
    """
    steps = graph.steps()
    made_by = {outputs[0]: (name, operator, inputs) for name, operator, inputs, outputs in steps}
    reads = [tensor for _, _, inputs, _ in steps for tensor in inputs]
    shape = [[int(size) for size in tensor.shape] for tensor in graph.graph.tensors]
    for name, mean, inputs, _ in steps:
        reshape = made_by.get(inputs[0]) if name == "MEAN" else None
        turn = made_by.get(reshape[2][0]) if reshape and reshape[0] == "RESHAPE" else None
        if not reshape or not turn or turn[0] != "TRANSPOSE" or _constant(graph, turn[2][1]) != [0, 3, 1, 2]:
            continue
        source, turned, flat = turn[2][0], reshape[2][0], inputs[0]
        n, _, time, channels = shape[source]
        over_time = _constant(graph, inputs[1]) in ([2], [-1]) and not mean.builtinOptions.keepDims
        if shape[source][1] != 1 or shape[flat] != [n, channels, time] or not over_time:
            continue
        if reads.count(turned) > 1 or reads.count(flat) > 1:  # another operator wants them as they are
            continue
        mean.inputs = [source, graph.constant("time", np.array([1, 2], np.int32))]
        dropped = (reshape[1], turn[1])
        graph.graph.operators = [one for one in graph.graph.operators if not any(one is other for other in dropped)]
        graph.prune()
        return True
    return False


def _constant(graph: Graph, tensor: int) -> list[Any] | None:
    """The values of an int32 tensor that the file holds."""
    if not graph.is_constant(tensor):
        return None
    return list(graph.values(tensor))
