"""WFDB files byte by byte, as header(5), signal(5) and annot(5) have them: for what :mod:`wfdb` cannot write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CODES = {"N": 1, "L": 2, "V": 5, "F": 6, "A": 8, "S": 9, "/": 12, "Q": 13, "~": 14, '"': 22, "+": 28}


def mark(ticks: int, symbol: str, note: str = "", subtype: int = 0, num: int = 0, chan: int = 0) -> bytes:
    """One annotation, ``ticks`` after the one before it (which may be negative)."""
    raw = b""
    if not 0 <= ticks < 1024:
        raw += (59 << 10).to_bytes(2, "little") + (ticks >> 16 & 0xFFFF).to_bytes(2, "little")
        raw += (ticks & 0xFFFF).to_bytes(2, "little")
        ticks = 0
    raw += (CODES[symbol] << 10 | ticks).to_bytes(2, "little")
    for code, value in ((61, subtype), (62, chan), (60, num)):
        if value:
            raw += (code << 10 | value & 1023).to_bytes(2, "little")
    if note:
        raw += (63 << 10 | len(note)).to_bytes(2, "little") + note.encode("latin-1") + b"\0" * (len(note) % 2)
    return raw


def annotations(at: Sequence[int], symbols: Sequence[str], resolution: str | None = None) -> bytes:
    """A whole annotation file, in the order given."""
    raw = b"" if resolution is None else mark(0, '"', f"## time resolution: {resolution}") + end_of_table()
    before = 0
    for ticks, symbol in zip(at, symbols, strict=True):
        raw += mark(ticks - before, symbol)
        before = ticks
    return raw + b"\0\0"


def end_of_table() -> bytes:
    """The null annotation at time 0 that the library writes behind a table (annot.c, put_ann_table)."""
    return b"\x00\xec\xff\xff\xff\xff\x01\x00"


def encode(samples: NDArray[np.int64], fmt: str) -> bytes:  # noqa: PLR0911
    """Samples in the order of the file, as signal(5) packs them."""
    values = [int(value) for value in samples]
    if fmt in ("16", "24", "32"):
        return b"".join(value.to_bytes(int(fmt) // 8, "little", signed=True) for value in values)
    if fmt == "61":
        return b"".join(value.to_bytes(2, "big", signed=True) for value in values)
    if fmt == "80":
        return bytes(value + 128 for value in values)
    if fmt == "160":
        return b"".join((value + 32768).to_bytes(2, "little") for value in values)
    if fmt == "212":
        values += [0] * (len(values) % 2)
        pairs = zip(values[::2], values[1::2], strict=True)
        return b"".join(bytes([a & 255, (a >> 8 & 15) | (b >> 8 & 15) << 4, b & 255]) for a, b in pairs)
    values += [0] * (-len(values) % 3)
    triples = zip(values[::3], values[1::3], values[2::3], strict=True)
    if fmt == "310":
        words = [((a & 1023) << 1 | (c & 31) << 11, (b & 1023) << 1 | (c >> 5 & 31) << 11) for a, b, c in triples]
        return b"".join(first.to_bytes(2, "little") + second.to_bytes(2, "little") for first, second in words)
    return b"".join(((a & 1023) | (b & 1023) << 10 | (c & 1023) << 20).to_bytes(4, "little") for a, b, c in triples)


def write_record(
    folder: Path, name: str, samples: NDArray[np.int64], lines: Sequence[str], first: str, fmt: str = "16"
) -> Path:
    """A record of one signal file: ``samples`` in the order of the file, ``first`` the record line, ``lines`` the
    signal lines behind the name of the file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.dat").write_bytes(encode(samples, fmt))
    text = "\n".join([first, *(f"{name}.dat {line}" for line in lines)]) + "\n"
    (folder / f"{name}.hea").write_text(text, "utf-8")
    return folder / name
