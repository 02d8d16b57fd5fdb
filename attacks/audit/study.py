"""``pulseproof audit``: the attacks of a study held against each other, against themselves, and against noise.

In: a study with its trained models, deployed files and signal sets. Out: ``build/<study>/audit.json``: every model on
the sets of every other (the matrix of sources and targets), every attacked file on the sets that concern it, the attack
run again with more effort and with other objectives, and the flags that follow (:mod:`attacks.audit.flags`). A flag
does not stop anything: it stands beside the number that must not be believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulseproof.attacks.aim.norms import BallNorm
from pulseproof.attacks.aim.recorder import Recorder
from pulseproof.attacks.aim.sources import WITHOUT
from pulseproof.attacks.audit.file import Audit, audit_path, cell_of, flag_entry, recheck_of, twin_entry, write_audit
from pulseproof.attacks.audit.flags import OTHER_AIM, find_flags
from pulseproof.attacks.audit.measured import Again, FlagSubject, Kind, MeasuredTarget, measure
from pulseproof.attacks.audit.runs import OwnRuns, some_of
from pulseproof.attacks.audit.scores import JudgedTarget, ScoreBook, file_target, model_target
from pulseproof.attacks.audit.tables import tables
from pulseproof.attacks.gradient import NoGradientError
from pulseproof.attacks.grid.sets import MadeSet
from pulseproof.attacks.grid.study import MadeSets, attack_study
from pulseproof.attacks.methods import METHODS
from pulseproof.core.errors import InputError
from pulseproof.core.locks import hold_build
from pulseproof.core.statistics import Resamples, draw_resamples
from pulseproof.core.study import Study
from pulseproof.core.terminal.console import Terminal, follow, say
from pulseproof.ecg.recordings import Recordings
from pulseproof.export.manifest import Manifest, ManifestEntry
from pulseproof.models.run import Trained
from pulseproof.runtime.engines import EngineError
from pulseproof.twins import NotCoveredError, open_twin
from pulseproof.twins.gate import TwinCheck, check

# What meets a file of all that was made on no model: each takes minutes on an engine.
PLAIN = ("clean", "random-sign")


def audit_command(study: Study, data: Path | None, build: Path) -> None:
    """Audit a study, doing before what is left to do, and print what was found."""
    from pulseproof.ecg.prepare import prepare
    from pulseproof.export.run import export_study
    from pulseproof.models.run import train_study

    recordings = prepare(study, data, build)
    with hold_build(study, build):
        trained = train_study(study, recordings, build)
        manifest = export_study(study, recordings, trained, build)
        made = attack_study(study, recordings, trained, build, manifest=manifest, data=data)
        audit = audit_study(study, recordings, trained, made, build, manifest)
    console = Terminal()
    for table in tables(audit):
        console.print(table)
    for reason in audit.unchecked:
        say(f"not looked at: {reason}")


def audit_study(
    study: Study,
    recordings: Recordings,
    trained: Mapping[str, Trained],
    made: MadeSets,
    build: Path,
    manifest: Manifest | None = None,
) -> Audit:
    """Score, run again, compare, and write ``build/<study>/audit.json``.

    ``made``: all signal sets of the study; ``manifest``: its files, for those that were attacked themselves. What was
    computed before is not computed again.
    """
    work = _Work(study, recordings, trained, made, build, manifest)
    work.measure_all()
    work.check_twins()
    again = work.run_again()
    wrong = {file: found.reason for file, found in work.twins.items() if found.reason is not None}
    flags = find_flags(work.rows, again, wrong)
    work.book.sweep()
    audit = Audit(
        study=study.name,
        note=recordings.about.note,
        recordings=len(work.labels),
        patients=len(work.resamples.counts),
        rechecked=len(work.some),
        resamples=study.bench.bootstrap,
        sets={each.name: each.sha256 for each in made.sets},
        engines={name: target.engine for name, target in work.files.items()},
        cells=tuple(cell_of(row) for row in (*work.clean_rows, *work.rows)),
        rechecks=tuple(recheck_of(one) for one in again),
        twins=tuple(twin_entry(file, found) for file, found in work.twins.items()),
        flags=tuple(flag_entry(flag) for flag in flags),
        unchecked=tuple(work.unchecked),
    )
    write_audit(audit_path(study, build), audit)
    return audit


class _Work:
    """One audit under way: the rows measured so far, and what could not be."""

    def __init__(
        self,
        study: Study,
        recordings: Recordings,
        trained: Mapping[str, Trained],
        made: MadeSets,
        build: Path,
        manifest: Manifest | None,
    ) -> None:
        self.study, self.recordings, self.trained, self.sets = study, recordings, trained, made.sets
        self.home = build / study.name
        self.entries = {entry.name: entry for entry in (manifest.made() if manifest else ())}
        self.book = ScoreBook(self.home / "audit", self.home / "signals")
        about = recordings.about
        self.recorder = Recorder(about.adc_step_mv, *about.adc_range)
        self.models = {name: model_target(each, about.adc_step_mv) for name, each in trained.items()}
        self.test = recordings.sample("test", study.test_records, study.seed)
        self.labels = recordings.labels[self.test]
        patients = recordings.patients[self.test]
        self.resamples = draw_resamples(patients, study.bench.bootstrap, study.seed)
        self.some = some_of(len(self.test), study.seed)
        self.some_resamples = draw_resamples(patients[self.some], study.bench.bootstrap, study.seed)
        self.rows: list[MeasuredTarget] = []
        self.clean_rows: list[MeasuredTarget] = []
        self.files: dict[str, JudgedTarget] = {}
        self.twins: dict[str, TwinCheck] = {}
        self.unchecked = [f"{missing.name}: {missing.reason}" for missing in made.not_applicable]

    def measure_all(self) -> None:
        """Every model on every set, and every attacked file on those that concern it."""
        work = [(target, one) for target in self.models.values() for one in self.sets if _concerns(target.name, one)]
        for entry in self._attacked_files():
            try:
                target = file_target(entry, self.home / _file(entry), self.recorder.step_mv)
            except EngineError as error:
                self.unchecked.append(f"{entry.name}: {error}")
                continue
            self.files[entry.name] = target
            work += [(target, one) for one in self.sets if _concerns(target.name, one)]
        for target, one in follow(work, "scores for the audit"):
            self._measure(target, one)

    def _measure(self, target: JudgedTarget, one: MadeSet) -> None:
        try:
            scores = self.book.scores(target, one)
        except EngineError as error:
            self.unchecked.append(f"{target.name} on {one.name}: {error}")
            return
        row = self._row(target.name, one, scores, self.labels, self.resamples)
        (self.clean_rows if one.method == "clean" else self.rows).append(row)

    def _row(
        self, target: str, one: MadeSet, scores: NDArray[np.float32], labels: NDArray[np.uint8], over: Resamples
    ) -> MeasuredTarget:
        kind, norm = _kind(self.study, one.method)
        row = FlagSubject(target, one.source, one.method, one.budget_mv)
        return measure(row, kind, scores, labels, over, norm, one.facts)

    def _attacked_files(self) -> list[ManifestEntry]:
        names = dict.fromkeys(one.source for one in self.sets if one.source is not None and "/" in one.source)
        return [self.entries[name] for name in names if name in self.entries]

    def check_twins(self) -> None:
        """The twin of each file that was attacked through one, beside the file on its engine."""
        clean = next(one for one in self.sets if one.method == "clean")
        for name in dict.fromkeys(one.source for one in self.sets if one.method == "twin"):
            if name is None or name not in self.files:
                continue
            target, path = self.files[name], self.home / _file(self.entries[name])
            signals = self.recordings.signals(self.test[self.some])
            try:
                scores = self.book.scores(target, clean)[self.some]
                twin = open_twin(path)
                self.twins[name] = check(twin, path, signals, self.labels[self.some], target.engine, scores)
            except (EngineError, InputError, NotCoveredError) as error:
                self.unchecked.append(f"the twin of {name}: {error}")

    def run_again(self) -> list[Again]:
        """The default attack of each model once more, with more effort and with the other objectives."""
        found = []
        labels, over = self.labels[self.some], self.some_resamples
        runs = OwnRuns(self.study, self.recordings, self.trained, self.book, self.test[self.some])
        for recheck, one in follow(runs.wanted(self.sets), "attacks run again"):
            try:
                after = runs.scores(recheck, one)
            except NoGradientError as error:
                self.unchecked.append(f"{one.name} with {recheck.says}: {error}")
                continue
            assert one.source is not None
            before = self.book.scores(self.models[one.source], one)[self.some]
            pair = (self._row(one.source, one, scores, labels, over) for scores in (before, after))
            found.append(Again(recheck.says, recheck.aim != "auc", *pair))
        return found


def _concerns(target: str, one: MadeSet) -> bool:
    """What was made on no model, on the target, on its float parent or its files, or on all models but its own; and,
    where the target is a model, what was made on any other: that is the matrix."""
    model, _, recipe = target.partition("/")
    if one.method == OTHER_AIM:
        return False
    if one.source is None:
        return not recipe or one.method in PLAIN
    if one.source.startswith(WITHOUT):
        return one.source == WITHOUT + model
    if "/" in one.source:
        return one.source == target or (not recipe and one.source.startswith(f"{model}/"))
    return not recipe or one.source == model


def _kind(study: Study, method: str) -> tuple[Kind, BallNorm | None]:
    """What a method knows of its source, and the ball that bounds it."""
    if method == "clean":
        return "control", "linf"
    entry = METHODS[method]
    made = entry.make(study.attacks)
    kind: Kind = "control" if entry.control else "queries" if entry.way == "queries" else "gradient"
    return kind, made.norm if made.bounded and made.norm != "none" else None


def _file(entry: ManifestEntry) -> Path:
    assert entry.file is not None, f"{entry.name} has no file"
    return Path(entry.file)
