"""What an ONNX file from a stranger must be before it counts as a model of a study, read without running it.

In: the path of a file and the task. Out: :class:`OnnxFacts`, or an InputError that names the file, what is wrong and
what to do. Weights in files beside it (external data) are read only from its own folder. Whether the engine runs it is
tried elsewhere, in a process of its own (:mod:`models.brought.files`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from pulseproof.core.errors import InputError
from pulseproof.models.brought.checks import strange
from pulseproof.models.brought.onnx_parts import expect_bounded
from pulseproof.models.brought.onnx_weights import find_external, graphs_of, tensors_of
from pulseproof.models.front.fitting import Fitting, choose_output, count_scores
from pulseproof.models.front.others import WHOLE, InputEnd, OtherInput
from pulseproof.models.front.plan import Front
from pulseproof.runtime.words import one_line

# Operators that only a quantized graph has; an 8-bit or half weight says the same.
QUANTIZED = re.compile(
    r"(De)?[Qq]uantizeLinear|DynamicQuantize\w+|Q(Linear|Attention|Gemm|MoE|Embed)\w*|\w+Integer(ToFloat)?|MatMulNBits"
)
SMALL_TYPES = {
    getattr(TensorProto, name)
    for name in ("INT8", "UINT8", "INT4", "UINT4", "FLOAT16", "BFLOAT16", "FLOAT8E4M3FN", "FLOAT8E5M2")
}
# The sets of operators that ONNX Runtime has; a function that the file itself defines is fine as well.
DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc")


# What a front may be cast to, and a tail from.
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)


@dataclass(frozen=True)
class OnnxFacts:
    """``quantized``: it has quantized operators, or 8-bit or half weights. ``data``: the files beside it that hold
    its weights. ``front``: what must stand before its graph; ``output``: the name of the one that gives the scores, and
    ``given``: how many, None where it does not say. ``plain``: one output, float32, of the shape (1, given).
    ``operators``: their names, each once."""

    quantized: bool
    data: tuple[Path, ...]
    front: Front
    output: str
    given: int | None
    plain: bool
    operators: tuple[str, ...] = ()


def check_onnx(
    path: Path, what: str, shape: tuple[int, int], classes: int, fitting: Fitting | None = None
) -> OnnxFacts:
    """Check a file against a task of recordings ``shape`` (leads, samples) and ``classes``; ``fitting``: what else the
    study says of its ends.

    ``what`` begins every message. Raises InputError.
    """
    fitting = Fitting(shape, classes) if fitting is None else fitting
    model = load_bounded(path, what)
    data = find_external(model, path, what)
    graph = model.graph
    _expect_known_operators(model, what)
    _expect_inference(model, what)
    signal, others = _signal_of(graph, fitting, what)
    front = fitting.front(shape_of(signal), what, others)
    place = choose_output(tuple(each.name for each in graph.output), tuple(map(_count, graph.output)), fitting, what)
    chosen = graph.output[place]
    kind = chosen.type.tensor_type.elem_type
    if kind not in (*FLOATS, TensorProto.UNDEFINED):
        raise InputError(
            f"{what}: its output {chosen.name!r} is {type_name(kind)}, expected float32 scores",
            "name an output that gives one score a class and not the label: output = 'name' under [models.x] (of "
            "skl2onnx: probabilities, with options={'zipmap': False})",
        )
    declared = shape_of(chosen)
    given = _count(chosen)
    fitting.tail(given, False, what)
    if data:
        onnx.load_external_data_for_model(model, str(path.parent))
    _expect_finite(model, what)
    right = declared is None or (len(declared) == 2 and declared[0] in (1, None))
    plain = right and len(graph.output) == 1 and kind in (TensorProto.FLOAT, TensorProto.UNDEFINED)
    operators = tuple(sorted({node.op_type for each in graphs_of(model) for node in each.node}))
    return OnnxFacts(_is_quantized(model), data, front, chosen.name, given, plain, operators)


def _signal_of(
    graph: onnx.GraphProto, fitting: Fitting, what: str
) -> tuple[onnx.ValueInfoProto, tuple[OtherInput, ...]]:
    """The input that takes the signal, and what the others are held at."""
    inputs = plain_inputs(graph)
    at, others = fitting.signal_of(tuple(map(end_of, inputs)), what)
    kind = inputs[at].type.tensor_type.elem_type
    if kind not in FLOATS:
        raise InputError(
            f"{what}: its input {inputs[at].name!r} is {type_name(kind)}, and nothing in the file says which "
            "millivolts its numbers are",
            "bring the file before that cast, with a float input and a QuantizeLinear behind it",
        )
    return inputs[at], others


def end_of(value: onnx.ValueInfoProto) -> InputEnd:
    """An input as what is held beside the signal needs it."""
    kind = type_name(value.type.tensor_type.elem_type)
    return InputEnd((value.name,), shape_of(value), kind, WHOLE.get(kind))


def plain_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """The inputs that are no weights."""
    stored = {tensor.name for tensor in graph.initializer} | {each.values.name for each in graph.sparse_initializer}
    return [each for each in graph.input if each.name not in stored]


def _count(output: onnx.ValueInfoProto) -> int | None:
    return count_scores(shape_of(output)) if output.type.tensor_type.elem_type in (0, *FLOATS) else None


def pull_together(path: Path, out: Path) -> None:
    """Write a checked file as one file, with its external data inside."""
    onnx.save_model(onnx.load(path), out)


def load_bounded(path: Path, what: str) -> onnx.ModelProto:
    """An ONNX file, read without its external data. Raises InputError."""
    data = path.read_bytes()
    try:
        expect_bounded(data)
    except ValueError as error:
        raise _damaged(what, str(error)) from None
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's exceptions have no common base that is public
        raise _damaged(what, f"{type(error).__name__}") from None
    if not model.graph.node or not model.opset_import:
        raise _damaged(what, "there is no graph in it")
    if not _is_text(model):
        raise _damaged(what, "a name in it is not UTF-8")
    return model


def _is_text(message: Any) -> bool:
    """False when a string field, at any depth, is not UTF-8: protobuf's parser then gives bytes in its place."""
    for field, value in message.ListFields():
        each = value if field.is_repeated else (value,)
        if field.type == field.TYPE_STRING and not all(isinstance(text, str) for text in each):
            return False
        if field.type == field.TYPE_MESSAGE and not all(map(_is_text, each)):
            return False
    return True


def _damaged(what: str, said: str) -> InputError:
    return InputError(
        f"{what}: not an ONNX file, or cut short ({said})", "export it again, or copy it again: onnx.load must read it"
    )


def external_files(path: Path, what: str) -> tuple[Path, ...]:
    """The files that hold weights of an ONNX file, each inside its own folder. Raises InputError."""
    return find_external(load_bounded(path, what), path, what)


def _expect_known_operators(model: onnx.ModelProto, what: str) -> None:
    own = {(function.domain, function.name) for function in model.functions}
    for graph in graphs_of(model):
        for node in graph.node:
            if node.domain not in DOMAINS and (node.domain, node.op_type) not in own:
                raise InputError(
                    f"{what}: its operator {node.domain}.{node.op_type} is a custom one, which no engine here has",
                    "export it with operators of ONNX only (ai.onnx, ai.onnx.ml)",
                )


def _expect_inference(model: onnx.ModelProto, what: str) -> None:
    """Raises InputError for a file that was exported in training mode. Its batch normalisations use the mean and the
    variance of the recording itself instead of the trained ones, and its dropout draws: it runs, and answers something
    else than the model that was validated."""
    opset = next((each.version for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)
    found = [
        (node, how)
        for graph in graphs_of(model)
        for node in graph.node
        if node.domain in ("", "ai.onnx") and (how := _training(node, opset, model)) is not None
    ]
    if found:
        node, how = found[0]
        kinds = sorted({each.op_type for each, _ in found})
        raise InputError(
            f"{what}: it was exported in training mode: {len(found)} node(s) of {' and '.join(kinds)}, the first "
            f"{node.name or node.output[0]!r} with {how}",
            "call model.eval() and export it again (torch.onnx.export: training=TrainingMode.EVAL, the default); in "
            "training mode a batch normalisation uses the recording's own mean and variance, not the trained ones",
        )


def _training(node: onnx.NodeProto, opset: int, model: onnx.ModelProto) -> str | None:
    """What says that a node is in training mode, None where nothing does. Operator sets below 7 have an attribute
    (``is_test``) that says so, those before the present form (14 of BatchNormalization, 12 of Dropout) the number of
    outputs or nothing (https://onnx.ai/onnx/operators)."""
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    if node.op_type not in ("BatchNormalization", "Dropout"):
        return None
    if opset < 7:
        return None if attributes.get("is_test") else "is_test = 0"
    if node.op_type == "BatchNormalization":
        if attributes.get("training_mode"):
            return "training_mode = 1"
        outputs = sum(map(bool, node.output))
        return f"{outputs} outputs, the batch's own mean and variance among them" if outputs > 1 else None
    return _dropout_mode(node, model)


def _dropout_mode(node: onnx.NodeProto, model: onnx.ModelProto) -> str | None:
    """The same of a Dropout of operator set 12 or later, which is told by its third input."""
    name = node.input[2] if len(node.input) > 2 else ""
    if not name:
        return None
    values = {tensor.name: tensor for tensor in model.graph.initializer}
    for other in (node for graph in graphs_of(model) for node in graph.node if node.op_type == "Constant"):
        values.update((other.output[0], attribute.t) for attribute in other.attribute if attribute.name == "value")
    if name not in values:
        return f"a training_mode that the file computes ({name!r})"
    return "training_mode = true" if bool(onnx.numpy_helper.to_array(values[name]).any()) else None


def _expect_finite(model: onnx.ModelProto, what: str) -> None:
    for tensor in tensors_of(model):
        if tensor.data_type not in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE):
            continue
        try:
            values = onnx.numpy_helper.to_array(tensor)
        except Exception as error:  # lengths that do not fit, in a file that was tampered with
            raise _damaged(what, f"tensor {tensor.name!r}: {one_line(error)}") from None
        wrong = strange(values)
        if wrong is not None:
            raise InputError(
                f"{what}: its weights {tensor.name!r} hold a value that is {wrong}",
                "train or export it again: such a model has no scores",
            )


def _is_quantized(model: onnx.ModelProto) -> bool:
    operators = any(QUANTIZED.fullmatch(node.op_type) for graph in graphs_of(model) for node in graph.node)
    return operators or any(
        tensor.data_type in SMALL_TYPES and int(np.prod(tensor.dims)) > 1 for tensor in tensors_of(model)
    )


def shape_of(value: onnx.ValueInfoProto) -> tuple[int | None, ...] | None:
    """The declared shape, None for a free dimension; None when there is no shape at all."""
    if not value.type.tensor_type.HasField("shape"):
        return None
    return tuple(size.dim_value if size.HasField("dim_value") else None for size in value.type.tensor_type.shape.dim)


def type_name(kind: int) -> str:
    """``float16`` for the code of it in the format."""
    try:
        return str(TensorProto.DataType.Name(kind)).lower()
    except ValueError:
        return "no tensor"
