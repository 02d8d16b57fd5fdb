"""Files written so that a reader never meets half of one.

Every file of Pulseproof, on the host and on the device, is written beside its place and renamed into it: after a power
cut the old file is there, or the new one, never a mixture. What comes in is bytes or arrays, what goes out is a file
and its SHA-256. Arrays are ``.npy`` without objects, so that reading one never unpickles anything.

Standard library and numpy only: the runner carries this module to the device.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import IO, TYPE_CHECKING, Any, Iterator

from pulseproof.runtime.words import one_line

if TYPE_CHECKING:  # imported late where it is used: a command that only prints needs no arrays
    import numpy as np

FULL = (errno.ENOSPC, errno.EDQUOT)
ROOM = 1 << 20  # bytes: a disk with less is full for whoever failed to write there


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on success flush it to the disk and rename it over ``path``.

    On any exception the temporary file is removed and ``path`` stays as it was. What fails because a disk is full is an
    ``OSError`` that names ``path`` (or the folder of temporary files), whatever a writer makes of it.
    """
    import tempfile  # late, as hashlib below: an artifact's process stays small until it writes

    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix stays last: some writers (numpy, the exporters) look at it.
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=f".partial{path.suffix}", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except Exception as error:
        # Not gettempdir(), which tries to write there.
        named = _named(error, path, Path(tempfile.tempdir or os.environ.get("TMPDIR") or "/tmp"))
        if named is error:
            raise
        raise named from error
    finally:
        if temporary is not None:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()


def is_partial(name: str) -> bool:
    """Whether a file of this name is the half of one, as :func:`replacing` calls it."""
    return name.startswith(".") and ".partial" in name


def is_full(folder: Path) -> bool:
    """Whether the disk of a folder has no room for a file."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < ROOM or (found.f_files > 0 and found.f_favail == 0)


def _named(error: Exception, path: Path, others: Path) -> Exception:
    """The error of a write as one that names ``path``, or the folder of temporary files ``others`` where that is full.
    A library may say of a full disk no file, or nothing but that it failed."""
    said = error if isinstance(error, OSError) and error.errno is not None else None
    if said and said.filename is not None and not is_partial(os.path.basename(said.filename)):
        return said
    if said is None or said.errno in FULL:
        full = path if is_full(path.parent) else others if is_full(others) else None
        if full is not None:
            return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(full))
    if said:
        said.filename = str(path)
    return error


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` in UTF-8, whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as JSON; NaN and infinity are refused because other readers do not know them."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read one JSON file. Raises ``ValueError`` that names the file when it is not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: not readable as JSON ({one_line(error)})") from None


def write_array(path: Path, array: np.ndarray) -> None:
    """Write one array as ``.npy``, whole or not at all. Object arrays are refused."""
    import numpy as np

    with replacing(path) as temporary, open(temporary, "wb") as file:
        # As np.save writes it, through Python's own files: numpy's way does not say why a write fails.
        np.lib.format.write_array(SimpleNamespace(write=file.write), np.asanyarray(array), allow_pickle=False)


def read_array(path: Path, mapped: bool = False) -> np.ndarray:
    """Read one ``.npy`` array; ``mapped`` keeps it on the disk and reads only what is touched."""
    import numpy as np

    try:
        return np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # of a damaged head numpy raises what the parser of Python raises: a TokenError, too
        raise ValueError(f"{path}: not a readable .npy array ({one_line(error)})") from None


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, read in pieces of 1 MiB."""
    with open(path, "rb") as file:
        return sha256_of(file)


def sha256_of(file: IO[bytes]) -> str:
    """:func:`sha256_file` of what is left to read of an open file."""
    import hashlib

    digest = hashlib.sha256()
    for piece in iter(lambda: file.read(1 << 20), b""):
        digest.update(piece)
    return digest.hexdigest()


def state_of(about: os.stat_result) -> tuple[int, ...]:
    """What is another once a file was replaced, renamed or written to: its inode, size and times. Who can turn the
    clock back can forge it."""
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns
