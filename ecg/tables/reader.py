"""``source = "table"``: anybody's recordings with anybody's labels, read into a folder of recordings at rest.

In comes a :class:`~ecg.tables.rows.TableSurvey`, out come the files of a recordings folder. Three passes: the headers
of files that have one (labels of a Challenge, the recorder's step), then classes and sides, then the signals, one by
one. Every bad row is told in one error, after all were looked at; of a reading that fails or is killed nothing stays.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.code_digest import code_of
from pulseproof.core.errors import InputError
from pulseproof.core.terminal.console import follow, say
from pulseproof.ecg.recordings import About, RecordingsWriter
from pulseproof.ecg.tables.cells import pyarrow_parquet
from pulseproof.ecg.tables.challenge import codes_in
from pulseproof.ecg.tables.edf import edf_library
from pulseproof.ecg.tables.facts import Seen, note_on, told
from pulseproof.ecg.tables.listing import EDF, KNOW_UNITS, PARQUET, WFDB
from pulseproof.ecg.tables.one import LIMIT, Goal, Made, TableTask, make
from pulseproof.ecg.tables.plan import Plan, check_lacking, plan
from pulseproof.ecg.tables.pool import count_kept, in_order
from pulseproof.ecg.tables.problems import Problems
from pulseproof.ecg.tables.rows import TableRow, TableSurvey, survey
from pulseproof.ecg.tables.signals import Wanted, read_signal, step_of

__all__ = ["read", "survey"]

FINEST_MV = 0.001  # the step of files that know none


def read(found: TableSurvey, target: Path, fingerprint: str) -> list[Path]:
    """Read every row into ``target``; returns the files made. On any error nothing is left there; what a reading that
    was killed had read of many recordings is taken by the next.

    Raises one InputError for all rows that cannot be used (or, where the study skips them, when a side is empty).
    """
    spec, name, bad = found.told, found.name, found.problems.copy()
    say(f"{name}: reading {len(found.rows):,} of {found.total:,} rows of {found.where}")
    _check_libraries(found)
    _check_units(found)
    wanted = _wanted(found)
    given, step_mv = _headers(found, wanted, bad)
    planned = plan(found, given, bad)
    tasks = [_task(found, found.rows[row]) for row in planned.rows]
    goal = _goal(found, tasks, wanted, step_mv)
    if goal is None:  # not one can be read: hear of all of them
        for task in tasks:
            bad.add(task.row, "file", f"{task.file}: {make(task, Goal(wanted, None, step_mv, None, None))}")
        raise bad.error(found.total)
    if len(bad) and spec.bad_records == "error":
        say(f"{name}: {len(bad):,} rows cannot be used; the others are read before all are told")
    about = About(
        database=name,
        classes=planned.classes,
        leads=tuple(names[0] for names in goal.wanted.leads or ()),
        fs_hz=goal.fs_hz or 0.0,
        adc_step_mv=goal.adc_step_mv,
        adc_range=(-LIMIT, LIMIT),
        synthetic=False,
        exclusive=all(int(labels.sum()) == 1 for labels in planned.rows.values()),
        join=spec.join or "",
    )
    # What this code read of these files, which the name of the target goes by.
    keep = target / f"read-{code_of((__name__,)).digest[:16]}"
    if before := count_kept(keep):
        say(f"{name}: {min(before, len(tasks)):,} recordings were read before, by a run that was stopped")
    try:
        return _written(found, target, fingerprint, planned, goal, about, bad, keep)
    except InputError:
        shutil.rmtree(keep, ignore_errors=True)
        raise


def _written(
    found: TableSurvey,
    target: Path,
    fingerprint: str,
    planned: Plan,
    goal: Goal,
    about: About,
    bad: Problems,
    keep: Path,
) -> list[Path]:
    """The files of all that can be read. ``keep``: where what was read stays until they are there."""
    spec, name = found.told, found.name
    tasks = [_task(found, found.rows[row]) for row in planned.rows]
    seen = Seen(planned.classes)
    with RecordingsWriter(target, about, None if spec.join else len(tasks), goal.samples or 0) as writer:
        twins: dict[bytes, str] = {}
        results = follow(in_order(tasks, goal, keep=keep), name, total=len(tasks))
        for task, made in zip(tasks, results, strict=True):
            row = found.rows[task.row]
            if isinstance(made, str):
                bad.add(row.number, "file", made if row.found.file in made else f"{row.found.file}: {made}")
                continue
            twin = twins.setdefault(made.digest, row.found.name)
            if twin != row.found.name:  # public databases have some, under other names and on other sides
                seen.twins.append(f"{row.found.name} = {twin}")
                continue
            labels, side = planned.rows[row.number], planned.sides[row.number]
            for called, steps in _cut(made, goal, row.found.name):
                writer.add(steps, labels, _patient(row), side, called)
                seen.windows += 1
            seen.add(made, row.found.name, labels, side)
        if len(bad) and (spec.bad_records == "error" or not seen.total):
            raise bad.error(found.total)
        check_lacking(found.where, seen.lacking(), set(seen.counts))
        facts, doubts = told(found, seen, bad, goal.adc_step_mv)
        facts, doubts = (*planned.facts, *facts), (*planned.doubts, *doubts)
        for sentence in (*doubts, *facts):
            say(f"{name}: {sentence}")
        note, part = note_on(found, seen, bad)
        writer.about = replace(about, note=note, part=part, facts=facts, doubts=doubts)
        files = writer.close(fingerprint)
        for left in target.glob("read-*"):
            shutil.rmtree(left, ignore_errors=True)
        return files


def _check_libraries(found: TableSurvey) -> None:
    """Raises InputError where a kind of file needs a library that is not installed: once, not for every row."""
    for kind, library in ((EDF, edf_library), (PARQUET, pyarrow_parquet)):
        first = next((row for row in found.rows.values() if row.found.kind == kind), None)
        if first is not None:
            library(found.folder / first.found.file)


def _check_units(found: TableSurvey) -> None:
    spec = found.told
    if spec.unit is not None or spec.adc_step_mv is not None:
        return
    bare = next((row for row in found.rows.values() if row.found.kind not in KNOW_UNITS), None)
    if bare is not None:
        raise InputError(
            f"{found.folder / bare.found.file}: a file of this kind does not say what unit its numbers are in",
            'say it in the study\'s [data]: unit = "uV" (mV, V, nV), or adc_step_mv = 0.005 where they are steps of the'
            " recorder",
        )


def _wanted(found: TableSurvey) -> Wanted:
    """What to take of each file; where the study names no leads, those of the first recording that can be read."""
    spec = found.told
    leads = None if spec.leads is None else tuple(tuple(name.split("|")) for name in spec.leads)
    # Else all is read: a recording that is too long is refused by its whole length.
    seconds = spec.window_s if spec.length in ("cut", "pad") else None
    wanted = Wanted(
        leads, spec.file_leads, spec.rate_hz, spec.unit, spec.adc_step_mv, spec.default_gain, seconds, spec.fs_hz
    )
    for row in found.rows.values() if leads is None else ():
        task = _task(found, row)
        if not isinstance(make(task, Goal(wanted, None, 1.0, None, None)), str):
            names = read_signal(found.folder / row.found.file, row.found.kind, task.wanted(wanted)).leads
            return replace(wanted, leads=tuple((name,) for name in names))
    return wanted


def _headers(found: TableSurvey, wanted: Wanted, bad: Problems) -> tuple[dict[int, tuple[str, ...]], float]:
    """The labels of every row, and the one step of all recorders: the study's, or the coarsest that a file knows."""
    spec = found.told
    given: dict[int, tuple[str, ...]] = {}
    steps: list[float] = []
    heads = spec.labels == "challenge" or spec.adc_step_mv is None
    for row in follow(list(found.rows.values()), f"{found.name}: headers") if heads else found.rows.values():
        path, kind = found.folder / row.found.file, row.found.kind
        try:
            if spec.labels == "challenge" and kind != WFDB:
                raise ValueError(f"{row.found.file}: labels of a Challenge are in WFDB headers, and it has none")
            labels = codes_in(path) if spec.labels == "challenge" else row.labels
            if spec.adc_step_mv is None:
                steps.append(step_of(path, kind, _task(found, row).wanted(wanted)) or FINEST_MV)
        except InputError as error:
            bad.add(row.number, "file", error.what.replace(f"{found.folder}/", ""))
            continue
        except (ValueError, OSError) as error:
            bad.add(row.number, "file", f"{row.found.file}: {error}")
            continue
        given[row.number] = labels or ()
    return given, spec.adc_step_mv or max(steps, default=FINEST_MV)


def _goal(found: TableSurvey, tasks: Sequence[TableTask], wanted: Wanted, step_mv: float) -> Goal | None:
    """What all recordings become, measured on the first that can be read; None where none can."""
    spec = found.told
    for task in tasks:
        first = make(task, Goal(wanted, spec.fs_hz, step_mv, None, None))
        if isinstance(first, str):
            continue
        fs_hz = spec.fs_hz or first.fs_hz
        samples = first.steps.shape[1] if spec.window_s is None else round(spec.window_s * fs_hz)
        if samples < 1:
            raise InputError(
                f"data.window_s: {spec.window_s:g} s is less than one sample", f"a sample is {1 / fs_hz:g} s"
            )
        wanted = replace(wanted, to_hz=fs_hz)
        step = samples if spec.step_s is None else round(spec.step_s * fs_hz)
        return Goal(wanted, fs_hz, step_mv, samples, spec.length, spec.fs_hz is None, step)
    return None


def _task(found: TableSurvey, row: TableRow) -> TableTask:
    return TableTask(row.number, found.folder, row.found.file, row.found.kind, row.rate_hz, row.leads)


def _cut(made: Made, goal: Goal, name: str) -> Iterator[tuple[str, NDArray[np.int16]]]:
    """A recording, or its windows: what each is called, and its steps."""
    if goal.length != "windows" or goal.samples is None:
        yield name, made.steps
        return
    for first in range(0, made.steps.shape[1] - goal.samples + 1, goal.step):
        yield f"{name}:{first}", made.steps[:, first : first + goal.samples]


def _patient(row: TableRow) -> int:
    """A number for a patient that depends on nothing but what the table calls it."""
    return int.from_bytes(hashlib.sha256(row.person.patient.encode()).digest()[:6], "big")
