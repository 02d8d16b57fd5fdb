"""Files in a zip file, to be carried by hand, and read as the stream of :mod:`runtime.wire.stream`: by its rules.

A zip file holds ``files.json``, the list of names, sizes and hashes that opens a stream, and the files, all under one
prefix. What a zip file says of its members beyond that (rights, links, places, sizes) is not believed: a reader asks
for the listed names, takes no more bytes of each than the list says, and hashes them.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any, Iterator

from pulseproof.runtime.wire.stream import MAX_HEAD_BYTES, PIECE
from pulseproof.runtime.wire.untrusted import BundleError, json_of

LIST = "files.json"
TIME = (2020, 1, 1, 0, 0, 0)  # of every member: equal files give equal bytes
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError, ValueError)


def add(archive: zipfile.ZipFile, prefix: str, folder: Path, files: dict[str, list[Any]]) -> None:
    """Put ``files`` of ``folder`` ({name: [size, SHA-256]}) and their list into ``archive``, compressed as it is."""
    archive.writestr(_info(archive, prefix + LIST), json.dumps({"files": files}))
    for name in files:
        with open(folder / name, "rb") as source, archive.open(_info(archive, prefix + name), "w") as target:
            shutil.copyfileobj(source, target, PIECE)


def _info(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, date_time=TIME)
    info.compress_type = archive.compression
    return info


def listed(archive: zipfile.ZipFile, prefix: str) -> dict[str, Any]:
    """The list of the files under ``prefix``, as it stands there: unchecked. Raises :class:`BundleError`."""
    try:
        with archive.open(prefix + LIST) as file:
            data = file.read(MAX_HEAD_BYTES + 1)
        if len(data) > MAX_HEAD_BYTES:
            raise BundleError(f"{archive.filename}: its list of files is too long")
        files = json_of(data)["files"]
        if not isinstance(files, dict):
            raise TypeError
    except (*BROKEN, TypeError):
        raise BundleError(f"{archive.filename}: its list of files cannot be read") from None
    return files


class Members:
    """The files ``files`` under ``prefix``, one after the other, as :func:`runtime.wire.stream.receive` reads them."""

    def __init__(self, archive: zipfile.ZipFile, prefix: str, files: dict[str, Any]) -> None:
        self._head = json.dumps({"files": files}).encode() + b"\n"
        self._archive = archive
        self._members = iter([prefix + name for name in files])
        self._open: IO[bytes] | None = None

    def readline(self, limit: int) -> bytes:
        """The list."""
        return self._head[:limit]

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, none at the end. Raises :class:`BundleError` for a damaged archive."""
        try:
            for piece in self._pieces(size):
                return piece
        except BROKEN as error:
            raise BundleError(f"{self._archive.filename}: damaged ({str(error)[:200]})") from None
        return b""

    def _pieces(self, size: int) -> Iterator[bytes]:
        while True:
            if self._open is not None:
                piece = self._open.read(size)
                if piece:
                    yield piece
                    return
                self._open.close()
            name = next(self._members, None)
            if name is None:
                return
            self._open = self._archive.open(name)


class _Cautious(io.BufferedReader):
    """A file of which nobody reads more at once than a list may have: :mod:`zipfile` reads the directory of members
    whole, as long as the archive says that it is, and keeps ten times as much of it."""

    def read(self, size: "int | None" = -1, /) -> bytes:
        most = MAX_HEAD_BYTES + 1
        if size is not None and size > most:
            raise zipfile.BadZipFile("its directory is too long")
        return super().read(most if size is None or size < 0 else size)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip file, once. Raises :class:`BundleError` that names it."""
    with _Cautious(io.FileIO(str(path))) as file:
        try:
            archive = zipfile.ZipFile(file)
            archive.filename = str(path)
        except BROKEN:
            raise BundleError(f"{path}: not a zip file, or a damaged one") from None
        with archive:
            yield archive
