"""How much an archive of an estimator holds, measured before any of it is unpacked.

In: the path of a ``.skops`` file, which is a zip archive of a schema (JSON) and of arrays (``.npy``, and ``.npz``,
archives again). Out: nothing; or InputError, one sentence that names the file, where it would take more memory than an
estimator for a wearable can, or where an array is not as long as its header says. A file of two megabytes can unpack to
gigabytes, and a schema can ask for the same array a thousand times.
"""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from pulseproof.core.errors import InputError
from pulseproof.runtime.words import one_line, shortened

SCHEMA = "schema.json"
MOST_BYTES = 512 << 20  # of the archive, of all that it holds, and of all that its schema asks for
MOST_SCHEMA = 64 << 20  # as text: a tree has 25 kB
MOST_NODES = 1 << 20  # of a schema: lists and objects, which take much more memory than their brackets
MOST_DIRECTORY = 8 << 20  # of the list of its members, which zipfile reads at once
SMALL, RATIO = 32 << 20, 200  # what holds more than SMALL is not packed more tightly: arrays of a fit are no zeros
_END, _END_SIZE, _COMMENT = b"PK\x05\x06", 22, 1 << 16
_SMALLER = "write a smaller estimator with skops.io.dump(estimator, path): a wearable has no room for this one"
_AGAIN = "write it again with skops.io.dump(estimator, path), or copy it again"


def expect_bounded(path: Path) -> None:
    """Raises InputError for an archive that would take too much, and for one that cannot be read."""
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise _too_large(path, "it has", size)
    _expect_short_list(path, size)
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = _sizes(archive, path)
            if sum(sizes.values()) > max(SMALL, RATIO * size):
                raise _too_large(path, f"its {size:,} bytes unpack to", sum(sizes.values()), max(SMALL, RATIO * size))
            if sizes.get(SCHEMA, 0) > MOST_SCHEMA:
                raise _too_large(path, "its schema has", sizes[SCHEMA], MOST_SCHEMA)
            held = {name: _held(archive, name, path) for name in sizes}
            schema = archive.read(SCHEMA)
            if schema.count(b"[") + schema.count(b"{") > MOST_NODES:
                raise InputError(f"{path}: its schema has more than {MOST_NODES:,} parts", _SMALLER)
            asked = sum(held[name] for name in _asked(json.loads(schema), held))
    except InputError:
        raise
    except Exception as error:  # zipfile, zlib, numpy and json raise a dozen types on a damaged archive
        raise InputError(
            f"{path}: not a readable skops file ({type(error).__name__}: {one_line(error)})", _AGAIN
        ) from None
    for what, found in (("its arrays unpack to", sum(held.values())), ("its schema asks for", asked)):
        if found > MOST_BYTES:
            raise _too_large(path, what, found)


def _too_large(path: Path, what: str, found: int, most: int = MOST_BYTES) -> InputError:
    return InputError(f"{path}: {what} {found:,} bytes (at most {most:,} are taken)", _SMALLER)


def _expect_short_list(path: Path, size: int) -> None:
    """Look at the end of the file, where an archive says how long the list of its members is."""
    with path.open("rb") as file:
        file.seek(max(0, size - _END_SIZE - _COMMENT))
        tail = file.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_SIZE:
        raise InputError(f"{path}: not a readable skops file (no zip archive, or cut short)", _AGAIN)
    listed = int.from_bytes(tail[at + 12 : at + 16], "little")
    if tail[max(0, at - 20) : at].startswith(b"PK\x06\x07"):  # a list of the long form, which says so elsewhere
        raise InputError(f"{path}: its list of members is longer than any estimator's", _SMALLER)
    if listed > MOST_DIRECTORY:
        raise _too_large(path, "its list of members has", listed, MOST_DIRECTORY)


def _sizes(archive: zipfile.ZipFile, path: Path) -> dict[str, int]:
    """{member: bytes when unpacked}, as the archive says: no more than that is ever read of one."""
    for member in archive.infolist():
        if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InputError(
                f"{path}: its member {shortened(member.filename, 80)!r} is packed as skops packs none", _AGAIN
            )
    names = archive.namelist()
    if len(set(names)) < len(names):
        raise InputError(f"{path}: it has two members of one name", _AGAIN)
    return {member.filename: member.file_size for member in archive.infolist()}


def _held(archive: zipfile.ZipFile, name: str, path: Path) -> int:
    """Bytes of memory that a member takes, its array as long as its header says."""
    size = archive.getinfo(name).file_size
    with archive.open(name) as member:
        if name.endswith(".npy"):
            _expect_length(member, size, name, path)
        elif name.endswith(".npz"):  # a sparse matrix
            with zipfile.ZipFile(member) as inner:
                return size + sum(_held(inner, one, path) for one in _sizes(inner, path) if one.endswith(".npy"))
    return size


def _expect_length(member: IO[bytes], size: int, name: str, path: Path) -> None:
    version = np.lib.format.read_magic(member)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(member)
    if dtype.hasobject:
        raise InputError(f"{path}: {shortened(name, 80)} holds Python objects, which are never unpickled", _AGAIN)
    expected = member.tell() + math.prod(shape) * dtype.itemsize
    if size != expected:
        raise InputError(f"{path}: {shortened(name, 80)} has {size:,} bytes, its header says {expected:,}", _AGAIN)


def _asked(schema: Any, held: dict[str, int]) -> list[str]:
    """The members that a schema asks for, each as often as it does."""
    waiting, found = [schema], []
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            waiting += node.values()
            if isinstance(name := node.get("file"), str) and name in held:
                found.append(name)
        elif isinstance(node, list):
            waiting += node
    return found
