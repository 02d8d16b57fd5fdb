"""What a TFLite file from a stranger must be before it counts as a model of a study.

In: the path of a file and the task. Out: whether it is quantized, or an InputError that names the file, what is wrong
and what to do. What is read is read by ``python -m pulseproof.models.brought.tflite_checks
FILE``, a process of its own
(:mod:`models.brought.tried`): a damaged file may take LiteRT, and with it the process, down.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from pulseproof.core.errors import InputError
from pulseproof.models.brought.checks import check_input, check_output, strange
from pulseproof.models.brought.tried import answer, tried

EXPORT_AGAIN = "convert it again, or copy it again: LiteRT must open it"


def check_tflite(path: Path, what: str, shape: tuple[int, int], classes: int) -> bool:
    """Check a file against a task of recordings ``shape`` (leads, samples) and ``classes``. True when it is quantized:
    it has 8- or 16-bit tensors with a scale, or half weights.

    ``what`` begins every message. Raises InputError.
    """
    with path.open("rb") as file:
        if file.read(8)[4:] != b"TFL3":
            raise InputError(f"{what}: not a TFLite file", EXPORT_AGAIN)
    found = tried("pulseproof.models.brought.tflite_checks", path, what, "LiteRT", EXPORT_AGAIN)
    inputs, outputs = found["inputs"], found["outputs"]
    if len(inputs) != 1 or len(outputs) != 1:
        raise InputError(
            f"{what}: it has {len(inputs)} inputs and {len(outputs)} outputs, expected one of each",
            "convert it with the signal as its only input and the scores as its only output",
        )
    for side, tensor in (("input", inputs[0]), ("output", outputs[0])):
        if tensor["type"] not in ("float32", "int8", "int16") or (
            tensor["type"] != "float32" and tensor["scales"] != 1
        ):
            scales = f" with {tensor['scales']} scales" if tensor["type"] in ("int8", "int16") else ""
            raise InputError(
                f"{what}: its {side} is {tensor['type']}{scales}, expected float32, or int8 or int16 with one scale",
                "convert it with a float32 input and output, or quantize it fully with int8 ones",
            )
    check_input(tuple(None if size < 0 else size for size in inputs[0]["shape"]), shape, what)
    check_output(tuple(None if size < 0 else size for size in outputs[0]["shape"]), classes, what)
    if found["strange"]:
        raise InputError(
            f"{what}: its weights {found['strange']!r} hold a value that is {found['wrong']}",
            "train or convert it again: such a model has no scores",
        )
    return bool(found["quantized"])


def describe(path: str) -> dict[str, Any]:
    """What LiteRT and the flatbuffer say of a file, as plain JSON. May take the process down."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path, num_threads=1)
    interpreter.allocate_tensors()
    sides = {
        side: [
            {
                "type": np.dtype(tensor["dtype"]).name,
                "shape": [int(size) for size in tensor["shape_signature"]],
                "scales": len(tensor["quantization_parameters"]["scales"]),
            }
            for tensor in details
        ]
        for side, details in (
            ("inputs", interpreter.get_input_details()),
            ("outputs", interpreter.get_output_details()),
        )
    }
    return {**sides, **_describe_weights(Path(path).read_bytes())}


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
