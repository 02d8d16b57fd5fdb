"""The AUC of each class, with its interval: what the macro AUC of a row is the mean of.

In comes an :class:`~bench.evaluation.Evaluation`; out comes one object a (device, artifact, signal set, class), for a
file beside the rows (``class-aucs.csv``) or a table.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from bench.evaluation import Evaluation
from bench.rows import Row, known


@dataclass(frozen=True)
class ClassAuc:
    """One class in one row. ``auc`` and its 95 % interval are None where the class has no positive or no negative
    recording; ``recordings`` and ``patients`` are those of the bundle that have the class."""

    device: str
    model: str
    recipe: str
    signals: str
    name: str
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    recordings: int
    patients: int


def class_aucs(evaluation: Evaluation, rows: Sequence[Row] | None = None) -> list[ClassAuc]:
    """Those of ``rows`` (default: all that were measured), in the order of the rows, classes as in the bundle."""
    found = []
    for row in evaluation.rows if rows is None else rows:
        values = evaluation.kept.classes.get((str(row.device), row.artifact, str(row.signals)))
        if values is None:
            continue
        for each, (auc, low, high) in zip(evaluation.class_counts, values, strict=True):
            found.append(
                ClassAuc(
                    device=str(row.device),
                    model=row.model,
                    recipe=row.recipe,
                    signals=str(row.signals),
                    name=each.name,
                    auc=known(auc),
                    auc_low=known(low),
                    auc_high=known(high),
                    recordings=each.recordings,
                    patients=each.patients,
                )
            )
    return found


def as_csv(found: Sequence[ClassAuc]) -> str:
    """One header line, one line a class, full precision, empty where there is no AUC."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [each.name for each in fields(ClassAuc)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(each) for each in found)
    return text.getvalue()
