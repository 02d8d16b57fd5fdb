"""Files through a pipe, in either direction: a list of names, sizes and hashes, then their bytes.

The first line is a JSON object ``{"files": {name: [size in bytes, SHA-256]}}``, then comes the content of each file in
that order. There is nothing else in it: no links, no rights, no owners, no times. A reader takes only plain relative
names, no more bytes than it was told, and puts a file in its place only when it is whole: written beside, its hash
checked, renamed. What came before a cut stays, and is not sent again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any, Callable, Container, Iterable, Iterator, Protocol

from pulseproof.runtime.files import replacing, sha256_file
from pulseproof.runtime.wire.untrusted import BundleError, json_of

PART = r"[A-Za-z0-9_][A-Za-z0-9._+-]*"  # nothing hidden, no "..", no drive, no control character
NAME = re.compile(rf"{PART}(/{PART}){{0,7}}")
MAX_HEAD_BYTES = 8 << 20
MAX_FILES = 100_000
MAX_FILE_BYTES = 1 << 50
LEVELS = 8  # of folders in a name
PIECE = 1 << 20


class StreamSource(Protocol):
    """What a stream is read from."""

    def readline(self, limit: int, /) -> bytes:
        """The next line, at most ``limit`` bytes of it."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes; none at the end."""


class Sink(Protocol):
    """What a stream is written to."""

    def write(self, data: bytes, /) -> object:
        """Take all of ``data``."""

    def flush(self) -> object:
        """Hold nothing back."""


def listed(folder: Path, wanted: Container[str] | None = None) -> dict[str, list[Any]]:
    """{name: [size, SHA-256]} of the plain files under ``folder`` whose names a stream can have, of those ``wanted``;
    no link is followed."""
    found = {}
    for path in sorted(_plain_files(folder)):
        name = path.relative_to(folder).as_posix()
        with contextlib.suppress(FileNotFoundError):  # a run goes on there, and just took it away
            if NAME.fullmatch(name) and (wanted is None or name in wanted):
                found[name] = [path.stat().st_size, sha256_file(path)]
    return found


def send(folder: Path, files: dict[str, list[Any]], out: Sink) -> None:
    """Write ``files`` of ``folder`` to ``out``. Raises ``OSError`` for one that changed its length meanwhile."""
    out.write(json.dumps({"files": files}).encode() + b"\n")
    for name, (size, _) in files.items():
        with open(folder / name, "rb") as file:
            left = size
            while left:
                piece = file.read(min(PIECE, left))
                if not piece:
                    raise OSError(f"{folder / name}: became shorter while it was sent")
                out.write(piece)
                left -= len(piece)
    out.flush()


def receive(
    source: StreamSource, folder: Path, most: Callable[[str], int | None], limit_bytes: int = MAX_FILE_BYTES
) -> Iterator[tuple[str, int]]:
    """Put the files of a stream into ``folder``; gives (name, size) of each that is in its place.

    ``most`` says how many bytes a file of a name may have, None for a name that may not come; ``limit_bytes`` is the
    most of all together, where that much is free on the disk. What a killed one left half-written there is removed.
    Raises :class:`BundleError` for anything else, and for a stream that ends too early.
    """
    files = _head(source, most)
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.rglob(".*.partial*"):
        left.unlink(missing_ok=True)
    total = sum(size for size, _ in files.values())
    free = min(limit_bytes, shutil.disk_usage(folder).free)
    if total > free:
        raise BundleError(f"{folder}: {total:,} bytes are to come, at most {free:,} can be taken")
    for name, (size, sha256) in files.items():
        target = _place(folder, name)
        with replacing(target) as temporary:
            digest = hashlib.sha256()
            with open(temporary, "wb") as file:
                for piece in _pieces(source, size, name):
                    digest.update(piece)
                    file.write(piece)
            if digest.hexdigest() != sha256:
                raise BundleError(f"{name}: its SHA-256 is not the one announced")
        yield name, size


def _head(source: StreamSource, most: Callable[[str], int | None]) -> dict[str, tuple[int, str]]:
    line = source.readline(MAX_HEAD_BYTES + 1)
    if not line.endswith(b"\n"):
        raise BundleError("the list of files ends too early, or is too long")
    try:
        files = json_of(line)["files"]
        entries = {name: (entry[0], entry[1]) for name, entry in files.items()}
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        raise BundleError("the list of files cannot be read") from None
    if len(entries) > MAX_FILES:
        raise BundleError(f"{len(entries):,} files are to come, at most {MAX_FILES:,} are taken")
    for name, (size, sha256) in entries.items():
        allowed = most(name) if len(name) <= 300 and NAME.fullmatch(name) else None
        if allowed is None:
            raise BundleError(f"{name[:300]!r} is not a name that may come")
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size < MAX_FILE_BYTES:
            raise BundleError(f"{name}: its size is not a number of bytes")
        if size > allowed:
            raise BundleError(f"{name}: {size:,} bytes, at most {allowed:,} can be right")
        if not isinstance(sha256, str) or not re.fullmatch("[0-9a-f]{64}", sha256):
            raise BundleError(f"{name}: its SHA-256 is none")
    return entries


def _pieces(source: StreamSource, size: int, name: str) -> Iterator[bytes]:
    left = size
    while left:
        piece = source.read(min(PIECE, left))
        if not piece:
            raise BundleError(f"{name}: the stream ends {left:,} bytes too early")
        left -= len(piece)
        yield piece


def _place(folder: Path, name: str) -> Path:
    """Where a file goes; no link on the way is followed."""
    path = folder
    for part in name.split("/"):
        path = path / part
        if path.is_symlink():
            raise BundleError(f"{path}: is a link, which nothing is written through")
    return path


def _plain_files(folder: Path, levels: int = LEVELS) -> Iterable[Path]:
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_symlink():
            continue
        if path.is_dir():
            yield from _plain_files(path, levels - 1) if levels > 1 else ()
        elif path.is_file():
            yield path
