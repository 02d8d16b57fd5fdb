"""Files of bare numbers: CSV and TSV (a column a lead), NumPy's .npy and .npz, Parquet.

In comes a path, out comes a :class:`Numbers`: the values, a row a lead, and the names and the rate where the file has
them. Nothing is unpickled. What a file claims is held against :data:`MOST_SAMPLES` before room is made for it, so a
compressed file that unfolds without end, or a header of a million leads, is a sentence and not a machine that swaps.
"""

from __future__ import annotations

import csv
import io
import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.errors import InputError
from pulseproof.ecg.tables.cells import DELIMITERS, decoded, pyarrow_parquet
from pulseproof.ecg.wfdb.header import read_plain, size_of_plain
from pulseproof.runtime.words import one_line

MOST_SAMPLES = 2**25  # of all leads of a recording together: 256 MiB of float64
MOST_BYTES, MOST_TEXT = 1 << 28, 1 << 27
MOST_LEADS = 1024
TIMES = ("", "t", "time", "time_s", "time_ms", "timestamp", "index", "sample", "samples")  # columns that are no lead
SIGNALS, RATES, NAMES = ("signals", "signal", "ecg", "data"), ("fs_hz", "fs"), ("leads", "sig_name")


@dataclass(frozen=True)
class Numbers:
    """``values``: (leads, samples), finite or not; ``leads`` and ``fs_hz``: None where the file does not say."""

    values: NDArray[Any]
    leads: tuple[str, ...] | None = None
    fs_hz: float | None = None


def read_text(path: Path, known: Sequence[str] | None) -> Numbers:
    """A text file with a column a lead, with or without a row of names; commas in numbers where the columns are parted
    by something else. Raises ValueError, in words."""
    try:
        text = decoded(path, read_plain(path, MOST_TEXT))
    except InputError as error:
        raise ValueError(error.what.replace(f"{path}: ", "")) from None
    delimiter, first = _first_row(text)
    names = None if all(_is_number(cell, delimiter) for cell in first) else tuple(cell.strip() for cell in first)
    if len(first) > MOST_LEADS:
        raise ValueError(f"{len(first):,} columns, at most {MOST_LEADS:,} are read")
    if delimiter != ",":
        text = text.replace(",", ".")
    columns = [place for place, name in enumerate(names or first) if names is None or name.lower() not in TIMES]
    if text.count("\n") * len(first) > MOST_SAMPLES:
        raise ValueError(f"more than {MOST_SAMPLES:,} numbers: cut it into parts")
    if names is not None and "\n" not in text.strip():  # the row of names alone
        raise ValueError("it holds no samples")
    try:
        values = np.loadtxt(
            io.StringIO(text),
            np.float64,
            comments=None,
            delimiter=delimiter,
            quotechar='"',
            skiprows=int(names is not None),
            usecols=columns,
            ndmin=2,
        )
    except ValueError as error:
        raise ValueError(f"not a table of numbers ({one_line(error, 160)})") from None
    if not values.size:
        raise ValueError("it holds no samples")
    return Numbers(values.T, tuple(names[place] for place in columns) if names else None)


def _first_row(text: str) -> tuple[str, list[str]]:
    """(delimiter, cells) of the first row: of the delimiter that makes most cells, decimal commas apart."""
    line = next((line for line in io.StringIO(text[: 1 << 20]) if line.strip()), "")
    if not line:
        raise ValueError("the file is empty")
    counted = {mark: line.count(mark) for mark in DELIMITERS}
    for mark in ("\t", ";", "|"):  # beside one of these a comma is a decimal one
        if counted[mark]:
            return mark, next(csv.reader([line.strip("\r\n")], delimiter=mark))
    return ",", next(csv.reader([line.strip("\r\n")], delimiter=","))


def _is_number(cell: str, delimiter: str) -> bool:
    try:
        float(cell if delimiter == "," else cell.replace(",", "."))
    except ValueError:
        return False
    return True


def read_numpy(path: Path, known: Sequence[str] | None) -> Numbers:
    """One array (leads, samples) or (samples, leads), told apart by the number of leads that the study names, or one
    lead (samples,). A .npz may say its rate (``fs_hz``) and its leads (``leads``). Raises ValueError, in words."""
    try:
        if path.suffix.lower() == ".npz":
            return _npz(path, known)
        if size_of_plain(path) > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES:,} bytes: cut it into parts")
        with path.open("rb") as file:
            return Numbers(_leads_first(_array(file, path.name), known))
    except (OSError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"not a readable array ({one_line(error, 160)})") from None


def _npz(path: Path, known: Sequence[str] | None) -> Numbers:
    size_of_plain(path)
    with zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()[:1000]}
        found = [name for name in SIGNALS if name in members]
        others = [name for name in members if name not in (*RATES, *NAMES)]
        if not found and len(others) != 1:
            raise ValueError(f"it holds {len(others)} arrays: call the one with the signals 'signals'")

        def member(name: str) -> NDArray[Any]:
            if members[name].file_size > MOST_BYTES:  # what is unfolded ends there, whatever the file holds
                raise ValueError(f"{name} says that it holds {members[name].file_size:,} bytes")
            with archive.open(members[name]) as file:
                return _array(file, name)

        rates = [float(member(name).reshape(-1)[0]) for name in RATES if name in members]
        names = [member(name) for name in NAMES if name in members]
        if rates and not (math.isfinite(rates[0]) and 1e-3 <= rates[0] <= 1e6):
            raise ValueError(f"its rate is {rates[0]:g} Hz")
        if names and (names[0].dtype.kind != "U" or names[0].ndim != 1 or len(names[0]) > MOST_LEADS):
            raise ValueError("its leads are no list of names")
        leads = tuple(str(name) for name in names[0]) if names else None
        values = _leads_first(member((found or others)[0]), leads or known)
        if leads is not None and len(leads) != len(values):
            raise ValueError(f"it names {len(leads)} leads and has {len(values)}")
        return Numbers(values, leads, rates[0] if rates else None)


def _array(file: IO[bytes], name: str) -> NDArray[Any]:
    """The array of an open .npy file: no objects, and no more than is read."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        shape, columns_first, kind = readers[np.lib.format.read_magic(file)](file)
    except (ValueError, KeyError) as error:
        raise ValueError(f"not a readable array ({one_line(error, 160)})") from None
    if kind.hasobject or kind.kind not in "iufU":
        raise ValueError(f"{name} holds {kind}, not numbers")
    count = math.prod(shape)
    if count > MOST_SAMPLES or count * kind.itemsize > MOST_BYTES:
        raise ValueError(f"{name} says that it holds {count:,} numbers, at most {MOST_SAMPLES:,} are read")
    raw = file.read(count * kind.itemsize)
    if len(raw) < count * kind.itemsize:
        raise ValueError(f"{name} is cut short")
    values = np.frombuffer(raw, kind)
    return values.reshape(shape[::-1]).T if columns_first else values.reshape(shape)


def _leads_first(values: NDArray[Any], known: Sequence[str] | None) -> NDArray[Any]:
    if values.dtype.kind == "U":
        raise ValueError("it holds texts, not numbers")
    if values.ndim == 1:
        values = values[None]
    if values.ndim != 2 or not values.size:
        raise ValueError(f"an array of shape {values.shape}, not (leads, samples)")
    if known is None:
        raise ValueError(f"an array of shape {values.shape}: name its leads in the study (file_leads)")
    fits = [values.shape[0] == len(known), values.shape[1] == len(known)]
    if not any(fits):
        raise ValueError(f"an array of shape {values.shape}: the study names {len(known)} leads")
    if all(fits):
        raise ValueError(f"an array of shape {values.shape}: which of both are the leads cannot be told")
    return values if fits[0] else values.T


def read_parquet(path: Path, known: Sequence[str] | None) -> Numbers:
    """A column a lead. Raises ValueError, in words, and InputError where pyarrow is not installed."""
    parquet = pyarrow_parquet(path)
    import pyarrow as pa

    try:
        size_of_plain(path)
        file = parquet.ParquetFile(path)
        names = tuple(str(name) for name in file.schema_arrow.names)
        if len(names) > MOST_LEADS or len(names) * file.metadata.num_rows > MOST_SAMPLES:
            raise ValueError(f"more than {MOST_LEADS:,} columns or {MOST_SAMPLES:,} numbers: cut it into parts")

        leads = [
            place
            for place, each in enumerate(file.schema_arrow)
            if (pa.types.is_integer(each.type) or pa.types.is_floating(each.type)) and names[place].lower() not in TIMES
        ]
        blocks: list[NDArray[np.float64]] = []
        left = MOST_SAMPLES
        for batch in file.iter_batches(batch_size=1 << 16, columns=[names[place] for place in leads]):
            left -= batch.num_rows * len(leads)
            if left < 0:
                raise ValueError(f"more than {MOST_SAMPLES:,} numbers: cut it into parts")
            blocks.append(np.stack([_column(column) for column in batch.columns]))
    except pa.ArrowException as error:
        raise ValueError(f"not a readable Parquet file ({one_line(error, 160)})") from None
    except (ValueError, InputError):
        raise
    except Exception as error:  # whatever else pyarrow makes of a damaged file
        raise ValueError(f"not a readable Parquet file ({one_line(error, 160)})") from None
    if not blocks:
        raise ValueError("it has no columns of numbers, or no rows")
    return Numbers(np.concatenate(blocks, axis=1), tuple(names[place] for place in leads))


def _column(column: Any) -> NDArray[np.float64]:
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)  # what is null becomes NaN
