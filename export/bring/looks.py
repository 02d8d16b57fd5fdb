"""What a brought file is, before any recording is read: its ends, its operators, and what cannot be done with it.

In: a .onnx or .tflite file. Out: a :class:`FileLook`, or InputError for what is no such file. It is read by a process
of its own, or in bounded parts (:mod:`models.brought.onnx_checks`); it is not run.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pulseproof.models.brought.describe import FileEnd, describe_onnx, describe_tflite
from pulseproof.models.front.layouts import Declared
from pulseproof.models.front.layouts import said as shape_said
from pulseproof.models.front.others import largest, proposed


@dataclass(frozen=True)
class FileLook:
    """``inputs``, ``outputs``: of the file; ``operators``: their names, each once; ``size`` in bytes."""

    path: Path
    size: int
    inputs: tuple[FileEnd, ...]
    outputs: tuple[FileEnd, ...]
    operators: tuple[str, ...]
    set_: int | None

    def declared(self, others: Collection[str]) -> Declared | None:
        """The shape of the input that takes the signal: the first of those that are not among ``others``."""
        left = [end for end in self.inputs if not {end.name, end.inner} & set(others)]
        return (left or self.inputs)[0].shape

    def text(self) -> str:
        """What people read of it."""
        kind = "ONNX" if self.path.suffix == ".onnx" else "TFLite"
        lines = [f"{self.path}: {kind}, {self.size / 1000:,.0f} kB" + (f", operator set {self.set_}" * bool(self.set_))]
        signal = largest([end.shape for end in self.inputs])
        for side, ends in (("input", self.inputs), ("output", self.outputs)):
            for at, end in enumerate(ends):
                axes = _axes(end) if (side, at) == ("input", signal) else ""
                lines.append(f"  {side} {end.name!r}: {end.kind} {_shape(end.shape)}{_steps(end)}{axes}")
        lines.append(f"  operators: {', '.join(self.operators)}")
        others = [end for at, end in enumerate(self.inputs) if at != signal]
        if others:
            lines += [
                "  a recording is all that there is to feed: what each input beside the signal is held at stands in",
                "  [models.x.input.others]",
                *(f"  {proposed(end.name, end.shape)}" for end in others),
            ]
        return "\n".join(lines)


def look(path: Path) -> FileLook:
    """See the module. Raises InputError."""
    inputs, outputs, operators, set_ = (describe_onnx if path.suffix == ".onnx" else describe_tflite)(path, str(path))
    return FileLook(path, path.stat().st_size, inputs, outputs, operators, set_)


def _shape(shape: Declared | None) -> str:
    return "of no declared shape" if shape is None else shape_said(shape)


def _steps(end: FileEnd) -> str:
    return "" if end.steps is None else f", holding {end.steps.holds[0]:.3g} to {end.steps.holds[1]:.3g}"


def _axes(end: FileEnd) -> str:
    """What the axes of an input may be, where its shape alone says it."""
    if end.shape is None or None in end.shape[1:]:
        return ""
    sizes = [size for size in end.shape[1:] if size not in (1, None)]
    if len(sizes) == 1:
        return f", one lead of {sizes[0]} samples"
    if len(sizes) == 2 and sizes[0] != sizes[1]:
        order = "(samples, leads)" if sizes[0] > sizes[1] else "(leads, samples)"
        return f", {min(sizes)} leads of {max(sizes)} samples as {order}"
    return ""
