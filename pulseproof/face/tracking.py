"""A study that was run, put into a team's experiment tracker: MLflow or Weights & Biases.

In come an :class:`~report.numbers.evaluation.Evaluation` and its answers; out comes one run of the tracker, which has
the numbers of each file as metrics, every row as a table, and the answers as text. What is logged is what stands in
``results.json``, with what speaks against it: an attacked AUC that a flag doubts has a metric that says so beside it.
Either tracker is an extra (``pip install 'pulseproof[mlflow]'``), and is imported when it is asked for.
"""

from __future__ import annotations

import importlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pulseproof.core.errors import InputError
from pulseproof.core.study import Study
from pulseproof.report.answers.text import as_markdown
from pulseproof.report.answers.types import Answers
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.resampled import WORST
from pulseproof.report.numbers.rows import Row
from pulseproof.report.tables.table import as_csv, as_json
from pulseproof.runtime.words import one_line

PROJECT = "pulseproof"
CLEAN = ("auc", "auc_low", "auc_high", "latency_p50_ms", "latency_p99_ms", "size_bytes", "peak_rss_mb", "instructions")


def log(tracker: str, study: Study, evaluation: Evaluation, answers: Answers, project: str | None) -> str:
    """Log a study. Returns what the tracker calls the run. Raises InputError for a tracker that there is not or that is
    not installed, and in its words when it fails."""
    if tracker not in TRACKERS:
        raise InputError(f"no tracker {tracker!r} here", f"there are {' and '.join(TRACKERS)}")
    try:
        library = importlib.import_module(tracker)
    except ModuleNotFoundError as error:
        if error.name != tracker:
            raise
        raise InputError(f"{tracker} is not installed here", f"pip install 'pulseproof[{tracker}]'") from None
    about, numbers = facts(study, evaluation, answers), metrics(evaluation.rows)
    files = {
        "answers.md": as_markdown(answers),
        "rows.csv": as_csv(evaluation.rows),
        "rows.json": as_json(evaluation.rows),
    }
    try:
        return TRACKERS[tracker](library, study.name, project or PROJECT, about, numbers, evaluation.rows, files)
    except Exception as error:  # of the network, of rights: each tracker has types of its own
        told = f"{tracker}: the run could not be logged: {one_line(error)}"
        raise InputError(told, f"see that {tracker} itself reaches its server, then log again") from error


def facts(study: Study, evaluation: Evaluation, answers: Answers) -> dict[str, str | int | float]:
    """What is said of the run as a whole."""
    origin, chosen = evaluation.head.origin, answers.recommendation
    return {
        "study": study.name,
        "title": study.title,
        "seed": study.seed,
        "database": origin.database if origin else "synthetic",
        "recordings": evaluation.recordings,
        "patients": evaluation.patients,
        "recommended": chosen.artifact if chosen else "none",
        "note": evaluation.note or "",
    }


def metrics(rows: Sequence[Row]) -> dict[str, float]:
    """``<artifact>/<device>/<number>`` of what was measured: of clean rows :data:`CLEAN`, of worst cases
    ``attacked_auc_0.02mV`` with its interval, and beside it ``..._flagged``, 1 where a flag doubts it."""
    found: dict[str, float] = {}
    for row in rows:
        place = f"{row.artifact}/{row.device}"
        if row.device is None or row.auc is None:
            continue
        if row.method == "clean":
            values = {name: getattr(row, name) for name in CLEAN}
        elif row.method == WORST:
            name = f"attacked_auc_{row.budget_mv:g}mV"
            values = {name: row.auc, f"{name}_low": row.auc_low, f"{name}_high": row.auc_high}
            values[f"{name}_flagged"] = None if row.unreliable is None else float(row.unreliable)
        else:
            continue
        found |= {f"{place}/{name}": float(value) for name, value in values.items() if value is not None}
    return found


def _to_mlflow(
    mlflow: Any,
    name: str,
    project: str,
    about: Mapping[str, Any],
    numbers: Mapping[str, float],
    rows: Sequence[Row],
    files: Mapping[str, str],
) -> str:
    del rows  # it has tables only of what is read back by pandas: the files hold them
    mlflow.set_experiment(project)
    with mlflow.start_run(run_name=name) as run:
        mlflow.log_params(about)
        mlflow.log_metrics({key.replace("+", "-"): value for key, value in numbers.items()})  # of letters that it takes
        for file, text in files.items():
            mlflow.log_text(text, file)
        return str(run.info.run_id)


def _to_wandb(
    wandb: Any,
    name: str,
    project: str,
    about: Mapping[str, Any],
    numbers: Mapping[str, float],
    rows: Sequence[Row],
    files: Mapping[str, str],
) -> str:
    with wandb.init(project=project, name=name, config=dict(about)) as run:
        run.summary.update(dict(numbers))
        dumped = [row.model_dump(mode="json") for row in rows]
        table = [[json.dumps(cell) if isinstance(cell, dict) else cell for cell in each.values()] for each in dumped]
        run.log({"rows": wandb.Table(columns=list(Row.model_fields), data=table)})
        with tempfile.TemporaryDirectory(prefix="pulseproof-log-") as folder:
            artifact = wandb.Artifact(name, type="pulseproof-results")
            for file, text in files.items():
                path = Path(folder, file)
                path.write_text(text, encoding="utf-8")
                artifact.add_file(str(path), name=file)
            run.log_artifact(artifact).wait()  # else the folder is gone before it was read
        return str(run.url or run.id)


TRACKERS: dict[str, Callable[..., str]] = {"mlflow": _to_mlflow, "wandb": _to_wandb}
