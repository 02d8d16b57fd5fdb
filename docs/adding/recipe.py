"""What the files of this recipe are, and which chip takes them.  FILL what

In: an :class:`~export.job.ExportJob`, whose ``source`` is the float ONNX file. Out: the file at ``job.out``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pulseproof.export.job import ExportJob, MadeFile
from pulseproof.export.onnx import graph as onnx_graph
from pulseproof.twins.onnx.format import load_plain


def write(job: ExportJob) -> MadeFile:
    """Every float weight narrowed; what else a recipe changes, it changes here. A RefusedError says why it cannot."""
    import onnx

    model = load_plain(job.source)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            values = narrowed(onnx.numpy_helper.to_array(tensor))
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx_graph.save(model, job.out)
    return MadeFile("weights are float16 numbers, arithmetic is float32")  # FILL said


def narrowed(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The nearest numbers that the chip knows, float32 of the same shape."""
    return values.astype(np.float16).astype(np.float32)  # FILL narrowed
