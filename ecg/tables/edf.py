"""EDF, EDF+ and BDF: the header read and held against the file here, the samples read by pyedflib.

In comes a path, out comes a :class:`EdfHeader`, and of its signals samples as stored. Every number of the header is
bounded and the file's size must be what the header says before a library sees it: a header that claims a thousand hours
costs nothing. Signals called "EDF Annotations" are no leads. Format: Kemp et al. 1992, Kemp and Olivan 2003.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.errors import InputError
from pulseproof.ecg.wfdb.header import size_of_plain
from pulseproof.runtime.words import one_line

MOST_SIGNALS = 1024
MOST_SAMPLES = 2**25  # of all wanted leads together
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
ANNOTATIONS = ("EDF ANNOTATIONS", "BDF ANNOTATIONS")


@dataclass(frozen=True)
class EdfSignal:
    """A sample is ``stored * gain + offset`` in ``unit``; ``place``: among the signals that are no annotations."""

    label: str
    unit: str
    gain: float
    offset: float
    per_block: int


@dataclass(frozen=True)
class EdfHeader:
    """``blocks`` of ``block_s`` seconds each. ``signals`` without annotations, in the order of the file."""

    blocks: int
    block_s: float
    signals: tuple[EdfSignal, ...]


def read_header(path: Path) -> EdfHeader:
    """Read the header. Raises ValueError, in words, for what is no EDF or BDF file, is cut short, or has gaps."""
    size = size_of_plain(path)
    with path.open("rb") as file:
        fixed = file.read(256)
        if len(fixed) < 256 or fixed[:8].strip() not in (b"0", b"\xffBIOSEMI"):
            raise ValueError("not an EDF or BDF file")
        width = 3 if fixed[:1] == b"\xff" else 2
        count = _whole(fixed[252:256], "number of signals", 1, MOST_SIGNALS)
        rest = file.read(256 * count)
    if len(rest) < 256 * count:
        raise ValueError(f"cut short: its header announces {count} signals")
    if fixed[192:197] in (b"EDF+D", b"BDF+D"):
        raise ValueError("it has gaps in time (EDF+D), which are not supported")
    blocks = _whole(fixed[236:244], "number of data records", 1, 2**31)
    block_s = _number(fixed[244:252], "duration of a data record")
    if not 0 < block_s <= 1e6:
        raise ValueError(f"damaged header: a data record of {block_s:g} s")
    labels = _fields(rest, count, 0, 16)
    units = _fields(rest, count, 96, 8)
    ranges = [_fields(rest, count, start, 8) for start in (104, 112, 120, 128)]
    each = [_whole(cell, "samples in a data record", 1, 2**24) for cell in _fields(rest, count, 216, 8)]
    needed = 256 * (count + 1) + blocks * sum(each) * width
    if size < needed:
        raise ValueError(f"cut short: {size:,} bytes where its header needs {needed:,}")
    signals = []
    for row in range(count):
        label = labels[row].decode("latin-1").strip()
        if label.upper() in ANNOTATIONS:
            continue
        low, high, lowest, highest = (_number(cells[row], f"range of {label!r}") for cells in ranges)
        if high == low or highest <= lowest:
            raise ValueError(f"damaged header: signal {label!r} goes from {low:g} to {high:g}")
        gain = (high - low) / (highest - lowest)
        unit = units[row].decode("latin-1").strip()
        signals.append(EdfSignal(label, unit, gain, low - gain * lowest, each[row]))
    return EdfHeader(blocks, block_s, tuple(signals))


def one_rate(header: EdfHeader, rows: Sequence[int]) -> float:
    """The sampling rate of the signals ``rows``. Raises ValueError where they have several."""
    rates = {header.signals[row].per_block / header.block_s for row in rows}
    if len(rates) > 1:
        raise ValueError(f"leads of different rates ({', '.join(f'{rate:g} Hz' for rate in sorted(rates))})")
    return round(rates.pop(), 9)  # 3333 samples in 10.01 s: a number that a ratio can be made of


def read_samples(path: Path, header: EdfHeader, rows: Sequence[int], most: int | None) -> NDArray[np.int64]:
    """int64 (rows, samples): the first ``most`` samples (None: all) of the signals ``rows``, as stored. Raises
    ValueError, and InputError where pyedflib is not installed."""
    samples = header.blocks * header.signals[rows[0]].per_block
    samples = samples if most is None else min(samples, most)
    if samples * len(rows) > MOST_SAMPLES:
        raise ValueError(f"{samples * len(rows):,} samples, at most {MOST_SAMPLES:,} are read: cut it, or set window_s")
    library = edf_library(path)
    try:
        reader = library.EdfReader(str(path), annotations_mode=library.DO_NOT_READ_ANNOTATIONS)
        try:
            return np.stack([reader.readSignal(row, 0, samples, digital=True).astype(np.int64) for row in rows])
        finally:
            reader.close()
    except OSError as error:  # the library says of all else that it is no EDF file, and why
        raise ValueError(f"pyedflib does not read it ({one_line(error).replace(str(path), path.name)})") from None


def edf_library(path: Path) -> Any:
    """pyedflib. Raises InputError where it is not installed."""
    try:
        import pyedflib
    except ImportError:
        raise InputError(
            f"{path}: EDF and BDF need pyedflib, which is not installed",
            "install it (pulseproof[edf]), or convert the recordings to WFDB or CSV",
        ) from None
    return pyedflib


def _fields(rest: bytes, count: int, start: int, size: int) -> list[bytes]:
    """One field of every signal: the header has them field by field."""
    first = start * count
    return [rest[first + size * row : first + size * (row + 1)] for row in range(count)]


def _number(raw: bytes, what: str) -> float:
    text = raw.decode("latin-1").strip().strip("\0")
    if not NUMBER.fullmatch(text):
        raise ValueError(f"damaged header: its {what} is {text[:20]!r}")
    return float(text)


def _whole(raw: bytes, what: str, least: int, most: int) -> int:
    value = _number(raw, what)
    if value != int(value) or not least <= value <= most:
        raise ValueError(f"damaged header: its {what} is {raw.decode('latin-1').strip()[:20]!r}")
    return int(value)
