"""How many parts an ONNX file has, counted on its bytes before it is parsed.

In: the bytes of a file. Out: nothing, or ValueError. A parsed part takes a hundred bytes and more, on the disk it may
take two: ten megabytes of empty nodes become 770, and a file that is allowed for its weights would take all memory
there is. What holds weights, bytes and floats, takes as much parsed as it does here. The encoding:
https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from onnx import ModelProto

MOST = 3_000_000  # fields: a net unrolled into fifty thousand nodes has a quarter of that
MOST_NUMBERS = 64 << 20  # bytes of whole numbers in lists, each of which may take eight bytes for its one
_VARINT, _EIGHT, _SIZED, _FOUR = 0, 1, 2, 5
_LONG = (
    FieldDescriptor.TYPE_BYTES,
    FieldDescriptor.TYPE_STRING,
    FieldDescriptor.TYPE_FLOAT,
    FieldDescriptor.TYPE_DOUBLE,
)


def expect_bounded(data: bytes) -> None:
    """Raises ValueError, half a sentence, for bytes that are no message of this kind, or one of too many parts."""
    parts = numbers = 0
    waiting: list[tuple[int, int, Any]] = [(0, len(data), ModelProto.DESCRIPTOR)]
    while waiting:
        at, end, message = waiting.pop()
        known = message.fields_by_number
        while at < end:
            parts += 1
            if parts > MOST:
                raise ValueError(f"more than {MOST:,} parts")
            key, at = _varint(data, at)
            kind = key & 7
            if kind == _SIZED:
                size, at = _varint(data, at)
                field = known.get(key >> 3)
                if field is not None and field.message_type is not None and at + size <= end:
                    waiting += [(at + size, end, message), (at, at + size, field.message_type)]  # that first
                    break
                if field is not None and field.type not in _LONG:
                    numbers += size
                    if numbers > MOST_NUMBERS:
                        raise ValueError(f"more than {MOST_NUMBERS >> 20} MiB of whole numbers in lists")
                at += size
            elif kind == _VARINT:
                at = _varint(data, at)[1]
            elif kind in (_EIGHT, _FOUR):
                at += 8 if kind == _EIGHT else 4
            else:
                raise ValueError("no protobuf message")
            if at > end:
                raise ValueError("a part of it is longer than what it is a part of")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """(a number of seven bits a byte, where it ends)."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("cut short")
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
