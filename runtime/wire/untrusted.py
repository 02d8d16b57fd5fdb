"""Readers for files from a stranger: a JSON object, and a ``.npy`` array, each checked before it is used.

In comes a path, or the bytes of a file; out comes what was asked for, of the type and within the bounds asked for, or a
:class:`BundleError`, one sentence that names the file. A file is opened once, and what is checked is what was read.
Nothing is unpickled, no link is followed, and nothing is allocated by the word of a header.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import stat
from pathlib import Path
from typing import IO, Any

import numpy as np

from pulseproof.runtime.words import printable, shortened

MAX_JSON_BYTES = 8 << 20
MAX_JSON_DEPTH = 32
MAX_JSON_PARTS = 400_000  # a parser takes up to 2 kB for each, whatever it is
MAX_DIGITS = 400  # of a number: none that a file of ours holds has more, and long ones take a parser minutes
MAX_HEADER_BYTES = 4096  # of a .npy file; numpy writes 128
MAX_DIMENSIONS = 32
_STRING = re.compile(rb'"(?:[^"\\]+|\\.)*(?:"|\\?\Z)', re.DOTALL)  # an open one ends with the file


class BundleError(Exception):
    """What is wrong with a bundle, in one sentence that names the file."""


def open_plain(path: Path, buffering: int = -1) -> IO[bytes]:
    """Open a plain file to read: no link, no pipe, no folder. Raises :class:`BundleError`."""
    try:
        file = open(path, "rb", buffering, opener=_plainly)  # noqa: SIM115 (closed by whoever asked for it)
    except IsADirectoryError:
        raise BundleError(f"{path}: missing: no plain file is there") from None
    except OSError as error:
        if os.path.islink(path):
            raise BundleError(f"{path}: a link") from None
        why = "missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise BundleError(f"{path}: {why}") from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise BundleError(f"{path}: missing: no plain file is there")
    return file


def _plainly(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)  # a pipe is opened, not waited for


def read_plain(path: Path, limit: int) -> bytes:
    """The bytes of a plain file of at most ``limit`` bytes, opened once. Raises :class:`BundleError`."""
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise BundleError(f"{path}: {size:,} bytes, at most {limit:,} were expected")
        try:
            data = file.read(size + 1)
        except OSError as error:
            raise BundleError(f"{path}: cannot be read ({error.strerror})") from None
    if len(data) != size:
        raise BundleError(f"{path}: changed its length while it was read")
    return data


def npy_header(path: Path) -> tuple[np.dtype, tuple[int, ...], int]:
    """Return (dtype, shape, offset of the data) of a ``.npy`` file without reading its data.

    Only version 1.0 of numbers in C order is taken, which is what numpy writes for every array of a bundle, and only a
    file that is exactly as long as its header says. Raises :class:`BundleError`.
    """
    with open(path, "rb") as file:
        return header_of(file, path)


def header_of(file: IO[bytes], path: Path) -> tuple[np.dtype, tuple[int, ...], int]:
    """:func:`npy_header` of an open file."""
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
    size = file.seek(0, os.SEEK_END)
    if dtype.hasobject:
        raise BundleError(f"{path}: it holds Python objects, which are never unpickled")
    if dtype.kind not in "biufc":
        raise BundleError(f"{path}: it holds {shortened(str(dtype), 80)}, expected numbers")
    if len(shape) > MAX_DIMENSIONS or not all(
        type(length) is int and length >= 0 for length in shape
    ):  # True is an int
        raise BundleError(f"{path}: its header has a shape that no array has")
    if fortran and len(shape) > 1:
        raise BundleError(f"{path}: its array is in Fortran order, expected C order")
    expected = offset + math.prod(shape) * dtype.itemsize
    if size != expected:
        raise BundleError(f"{path}: {size} bytes long, its header says {expected}")
    return dtype, shape, offset


def array_of(data: bytes, path: Path) -> np.ndarray:
    """The array, read-only, that the bytes of a ``.npy`` file hold; ``path`` is what a refusal names."""
    dtype, shape, offset = header_of(io.BytesIO(data), path)
    return np.frombuffer(data, dtype, math.prod(shape), offset).reshape(shape)


def expect_small(data: bytes, parts: int = MAX_JSON_PARTS) -> None:
    """Raise ``ValueError`` for JSON that would take a parser much memory or time: of more than ``parts`` values,
    MAX_JSON_DEPTH levels or MAX_DIGITS digits of a number."""
    bare = _STRING.sub(b"", data)
    marks = np.frombuffer(bare, np.uint8)
    opened = (marks == ord("[")) | (marks == ord("{"))
    closed = (marks == ord("]")) | (marks == ord("}"))
    if np.count_nonzero(opened | (marks == ord(","))) > parts:
        raise ValueError(f"more than {parts:,} values")
    depth = np.cumsum(opened.astype(np.int8) - closed.astype(np.int8), dtype=np.int32)
    if len(depth) and depth.max() > MAX_JSON_DEPTH:
        raise ValueError(f"nested more than {MAX_JSON_DEPTH} deep")
    if re.search(rb"\d{%d}" % (MAX_DIGITS + 1), bare):
        raise ValueError(f"a number of more than {MAX_DIGITS} digits")


def json_of(data: bytes) -> Any:
    """What small JSON in UTF-8 says (:func:`expect_small`). Raises ``ValueError``."""
    expect_small(data)
    try:
        return json.loads(data.decode("utf-8"), parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deep") from None


def read_fields(path: Path) -> Fields:
    """Read one JSON object of at most MAX_JSON_BYTES. Raises :class:`BundleError`."""
    data = read_plain(path, MAX_JSON_BYTES)
    try:
        return Fields(path, "", json_of(data))
    except ValueError as error:  # also UnicodeDecodeError and JSONDecodeError
        raise BundleError(f"{path}: not readable as JSON ({printable(str(error))[:200]})") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


class Fields:
    """A JSON object and where it stands, so that every refusal can say which key of which file is wrong."""

    def __init__(self, path: Path, where: str, value: Any) -> None:
        self.path, self.where, self.value = path, where, value
        if not isinstance(value, dict):
            raise BundleError(f"{path}: {where or 'the file'} is not an object")

    def wrong(self, key: str, problem: str) -> BundleError:
        where = f"{self.where}.{key}".lstrip(".")
        return BundleError(f"{self.path}: {shortened(printable(where), 300)}: {shortened(printable(problem), 300)}")

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
