"""By which version of all this a firmware was made: a change of it makes results anew.

Nothing comes in; out come a SHA-256 over the sources of this room, Python, C and templates, and what an engine is
called in a result.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from pulseproof.firmware.kernels import VERSION

ENGINE = "cmsis-nn"


@functools.cache
def room_sha256() -> str:
    """Of the sources of this room, hexadecimal."""
    home = Path(__file__).resolve().parent
    found = hashlib.sha256()
    for path in sorted(home.rglob("*")):
        if path.is_file() and path.suffix in (".py", ".c", ".h", ".j2"):
            found.update(f"{path.relative_to(home)}\0".encode() + path.read_bytes() + b"\0")
    return found.hexdigest()


def engine_version(compiler: str) -> str:
    """CMSIS-NN's version, and a digest of what calls it and of the ``compiler``."""
    return f"{VERSION}+{hashlib.sha256(f'{room_sha256()} {compiler}'.encode()).hexdigest()[:8]}"
