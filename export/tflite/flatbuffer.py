"""TFLite files read and written operator by operator, where no converter makes the graph that the runtime is fast at.

In: an empty graph or a TFLite file, and operators to add. Out: a TFLite file with one input ``signal`` and one output
``scores``; and of any file its operators, the share of 8-bit weights and the step to which it rounds the signal. The
format: https://github.com/google-ai-edge/LiteRT/blob/main/tflite/schema/schema.fbs.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ai_edge_litert import schema_py_generated as schema

from pulseproof.export.job import INPUT, OUTPUT
from pulseproof.models.front.tflite_writer import TfliteWriter
from pulseproof.twins.tflite.format import EIGHT_BIT, FLOATS, TfliteFile

# Operators that move values without changing them: behind one of these the signal is still the signal.
MOVES = ("RESHAPE", "TRANSPOSE", "PAD", "SLICE", "STRIDED_SLICE", "EXPAND_DIMS", "SQUEEZE")


class Graph(TfliteWriter, TfliteFile):
    """One TFLite model with one subgraph, to which tensors and operators can be added."""

    @classmethod
    def empty(cls) -> Graph:
        """A graph without tensors."""
        model = schema.ModelT()
        model.version, model.description = 3, "pulseproof"
        model.buffers, model.operatorCodes, model.metadata = [schema.BufferT()], [], []
        graph = schema.SubGraphT()
        graph.name, graph.tensors, graph.operators, graph.inputs, graph.outputs = "main", [], [], [], []
        model.subgraphs = [graph]
        return cls(model)

    def prune(self) -> None:
        """Take out the tensors that no operator uses, and their values."""
        ends = [*self.graph.inputs, *self.graph.outputs]
        sides = ("inputs", "outputs", "intermediates")  # the last: of an int8 LSTM
        lists = [(one, side) for one in self.graph.operators for side in sides if getattr(one, side) is not None]
        used = sorted({int(at) for at in ends} | {int(at) for one, side in lists for at in getattr(one, side)} - {-1})
        place = {old: new for new, old in enumerate(used)} | {-1: -1}
        for one, side in [*lists, (self.graph, "inputs"), (self.graph, "outputs")]:
            setattr(one, side, [place[int(at)] for at in getattr(one, side)])
        self.graph.tensors = [self.graph.tensors[at] for at in used]
        held = {int(tensor.buffer) for tensor in self.graph.tensors}
        for index, buffer in enumerate(self.model.buffers):
            if index not in held and index not in {int(entry.buffer) for entry in self.model.metadata or []}:
                buffer.data = None

    def write(self, path: Path) -> None:
        """Write the file. Its input and output tensors are named, as is its only signature."""
        ends = {int(self.graph.inputs[0]): INPUT, int(self.graph.outputs[0]): OUTPUT}
        for index, tensor in enumerate(self.graph.tensors):
            name = self.name(index)
            tensor.name = ends.get(index, f"{name}_inner" if name in (INPUT, OUTPUT) else name)
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = "serving_default", 0
        signature.inputs, signature.outputs = [], []
        for index, name in ends.items():
            end = schema.TensorMapT()
            end.name, end.tensorIndex = name, index
            (signature.inputs if name == INPUT else signature.outputs).append(end)
        self.model.signatureDefs = [signature]
        path.write_bytes(self.packed())


def rename_ends(path: Path) -> None:
    """Give a converter's file the names of input and output that every artifact has."""
    Graph.open(path).write(path)


def count_operators(path: Path) -> dict[str, int]:
    """{operator: count} of a TFLite file. Raises InputError when it is none."""
    return dict(sorted(Counter(Graph.open(path).operators()).items()))


def input_step_mv(path: Path) -> float | None:
    """The step to which a file rounds the signal (or the signal less a mean); None where it is not quantized.

    Of a file with an integer input it is the step of that input. Where there are several steps (one a lead, or one a
    branch), it is the coarsest. Raises InputError for a file that is no TFLite file.
    """
    graph = Graph.open(path)
    signal = {int(graph.graph.inputs[0])}
    own = _step(graph, int(graph.graph.inputs[0]))
    if own is not None:
        return own
    found = []
    for name, _, inputs, outputs in graph.steps():
        if not inputs or inputs[0] not in signal:
            continue
        if name in ("SUB", *MOVES):
            signal.update(outputs)
        if name == "QUANTIZE":
            found.append(_step(graph, outputs[0]))
    return max((step for step in found if step is not None), default=None)


def _step(graph: Graph, tensor: int) -> float | None:
    about = graph.graph.tensors[tensor]
    scales = None if about.quantization is None else about.quantization.scale
    if about.type in FLOATS or scales is None or len(scales) == 0:
        return None
    return float(max(scales))


def int8_share(path: Path) -> float:
    """Share of the weights that are 8-bit: a quantizer that finds nothing it knows copies the float file.

    Raises InputError for a file that is no TFLite file.
    """
    graph = Graph.open(path)
    eight_bit, all_of_them = 0, 0
    for index, tensor in enumerate(graph.graph.tensors):
        if tensor.type in (*FLOATS, *EIGHT_BIT) and graph.is_constant(index):
            all_of_them += graph.size(index)
            eight_bit += graph.size(index) if tensor.type in EIGHT_BIT else 0
    return eight_bit / max(1, all_of_them)


def float_note(path: Path) -> str | None:
    """What must be said of a quantized file half of whose weights, or more, stayed float; else None."""
    share = int8_share(path)
    if share > 0.5:
        return None
    graph = Graph.open(path)
    sizes: Counter[str] = Counter()
    for name, _, inputs, _ in graph.steps():
        floats = (at for at in inputs if graph.graph.tensors[at].type in FLOATS and graph.is_constant(at))
        sizes[name] += sum(graph.size(at) for at in floats)
    # A table that several operators read (the nodes of a tree) counts once for each: the order is all that is told.
    names = ", ".join(name for name, size in sizes.most_common(3) if size)
    return f"{share:.0%} of its weights are 8-bit" + (f", those of {names} stayed float" if names else "")
