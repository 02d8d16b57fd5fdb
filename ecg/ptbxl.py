"""PTB-XL's 100 Hz records, from PhysioNet's own layout, with five diagnostic superclasses and the official folds.

In comes a folder with ``ptbxl_database.csv``, ``scp_statements.csv`` and ``records100/``; out comes a folder of
recordings at rest: 12 leads, 10 s, steps of 1 microvolt. :func:`survey` reads the two tables and looks at (but not
into) the record files; :func:`read` reads the records.

Task and split follow Strodthoff et al. 2020 (arXiv 2004.13701): a record has every superclass that one of its
diagnostic SCP codes belongs to, whatever its likelihood; records without a superclass are left out; folds 1-8 train,
9 validation, 10 test. Data: Wagner et al., Scientific Data 7:154, 2020.
"""

from __future__ import annotations

import ast
import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.console import follow, say
from core.errors import InputError
from core.steps import digest
from core.study import PtbXlData
from ecg.recordings import SPLITS, About, RecordingsWriter, Split
from ecg.wfdb_files import AGAIN, RECORD_NAME, Record, read_header, read_record
from runtime.files import sha256_file

CLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
LEADS = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")
FS_HZ = 100.0
SAMPLES = 1000
STEP_MV = 0.001
ADC_RANGE = (-32767, 32767)  # -32768 is WFDB's mark of a missing sample
WHOLE = 21_799  # records of PTB-XL 1.0.3
FETCH = "fetch PTB-XL from PhysioNet (`make data`); DATA=dir names the folder that holds it"


@dataclass(frozen=True)
class Row:
    """One record that has a superclass. ``stem`` is its path in the folder, without suffix."""

    ecg_id: int
    patient: int
    split: Split
    stem: str
    labels: tuple[int, ...]


@dataclass(frozen=True)
class Survey:
    """What a folder of PTB-XL holds. ``fingerprint`` changes when a table or any record file does."""

    folder: Path
    rows: tuple[Row, ...]
    listed: int
    present: int
    fingerprint: str

    @property
    def note(self) -> str:
        whole = self.present == self.listed >= WHOLE
        return "" if whole else f"subset of {self.present:,} records"


def survey(spec: PtbXlData, folder: Path) -> Survey:
    """Read the tables of ``folder`` and look which record files are there; no record is opened.

    Raises InputError for a table that is missing or damaged, a record of which one file is missing, records that are
    not there (unless ``spec.missing`` is ``"skip"``), a patient on two sides of the split, and an empty side.
    """
    tables = [folder / "ptbxl_database.csv", folder / "scp_statements.csv"]
    superclasses = _superclasses(tables[1])
    listed = list(_rows(tables[0], superclasses))
    seen = [(row, _look(folder, row.stem)) for row in listed]
    absent = [row for row, files in seen if not files]
    if absent and spec.missing == "error":
        raise InputError(
            f"{folder}: {len(absent):,} of the {len(listed):,} records in ptbxl_database.csv are not there,"
            f" the first is {absent[0].stem}",
            'fetch the rest (`make data`), or set missing = "skip" in the study\'s [data] to go on without them',
        )
    present = [row for row, files in seen if files]
    rows = tuple(row for row in present if any(row.labels))
    _check_split(tables[0], rows)
    files = [file for _, found in seen for file in found]
    fingerprint = digest({"tables": [sha256_file(table) for table in tables], "files": files})
    return Survey(folder, rows, len(listed), len(present), fingerprint)


def read(found: Survey, target: Path, fingerprint: str) -> list[Path]:
    """Read every surveyed record into ``target``; returns the files made. On any error nothing is left there."""
    say(f"PTB-XL: reading {len(found.rows):,} records from {found.folder}")
    if found.present < found.listed:
        say(f"PTB-XL: listed, not there and left out: {found.listed - found.present:,} of {found.listed:,} records")
    if found.present > len(found.rows):
        without = found.present - len(found.rows)
        say(f"PTB-XL: without a diagnostic superclass and left out: {without:,} of {found.present:,} records")
    about = About(
        database="ptb-xl",
        classes=CLASSES,
        leads=LEADS,
        fs_hz=FS_HZ,
        adc_step_mv=STEP_MV,
        adc_range=ADC_RANGE,
        synthetic=False,
        exclusive=False,
        note=found.note,
    )
    writer = RecordingsWriter(target, about, len(found.rows), SAMPLES)
    try:
        for row in follow(found.rows, "PTB-XL"):
            steps = _steps(found.folder / row.stem)
            writer.add(steps, np.array(row.labels, np.uint8), row.patient, row.split, str(row.ecg_id))
    except BaseException:
        writer.discard()
        raise
    return writer.close(fingerprint)


def microvolts(record: Record) -> NDArray[np.int16]:
    """int16 (leads, samples): the record in steps of 1 microvolt, whatever gain and baseline it was stored with.

    Raises InputError when a sample does not fit (beyond 32.767 mV).
    """
    steps = record.digital - record.baselines
    if (record.gains != 1000).any():
        steps = np.rint(steps * (1000 / record.gains)).astype(np.int64)
    low, high = ADC_RANGE
    if steps.min() < low or steps.max() > high:
        peak_mv = np.abs(steps).max() * STEP_MV
        raise InputError(f"{record.path}.dat: a sample of {peak_mv:g} mV, more than {high * STEP_MV:g} mV", AGAIN)
    return steps.astype(np.int16)


def _steps(stem: Path) -> NDArray[np.int16]:
    header = read_header(stem)
    if header.fs_hz != FS_HZ:
        raise InputError(f"{header.path}: {header.fs_hz:g} Hz, PTB-XL's records100 are {FS_HZ:g} Hz", AGAIN)
    if len(header.leads) != len(LEADS):
        raise InputError(f"{header.path}: {len(header.leads)} leads, PTB-XL's records have {len(LEADS)}", AGAIN)
    other = sorted({signal.file for signal in header.signals} - {f"{stem.name}.dat"})
    if other:  # the fingerprint looks at this record's own files only
        raise InputError(f"{header.path}: names the signal file {other[0]}, not its own {stem.name}.dat", AGAIN)
    record = read_record(stem, LEADS, header)
    samples = record.digital.shape[1]
    if samples != SAMPLES:
        raise InputError(f"{header.path}: lasts {samples / FS_HZ:g} s, PTB-XL's records last 10 s", AGAIN)
    return microvolts(record)


def _superclasses(path: Path) -> dict[str, str | None]:
    """{SCP code: its superclass, or None for a form or rhythm statement}."""
    superclasses: dict[str, str | None] = {}
    for number, row in _table(path, ("", "diagnostic", "diagnostic_class")):
        diagnostic = row["diagnostic"].strip() in ("1", "1.0")
        if diagnostic and row["diagnostic_class"] not in CLASSES:
            raise InputError(
                f"{path}: line {number}: unknown diagnostic_class {row['diagnostic_class']!r}",
                f"fetch the file again; the superclasses are {', '.join(CLASSES)}",
            )
        superclasses[row[""]] = row["diagnostic_class"] if diagnostic else None
    return superclasses


def _rows(path: Path, superclasses: dict[str, str | None]) -> Iterable[Row]:
    """Every record that the table lists, checked; ``labels`` are all 0 where it has no superclass."""
    ids: set[int] = set()
    for number, row in _table(path, ("ecg_id", "patient_id", "scp_codes", "strat_fold", "filename_lr")):
        try:
            ecg_id = _whole(row, "ecg_id")
            fold = _whole(row, "strat_fold")
            # A record of nobody known shares no patient with any other: its own, by a number no patient has.
            blank = row["patient_id"].strip().lower() in ("", "nan")
            patient = -ecg_id if blank else _whole(row, "patient_id")
            codes = _codes(row["scp_codes"])
        except ValueError as error:
            raise InputError(f"{path}: line {number}: {error}", "fetch the file again, or mend that line") from None
        unknown = [code for code in codes if code not in superclasses]
        problem = None
        if ecg_id < 1 or ecg_id in ids:
            problem = f"ecg_id {ecg_id} is not positive, or there twice"
        elif not 1 <= fold <= 10:
            problem = f"strat_fold {fold} is not 1 to 10"
        elif not RECORD_NAME.fullmatch(row["filename_lr"]):
            problem = f"filename_lr {row['filename_lr']!r} is not a path inside the folder"
        elif unknown:
            problem = f"SCP code {unknown[0]!r} is not in scp_statements.csv"
        if problem:
            raise InputError(f"{path}: line {number}: {problem}", "fetch the file again, or mend that line")
        ids.add(ecg_id)
        classes = {superclasses[code] for code in codes}
        split: Split = "test" if fold == 10 else "validation" if fold == 9 else "train"
        yield Row(ecg_id, patient, split, row["filename_lr"], tuple(int(name in classes) for name in CLASSES))


def _table(path: Path, columns: tuple[str, ...]) -> Iterable[tuple[int, dict[str, str]]]:
    """(line number, row) of a csv file that has these columns."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", FETCH) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})", FETCH) from None
    reader = csv.DictReader(io.StringIO(text, newline=""), restval="")
    missing = [column for column in columns if column not in (reader.fieldnames or ())]
    if missing:
        named = ", ".join(repr(column) for column in missing)
        raise InputError(f"{path}: column {named} is missing", "fetch the file again; it is read as PhysioNet has it")
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise InputError(f"{path}: line {reader.line_num}: not csv ({error})", FETCH) from None


def _whole(row: dict[str, str], column: str) -> int:
    """A whole number, spelled ``7`` or (as pandas leaves a column with blanks) ``7.0``."""
    try:
        value = float(row[column])
    except ValueError:
        value = float("nan")
    if not value.is_integer():
        raise ValueError(f"{column} {row[column]!r} is not a whole number")
    return int(value)


def _codes(text: str) -> dict[str, float]:
    """The SCP codes of a record: a Python literal ``{code: likelihood}``, never evaluated as code."""
    try:
        codes = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        codes = None
    if not isinstance(codes, dict) or not all(isinstance(code, str) for code in codes):
        raise ValueError(f"scp_codes {text[:60]!r} is not a dictionary of SCP codes")
    return codes


def _look(folder: Path, stem: str) -> list[tuple[str, int, int]]:
    """[(relative path, size in bytes, mtime in ns)] of a record's two files; empty when neither is there."""
    files, gone = [], []
    for name in (f"{stem}.hea", f"{stem}.dat"):
        try:
            status = (folder / name).stat()
            files.append((name, status.st_size, status.st_mtime_ns))
        except FileNotFoundError:
            gone.append(name)
        except OSError as error:
            raise InputError(f"{folder / name}: cannot be read ({error.strerror})", FETCH) from None
    if files and gone:
        raise InputError(f"{folder / gone[0]}: missing, while {Path(files[0][0]).name} is there", AGAIN)
    return files


def _check_split(path: Path, rows: tuple[Row, ...]) -> None:
    sides: dict[int, Split] = {}
    for row in rows:
        first = sides.setdefault(row.patient, row.split)
        if first != row.split:
            raise InputError(
                f"{path}: patient {row.patient} is both in {first} and in {row.split} (ecg_id {row.ecg_id})",
                "fetch the file again: the official folds keep a patient's records together",
            )
    for split in SPLITS:
        if not any(row.split == split for row in rows):
            raise InputError(
                f"{path}: no record on the {split} side that is there and has a superclass",
                "fetch more of PTB-XL (`make data`): folds 1-8 train, 9 validation, 10 test",
            )
