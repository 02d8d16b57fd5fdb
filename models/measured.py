"""What is measured of a model once it is trained or taken: ``metrics.json`` in its folder.

In: a model and recordings. Out: the rows of validation and test, the AUC of each class, the thresholds that validation
gave. Measuring is a step of its own: a later version that measures more measures again, and trains nothing.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from pulseproof.core.code_digest import code_of
from pulseproof.core.scores import join_scores
from pulseproof.core.steps import Step
from pulseproof.core.study import ModelSpec
from pulseproof.core.terminal.console import say
from pulseproof.ecg.recordings import Recordings
from pulseproof.models.class_auc import chance_warning, class_aucs, class_warning
from pulseproof.models.metrics import best_thresholds, paper_row, specificity_thresholds
from pulseproof.models.train import scores_of
from pulseproof.runtime.files import read_json, write_json

# Bump when metrics.json would hold something else of the same model: it is measured again.
METRICS_VERSION = 3


def measure(name: str, module: nn.Module, identity: str, folder: Path, spec: ModelSpec, recordings: Recordings) -> None:
    """Leave ``metrics.json`` in ``folder``, unless the model of this ``identity`` was measured so before; and say what
    of it would go unseen through every table."""
    path = folder / "metrics.json"
    papers = published(spec, recordings)
    inputs = {"version": METRICS_VERSION, "model": identity, "published": papers}

    def measured() -> list[Path]:
        metrics = _measured(module, recordings)
        write_json(path, metrics | {"published": papers})
        said = [f"{_shown(metrics[side]['auc'])} {side}" for side in ("validation", "test")]
        say(f"  {name}: macro AUC {', '.join(said)}")
        for side in ("validation", "test"):
            row = metrics[side]
            if row["reason"] is not None:
                over = f"; means over {row['classes_defined']} of {row['classes']} classes" * (row["auc"] is not None)
                say(f"  {name}, {side}: {row['reason']}{over}")
        warning = class_warning(name, metrics["class_aucs"])
        if warning:
            say(f"  {warning}")
        return [path]

    Step(folder, "measure", inputs, [code_of(("pulseproof.models.metrics",))]).run(measured)
    if spec.brought:  # said whenever a command comes by here
        warning = chance_warning(name, read_json(path)["validation"]["auc"], spec.file)
        if warning:
            say(f"  {warning}")


def _shown(auc: float | None) -> str:
    return "not defined" if auc is None else f"{auc:.3f}"


def _measured(module: nn.Module, recordings: Recordings) -> dict[str, Any]:
    """Validation and test rows, with the thresholds that validation gave: null where its scores are not finite."""
    scores, labels, ids = {}, {}, {}
    for split in ("validation", "test"):
        rows = recordings.indices(split)
        scores[split] = scores_of(module, recordings, rows)
        if recordings.about.join:  # thresholds are of what is decided by
            scores[split] = join_scores(scores[split], recordings.wholes(rows), recordings.about.join)
            rows = recordings.firsts(rows)
        labels[split], ids[split] = recordings.labels[rows], recordings.ids[rows].tolist()
    seen = labels["validation"], scores["validation"]
    known = len(seen[1]) > 0 and bool(np.isfinite(seen[1]).all())
    thresholds = best_thresholds(*seen) if known else None
    names = recordings.about.classes
    rows_of = {
        split: asdict(paper_row(labels[split], scores[split], thresholds, names, ids[split])) for split in scores
    }
    return {
        **rows_of,
        "thresholds": None if thresholds is None else [float(value) for value in thresholds],
        "specificity_thresholds": specificity_thresholds(*seen) if known else {},
        "class_aucs": {split: class_aucs(scores[split], labels[split], recordings.about.classes) for split in scores},
    }


def published(spec: ModelSpec, recordings: Recordings) -> bool:
    """True when the paper's row may stand beside ours: its system on its task, PTB-XL's whole 12-lead recording."""
    about, whole = recordings.about, recordings.window == (0, recordings.steps.shape[2])
    return (
        about.database == "ptb-xl"
        and about.classes == ("NORM", "MI", "STTC", "CD", "HYP")
        and about.fs_hz == 100
        and "diagnostic statements under" not in about.note  # a threshold of likelihood is another task
        and len(about.leads) == 12
        and whole
        and not (spec.factory or spec.estimator or spec.file)
    )
