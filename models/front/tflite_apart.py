"""The front of a TFLite file taken off, for tools that change what stands behind it.

In: the bytes of a file that :func:`models.front.tflite_front.with_front_and_tail` gave a front and no tail. Out: the
file that it was given, but for constants of the front that nothing reads.
"""

from __future__ import annotations

from ai_edge_litert.tools import flatbuffer_utils

from pulseproof.models.front.tflite_nodes import PREFIX
from pulseproof.models.front.tflite_writer import TfliteWriter


def without_front(content: bytes) -> bytes:
    """See the module."""
    made = TfliteWriter(flatbuffer_utils.read_model_from_bytearray(bytearray(content)))
    graph = made.graph
    added = {at for at, tensor in enumerate(graph.tensors) if bytes(tensor.name).startswith(PREFIX.encode())}
    reads = [bool(added & {int(at) for at in operator.inputs}) for operator in graph.operators]
    last = max(at for at, read in enumerate(reads) if read)
    own = int(graph.operators[last].outputs[0])
    graph.operators, graph.inputs = graph.operators[last + 1 :], [own]
    return made.packed()
