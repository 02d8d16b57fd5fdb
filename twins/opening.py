"""Open an exported file as a differentiable module.

In: the path of an ``.onnx`` or ``.tflite`` file that takes one recording. Out: a :class:`~twins.program.Twin`.
"""

from __future__ import annotations

from pathlib import Path

from pulseproof.core.errors import InputError
from pulseproof.twins.program import Twin


def open_twin(path: Path, masked: bool = True) -> Twin:
    """The twin of a file: float32 (n, leads, samples) mV to float32 (n, classes), frozen, in inference mode.

    Values are those of the file, rounded where it rounds. Gradients pass a rounding as if it were not there, and stop
    where it clips (see :mod:`twins.rounding`). ``masked=False`` lets them pass there too: equal scores and a gradient
    that misleads, for tests of the gate.

    Raises NotCoveredError, which names the operator, attribute or data type that is not covered, and InputError for a
    file that is missing, damaged or of another format.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file", "give the path of an exported .onnx or .tflite file")
    if path.suffix == ".onnx":
        from pulseproof.twins.onnx.file import read
    elif path.suffix == ".tflite":
        from pulseproof.twins.tflite.file import read
    else:
        raise InputError(f"{path}: the name ends neither in .onnx nor in .tflite", "give an exported file")
    return read(path, masked)
