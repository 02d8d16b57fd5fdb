"""Which operators a twin computes, as a table for the docs.

In: the tables by which files are read. Out: Markdown, which ``pulseproof docs`` writes: docs/results/operators.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pulseproof.twins.onnx import operators as onnx_operators
from pulseproof.twins.onnx import reader as onnx_reader
from pulseproof.twins.onnx.file import OLDEST
from pulseproof.twins.tflite import file as tflite_file
from pulseproof.twins.tflite import operators as tflite_operators


def covered() -> Mapping[str, Mapping[str, Sequence[str]]]:
    """{format: {family: the names of its operators}}."""
    return {
        f"ONNX, operator set {OLDEST} and later": {
            **{family: sorted(names) for family, names in onnx_operators.FAMILIES.items()},
            "control": sorted(onnx_reader.CONTROL),
        },
        "TFLite": {
            **{family: sorted(names) for family, names in tflite_operators.FAMILIES.items()},
            "control": sorted(tflite_file.CONTROL),
        },
    }


def operators_markdown() -> str:
    """The table: a row a family, with how many operators there are of each format."""
    lines = ["| format | family | operators |", "|---|---|---|"]
    for name, families in covered().items():
        count = sum(map(len, families.values()))
        for at, (family, operators) in enumerate(families.items()):
            said = f"{name} ({count})" if at == 0 else ""
            lines.append(f"| {said} | {family} ({len(operators)}) | {', '.join(operators)} |")
    return "\n".join(lines)
