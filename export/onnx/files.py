"""ONNX files: the float one through torch's exporter, and by name all the others that a recipe can ask for.

In: a :class:`~export.job.ExportJob`. Out: one ``.onnx`` file without external data, opset 20 (a brought file keeps its
own), float32 ``signal`` (1, leads, samples) to float32 ``scores`` (1, classes). The smaller ones are made from the
float one: :mod:`export.onnx.half`, :mod:`export.onnx.int8`, :mod:`export.onnx.mixed`; :mod:`export.onnx.given` takes a
file that a user brings; :mod:`export.onnx.graph` reads what a table says of any of them.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from pulseproof.export.job import INPUT, OUTPUT, ExportJob, MadeFile
from pulseproof.export.onnx.given import write_given
from pulseproof.export.onnx.graph import OPSET, count_operators, input_step_mv, int8_share
from pulseproof.export.onnx.half import write_fp16, write_fp16_products
from pulseproof.export.onnx.int8 import (
    HISTOGRAM,
    write_dynamic,
    write_dynamic_last_layer,
    write_dynamic_products,
    write_static,
    write_static_last_layer,
    write_static_products,
    write_static_s8s8,
    write_static_s8s8_last_layer,
    write_static_s8s8_products,
)
from pulseproof.export.onnx.mixed import write_mixed

__all__ = [
    "HISTOGRAM",
    "count_operators",
    "export_module",
    "input_step_mv",
    "int8_share",
    "write_dynamic",
    "write_dynamic_last_layer",
    "write_dynamic_products",
    "write_float",
    "write_fp16",
    "write_fp16_products",
    "write_given",
    "write_mixed",
    "write_static",
    "write_static_last_layer",
    "write_static_products",
    "write_static_s8s8",
    "write_static_s8s8_last_layer",
    "write_static_s8s8_products",
]


def write_float(job: ExportJob) -> MadeFile:
    """``onnx-fp32`` of any torch module."""
    module, note = job.copy()
    export_module(module, job.shape, job.out, OUTPUT)
    return MadeFile(note)


def export_module(module: nn.Module, shape: tuple[int, int], path: Path, output: str) -> None:
    """Write a torch module with one input and one output as ONNX, batch 1.

    By torch's TorchScript exporter: it keeps an LSTM as one LSTM node, and takes 0.1 s where the newer one takes 2 to
    60 s. It records the operators of one run, so a branch on the data would be lost; the parity gate would see that.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # an attention layer in one operator, which ONNX does not have
    try:
        torch.onnx.export(
            module.eval(),
            (torch.zeros(1, *shape),),
            path,
            input_names=[INPUT],
            output_names=[output],
            opset_version=OPSET,
            dynamo=False,
        )
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
