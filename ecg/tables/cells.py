"""A stranger's table as rows of text: CSV in any of its dialects, or Parquet.

In comes the path of a file, out comes a :class:`Cells`: the names of its columns and, for every row, its number as a
spreadsheet shows it and its cells, stripped. A byte-order mark, ``;`` or a tab for a comma, quoted line ends and UTF-16
are read; what is not UTF-8 is refused, for its letters would be guessed. A file of more than :data:`MOST_BYTES` or
:data:`MOST_ROWS` is refused before it fills the memory.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulseproof.core.errors import InputError
from pulseproof.ecg.wfdb.header import read_plain, size_of_plain
from pulseproof.runtime.words import one_line

MOST_BYTES = 1 << 28
MOST_ROWS = 5_000_000
MOST_COLUMNS = 10_000
DELIMITERS = (",", ";", "\t", "|")
SAVE = "save it again as CSV in UTF-8"


@dataclass(frozen=True)
class Cells:
    """A table. ``names`` are empty where it has no row of them; ``delimiter`` is None of Parquet."""

    path: Path
    names: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    delimiter: str | None

    def place(self, column: str | int, key: str) -> int:
        """Where a column stands. Raises InputError for one that is not there; ``key``: of the study, that names it."""
        if isinstance(column, int):
            wide = len(self.names) or max((len(cells) for _, cells in self.rows), default=0)
            if column > wide:
                raise InputError(f"{self.path}: no column {column} ({key}), it has {wide}", "count them from 1")
            return column - 1
        places = [place for place, name in enumerate(self.names) if name == column]
        if len(places) > 1:
            raise InputError(
                f"{self.path}: {len(places)} columns are called {column!r} ({key})", "rename one, or give its number"
            )
        if not places:
            have = ", ".join(map(repr, self.names[:40])) or "none: header = false goes by numbers"
            raise InputError(f"{self.path}: no column {column!r} ({key})", f"columns there: {have}")
        return places[0]


def read_cells(path: Path, named: Sequence[str], *, header: bool, delimiter: str | None) -> Cells:
    """Read a table. ``named``: columns that the study names, by which the delimiter is told; ``header``: whether its
    first row holds names. Raises InputError for what is no table."""
    if path.suffix.lower() == ".parquet":
        return _parquet(path)
    try:
        text = decoded(path, read_plain(path, MOST_BYTES))
    except FileNotFoundError:
        have = sorted(each.name for each in path.parent.glob("*.[ctp][sa][vr]*"))[:20]
        raise InputError(f"{path}: no such table", f"tables there: {', '.join(have) or 'none'}") from None
    delimiter = delimiter or _told(text, named)
    rows = []
    try:
        for number, cells in enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), start=1):
            if len(cells) > MOST_COLUMNS or number > MOST_ROWS:
                raise InputError(f"{path}: more than {MOST_COLUMNS:,} columns or {MOST_ROWS:,} rows", "split it")
            if any(cell.strip() for cell in cells):
                rows.append((number, tuple(cell.strip() for cell in cells)))
    except csv.Error as error:
        raise InputError(f"{path}: not a CSV file, near row {len(rows) + 1} ({one_line(error)})", SAVE) from None
    if not rows[header:]:
        raise InputError(f"{path}: the table has no rows", "write a row a recording")
    names = rows[0][1] if header else ()
    return Cells(path, names, tuple(rows[header:]), delimiter)


def decoded(path: Path, raw: bytes) -> str:
    """The text of a file in UTF-8, or UTF-16 that says so. Raises InputError for any other."""
    utf16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return raw.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise InputError(f"{path}: not UTF-8 (line {line}: {error.reason})", SAVE) from None


def _told(text: str, named: Sequence[str]) -> str:
    """The delimiter by which the first row has most of the columns that the study names, or else most columns."""
    best, found = (-1, -1), ","
    for delimiter in DELIMITERS:
        try:
            first = next(csv.reader(io.StringIO(text[: 1 << 20], newline=""), delimiter=delimiter), [])
        except csv.Error:
            continue
        names = [name.strip() for name in first]
        score = (len(set(names) & set(named)), len(names))
        if score > best:
            best, found = score, delimiter
    return found


def _parquet(path: Path) -> Cells:
    parquet = pyarrow_parquet(path)
    try:
        size_check(path)
        file = parquet.ParquetFile(path)
        if (
            file.metadata.num_rows > MOST_ROWS
            or file.metadata.num_columns > MOST_COLUMNS
            or unpacked(file) > MOST_BYTES
        ):
            raise InputError(
                f"{path}: more than {MOST_COLUMNS:,} columns, {MOST_ROWS:,} rows or {MOST_BYTES:,} bytes", "split it"
            )
        names = tuple(str(name).strip() for name in file.schema_arrow.names)
        rows: list[tuple[int, tuple[str, ...]]] = []
        for batch in file.iter_batches(batch_size=10_000):
            columns = [column.to_pylist() for column in batch.columns]
            for cells in zip(*columns, strict=True):
                rows.append((len(rows) + 2, tuple(_text(cell) for cell in cells)))  # as a CSV of it would count
                if len(rows) > MOST_ROWS:
                    raise InputError(f"{path}: more than {MOST_ROWS:,} rows", "split it")
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such table", "name it by its path under the study's path") from None
    except Exception as error:  # whatever pyarrow makes of a damaged file
        raise InputError(f"{path}: not a readable Parquet file ({one_line(error)})", "write it again") from None
    if not rows:
        raise InputError(f"{path}: the table has no rows", "write a row a recording")
    return Cells(path, names, tuple(rows), None)


def pyarrow_parquet(path: Path) -> Any:
    """pyarrow's module for Parquet. Raises InputError where it is not installed."""
    try:
        from pyarrow import parquet
    except ImportError:
        raise InputError(
            f"{path}: Parquet needs pyarrow, which is not installed", "install it (pulseproof[parquet]), or use CSV"
        ) from None
    return parquet


def unpacked(file: Any) -> int:
    """What a Parquet file says that it holds, in bytes."""
    return sum(file.metadata.row_group(place).total_byte_size for place in range(file.metadata.num_row_groups))


def size_check(path: Path) -> None:
    """Raises InputError for what is no plain file of at most :data:`MOST_BYTES`."""
    size = size_of_plain(path)
    if size > MOST_BYTES:
        raise InputError(f"{path}: {size:,} bytes, more than {MOST_BYTES:,} are not read", "split it")


def _text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():  # a column of whole numbers that had a gap
        return str(int(cell))
    return str(cell).strip()
