"""The two tables of PTB-XL, ``ptbxl_database.csv`` and ``scp_statements.csv``: labels, patients, folds and files.

In comes a csv file, out come checked rows. All lines that are not right are told of in one error.
"""

from __future__ import annotations

import ast
import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pulseproof.core.errors import InputError
from pulseproof.core.terminal.hints import command
from pulseproof.ecg.ptbxl_known import known_row
from pulseproof.ecg.ptbxl_tasks import CLASSES, PtbXlTask, Statement
from pulseproof.ecg.recordings import Split
from pulseproof.ecg.wfdb.header import RECORD_NAME, read_plain
from pulseproof.runtime.words import one_line

COLUMNS = ("ecg_id", "patient_id", "scp_codes", "strat_fold", "filename_lr")
TOLD = 20  # lines of a table that an error describes
MOST_BYTES = 64 << 20  # PTB-XL has 7 MB
FETCH = f"fetch PTB-XL from PhysioNet (`{command('data')}`); DATA=dir (--data dir) names the folder that holds it"


@dataclass(frozen=True)
class RecordRow:
    """One record. ``stem`` is its path in the folder, without suffix; a negative ``patient`` is nobody known;
    ``labels``: 0 or 1 a class of the task; ``known``: whether it is the row that PTB-XL has of this number, None where
    that is not known here."""

    ecg_id: int
    patient: int
    split: Split
    stem: str
    labels: tuple[int, ...]
    known: bool | None


def statements_in(path: Path, columns: tuple[str, ...]) -> list[Statement]:
    """The statements of ``scp_statements.csv``, of which these columns are needed."""
    found = []
    for number, row in _table(path, columns):
        diagnostic = _is_one(row["diagnostic"])
        superclass, subclass = row["diagnostic_class"], row.get("diagnostic_subclass", "")
        if diagnostic and superclass not in CLASSES:
            raise InputError(
                f"{path}: line {number}: unknown diagnostic_class {superclass!r}",
                f"fetch the file again; the superclasses are {', '.join(CLASSES)}",
            )
        if diagnostic and "diagnostic_subclass" in columns and not subclass.strip():
            raise InputError(f"{path}: line {number}: no diagnostic_subclass of {row['']!r}", "fetch the file again")
        found.append(
            Statement(
                code=row[""],
                superclass=superclass if diagnostic else None,
                subclass=subclass if diagnostic else None,
                form=_is_one(row.get("form", "")),
                rhythm=_is_one(row.get("rhythm", "")),
            )
        )
    return found


def _is_one(text: str) -> bool:
    return text.strip() in ("1", "1.0")


def rows_in(path: Path, task: PtbXlTask, file: str = "filename_lr") -> list[RecordRow]:
    """Every record that the table lists, checked; ``labels`` are all 0 where it has no class of the task. ``file``: the
    column that names its files. Raises InputError for all lines that are not right together."""
    ids: set[int] = set()
    problems: list[str] = []
    rows: list[RecordRow] = []
    for number, row in _table(path, dict.fromkeys((*COLUMNS, file))):
        try:
            rows.append(_row(row, task, ids, file))
        except ValueError as error:
            problems.append(f"line {number}: {one_line(error)}")
    if problems:
        more = f"\n  and {len(problems) - TOLD:,} more" if len(problems) > TOLD else ""
        raise InputError(
            f"{path}: " + "\n  ".join(problems[:TOLD]) + more, "fetch the file again, or mend what is named there"
        )
    return rows


def _row(row: dict[str, str], task: PtbXlTask, ids: set[int], file: str) -> RecordRow:
    """One line of the table; ``ids`` are those of the lines before it. Raises ValueError in words."""
    ecg_id = _whole(row, "ecg_id")
    fold = _whole(row, "strat_fold")
    # A record of nobody known shares no patient with any other: its own, by a number no patient has.
    blank = row["patient_id"].strip().lower() in ("", "nan")
    patient = -ecg_id if blank else _whole(row, "patient_id")
    codes = _codes(row["scp_codes"])
    unknown = [code for code in codes if code not in task.codes]
    if ecg_id < 1 or ecg_id in ids:
        raise ValueError(f"ecg_id {ecg_id} is not positive, or there twice")
    if not 1 <= fold <= 10:
        raise ValueError(f"strat_fold {fold} is not 1 to 10")
    for column in dict.fromkeys((file, "filename_lr")):
        if not RECORD_NAME.fullmatch(row[column]):
            raise ValueError(f"{column} {row[column]!r} is not a path inside the folder")
    if unknown:
        raise ValueError(f"SCP code {unknown[0]!r} is not in scp_statements.csv")
    labels = task.labels(codes)
    ids.add(ecg_id)
    split: Split = "test" if fold == 10 else "validation" if fold == 9 else "train"
    known = known_row(ecg_id, patient, fold, row["filename_lr"], codes)
    return RecordRow(ecg_id, patient, split, row[file], labels, known)


def _table(path: Path, columns: Iterable[str]) -> Iterable[tuple[int, dict[str, str]]]:
    """(line number, row) of a csv file that has these columns."""
    try:
        text = read_plain(path, MOST_BYTES).decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", FETCH) from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot be read ({one_line(error)})", FETCH) from None
    reader = csv.DictReader(io.StringIO(text, newline=""), restval="")
    try:
        missing = [column for column in columns if column not in (reader.fieldnames or ())]
        if missing:
            named = ", ".join(repr(column) for column in missing)
            raise InputError(
                f"{path}: column {named} is missing", "fetch the file again; it is read as PhysioNet has it"
            )
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num}: not csv ({one_line(error)})", FETCH) from None


def _whole(row: dict[str, str], column: str) -> int:
    """A whole number, spelled ``7`` or (as pandas leaves a column with blanks) ``7.0``."""
    try:
        value = float(row[column])
    except ValueError:
        value = float("nan")
    if not value.is_integer() or abs(value) > 2**53:
        raise ValueError(f"{column} {row[column][:60]!r} is not a whole number")
    return int(value)


def _codes(text: str) -> dict[str, object]:
    """The SCP codes of a record: a Python literal ``{code: likelihood}``, never evaluated as code."""
    try:
        codes = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        codes = None
    if not isinstance(codes, dict) or not all(isinstance(code, str) for code in codes):
        raise ValueError(f"scp_codes {text[:60]!r} is not a dictionary of SCP codes")
    return codes
