"""The rows of a study's table, each with the files it means and what it says: read before any recording is opened.

In come ``[data]`` and its folder, out comes a :class:`TableSurvey`, whose fingerprint changes when the table or any
file that a row means does. Rows that say what cannot be are kept with their problems: they are told when the others
were read, all in one error.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pulseproof.core.data.table import TableData
from pulseproof.core.errors import InputError
from pulseproof.core.steps import digest
from pulseproof.ecg.origin import database_names
from pulseproof.ecg.tables.cells import Cells, read_cells
from pulseproof.ecg.tables.labels import written
from pulseproof.ecg.tables.listing import FoundFile, Listing, relative
from pulseproof.ecg.tables.problems import Problems
from pulseproof.ecg.tables.sides import Person
from pulseproof.runtime.files import sha256_file


@dataclass(frozen=True)
class TableRow:
    """One recording: its files, what the table says of its labels (None: its header says them), whose it is, what tells
    its side, its rate where the table says it, and its leads where the study says other ones of it."""

    number: int
    found: FoundFile
    labels: tuple[str, ...] | None
    person: Person
    rate_hz: float | None
    leads: tuple[tuple[str, ...], ...] | None = None


@dataclass(frozen=True)
class TableSurvey:
    """``spec``: as the study has it; ``told``: with its preset; ``rows``: those without a problem so far, by their
    number; ``total``: of the table; ``label_columns``: the names of the columns that are a class each."""

    folder: Path
    spec: TableData
    told: TableData
    where: str
    rows: Mapping[int, TableRow]
    total: int
    problems: Problems
    label_columns: tuple[str, ...]
    fingerprint: str

    @property
    def name(self) -> str:
        return database_names(self.folder, self.spec.path, [row.found.name for row in self.rows.values()])


def survey(spec: TableData, folder: Path) -> TableSurvey:
    """Read the table and look up its files; none is opened. Raises InputError for what is no table, and for columns
    that are not there."""
    told = spec.completed()
    table = None if told.table is None else _inside(folder, told.table)
    listing = Listing(folder)
    if table is None:
        cells = Cells(folder, ("file",), tuple(enumerate(((name,) for name in listing.headers()), start=1)), None)
        if not cells.rows:
            raise InputError(f"{folder}: no WFDB header (.hea) in it", "give the folder of the recordings, or a table")
    else:
        columns = told.columns
        named = [columns.file, columns.label, columns.patient, columns.split, columns.rate_hz, *columns.labels]
        cells = read_cells(
            table, [name for name in named if isinstance(name, str)], header=told.header, delimiter=told.delimiter
        )
    where = str(folder if table is None else table)
    rows, problems, label_columns = _rows(told, cells, listing, where)
    rows = _own_leads(told, rows, problems)
    files = [each for row in rows.values() for each in row.found.files]
    about = {"table": sha256_file(table) if table else None, "files": files, "bad": problems.sentences()}
    return TableSurvey(folder, spec, told, where, rows, len(cells.rows), problems, label_columns, digest(about))


def _own_leads(spec: TableData, rows: dict[int, TableRow], bad: Problems) -> dict[int, TableRow]:
    """The rows with the leads that ``record_leads`` gives them. Raises InputError for a line that fits no recording,
    where none is bad: it may mean that one."""
    lines = sorted(spec.record_leads.items(), key=lambda line: any(mark in line[0] for mark in "*?["))
    unused = {name for name, _ in lines}
    made = dict(rows)
    for number, row in rows.items():
        fitting = [line for line in lines if row.found.name == line[0] or fnmatch.fnmatchcase(row.found.name, line[0])]
        unused -= {name for name, _ in fitting}
        if fitting:
            made[number] = replace(row, leads=tuple(tuple(each.split("|")) for each in fitting[0][1]))
    if unused and not len(bad):
        shown = ", ".join(row.found.name for row in list(rows.values())[:5])
        raise InputError(
            f"data.record_leads: no recording is called {sorted(unused)[0]!r}",
            f"call recordings by their files without suffix ({shown}), or by patterns",
        )
    return made


def _inside(folder: Path, name: str) -> Path:
    try:
        path = folder / relative(name)
    except ValueError as error:
        raise InputError(f"data.table: {error}", "name it by its path under the study's path") from None
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{path}: leads out of the study's path", "put the table itself there")
    return path


def _rows(
    spec: TableData, cells: Cells, listing: Listing, where: str
) -> tuple[dict[int, TableRow], Problems, tuple[str, ...]]:
    columns, bad = spec.columns, Problems(where)
    given = [columns.label] if columns.label is not None else list(columns.labels)
    if cells.path == listing.root:  # made of its headers: one column
        columns = columns.model_copy(update={"file": "file"})
    places = [cells.place(column, f"columns.{'label' if columns.label is not None else 'labels'}") for column in given]
    label_columns = tuple(cells.names[place] if cells.names else str(place + 1) for place in places)
    optional = {
        key: None if (column := getattr(columns, key)) is None else cells.place(column, f"columns.{key}")
        for key in ("patient", "split", "rate_hz")
    }
    file_place = cells.place(columns.file, "columns.file")
    wide = 1 + max([file_place, *places, *(place for place in optional.values() if place is not None)])
    rows: dict[int, TableRow] = {}
    seen: dict[str, int] = {}
    called: dict[str, str] = {}
    for number, short in cells.rows:
        row = (*short, *[""] * (wide - len(short)))
        try:
            found = listing.find(row[file_place])
        except ValueError as error:
            bad.add(number, "file", str(error))
            continue
        finally:
            labels = _labels(spec, number, row, places, label_columns, bad)
        twin = seen.setdefault(found.file, number)
        if twin != number:
            bad.add(
                number, "file", f"{found.file!r} is the recording of row {twin} as well", "name each recording once"
            )
        if called.setdefault(found.name, found.file) != found.file:  # r1.csv beside r1.edf
            found = replace(found, name=found.file)
        patient = _patient(spec, found.name, row, optional["patient"], number, bad)
        rate = _rate(row, optional["rate_hz"], number, bad)
        cell = found.name if optional["split"] is None else row[optional["split"]]
        if number not in bad:
            rows[number] = TableRow(number, found, labels, Person(patient, cell), rate)
    return rows, bad, label_columns if columns.labels else ()


def _labels(
    spec: TableData, number: int, row: tuple[str, ...], places: list[int], names: tuple[str, ...], bad: Problems
) -> tuple[str, ...] | None:
    if not places:
        return None
    try:
        return written(spec, row, places, names)
    except ValueError as error:
        bad.add(number, "label", str(error))
        return None


def _patient(spec: TableData, name: str, row: tuple[str, ...], place: int | None, number: int, bad: Problems) -> str:
    if place is not None:
        if not row[place]:
            bad.add(number, "patient", "the cell is empty")
        return row[place]
    if spec.patient_pattern is None:
        return f"recording {name}"
    match = re.search(spec.patient_pattern, name)
    if match is None or not match[1]:
        bad.add(number, "file", f"patient_pattern finds nobody in {name!r}")
        return ""
    return match[1]


def _rate(row: tuple[str, ...], place: int | None, number: int, bad: Problems) -> float | None:
    if place is None:
        return None
    try:
        rate = float(row[place].replace(",", "."))
        if not 1 <= rate <= 100_000:
            raise ValueError
    except ValueError:
        bad.add(number, "rate_hz", f"{row[place][:40]!r} is no rate in Hz (1 to 100,000)")
        return None
    return rate
