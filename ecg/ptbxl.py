"""PTB-XL's records at 100 or 500 Hz, from PhysioNet's own layout, with one of its tasks and the official folds.

In comes a folder with ``ptbxl_database.csv``, ``scp_statements.csv`` and ``records100/`` (or ``records500/``); out
comes a folder of recordings at rest: 12 leads, 10 s, steps of 1 microvolt. :func:`survey` reads the two tables and
looks at (but not into) the record files; :func:`read` reads the records. Other recordings in the same layout are read
as well, and called by their folder's name: PTB-XL is what :mod:`ecg.ptbxl_known` knows some rows and signals of.

Tasks (:mod:`ecg.ptbxl_tasks`) and split follow Strodthoff et al. 2020 (arXiv 2004.13701): a record has every class that
one of its SCP codes belongs to, whatever its likelihood; records without a class are left out, and with them classes
that too few records have; folds 1-8 train, 9 validation, 10 test. Data: Wagner et al., Scientific Data 7:154, 2020.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.errors import InputError
from pulseproof.core.steps import digest
from pulseproof.core.studies.sources import PtbXlData
from pulseproof.core.terminal.console import follow, say
from pulseproof.core.terminal.hints import command
from pulseproof.ecg.origin import Bad, database_names, refuse, without
from pulseproof.ecg.ptbxl_known import known_signal, mostly
from pulseproof.ecg.ptbxl_tables import FETCH, RecordRow, rows_in, statements_in
from pulseproof.ecg.ptbxl_tasks import FEWEST, SUPERCLASS, PtbXlTask, columns_of, task_of
from pulseproof.ecg.recordings import SPLITS, About, RecordingsWriter, Split
from pulseproof.ecg.wfdb.files import Record, check_whole, read_record
from pulseproof.ecg.wfdb.header import AGAIN, read_header
from pulseproof.runtime.files import sha256_file

LEADS = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")
SECONDS = 10
STEP_MV = 0.001
ADC_RANGE = (-32767, 32767)  # -32768 is WFDB's mark of a missing sample
DATABASE = "ptb-xl"
WHOLE = 21_799  # records of PTB-XL 1.0.3


@dataclass(frozen=True)
class PtbxlSurvey:
    """What a folder in PTB-XL's layout holds. ``own``: its table is PTB-XL's; ``name``: what it is called; ``bad``:
    records of which one file is not there; ``few``: how many records of each side have a class that too few have;
    ``classless``: records without a class. ``fingerprint`` changes when a table or any record file does."""

    folder: Path
    spec: PtbXlData
    task: PtbXlTask
    few: dict[str, tuple[int, ...]]
    classless: int
    rows: tuple[RecordRow, ...]
    bad: tuple[Bad, ...]
    listed: int
    present: int
    own: bool
    fingerprint: str

    @property
    def name(self) -> str:
        return DATABASE if self.own else database_names(self.folder, self.spec.path, [self.folder.name])

    def part(self, own: bool) -> str:
        """What of a database is here, where it is not all of it."""
        if own:
            return "" if self.present == self.listed >= WHOLE else f"subset of {self.present:,} records"
        return "" if self.present == self.listed else f"{self.present:,} of {self.listed:,} records"


def survey(spec: PtbXlData, folder: Path) -> PtbxlSurvey:
    """Read the tables of ``folder`` and look which record files are there; no record is opened.

    Raises InputError for a table that is missing or damaged, records that are not there (unless ``spec.missing`` is
    ``"skip"``), a patient on two sides of the split, and an empty side.
    """
    tables = [folder / "ptbxl_database.csv", folder / "scp_statements.csv"]
    statements = statements_in(tables[1], columns_of(spec.classes))
    task = task_of(spec.classes, statements, spec.likelihood, tables[1].name)
    listed = rows_in(tables[0], task, "filename_lr" if spec.fs_hz == 100 else "filename_hr")
    seen: list[tuple[RecordRow, list[tuple[str, int, int]]]] = []
    bad = []
    for row in listed:
        files, error = _look(folder, row.stem)
        seen.append((row, files))
        if error and any(row.labels):
            bad.append(Bad(row.stem, error))
    absent = [row for row, files in seen if not files]
    if absent and spec.missing == "error":
        raise InputError(
            f"{folder}: {len(absent):,} of the {len(listed):,} records in ptbxl_database.csv are not there,"
            f" the first is {absent[0].stem}",
            f'fetch the rest (`{command("data")}`), or set missing = "skip" in the study\'s [data] to go on '
            "without them",
        )
    present = [row for row, files in seen if files]
    having = [row for row in present if any(row.labels)]
    task, few, rows = _enough(spec, task, having)
    _check_split(tables[0], rows)
    looked = [file for _, found in seen for file in found]
    # The order of the classes is the study's, and an inputs' digest does not see the order of a table.
    asked = {"classes": list(task.classes)}
    fingerprint = digest({"tables": [sha256_file(table) for table in tables], "files": looked, **asked})
    own = mostly([row.known for row in listed])
    classless = len(present) - len(having)
    return PtbxlSurvey(
        folder, spec, task, few, classless, rows, tuple(bad), len(listed), len(present), own, fingerprint
    )


def read(found: PtbxlSurvey, target: Path, fingerprint: str) -> list[Path]:
    """Read every surveyed record into ``target``; returns the files made. On any error nothing is left there.

    Raises one InputError for all records that cannot be read (or, where the study skips them, when a side is empty).
    """
    name = "PTB-XL" if found.own else found.name
    say(f"{name}: reading {len(found.rows):,} records from {found.folder}")
    about = About(
        database=found.name,
        classes=found.task.classes,
        leads=LEADS,
        fs_hz=float(found.spec.fs_hz),
        adc_step_mv=STEP_MV,
        adc_range=ADC_RANGE,
        synthetic=False,
        exclusive=found.task.exclusive,
    )
    bad = {each.name: each for each in found.bad}
    added: list[RecordRow] = []
    signals: list[bool | None] = []
    assumed: list[bool] = []
    with RecordingsWriter(target, about, len(found.rows), SECONDS * found.spec.fs_hz) as writer:
        for row in follow(found.rows, name):
            if row.stem in bad:
                continue
            try:
                record = _record(found.folder / row.stem, found.spec)
                steps = microvolts(record)
            except InputError as error:
                bad[row.stem] = Bad(row.stem, error)
                continue
            known = found.own and found.spec.fs_hz == 100
            signals.append(known_signal(row.ecg_id, steps) if known else None)
            writer.add(steps, np.array(row.labels, np.uint8), row.patient, row.split, str(row.ecg_id))
            added.append(row)
            assumed.append(bool(record.assumed))
        left = [bad[row.stem] for row in found.rows if row.stem in bad]
        if left and (found.spec.bad_records == "error" or not added):
            raise refuse(name, left, found.present)
        _check_sides(found.folder / "ptbxl_database.csv", tuple(added))
        own = found.own and mostly(signals, some=False)
        writer.about = _told(found, about, added, left, sum(assumed), own)
        return writer.close(fingerprint)


def _told(found: PtbxlSurvey, about: About, added: list[RecordRow], bad: list[Bad], assumed: int, own: bool) -> About:
    """``about`` with the name that the recordings deserve, and with what must be said of them."""
    bad_note, bad_facts = without(bad, found.present, found.folder)
    nobody = sum(row.patient < 0 for row in added)
    facts, doubts = [], []
    if not own:
        doubts.append(
            f"In PTB-XL's layout, but the {'signals' if found.own else 'rows of the table'} are not PTB-XL's:"
            f" called by the folder's name, {found.folder.name}."
        )
    if found.present < found.listed:
        facts.append(f"Listed, not there and left out: {found.listed - found.present:,} of {found.listed:,} records.")
    if found.classless:
        facts.append(f"Without a {found.task.what} and left out: {found.classless:,} of {found.present:,} records.")
    if found.few:
        listed = "; ".join(f"{name} {', '.join(map(str, counts))}" for name, counts in found.few.items())
        facts.append(
            f"Classes of fewer than {_fewest(found.spec)} records on one of the sides (train, validation, test), left"
            f" out: {listed}; and {found.present - found.classless - len(found.rows):,} records that have no other."
        )
    likelihood = f"diagnostic statements under {found.spec.likelihood:g} % left out" if found.spec.likelihood else ""
    if nobody:
        doubts.append(f"Of nobody known, each taken as its own patient: {nobody:,} of {len(added):,} records.")
    facts += bad_facts
    gain = f"{found.spec.default_gain or 0:g} ADC units a mV assumed"
    if assumed:
        doubts.append(f"Not calibrated (gain 0), {gain}: {assumed:,} of {len(added):,} records.")
    for split in SPLITS:
        there = {place for row in added if row.split == split for place, has in enumerate(row.labels) if has}
        if gone := [name for place, name in enumerate(about.classes) if place not in there]:
            doubts.append(f"No record of class {', '.join(gone)} on the {split} side: nothing can be said of it there.")
    part = "; ".join(each for each in (found.part(own), bad_note) if each)
    said = [
        "" if own else f"recordings of {found.folder.name} in PTB-XL's layout, not PTB-XL",
        part,
        f"records of nobody known ({nobody:,}) each taken as its own patient" if nobody else "",
        f"{assumed:,} records uncalibrated, {gain}" if assumed else "",
        likelihood,
    ]
    for sentence in (*doubts, *facts):
        say(f"{'PTB-XL' if own else found.folder.name}: {sentence}")
    database = DATABASE if own else f"{database_names(found.folder, found.spec.path, [])} (in PTB-XL's layout)"
    note = "; ".join(each for each in said if each)
    return replace(about, database=database, note=note, part=part, facts=tuple(facts), doubts=tuple(doubts))


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


def _record(stem: Path, spec: PtbXlData) -> Record:
    header = read_header(stem)
    if header.fs_hz != spec.fs_hz:
        raise InputError(f"{header.path}: {header.fs_hz:g} Hz, PTB-XL's records{spec.fs_hz} are {spec.fs_hz} Hz", AGAIN)
    if len(header.leads) != len(LEADS):
        raise InputError(f"{header.path}: {len(header.leads)} leads, PTB-XL's records have {len(LEADS)}", AGAIN)
    other = sorted({signal.file for signal in header.signals} - {f"{stem.name}.dat"})
    if other:  # the fingerprint looks at this record's own files only
        raise InputError(f"{header.path}: names the signal file {other[0]}, not its own {stem.name}.dat", AGAIN)
    record = read_record(stem, LEADS, header, default_gain=spec.default_gain)
    check_whole(record)
    samples = record.digital.shape[1]
    if samples != SECONDS * spec.fs_hz:
        raise InputError(f"{header.path}: lasts {samples / spec.fs_hz:g} s, PTB-XL's records last 10 s", AGAIN)
    return record


def _look(folder: Path, stem: str) -> tuple[list[tuple[str, int, int]], InputError | None]:
    """[(relative path, size in bytes, mtime in ns)] of a record's two files, empty when neither is there; and what is
    wrong when only one is, or one cannot be looked at."""
    files, gone = [], []
    for name in (f"{stem}.hea", f"{stem}.dat"):
        try:
            status = (folder / name).stat()
            files.append((name, status.st_size, status.st_mtime_ns))
        except FileNotFoundError:
            gone.append(name)
        except OSError as error:
            return [(name, 0, 0)], InputError(f"{folder / name}: cannot be read ({error.strerror})", FETCH)
    if files and gone:
        return files, InputError(f"{folder / gone[0]}: missing, while {Path(files[0][0]).name} is there", AGAIN)
    return files, None


def _enough(
    spec: PtbXlData, task: PtbXlTask, rows: list[RecordRow]
) -> tuple[PtbXlTask, dict[str, tuple[int, ...]], tuple[RecordRow, ...]]:
    """The task without classes that too few records have on a side, how many those have, and the records that are left.

    Raises InputError where less than two classes are left.
    """
    counts = {
        name: tuple(sum(row.labels[place] for row in rows if row.split == split) for split in SPLITS)
        for place, name in enumerate(task.classes)
    }
    few = {name: each for name, each in counts.items() if min(each) < _fewest(spec)}
    if not few:
        return task, {}, tuple(rows)
    kept = task.without(list(few))
    if len(kept.classes) < 2:
        listed = "; ".join(f"{name} {', '.join(map(str, each))}" for name, each in few.items())
        raise InputError(
            f"data.fewest: fewer than {_fewest(spec)} records of a side (train, validation, test) have {listed}:"
            f" {len(kept.classes)} class{'' if len(kept.classes) == 1 else 'es'} left",
            "lower fewest in the study's [data], or fetch more of the database",
        )
    places = [place for place, name in enumerate(task.classes) if name not in few]
    cut = [replace(row, labels=tuple(row.labels[place] for place in places)) for row in rows]
    return kept, few, tuple(row for row in cut if any(row.labels))


def _fewest(spec: PtbXlData) -> int:
    if spec.fewest is not None:
        return spec.fewest
    return FEWEST if isinstance(spec.classes, str) and spec.classes != SUPERCLASS else 0


def _check_split(path: Path, rows: tuple[RecordRow, ...]) -> None:
    sides: dict[int, Split] = {}
    for row in rows:
        first = sides.setdefault(row.patient, row.split)
        if first != row.split:
            raise InputError(
                f"{path}: patient {row.patient} is both in {first} and in {row.split} (ecg_id {row.ecg_id})",
                "fetch the file again: the official folds keep a patient's records together",
            )
    _check_sides(path, rows)


def _check_sides(path: Path, rows: tuple[RecordRow, ...]) -> None:
    for split in SPLITS:
        if not any(row.split == split for row in rows):
            raise InputError(
                f"{path}: no record on the {split} side that is there and has a class",
                f"fetch more of PTB-XL (`{command('data')}`): folds 1-8 train, 9 validation, 10 test",
            )
