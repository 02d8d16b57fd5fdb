"""Readers for files from a stranger: a JSON object, and a ``.npy`` array, each checked before it is used.

In comes a path; out comes what was asked for, of the type and within the bounds asked for, or a :class:`BundleError`,
one sentence that names the file. Nothing is unpickled, and nothing is allocated by the word of a header.
"""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

MAX_JSON_BYTES = 8 << 20
MAX_HEADER_BYTES = 4096  # of a .npy file; numpy writes 128


class BundleError(Exception):
    """What is wrong with a bundle, in one sentence that names the file."""


def npy_header(path: Path) -> tuple[np.dtype, tuple[int, ...], int]:
    """Return (dtype, shape, offset of the data) of a ``.npy`` file without reading its data.

    Only version 1.0 in C order is taken, which is what numpy writes for every array of a bundle, and only a file that
    is exactly as long as its header says. Raises :class:`BundleError`.
    """
    with open(path, "rb") as file:
        start = file.read(10)
        if start[:8] != b"\x93NUMPY\x01\x00" or len(start) < 10:
            raise BundleError(f"{path}: not a .npy file of version 1.0")
        if int.from_bytes(start[8:], "little") > MAX_HEADER_BYTES:
            raise BundleError(f"{path}: its header is longer than {MAX_HEADER_BYTES} bytes")
        file.seek(8)
        try:  # Exception: numpy's parser passes on what Python's own parser raises
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        except Exception as error:
            raise BundleError(f"{path}: its .npy header cannot be read ({type(error).__name__})") from None
        offset = file.tell()
        size = os.fstat(file.fileno()).st_size
    if dtype.hasobject:
        raise BundleError(f"{path}: it holds Python objects, which are never unpickled")
    if fortran and len(shape) > 1:
        raise BundleError(f"{path}: its array is in Fortran order, expected C order")
    expected = offset + math.prod(shape) * dtype.itemsize
    if size != expected:
        raise BundleError(f"{path}: {size} bytes long, its header says {expected}")
    return dtype, shape, offset


def read_npy(path: Path) -> np.ndarray:
    """Read a whole array whose header was checked."""
    dtype, shape, offset = npy_header(path)
    return np.fromfile(path, dtype, math.prod(shape), offset=offset).reshape(shape)


def read_fields(path: Path) -> Fields:
    """Read one JSON object of at most MAX_JSON_BYTES. Raises :class:`BundleError`."""
    if path.stat().st_size > MAX_JSON_BYTES:
        raise BundleError(f"{path}: longer than {MAX_JSON_BYTES} bytes")
    try:
        value = json.loads(path.read_bytes().decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:  # ValueError: also UnicodeDecodeError and JSONDecodeError
        raise BundleError(f"{path}: not readable as JSON ({error})") from None
    return Fields(path, "", value)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


class Fields:
    """A JSON object and where it stands, so that every refusal can say which key of which file is wrong."""

    def __init__(self, path: Path, where: str, value: Any) -> None:
        self.path, self.where, self.value = path, where, value
        if not isinstance(value, dict):
            raise BundleError(f"{path}: {where or 'the file'} is not an object")

    def wrong(self, key: str, problem: str) -> BundleError:
        return BundleError(f"{self.path}: {f'{self.where}.{key}'.lstrip('.')}: {problem}")

    def take(self, key: str, *kinds: type) -> Any:
        if key not in self.value:
            raise self.wrong(key, "is missing")
        value = self.value[key]
        if not isinstance(value, kinds) or isinstance(value, bool):
            wanted = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
            raise self.wrong(key, f"is {type(value).__name__}, expected {wanted}")
        return value

    def inside(self, key: str) -> Fields:
        return Fields(self.path, f"{self.where}.{key}".lstrip("."), self.take(key, dict))

    def items(self, key: str) -> list[Fields]:
        return [Fields(self.path, f"{key}[{at}]", item) for at, item in enumerate(self.take(key, list))]

    def name(self, key: str, pattern: str) -> str:
        value: str = self.take(key, str)
        if not re.fullmatch(pattern, value):
            raise self.wrong(key, f"{value[:80]!r} is not allowed there")
        return value

    def number(self, key: str, low: float, high: float) -> float:
        value = self.take(key, int, float)
        if not low <= value <= high:
            raise self.wrong(key, f"{value} is not between {low:g} and {high:g}")
        return float(value)

    def whole(self, key: str, low: int, high: int) -> int:
        value: int = self.take(key, int)
        if not low <= value <= high:
            raise self.wrong(key, f"{value} is not between {low} and {high}")
        return value

    def texts(self, key: str, least: int, most: int) -> tuple[str, ...]:
        values = self.take(key, list)
        if not least <= len(values) <= most or not all(isinstance(value, str) for value in values):
            raise self.wrong(key, f"expected {least} to {most} texts")
        return tuple(values)
