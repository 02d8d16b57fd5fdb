"""Which runner this is: one hash over its sources, the same from the packed file, a carried bundle or a checkout.

It stands in every result, so that numbers of different runners are not taken for numbers of one.
"""

from __future__ import annotations

import re
from pathlib import Path

PACKAGE = "pulseproof"
ROOM = re.compile(PACKAGE + r"/(__init__|runtime/[\w/]+)\.py")


def home() -> Path:
    """What holds this package: a folder, or the zip file that is run."""
    return Path(__file__).absolute().parents[2]


def sources() -> dict[str, bytes]:
    """{name in the zip file: bytes} of the modules that the runner is made of."""
    import zipfile

    place = home()
    if place.is_file():
        with zipfile.ZipFile(place) as archive:
            return {name: archive.read(name) for name in sorted(archive.namelist()) if ROOM.fullmatch(name)}
    package = place / PACKAGE
    paths = [package / "__init__.py", *(package / "runtime").rglob("*.py")]
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in sorted(paths)}


def runner_sha256() -> str:
    """SHA-256, in hexadecimal, over the names and bytes of :func:`sources`."""
    import hashlib

    digest = hashlib.sha256()
    for name, content in sorted(sources().items()):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
