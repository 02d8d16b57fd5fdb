"""ONNX files with 8-bit weights and activations, through ONNX Runtime's quantizer.

In: a :class:`~export.job.ExportJob` whose ``source`` is the float32 file (and, for fixed ranges, calibration
recordings). Out: one ``.onnx`` file, float32 ``signal`` to float32 ``scores``. Static files hold QuantizeLinear and
DequantizeLinear around float operators, which the engine fuses to integer ones when it loads them; dynamic ones hold
integer operators and read the range of each activation off the recording that it runs.

Static weights have seven bits (-64 to 64). ONNX Runtime's kernels for signed weights add pairs of products in 16 bits
on x86 processors without VNNI, and saturate there without a word (:mod:`export.gate.saturation`). Measured on PTB-XL's
validation recordings, AVX2 without VNNI: with eight bits the CNN was up to 40 steps off its exact scores (AUC .900
instead of .912) and the logistic regression lost .072 of AUC, with seven bits both were within one step. What seven
bits cost: nothing that was seen, exact AUC .9123 against .9120 (float: .9124), and the same p50 on both kinds of
processor. Files with signed activations get the same weights: the CNN's saturated exactly as much (the kernels flip the
sign bit and go on as with unsigned ones), and so a file has one set of scores everywhere. Dynamic files have unsigned
weights, whose products are widened first: exact on both.
"""

from __future__ import annotations

import contextlib
import copy
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pulseproof.export.job import INPUT, ExportJob, MadeFile, RefusedError
from pulseproof.export.onnx import graph as onnx_graph
from pulseproof.models.front.onnx_front import front_nodes
from pulseproof.twins.onnx.format import load_plain

if TYPE_CHECKING:
    import onnx

PER_CHANNEL_OPSET = 13  # the first whose DequantizeLinear has an axis
CHUNK = 32  # calibration recordings whose activations are held at a time
# How "percentile" and "entropy" read a range off a histogram, in both formats. ONNX Runtime's defaults but for two:
# with its 128 bins "entropy" has nothing to choose from, and its percentiles are symmetric, as activations are not.
HISTOGRAM: dict[str, Any] = {"num_bins": 2048, "num_quantized_bins": 128, "percentile": 99.999, "symmetric": False}
_ROUNDING = ("QuantizeLinear", "DequantizeLinear")
LAST_LAYER = "features stay float; only the logistic layer is int8"
# What the products give stays float, and so does the sum of a spectrum over a band (see onnx_graph.layers), whose
# powers span six orders of magnitude. Measured on PTB-XL: with those sums in int8 too the logistic regression loses .09
# of AUC and the decision tree .12; with the results rounded to 8 bits the tree loses .012 instead of .003.
PRODUCTS = (
    "only the matrix products take int8 (signal and weights); their results, statistics, logarithms and thresholds "
    "stay float"
)


@dataclass(frozen=True)
class Calibrated:
    """A float model ready to be quantized, and the range of each of its activations."""

    model: onnx.ModelProto
    ranges: Any
    operators: tuple[str, ...]

    def quantized(
        self,
        signed: bool = False,
        only: Sequence[str] = (),
        but: Sequence[str] = (),
        float_sums: bool = False,
        reduce_range: bool = True,
    ) -> onnx.ModelProto:
        """The model with QuantizeLinear and DequantizeLinear around its operators: weights int8 per channel and
        symmetric, of seven bits unless ``reduce_range`` is False (for measurements of what that costs), activations
        uint8 (int8 when ``signed``) and not symmetric.

        uint8 is what x86 multiplies fastest; int8 is what Arm's CMSIS-NN, NPUs and TFLite know. Both have the same 256
        steps, shifted by 128. Symmetric int8 activations would leave half of the steps unused behind every ReLU.

        ``only``: the nodes to quantize (empty: all), each other node sees its inputs unrounded; ``but``: those to leave
        in float, as is whatever stands before the graph of a brought file. ``float_sums``: what a layer gives is not
        rounded to 8 bits again, but goes on in float.
        """
        from onnxruntime.quantization import QDQQuantizer, QuantType

        quantizer = QDQQuantizer(
            copy.deepcopy(self.model),
            per_channel=True,
            reduce_range=reduce_range,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QInt8 if signed else QuantType.QUInt8,
            tensors_range=self.ranges,
            nodes_to_quantize=list(only),
            nodes_to_exclude=[*but, *front_nodes(self.model.graph)],
            op_types_to_quantize=list(self.operators),
            extra_options={"OpTypesToExcludeOutputQuantization": list(self.operators)} if float_sums else {},
        )
        model: onnx.ModelProto = quantizer.quantize_model()
        if only:
            _unround_elsewhere(model.graph, self.model.graph, set(only))
        return model


def _unround_elsewhere(graph: onnx.GraphProto, before: onnx.GraphProto, only: set[str]) -> None:
    """Give the nodes that are not quantized the float inputs they had ``before``: the quantizer rounds a tensor for all
    who read it, so that one product with the signal would round the signal of every statistic too."""
    chosen = [node for node in before.node if node.name in only]
    inputs = {node.input[0] for node in chosen} - {name for node in chosen for name in node.output}
    source = {node.output[0]: node.input[0] for node in graph.node if node.op_type in _ROUNDING}
    for node in graph.node:
        if node.name not in only and node.op_type not in _ROUNDING:
            for at, name in enumerate(node.input):
                exact = source.get(source.get(name, ""), "")
                if exact in inputs:
                    node.input[at] = exact


def write_static(job: ExportJob) -> MadeFile:
    """``onnx-int8-static`` of a net: activations uint8 with calibrated ranges."""
    return _write(job, static(job, False))


def write_static_s8s8(job: ExportJob) -> MadeFile:
    """``onnx-int8-static-s8s8`` of a net: the same with int8 activations.

    On Arm its operators are fused as those of the other are. On x86 ONNX Runtime leaves what feeds a sum (a residual
    block) in float between two roundings: the same scores, slower.
    """
    return _write(job, static(job, False, signed=True))


def write_static_products(job: ExportJob) -> MadeFile:
    """``onnx-int8-static`` of features and a head: the matrix products alone."""
    return _write_products(job, signed=False)


def write_static_s8s8_products(job: ExportJob) -> MadeFile:
    """``onnx-int8-static-s8s8`` of features and a head: the matrix products alone."""
    return _write_products(job, signed=True)


def write_static_last_layer(job: ExportJob) -> MadeFile:
    """``onnx-int8-static`` where only the last layer is quantized."""
    return _write_last_layer(job, signed=False)


def write_static_s8s8_last_layer(job: ExportJob) -> MadeFile:
    """``onnx-int8-static-s8s8`` where only the last layer is quantized."""
    return _write_last_layer(job, signed=True)


def write_dynamic(job: ExportJob) -> MadeFile:
    """``onnx-int8-dynamic`` of a net: 8-bit weights, activation ranges read off each recording while it runs."""
    with prepared(job.source) as path:
        _quantize_dynamic(path, job.out, [])
    return MadeFile(onnx_graph.share_note(job.out))


def write_dynamic_products(job: ExportJob) -> MadeFile:
    """``onnx-int8-dynamic`` of features and a head: the matrix products alone."""
    with prepared(job.source) as path:
        _quantize_dynamic(path, job.out, products(path))
    return _made(job, PRODUCTS)


def write_dynamic_last_layer(job: ExportJob) -> MadeFile:
    """``onnx-int8-dynamic`` where only the last layer is quantized."""
    with prepared(job.source) as path:
        _quantize_dynamic(path, job.out, products(path)[-1:])
    return _made(job, LAST_LAYER)


def static(job: ExportJob, products_only: bool, signed: bool = False, reduce_range: bool = True) -> onnx.ModelProto:
    """What ``onnx-int8-static`` writes, of a net (all of it) or of features and a head (``products_only``)."""
    ready = calibrated(job, onnx_graph.PRODUCTS if products_only else ())
    if not products_only:
        return ready.quantized(signed, reduce_range=reduce_range)
    only = _product_names(ready.model)
    return ready.quantized(signed, only=only, float_sums=True, reduce_range=reduce_range)


def _write_products(job: ExportJob, signed: bool) -> MadeFile:
    return _write(job, static(job, True, signed), PRODUCTS)


def _write_last_layer(job: ExportJob, signed: bool) -> MadeFile:
    ready = calibrated(job, onnx_graph.PRODUCTS)
    model = ready.quantized(signed, only=_product_names(ready.model)[-1:], float_sums=True)
    return _write(job, model, LAST_LAYER)


def _write(job: ExportJob, model: onnx.ModelProto, note: str | None = None) -> MadeFile:
    onnx_graph.save(model, job.out)
    return _made(job, note)


def _made(job: ExportJob, note: str | None) -> MadeFile:
    return MadeFile("; ".join(said for said in (note, onnx_graph.share_note(job.out)) if said) or None)


@contextlib.contextmanager
def prepared(source: Path) -> Iterator[Path]:
    """A float file as the quantizers want it, for as long as the block lasts: constants folded, batch norms in their
    convolutions, shapes inferred. Node names stay, but a MatMul and its Add become ``<name>/MatMulAddFusion``.

    Raises RefusedError for a file of an old operator set that cannot be raised.
    """
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    model = load_plain(source)
    opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), PER_CHANNEL_OPSET)
    if opset < PER_CHANNEL_OPSET:
        try:
            model = onnx.version_converter.convert_version(model, onnx_graph.OPSET)
        except Exception as error:  # the converter's own type, RuntimeError, IndexError
            raise RefusedError(
                f"it is of operator set {opset}, int8 needs {PER_CHANNEL_OPSET}, and onnx cannot raise it "
                f"({' '.join(str(error).split())[:80]}): export it again with a newer one"
            ) from None
    with tempfile.TemporaryDirectory() as folder:
        plain, path = Path(folder) / "plain.onnx", Path(folder) / "prepared.onnx"
        onnx.save(model, plain)
        quant_pre_process(plain, path, skip_symbolic_shape=True)
        yield path


def calibrated(job: ExportJob, operators: Sequence[str] = ()) -> Calibrated:
    """The float model with the ranges of the activations around ``operators`` (default: all that the quantizer knows),
    read off the calibration recordings."""
    import onnx
    from onnxruntime.quantization import CalibrationMethod, create_calibrator
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    methods = {
        "minmax": CalibrationMethod.MinMax,
        "percentile": CalibrationMethod.Percentile,
        "entropy": CalibrationMethod.Entropy,
    }
    wanted = tuple(operators) or tuple(sorted({*QDQRegistry, *QLinearOpsRegistry}))
    with prepared(job.source) as path:
        calibrator = create_calibrator(
            path,
            wanted,
            augmented_model_path=str(path.with_name("augmented.onnx")),
            calibrate_method=methods[job.method],
            extra_options={} if job.method == "minmax" else HISTOGRAM,
        )
        # In chunks: quantize_static, which does the same in one call, holds the activations of all recordings.
        for first in range(0, len(job.calibration), CHUNK):
            calibrator.collect_data(_reader(job.calibration[first : first + CHUNK]))
        return Calibrated(onnx.load(path), calibrator.compute_data(), wanted)


def products(path: Path) -> list[str]:
    """The names of the matrix products with constant weights of a file, in its order. Raises RefusedError when there
    is none (the quantizers take an empty list for "all")."""
    import onnx

    return _product_names(onnx.load(path))


def _product_names(model: onnx.ModelProto) -> list[str]:
    names = list(onnx_graph.layers(model.graph, onnx_graph.PRODUCTS))
    if not names:
        raise RefusedError("it has no matrix product with constant weights that could be int8")
    return names


def _quantize_dynamic(prepared_file: Path, out: Path, only: Sequence[str]) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(prepared_file)
    _own_weights(model.graph)
    # The quantizer turns a Gemm into a MatMul and an Add before it looks at names.
    only = [name for each in only for name in (each, f"{each}_MatMul")]
    # Unsigned weights: with signed ones ONNX Runtime's ConvInteger is slower than the float convolution, and its
    # MatMulInteger saturates on x86 without VNNI.
    left = front_nodes(model.graph)
    quantize_dynamic(model, out, weight_type=QuantType.QUInt8, nodes_to_quantize=only, nodes_to_exclude=left)
    onnx_graph.save(onnx.load(out), out)


def _own_weights(graph: onnx.GraphProto) -> None:
    """A copy of its own for every Gemm but the first that uses a matrix: the quantizer transposes it in place, once for
    each."""
    import onnx

    known = {tensor.name: tensor for tensor in graph.initializer}
    used: set[str] = set()
    for at, node in enumerate(graph.node):
        if node.op_type == "Gemm" and node.input[1] in known:
            if node.input[1] in used:
                tensor = onnx.TensorProto()
                tensor.CopyFrom(known[node.input[1]])
                tensor.name = f"{tensor.name}_of_{at}"
                graph.initializer.append(tensor)
                node.input[1] = tensor.name
            used.add(node.input[1])


def _reader(signals: NDArray[np.float32]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._left = iter(signals)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            signal = next(self._left, None)
            return None if signal is None else {INPUT: signal[None]}

    return Reader()
