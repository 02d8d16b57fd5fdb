"""Files from a device or a bundle, read as a stranger's: plain files of a bounded size, no link, nothing unpickled.

In comes a path, and the most that may lie there; out come bytes, an array, or a model of :mod:`bench.wire.schema`.
Whatever else there is, is an :class:`~core.errors.InputError` that names the file and ends with ``mend``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray
from pydantic import ValidationError

from pulseproof.bench.wire.fields import Wire, plain
from pulseproof.core.errors import InputError
from pulseproof.runtime.wire.untrusted import MAX_JSON_PARTS, BundleError, array_of, expect_small, read_plain

W = TypeVar("W", bound=Wire)


def read_file(path: Path, limit: int, mend: str) -> bytes:
    """The bytes of a plain file of at most ``limit`` bytes; a link could name any file of this machine."""
    try:
        return read_plain(path, limit)
    except BundleError as error:
        raise InputError(str(error), mend) from None


def read_hashed(
    path: Path, limit: int, sha256: str, named: str, mend: str, size_bytes: int | None = None
) -> NDArray[Any]:
    """The array in a file of at most ``limit`` bytes that has this hash, and, where it is known, this size. ``named``:
    who says so, as "bundle.json lists"."""
    data = read_file(path, limit, mend)
    if hashlib.sha256(data).hexdigest() != sha256 or size_bytes not in (None, len(data)):
        differs = "SHA-256" if size_bytes is None else "size or SHA-256"
        raise InputError(f"{path}: not the bytes that {named} ({differs} differs)", mend)
    try:
        return array_of(data, path)
    except BundleError as error:
        raise InputError(str(error), mend) from None


def parsed(model: type[W], data: bytes, path: Path, mend: str, parts: int = MAX_JSON_PARTS) -> W:
    """What JSON of at most ``parts`` values says. Raises InputError that names the first things that are wrong."""
    try:
        expect_small(data, parts)
        return model.model_validate_json(data)
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, each['loc'])) or 'file'}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors()[:3]
        ]
        raise InputError(f"{path}: {plain('; '.join(problems))}", mend) from None
    except ValueError as error:
        raise InputError(f"{path}: not readable as JSON: {error}", mend) from None
