"""A brought ONNX file, as the others here are: batch 1, ``signal`` in, ``scores`` out, everything in one file.

In: a :class:`~export.job.ExportJob` whose module is a :class:`~models.brought.files.FileModel`. Out: the same operators
and weights, in the operator set that they came in; only names and the sizes of the input are written anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from pulseproof.core.errors import InputError
from pulseproof.export.job import INPUT, OUTPUT, ExportJob, MadeFile, RefusedError, front_note
from pulseproof.export.onnx import graph as onnx_graph
from pulseproof.models.brought.files import FileModel
from pulseproof.runtime.words import one_line

if TYPE_CHECKING:
    import onnx

LARGEST = 2**31 - 1  # bytes of one protobuf message


def write_given(job: ExportJob) -> MadeFile:
    """``onnx-fp32`` or ``onnx-as-given`` of a brought ONNX file.

    Raises InputError when the file (or one that holds its weights) cannot be read, RefusedError when it does not fit
    into one file.
    """
    import onnx

    assert isinstance(job.module, FileModel)
    path = job.module.path
    try:
        model = onnx.load(path)  # weights of files beside it too; onnx refuses one outside the folder
    except Exception as error:  # protobuf's, onnx's and the system's own types; all mean the same here
        raise InputError(
            f"{path}: not a readable ONNX file ({one_line(error)})", "give the file, and its weights beside it"
        ) from None
    _pin(model.graph, job.shape)
    del model.graph.value_info[:]  # noted for a free batch, they would contradict what is inferred for one of 1
    name_ends(model.graph)
    _name_nodes(model.graph.node)
    if model.ByteSize() > LARGEST:
        raise RefusedError(f"with its weights it has {model.ByteSize():,} bytes; one ONNX file holds {LARGEST:,}")
    onnx.save(model, job.out)
    notes = (front_note(job.module), onnx_graph.share_note(job.out) if job.module.quantized else None)
    return MadeFile("; ".join(note for note in notes if note) or None)


def _ends(graph: onnx.GraphProto) -> tuple[onnx.ValueInfoProto, onnx.ValueInfoProto]:
    known = {tensor.name for tensor in graph.initializer}
    known |= {sparse.values.name for sparse in graph.sparse_initializer}
    return next(value for value in graph.input if value.name not in known), graph.output[0]


def _pin(graph: onnx.GraphProto, shape: tuple[int, int]) -> None:
    """Say that there is one recording, of these leads and samples: what the file may have left open."""
    signal, scores = _ends(graph)
    dimensions = signal.type.tensor_type.shape.dim
    del dimensions[:]
    for size in (1, *shape):
        dimensions.add().dim_value = size
    declared = scores.type.tensor_type.shape.dim
    if len(declared) and not declared[0].HasField("dim_value"):
        declared[0].dim_value = 1


def name_ends(graph: onnx.GraphProto) -> None:
    """Call the input ``signal`` and the output ``scores``; an inner tensor of that name gets another one."""
    import onnx

    signal, scores = _ends(graph)
    if signal.name == scores.name:  # nothing between them: two names need a node
        inner = f"{signal.name}_again"
        graph.node.append(onnx.helper.make_node("Identity", [signal.name], [inner]))
        scores.name = inner
    names = {signal.name: INPUT, scores.name: OUTPUT}
    taken = set(_tensor_names(graph)) | {INPUT, OUTPUT}
    for name in (INPUT, OUTPUT):
        if name in taken and name not in names:
            fresh = f"inner_{name}"
            while fresh in taken:
                fresh += "_"
            names[name] = fresh
    _rename(graph, names)


def _tensor_names(graph: onnx.GraphProto) -> Iterable[str]:
    for inner in onnx_graph.graphs(graph):
        for node in inner.node:
            yield from (*node.input, *node.output)
        for value in (*inner.input, *inner.output, *inner.value_info, *inner.initializer):
            yield value.name
        for sparse in inner.sparse_initializer:
            yield sparse.values.name


def _rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Other names for tensors, everywhere at once, so that two may also change places."""
    for inner in onnx_graph.graphs(graph):
        for node in inner.node:
            for ends in (node.input, node.output):
                for at, name in enumerate(ends):
                    ends[at] = names.get(name, name)
        for value in (*inner.input, *inner.output, *inner.value_info, *inner.initializer):
            value.name = names.get(value.name, value.name)
        for sparse in inner.sparse_initializer:
            sparse.values.name = names.get(sparse.values.name, sparse.values.name)
        for annotation in inner.quantization_annotation:
            annotation.tensor_name = names.get(annotation.tensor_name, annotation.tensor_name)
            for entry in annotation.quant_parameter_tensor_names:
                entry.value = names.get(entry.value, entry.value)


def _name_nodes(nodes: Iterable[onnx.NodeProto]) -> None:
    """A name of its own for every node: that is how a study names the layers that stay float."""
    seen = {node.name for node in nodes}
    met: set[str] = set()
    for at, node in enumerate(nodes):
        if not node.name or node.name in met:
            name = f"{node.op_type}_{at}"
            while name in seen:
                name += "_"
            node.name = name
            seen.add(name)
        met.add(node.name)
