"""Macro AUCs on bootstrap resamples, of every result and of the worst case over the attacks, kept between two looks.

In come a bundle and the results of its devices (:mod:`bench.results`); out comes, for every artifact and signal set,
the macro AUC of all recordings that were run and that of each resample. All that were run on as many recordings share
one set of resamples, so any two of them can be compared in pairs. They are kept under ``build/<study>/rows/``, one step
an artifact, so that a second look computes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attacks.worst import worst_case
from bench.results import Bundle, DeviceResults, Measured
from bench.schema import SignalEntry
from core.console import follow
from core.statistics import Resamples, draw_resamples, resampled_macro_auc
from core.steps import Step
from runtime.auc import macro_auc
from runtime.files import read_array, write_array

STATISTICS = 2  # raise it when core.statistics or attacks.worst gives other numbers, so that kept ones are not used
WORST = "worst-case"  # as a method: the attack that hurts most, recording by recording

# By device, artifact and signal set: the macro AUC of all recordings first, then that of every resample.
Resampled = dict[tuple[str, str, str], NDArray[np.float64]]


def worst_name(epsilon_mv: float) -> str:
    """What the worst case at a budget is called among the signal sets."""
    return f"{WORST}-{epsilon_mv:g}mV"


def attacks_at(signals: Sequence[SignalEntry]) -> dict[float, list[SignalEntry]]:
    """The attacks at each budget, rising, without controls: an attacker knows better than noise."""
    budgets = sorted({each.epsilon_mv for each in signals if each.attack})
    return {budget: [each for each in signals if each.attack and each.epsilon_mv == budget] for budget in budgets}


@dataclass(frozen=True)
class _Job:
    """One artifact on one device: its measured sets, and those behind the worst case of each budget."""

    step: Step
    file: Path
    device: str
    artifact: str
    measured: Mapping[str, Measured]
    worst: Mapping[str, Sequence[str]]

    @property
    def lines(self) -> list[str]:
        """What each line of the file is about."""
        return [*self.measured, *self.worst]

    def scores(self, line: str, labels: NDArray[Any]) -> NDArray[Any]:
        """The scores (n, classes) behind one line."""
        if line in self.worst:
            found = [_known(self.measured[name]) for name in self.worst[line]]
            n = min(map(len, found))  # a device may have run fewer recordings of one set than of another
            return worst_case(np.stack([scores[:n] for scores in found]), labels[:n]).scores
        return _known(self.measured[line])


def resampled_aucs(bundle: Bundle, devices: Sequence[DeviceResults], cache: Path, count: int, seed: int) -> Resampled:
    """The AUCs of every measured result, and of the worst case at each budget, on all resamples; read from ``cache``
    where the scores are unchanged."""
    jobs = _jobs(bundle, devices, cache, count, seed)
    _fill([job for job in jobs if not job.step.fresh()], bundle, count, seed)
    return {
        (job.device, job.artifact, line): values
        for job in jobs
        for line, values in zip(job.lines, read_array(job.file), strict=True)
    }


def _jobs(bundle: Bundle, devices: Sequence[DeviceResults], cache: Path, count: int, seed: int) -> list[_Job]:
    files = bundle.head.files
    data = {"labels": files["labels.npy"].sha256, "patients": files["patients.npy"].sha256}
    settings = {"resamples": count, "seed": seed, "statistics": STATISTICS, **data}
    jobs = []
    for device in devices:
        for artifact in bundle.head.artifacts:
            found = {each.name: device.results.get((artifact.name, each.name)) for each in bundle.head.signals}
            measured = {name: each for name, each in found.items() if each is not None and each.scores is not None}
            if not measured:
                continue
            there = [each for each in bundle.head.signals if each.name in measured]
            worst = {worst_name(budget): [each.name for each in sets] for budget, sets in attacks_at(there).items()}
            hashes = [[name, each.result.scores.sha256] for name, each in measured.items() if each.result.scores]
            name = artifact.name.replace("/", "__")
            step = Step(cache / device.name, name, {**settings, "scores": hashes, "worst": worst})
            jobs.append(_Job(step, step.folder / f"{name}.npy", device.name, artifact.name, measured, worst))
    return jobs


def _fill(jobs: Sequence[_Job], bundle: Bundle, count: int, seed: int) -> None:
    """Compute and keep float64 (lines, 1 + resamples) of each artifact; all on as many recordings share one set of
    resamples."""
    if not jobs:
        return
    numbers = {len(_known(each)) for job in jobs for each in job.measured.values()}
    resamples: dict[int, Resamples] = {n: draw_resamples(bundle.patients[:n], count, seed) for n in numbers}

    def aucs(scores: NDArray[Any]) -> NDArray[np.float64]:
        n, labels = len(scores), bundle.labels[: len(scores)]
        return np.concatenate([[macro_auc(scores, labels)], resampled_macro_auc(scores, labels, resamples[n])])

    # Threads suffice: sorting and sums leave Python's lock alone.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for job in follow(jobs, "intervals"):
            lines = pool.map(lambda line, job=job: aucs(job.scores(line, bundle.labels)), job.lines)
            write_array(job.file, np.stack(list(lines)))
            job.step.done([job.file])


def _known(measured: Measured) -> NDArray[Any]:
    assert measured.scores is not None, "a failed result has no scores"
    return measured.scores
