"""What a TFLite file from a stranger must be before it counts as a model of a study.

In: the path of a file and the task. Out: whether it is quantized, or an InputError that names the file, what is wrong
and what to do. What is read is read by ``python -m pulseproof.models.brought.tflite_checks
FILE``, a process of its own
(:mod:`models.brought.tried`): a damaged file may take LiteRT, and with it the process, down.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pulseproof.core.errors import InputError
from pulseproof.models.brought.checks import strange
from pulseproof.models.brought.tried import answer, tried
from pulseproof.models.front.fitting import Fitting, Steps, choose_output, count_scores
from pulseproof.models.front.layouts import Declared
from pulseproof.models.front.others import WHOLE, InputEnd
from pulseproof.models.front.plan import Front

EXPORT_AGAIN = "convert it again, or copy it again: LiteRT must open it"


TYPES = ("float32", "int8", "int16", "uint8")
MOST_FOUND = 8  # files that are remembered
_FOUND: dict[tuple[str, int, int, int], dict[str, Any]] = {}


@dataclass(frozen=True)
class TfliteFacts:
    """``quantized``: it has 8- or 16-bit tensors with a scale, or half weights. ``declared``: its input; ``front``:
    what must stand before its graph; ``steps``: of an input of whole numbers. ``output``: the place of the one that
    gives the scores, and ``given``: how many. ``plain``: its input and its only output are what an engine takes and
    gives, of the shapes (1, leads, samples) and (1, given), floats or signed whole numbers. ``operators``: their names,
    each once."""

    quantized: bool
    declared: Declared
    front: Front
    steps: Steps | None
    output: int
    given: int | None
    plain: bool
    operators: tuple[str, ...]


def check_tflite(
    path: Path, what: str, shape: tuple[int, int], classes: int, fitting: Fitting | None = None
) -> TfliteFacts:
    """Check a file against a task of recordings ``shape`` (leads, samples) and ``classes``; ``fitting``: what else the
    study says of its ends.

    ``what`` begins every message. Raises InputError.
    """
    fitting = Fitting(shape, classes) if fitting is None else fitting
    with path.open("rb") as file:
        if file.read(8)[4:] != b"TFL3":
            raise InputError(f"{what}: not a TFLite file", EXPORT_AGAIN)
    found = found_in(path, what)
    inputs, outputs = found["inputs"], found["outputs"]
    at, others = fitting.signal_of(tuple(map(end_of, inputs)), what)
    signal = inputs[at]
    counts = tuple(count_scores(declared_of(each)) if each["type"] in TYPES else None for each in outputs)
    names = tuple(each["name"] for each in outputs)
    aliases = {each["signature"]: each["name"] for each in outputs}
    if fitting.output in aliases:
        fitting = replace(fitting, output=aliases[fitting.output])
    place = choose_output(names, counts, fitting, what)
    chosen = outputs[place]
    for side, tensor in (("input", signal), ("output", chosen)):
        if tensor["type"] not in TYPES or (tensor["type"] != "float32" and tensor["scales"] != 1):
            scales = f" with {tensor['scales']} scales" if tensor["type"] in TYPES[1:] else ""
            raise InputError(
                f"{what}: its {side} is {tensor['type']}{scales}, expected float32, or int8, uint8 or int16 with one "
                "scale: what its numbers mean would be a guess",
                "convert it with a float32 input and output, or quantize it fully with int8 ones",
            )
    declared = declared_of(signal)
    front = fitting.front(declared, what, others)
    fitting.tail(counts[place], False, what)
    if found["strange"]:
        raise InputError(
            f"{what}: its weights {found['strange']!r} hold a value that is {found['wrong']}",
            "train or convert it again: such a model has no scores",
        )
    steps = None
    if signal["type"] != "float32":
        limits = np.iinfo(signal["type"])
        steps = Steps(limits.min, limits.max, signal["scale"], signal["zero"])
    right = front.nothing and len(outputs) == 1 and len(chosen["shape"]) == 2 and chosen["shape"][0] in (1, -1)
    plain = right and "uint8" not in (signal["type"], chosen["type"])
    quantized, operators = bool(found["quantized"]), tuple(found["operators"])
    return TfliteFacts(quantized, declared, front, steps, place, counts[place], plain, operators)


def found_in(path: Path, what: str) -> dict[str, Any]:
    """What a process of its own says of the file (:func:`describe`). A process takes half a second, and whoever tries
    thirty scalings asks for the same bytes thirty times: they are read once. ``what`` begins every message. Raises
    InputError."""
    about = path.stat()
    key = (str(path.absolute()), about.st_ino, about.st_mtime_ns, about.st_size)
    if key not in _FOUND:
        found = tried("pulseproof.models.brought.tflite_checks", path, what, "LiteRT", EXPORT_AGAIN)
        while len(_FOUND) >= MOST_FOUND:
            del _FOUND[next(iter(_FOUND))]
        _FOUND[key] = found
    return _FOUND[key]


def end_of(tensor: dict[str, Any]) -> InputEnd:
    """An input as :func:`describe` gives it, as what is held beside the signal needs it."""
    kind = tensor["type"]
    names = tuple(filter(None, dict.fromkeys((tensor["name"], tensor["signature"]))))
    scaled = (tensor["scale"], tensor["zero"]) if tensor["scales"] == 1 and kind in WHOLE else None
    return InputEnd(names, declared_of(tensor), kind, WHOLE.get(kind), scaled)


def declared_of(tensor: dict[str, Any]) -> Declared:
    """The shape of an input or output as :func:`describe` gives it."""
    return tuple(None if size < 0 else size for size in tensor["shape"])


def describe(path: str) -> dict[str, Any]:
    """What LiteRT and the flatbuffer say of a file, as plain JSON. May take the process down."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path, num_threads=1)
    interpreter.allocate_tensors()
    signature = _signature(Path(path).read_bytes())
    sides = {
        side: [
            _described(tensor, {index: name for name, index in signature.get(side, {}).items()}) for tensor in details
        ]
        for side, details in (
            ("inputs", interpreter.get_input_details()),
            ("outputs", interpreter.get_output_details()),
        )
    }
    names = sorted({str(each["op_name"]) for each in interpreter._get_ops_details()} - {"DELEGATE"})
    return {**sides, **_describe_weights(Path(path).read_bytes()), "operators": names}


def _described(tensor: dict[str, Any], signature: dict[int, str]) -> dict[str, Any]:
    about = tensor["quantization_parameters"]
    return {
        "name": str(tensor["name"]),
        "signature": signature.get(int(tensor["index"])),
        "type": np.dtype(tensor["dtype"]).name,
        "shape": [int(size) for size in tensor["shape_signature"]],
        "scales": len(about["scales"]),
        "scale": float(about["scales"][0]) if len(about["scales"]) else 0.0,
        "zero": int(about["zero_points"][0]) if len(about["zero_points"]) else 0,
    }


def _signature(content: bytes) -> dict[str, dict[str, int]]:
    """{side: {name: tensor}} of the first signature, by whose names a dictionary of outputs is known."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content)
    if not model.SignatureDefsLength():
        return {}
    first = model.SignatureDefs(0)
    sides = {
        "inputs": [first.Inputs(at) for at in range(first.InputsLength())],
        "outputs": [first.Outputs(at) for at in range(first.OutputsLength())],
    }
    return {
        side: {(each.Name() or b"").decode("utf-8", "replace"): int(each.TensorIndex()) for each in ends}
        for side, ends in sides.items()
    }


def _describe_weights(content: bytes) -> dict[str, Any]:
    """Whether any tensor is quantized, and the name of a constant with values that are not finite."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content)
    types = schema.TensorType
    floats: dict[int, Any] = {types.FLOAT32: np.float32, types.FLOAT16: np.float16}
    quantized, name, wrong = False, None, None
    for tensor in _tensors(model):
        kind, scales = tensor.Type(), tensor.Quantization()
        scaled = scales is not None and scales.ScaleLength() > 0
        quantized |= kind == types.FLOAT16 or (scaled and kind in (types.INT4, types.INT8, types.UINT8, types.INT16))
        data = model.Buffers(tensor.Buffer()).DataAsNumpy()
        found = strange(data.view(floats[kind])) if kind in floats and isinstance(data, np.ndarray) else None
        if found is not None:
            name, wrong = tensor.Name().decode("utf-8", "replace"), found
    return {"quantized": bool(quantized), "strange": name, "wrong": wrong}


def _tensors(model: Any) -> list[Any]:
    graphs = [model.Subgraphs(place) for place in range(model.SubgraphsLength())]
    return [graph.Tensors(place) for graph in graphs for place in range(graph.TensorsLength())]


if __name__ == "__main__":
    answer(lambda: describe(sys.argv[1]))
