"""All that is computed from scores, of every result and of the worst case over the attacks, kept between two looks.

In come a bundle and the results of its devices (:mod:`bench.wire.results`); out comes, for every artifact and signal
set, the macro AUC of all recordings that were run and that of each resample, each class's AUC with its interval, and
the metrics of its decisions (:mod:`report.numbers.metrics`). All that were run on as many recordings share one set of
resamples, so any two of them can be compared in pairs; where a device ran fewer recordings than this machine, this
machine's AUCs on those few are computed too. All are kept under ``build/<study>/rows/``, one step an artifact, so that
a second look computes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseproof.attacks.worst import worst_case
from pulseproof.bench.wire.results import DeviceResults, HostBundle, MeasuredResult
from pulseproof.bench.wire.schema import SignalEntry
from pulseproof.core.errors import InputError
from pulseproof.core.processors import usable
from pulseproof.core.statistics import draw_resamples, macro, percentiles, resampled_aucs
from pulseproof.core.steps import Step
from pulseproof.core.terminal.console import follow
from pulseproof.report.numbers.metrics import Metrics, Rules, metrics, rules_of
from pulseproof.report.numbers.score_difference import host_of
from pulseproof.runtime.auc import auc, macro_auc
from pulseproof.runtime.files import read_array, write_array

# Raise it when core.statistics, report.numbers.metrics or attacks.worst gives other numbers: kept ones are then left.
STATISTICS = 4
WORST = "worst-case"  # as a method: the attack that hurts most, recording by recording

# By device, artifact and signal set: the macro AUC of all recordings first, then that of every resample.
Key = tuple[str, str, str]
Resampled = dict[Key, NDArray[np.float64]]


@dataclass(frozen=True)
class Kept:
    """What was computed, by device, artifact and signal set. ``aucs`` float64 (1 + resamples,); ``classes`` float64
    (classes, 3): AUC, low and high of each; ``on_host`` like ``aucs``: this machine's on the recordings that the device
    ran, where these are fewer than its own."""

    aucs: Resampled = field(default_factory=dict)
    classes: Resampled = field(default_factory=dict)
    metrics: dict[Key, Metrics] = field(default_factory=dict)
    on_host: Resampled = field(default_factory=dict)


def worst_name(budget_mv: float) -> str:
    """What the worst case at a budget is called among the signal sets."""
    return f"{WORST}-{budget_mv:g}mV"


def attacks_at(signals: Sequence[SignalEntry]) -> dict[float, list[SignalEntry]]:
    """The attacks at each budget, rising, without controls: an attacker knows better than noise."""
    budgets = sorted({each.budget_mv for each in signals if each.attack})
    return {budget: [each for each in signals if each.attack and each.budget_mv == budget] for budget in budgets}


@dataclass(frozen=True)
class _Job:
    """One artifact on one device: its measured sets, those behind the worst case of each budget, and this machine's
    scores ``on_host`` of sets of which the device ran fewer recordings. ``clean`` are its clean scores (n, classes)."""

    step: Step
    device: str
    artifact: str
    rules: Rules
    clean: NDArray[Any] | None
    measured: Mapping[str, MeasuredResult]
    worst: Mapping[str, Sequence[str]]
    on_host: Mapping[str, NDArray[Any]]

    def file(self, kind: str) -> Path:
        return self.step.folder / f"{self.step.name}.{kind}.npy"

    def lines(self, labels: NDArray[Any]) -> list[Callable[[], NDArray[Any]]]:
        """What gives the scores (n, classes) of each line of the files: the measured sets, the worst cases, and this
        machine's."""
        found = [partial(_known, each) for each in self.measured.values()]
        found += [partial(self._worst, names, labels) for names in self.worst.values()]
        return [*found, *(partial(np.asarray, scores) for scores in self.on_host.values())]

    def _worst(self, names: Sequence[str], labels: NDArray[Any]) -> NDArray[Any]:
        sets = [_known(self.measured[name]) for name in names]
        n = min(map(len, sets))  # a device may have run fewer recordings of one set than of another
        return worst_case(np.stack([scores[:n] for scores in sets]), labels[:n]).scores


def kept_numbers(bundle: HostBundle, devices: Sequence[DeviceResults], cache: Path, count: int, seed: int) -> Kept:
    """The numbers of every measured result, and of the worst case at each budget; read from ``cache`` where the scores
    are unchanged."""
    jobs = _jobs(bundle, devices, cache, count, seed)
    _fill([job for job in jobs if not job.step.fresh()], bundle, count, seed)
    kept = Kept()
    for job in jobs:
        aucs, classes, numbers = (read_array(job.file(kind)) for kind in ("aucs", "classes", "metrics"))
        keys = [(job.device, job.artifact, line) for line in (*job.measured, *job.worst)]
        if {len(aucs), len(classes), len(numbers)} != {len(keys) + len(job.on_host)} or aucs.shape[1:] != (1 + count,):
            raise InputError(
                f"{job.file('aucs')}: written by another evaluation of this study meanwhile", "run this one again alone"
            )
        for at, key in enumerate(keys):
            kept.aucs[key], kept.classes[key], kept.metrics[key] = aucs[at], classes[at], Metrics(*numbers[at])
        on_host = [(job.device, job.artifact, line) for line in job.on_host]
        kept.on_host.update(zip(on_host, aucs[len(keys) :], strict=True))
    return kept


def _jobs(bundle: HostBundle, devices: Sequence[DeviceResults], cache: Path, count: int, seed: int) -> list[_Job]:
    files = bundle.head.files
    data = {"labels": files["labels.npy"].sha256, "patients": files["patients.npy"].sha256}
    settings = {"resamples": count, "seed": seed, "statistics": STATISTICS, **data}
    host = host_of(tuple(devices))
    clean_sets = [each.name for each in bundle.head.signals if each.method == "clean"]
    jobs = []
    for device in devices:
        for artifact in bundle.head.artifacts:
            found = {each.name: device.results.get((artifact.name, each.name)) for each in bundle.head.signals}
            measured = {name: each for name, each in found.items() if each is not None and each.scores is not None}
            if not measured:
                continue
            there = [each for each in bundle.head.signals if each.name in measured]
            worst = {worst_name(budget): [each.name for each in sets] for budget, sets in attacks_at(there).items()}
            on_host = _on_host(host, device, artifact.name, measured)
            rules = rules_of(bundle.head.task, artifact)
            inputs = {
                **settings,
                "scores": [_hash(name, each) for name, each in measured.items()],
                "worst": worst,
                "rules": asdict(rules),
                "on_host": [_hash(name, host.results[artifact.name, name]) for name in on_host] if host else [],
            }
            step = Step(cache / device.name, artifact.name.replace("/", "__"), inputs)
            clean = next((_known(measured[name]) for name in clean_sets if name in measured), None)
            jobs.append(_Job(step, device.name, artifact.name, rules, clean, measured, worst, on_host))
    return jobs


def _on_host(
    host: DeviceResults | None, device: DeviceResults, artifact: str, measured: Mapping[str, MeasuredResult]
) -> dict[str, NDArray[Any]]:
    """This machine's scores on the recordings that a device ran, where it ran fewer of a set."""
    found: dict[str, NDArray[Any]] = {}
    for name, each in measured.items():
        here = host.results.get((artifact, name)) if host is not None and host.name != device.name else None
        if here is not None and here.scores is not None and len(here.scores) > len(_known(each)):
            found[name] = here.scores[: len(_known(each))]
    return found


def _hash(name: str, measured: MeasuredResult) -> list[str]:
    return [name, measured.result.scores.sha256 if measured.result.scores else ""]


def _fill(jobs: Sequence[_Job], bundle: HostBundle, count: int, seed: int) -> None:
    """Compute and keep the numbers of each artifact; all on as many recordings share one set of resamples."""
    if not jobs:
        return
    numbers = {len(_known(each)) for job in jobs for each in job.measured.values()}
    resamples = {n: draw_resamples(bundle.patients[:n], count, seed) for n in numbers}
    for each in resamples.values():
        _ = each.blocks  # made here once, not by several threads

    def line(scores: NDArray[Any], job: _Job) -> tuple[NDArray[np.float64], ...]:
        n, labels = len(scores), bundle.labels[: len(scores)]
        by_class = resampled_aucs(scores, labels, resamples[n])
        intervals = [(auc(scores[:, k], labels[:, k]), *percentiles(by_class[k])) for k in range(labels.shape[1])]
        clean = job.clean if job.clean is not None and len(job.clean) >= n else None
        decided = metrics(scores, labels, job.rules, clean)
        return np.concatenate([[macro_auc(scores, labels)], macro(by_class)]), np.array(intervals), decided.as_array()

    # Threads suffice: sorting and sums leave Python's lock alone.
    with ThreadPoolExecutor(usable()) as pool:
        for job in follow(jobs, "intervals"):
            found = list(pool.map(lambda scores, job=job: line(scores(), job), job.lines(bundle.labels)))
            paths = [job.file(kind) for kind in ("aucs", "classes", "metrics")]
            for path, values in zip(paths, zip(*found, strict=True), strict=True):
                write_array(path, np.stack(values))
            job.step.done(paths)


def _known(measured: MeasuredResult) -> NDArray[Any]:
    assert measured.scores is not None, "a failed result has no scores"
    return measured.scores
