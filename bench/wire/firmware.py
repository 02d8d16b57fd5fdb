"""What a firmware takes of its core, ``_firmware.json`` beside the results of an artifact on an emulated Cortex-M.

In and out: a JSON. It is of the artifact and the core, not of any signal set; a result has the instructions of its own
recordings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from pulseproof.bench.wire.fields import Bytes, Positive, Sha256, Wire, Words
from pulseproof.bench.wire.reading import parsed, read_file
from pulseproof.core.errors import InputError
from pulseproof.runtime.wire.untrusted import MAX_JSON_BYTES

NAME = "_firmware.json"


class OperatorCount(Wire):
    """An operator in its order, and the ``instructions`` of it in one inference, to a tick of up to 50."""

    kind: Words
    instructions: Positive


class FirmwareFacts(Wire):
    """``flash_bytes`` and ``ram_bytes`` are the linker's: all code and constants; all variables, the arena and one
    recording among them, without a stack. ``arena_bytes`` and ``constant_bytes`` are the network's own part of these;
    ``stack_bytes`` the deepest stack that was seen. ``sha256``: of the artifact; ``version``: of the engine, as its
    results have it; ``operators``: of one recording."""

    format: Literal[1] = 1
    sha256: Sha256
    version: Words
    compiler: Words
    machine: Words
    flash_bytes: Bytes
    ram_bytes: Bytes
    arena_bytes: Bytes
    constant_bytes: Bytes
    stack_bytes: Bytes
    operators: tuple[OperatorCount, ...] = Field((), max_length=10_000)


def read_firmware(results: Path, artifact: str) -> FirmwareFacts | None:
    """The facts of an artifact (``cnn/tflite-int8-full``) among a device's ``results``; None where there are none, or
    none that can be read."""
    path = results / artifact.replace("/", "__") / NAME
    try:
        return parsed(FirmwareFacts, read_file(path, MAX_JSON_BYTES, ""), path, "") if path.is_file() else None
    except InputError:
        return None
