"""The trials of a brought file on a study's recordings, and what is proposed of them.

In: a study, its recordings, and a file that was looked at. Out: a :class:`Proposal`. The AUC that is told of what is
proposed is the one of the file as it would be kept, with its front inside.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table

from pulseproof.core.errors import InputError
from pulseproof.core.studies.model_input import Held, InputSpec, RrSpec
from pulseproof.core.study import ModelSpec, Study
from pulseproof.core.terminal.console import follow
from pulseproof.ecg.recordings import Recordings
from pulseproof.export.bring.looks import FileLook
from pulseproof.export.bring.proposal import block, doubts, spec_of, trial_table
from pulseproof.export.bring.trials import ScalingTrial, choose, try_out
from pulseproof.export.bring.ways import scaled, ways_in
from pulseproof.models.brought.files import FileModel, take_file
from pulseproof.models.brought.model import fitting_of
from pulseproof.models.front.fitting import Fitting
from pulseproof.models.front.others import plan_rr
from pulseproof.models.front.rr_module import RrModule
from pulseproof.models.run import CHECK_RECORDS, task_of
from pulseproof.models.systems import Task
from pulseproof.runtime.auc import macro_auc
from pulseproof.twins import NotCoveredError, open_twin


@dataclass(frozen=True)
class Proposal:
    """``table`` of the trials, ``told``: a line each, ``block``: of the study file."""

    table: Table
    told: tuple[str, ...]
    block: str


def run_trials(
    study: Study,
    recordings: Recordings,
    seen: FileLook,
    name: str,
    output: str | None,
    asked: InputSpec,
    records: int,
) -> Proposal:
    """See the module; ``asked``: what is said of its input beforehand (layout, others). Raises InputError where nothing
    runs."""
    task, what = task_of(recordings), str(seen.path)
    held_out = recordings.sample("validation", records, study.seed)
    # Of more people a scaling is told with more certainty; no recording of the test side is looked at.
    rows = np.concatenate([held_out, recordings.sample("train", records, study.seed)])
    signals, labels, is_held_out = (
        recordings.signals(rows),
        recordings.labels[rows],
        np.arange(len(rows)) < len(held_out),
    )
    shape = (len(task.leads), task.samples)
    fitting = Fitting(shape, len(task.classes), task.fs_hz, task.leads, task.classes, asked, output)
    held = asked.model_copy(update={"others": _at_medians(asked.others, fitting, signals, what)})
    ways = ways_in(seen.declared(asked.others), replace(fitting, spec=held), what)
    with tempfile.TemporaryDirectory(prefix="pulseproof-") as folder:
        trials: list[ScalingTrial] = []
        for way in follow(ways, "trying"):
            sees = len(way.leads or task.leads)
            trials += try_out(
                seen.path,
                what,
                replace(fitting, spec=held),
                list(scaled([way], sees)),
                signals,
                labels,
                is_held_out,
                Path(folder),
            )
        best = choose(trials)
        if best is None:
            raise InputError(f"{what}: under no scaling does it give scores: {trials[0].failed}", "export it again")
        real = replace(best, spec=best.spec.model_copy(update={"others": asked.others}))
        spec = spec_of(str(seen.path), real, output)
        told = _through_the_file(seen.path, what, spec, task, signals[is_held_out], labels[is_held_out], Path(folder))
    return Proposal(trial_table(trials, len(rows)), (*told, *doubts(best, trials)), block(name, spec))


def _at_medians(
    others: Mapping[str, Held], fitting: Fitting, signals: NDArray[np.float32], what: str
) -> dict[str, Held]:
    """The inputs beside the signal as the trials hold them, which see the part of a recording that the model sees: RR
    intervals at their medians over all recordings. The file that is kept finds them in each."""
    held = dict(others)
    for name, spec in others.items():
        if isinstance(spec, RrSpec):
            plan = plan_rr(spec, fitting.shape, fitting.fs_hz, f"{what}: its input {name!r}")
            found = RrModule(plan)(torch.from_numpy(signals)).median(dim=0).values
            held[name] = tuple(round(float(one), 4) for one in found)
    return held


def _through_the_file(
    path: Path,
    what: str,
    spec: ModelSpec,
    task: Task,
    signals: NDArray[np.float32],
    labels: NDArray[np.uint8],
    folder: Path,
) -> list[str]:
    """What is to be said of the file with its front inside: what was put before it, its AUC, how it can be attacked."""
    kept = folder / f"given{path.suffix}"
    fitting = fitting_of(spec, task)
    taken = take_file(path, what, signals[:CHECK_RECORDS], len(task.classes), kept, fitting=fitting)
    with torch.inference_mode():
        scores = FileModel(kept, fitting.shape)(torch.from_numpy(signals)).numpy()
    told = [f"put before and behind its own graph: {taken.front or 'nothing'}"]
    told.append(f"so it ranks {len(signals)} validation recordings with an AUC of {macro_auc(scores, labels):.4f}")
    try:
        open_twin(kept)
    except NotCoveredError as error:
        told.append(f"attacked by queries and by transfer, for no gradient goes through its own graph: {error}")
    else:
        told.append("attacked through its own graph")
    return told
