"""The step between two neighbouring scores of a quantized file: the scale of its output quantizer.

In comes an ``.onnx`` or ``.tflite`` file; out comes the scale, or None for a file whose scores are not rounded (float
files, and int8 files that end in float arithmetic). Scores of two machines are compared in this step.
"""

from __future__ import annotations

from pathlib import Path

from pulseproof.core.errors import InputError
from pulseproof.core.terminal.hints import command

# Operators that move values without changing them: behind one of these the scores are still the scores.
MOVES = {"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "RESHAPE", "SQUEEZE", "TRANSPOSE"}


def output_step(path: Path) -> float | None:
    """The step of a file's scores. Raises InputError when the file cannot be read."""
    if not path.is_file():
        raise InputError(f"{path}: no such file", f"make it again: {command('bundle')}")
    return _of_onnx(path) if path.suffix == ".onnx" else _of_tflite(path)


def _of_onnx(path: Path) -> float | None:
    import onnx

    try:  # Exception: protobuf's own types for damaged bytes
        graph = onnx.load(path).graph
    except Exception as error:
        raise InputError(
            f"{path}: not a readable ONNX file ({type(error).__name__})", f"{command('bundle')} makes it"
        ) from None
    made_by = {name: node for node in graph.node for name in node.output}
    constants = {each.name: each for each in graph.initializer}
    name = graph.output[0].name
    while name in made_by and made_by[name].op_type in MOVES:
        name = made_by[name].input[0]
    node = made_by.get(name)
    if node is None or node.op_type != "DequantizeLinear" or node.input[1] not in constants:
        return None
    scales = onnx.numpy_helper.to_array(constants[node.input[1]])
    return float(scales.reshape(())) if scales.size == 1 else None


def _of_tflite(path: Path) -> float | None:
    from pulseproof.twins.tflite.format import TfliteFile

    graph = TfliteFile.open(path)
    made_by = {output: (name, inputs) for name, _, inputs, outputs in graph.steps() for output in outputs}
    tensor = int(graph.graph.outputs[0])
    while tensor in made_by and made_by[tensor][0] in (*MOVES, "DEQUANTIZE"):
        tensor = made_by[tensor][1][0]
    about = graph.graph.tensors[tensor].quantization
    scales = [] if about is None or about.scale is None else list(about.scale)
    return float(scales[0]) if len(scales) == 1 and tensor in made_by else None
