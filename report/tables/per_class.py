"""One file, class by class: what it does at its operating point, clean and in the worst case, and on how many people.

In come an :class:`~report.numbers.evaluation.Evaluation`, the bundle and the scores of a device; out come lines, and
``per-class.csv`` of them. AUCs and their intervals are those of the rows; sensitivity, specificity and calibration of
each class are counted here from the scores, by the thresholds that the model has from validation recordings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np

from pulseproof.attacks.worst import worst_case
from pulseproof.bench.wire.results import DeviceResults, HostBundle
from pulseproof.report.numbers.classes import ClassValue
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.metrics import ClassDecisions, class_decisions, rules_of
from pulseproof.report.numbers.resampled import WORST, attacks_at
from pulseproof.report.numbers.rows import Row
from pulseproof.report.numbers.texts import csv_text


@dataclass(frozen=True)
class ClassLine:
    """One class of one file on one set of recordings. ``recordings`` of ``patients`` have the class, ``without`` of
    ``patients_without`` have not; of the first sensitivity is a share, of the others specificity. All between 0 and 1,
    None where not known."""

    device: str
    artifact: str
    signals: str
    name: str
    recordings: int
    patients: int
    without: int
    patients_without: int
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    sensitivity: float | None
    specificity: float | None
    calibration_error: float | None


def class_lines(
    evaluation: Evaluation,
    bundle: HostBundle | None,
    devices: Sequence[DeviceResults],
    device: str,
    artifact: str,
    budget: float | None,
) -> list[ClassLine]:
    """The classes of a file, clean and in the worst case at ``budget`` mV (None: clean alone), in the order of the
    task; without ``bundle`` the AUCs alone."""
    found: list[ClassLine] = []
    for row in evaluation.rows:
        mine = row.device == device and row.artifact == artifact and row.class_aucs is not None
        if not mine or not (row.method == "clean" or (row.method == WORST and row.budget_mv == budget)):
            continue
        n = row.n or 0
        decided = None if bundle is None else _decided(bundle, devices, row, n)
        for at, (name, value) in enumerate((row.class_aucs or {}).items()):
            others = 0 if bundle is None else len(np.unique(bundle.patients[:n][bundle.labels[:n, at] == 0]))
            found.append(_line(row, n, name, value, others, decided, at))
    return found


def as_csv(found: Sequence[ClassLine]) -> str:
    """One header line, one line a class, full precision, empty where nothing is known."""
    return csv_text([each.name for each in fields(ClassLine)], (asdict(each).values() for each in found))


def _line(
    row: Row, n: int, name: str, value: ClassValue, others: int, decided: ClassDecisions | None, at: int
) -> ClassLine:
    numbers = (None, None, None)
    if decided is not None:
        some = (decided.sensitivity[at], decided.specificity[at], decided.calibration_error[at])
        numbers = tuple(float(each) if math.isfinite(each) else None for each in some)  # type: ignore[assignment]
    return ClassLine(
        str(row.device),
        row.artifact,
        str(row.signals),
        name,
        value.recordings,
        value.patients,
        n - value.recordings,
        others,
        value.auc,
        value.auc_low,
        value.auc_high,
        *numbers,
    )


def _decided(bundle: HostBundle, devices: Sequence[DeviceResults], row: Row, n: int) -> ClassDecisions | None:
    """What the file decides on the recordings of a row; None where its scores are not here."""
    run = next((each for each in devices if each.name == row.device), None)
    artifact = next((each for each in bundle.head.artifacts if each.name == row.artifact), None)
    if run is None or artifact is None:
        return None
    ran = {signals: each.scores for (name, signals), each in run.results.items() if name == row.artifact}
    known = {name: scores for name, scores in ran.items() if scores is not None}
    clean_name = next((each.name for each in bundle.head.signals if each.method == "clean"), "clean")
    labels = bundle.labels[:n]
    if row.method == "clean":
        scores = known.get(clean_name)
    else:
        there = [each for each in bundle.head.signals if each.name in known]
        sets = [known[each.name][:n] for each in attacks_at(there).get(row.budget_mv or 0.0, [])]
        scores = worst_case(np.stack(sets), labels).scores if sets else None
    if scores is None or len(scores) < n:
        return None
    clean = known.get(clean_name)
    if clean is not None and len(clean) < n:
        clean = None
    return class_decisions(scores[:n], labels, rules_of(bundle.head.task, artifact), clean)
