"""ONNX int8 with some layers left in float: which of them lose most, and the file without those.

In: a :class:`~export.job.ExportJob` with calibration recordings. Out: one ``.onnx`` file, and what each layer costs. A
layer is a convolution or matrix product with constant weights, by its node's name in the float file. The recordings are
run once for the ranges; each layer's file shares them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pulseproof.export.job import INPUT, ExportJob, MadeFile
from pulseproof.export.mixed import SENSED_ON, note_of, pick, score_error
from pulseproof.export.onnx import graph as onnx_graph
from pulseproof.export.onnx.int8 import calibrated

if TYPE_CHECKING:
    import onnx

_FOLDED = ("Relu", "Clip")  # the quantizer takes them into the layer before


def write_mixed(job: ExportJob) -> MadeFile:
    """``onnx-int8-mixed`` of a net. See :func:`export.mixed.pick` for what is raised."""
    import onnx

    ready = calibrated(job)
    given = [node.name for node in onnx.load(job.source).graph.node]
    nodes = {_shown(name, given): name for name in onnx_graph.layers(ready.model.graph)}
    signals = job.calibration[:SENSED_ON]
    reference = _scores(job.source.read_bytes(), signals)
    whole = ready.quantized().ByteSize()

    def error_of(layer: str) -> float:
        model = ready.quantized(only=_with_what_folds(ready.model.graph, nodes[layer]))
        return score_error(_scores(model.SerializeToString(), signals), reference)

    def bytes_of(layer: str) -> int:
        return int(ready.quantized(but=[nodes[layer]]).ByteSize()) - int(whole)

    layers = pick(job, tuple(nodes), error_of, bytes_of)
    onnx_graph.save(ready.quantized(but=[nodes[layer.name] for layer in layers if layer.kept]), job.out)
    said = (note_of(layers), onnx_graph.share_note(job.out))
    return MadeFile("; ".join(part for part in said if part), layers)


def _shown(name: str, given: Iterable[str]) -> str:
    """A node's name in the float file: preparing it appends to the name of a node that it puts together of several."""
    fitting = [one for one in given if one and (name == one or name.startswith(f"{one}/"))]
    return max(fitting, key=len, default=name)


def _with_what_folds(graph: onnx.GraphProto, name: str) -> list[str]:
    """A layer, and the activation behind it: quantized in one step with it, as in the whole int8 file."""
    output = next(node.output[0] for node in graph.node if node.name == name)
    return [name, *(node.name for node in graph.node if node.op_type in _FOLDED and node.input[0] == output)]


def _scores(model: bytes, signals: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a model gives, float32 (k, classes), one recording at a time."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {INPUT: signal[None]})[0] for signal in signals])
