"""ONNX files of nets: float through torch's exporter, int8 through ONNX Runtime's quantizer.

In: a :class:`~export.job.Job`. Out: one ``.onnx`` file without external data, opset 20, float32 ``signal`` (1, leads,
samples) to float32 ``scores`` (1, classes).
"""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from export.fold import for_export
from export.job import INPUT, OUTPUT, Job

if TYPE_CHECKING:
    import onnx

OPSET = 20
CHUNK = 32  # calibration recordings whose activations are held at a time
# How "percentile" and "entropy" read a range off a histogram, in both formats. ONNX Runtime's defaults but for two:
# with its 128 bins "entropy" has nothing to choose from, and its percentiles are symmetric, as activations are not.
HISTOGRAM: dict[str, Any] = {"num_bins": 2048, "num_quantized_bins": 128, "percentile": 99.999, "symmetric": False}


def write_float(job: Job) -> None:
    """``onnx-fp32`` of any torch module."""
    export_module(for_export(job.module), job.shape, job.out, OUTPUT)


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


def write_static(job: Job) -> None:
    """``onnx-int8-static`` of a net: QDQ, weights int8 per channel, activations uint8 with calibrated ranges."""
    _quantize_static(job, excluded=[])


def write_static_last_layer(job: Job) -> None:
    """``onnx-int8-static`` where only the last layer is quantized."""
    _quantize_static(job, _all_but_last_layer(job.source))


def write_dynamic(job: Job) -> None:
    """``onnx-int8-dynamic`` of a net: 8-bit weights, activation ranges read off each recording while it runs."""
    _quantize_dynamic(job, excluded=[])


def write_dynamic_last_layer(job: Job) -> None:
    """``onnx-int8-dynamic`` where only the last layer is quantized."""
    _quantize_dynamic(job, _all_but_last_layer(job.source))


def _quantize_static(job: Job, excluded: list[str]) -> None:
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QDQQuantizer, QuantType, create_calibrator
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry
    from onnxruntime.quantization.shape_inference import quant_pre_process

    methods = {
        "minmax": CalibrationMethod.MinMax,
        "percentile": CalibrationMethod.Percentile,
        "entropy": CalibrationMethod.Entropy,
    }
    operators = sorted({*QDQRegistry, *QLinearOpsRegistry})
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(job.source, prepared, skip_symbolic_shape=True)
        calibrator = create_calibrator(
            prepared,
            operators,
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=methods[job.method],
            extra_options={} if job.method == "minmax" else HISTOGRAM,
        )
        # In chunks: quantize_static, which does the same in one call, holds the activations of all recordings.
        for first in range(0, len(job.calibration), CHUNK):
            calibrator.collect_data(_reader(job.calibration[first : first + CHUNK]))
        # uint8 activations with int8 weights: the fastest pair on x86, and bit-identical to int8 ones on ARM.
        quantizer = QDQQuantizer(
            onnx.load(prepared),
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=calibrator.compute_data(),
            nodes_to_quantize=[],
            nodes_to_exclude=excluded,
            op_types_to_quantize=operators,
            extra_options={},
        )
        quantizer.quantize_model()
        quantizer.model.save_model_to_file(str(job.out))


def _quantize_dynamic(job: Job, excluded: list[str]) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(job.source, prepared, skip_symbolic_shape=True)
        # Unsigned weights: with signed ones ONNX Runtime's ConvInteger is slower than the float convolution.
        quantize_dynamic(prepared, job.out, weight_type=QuantType.QUInt8, nodes_to_exclude=excluded)


def _reader(signals: NDArray[np.float32]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._left = iter(signals)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            signal = next(self._left, None)
            return None if signal is None else {INPUT: signal[None]}

    return Reader()


def _all_but_last_layer(path: Path) -> list[str]:
    """The names of all nodes before the last linear layer. (That one is renamed on the way: it cannot be asked for.)"""
    import onnx

    nodes = onnx.load(path).graph.node
    last = max(at for at, node in enumerate(nodes) if node.op_type in ("Gemm", "MatMul"))
    return [node.name for node in nodes[:last]]


def count_operators(path: Path) -> dict[str, int]:
    """{operator: count} of an ONNX file, constants left out."""
    import onnx

    counts = Counter(node.op_type for node in onnx.load(path).graph.node if node.op_type != "Constant")
    return dict(sorted(counts.items()))


def input_step_mv(path: Path) -> float | None:
    """The step to which a file rounds the signal (or the signal less a constant); None where it is not quantized."""
    import onnx

    graph = onnx.load(path).graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    centred = {INPUT, *(node.output[0] for node in graph.node if _is_shift(node, constants))}
    for node in graph.node:
        if node.op_type == "QuantizeLinear" and node.input[0] in centred:
            return float(constants[node.input[1]])
    return None


def int8_share(path: Path) -> float:
    """Share of the weights that are 8-bit: a quantizer that finds nothing it knows copies the float file."""
    import onnx

    eight_bit = (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
    sizes = [(tensor.data_type, math.prod(tensor.dims)) for tensor in onnx.load(path).graph.initializer if tensor.dims]
    small = sum(size for kind, size in sizes if kind in eight_bit)
    return small / max(1, small + sum(size for kind, size in sizes if kind == onnx.TensorProto.FLOAT))


def _is_shift(node: onnx.NodeProto, constants: dict[str, Any]) -> bool:
    return node.op_type == "Sub" and node.input[0] == INPUT and node.input[1] in constants
