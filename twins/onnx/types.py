"""ONNX's data types as torch has them, and the limits of the integers to which a file rounds."""

from __future__ import annotations

import torch

LIMITS = {
    torch.uint8: (0, 255),
    torch.int8: (-128, 127),
    torch.int16: (-32768, 32767),
}
FLOAT, FLOAT64, INT32, INT64, BOOL = 1, 11, 6, 7, 9  # of TensorProto.DataType
CASTS = {FLOAT: torch.float32, FLOAT64: torch.float64, INT32: torch.int32, INT64: torch.int64, BOOL: torch.bool}


def type_name(code: int) -> str:
    """A data type's name, from its number in the format."""
    import onnx

    return str(onnx.TensorProto.DataType.Name(code).lower())
