"""Two runs of one bundle compared: both AUCs of everything that both measured, their difference, both latencies.

In come a bundle and two folders of results, each of one device; out comes a line an (artifact, signal set). Two runs
are compared on the very same bytes or not at all: a folder with a result of another artifact or signal set is refused.
:mod:`report.page.side_by_side_page` makes a page of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseproof.bench.wire.results import GONE, DeviceResults, HostBundle, MeasuredResult, read_device
from pulseproof.core.errors import InputError
from pulseproof.core.statistics import Resamples, draw_resamples, resampled_macro_auc
from pulseproof.core.statistics_verdict import holm, paired_test, verdict
from pulseproof.report.answers.types import Verdict
from pulseproof.report.numbers.rows import known
from pulseproof.runtime.auc import macro_auc

NAME_TWO = "name the folder of one device, such as build/demo/results/host"


@dataclass(frozen=True)
class Both:
    """One artifact on one signal set in both runs, on the same first ``n`` recordings. ``difference`` is the second AUC
    minus the first, with its 95 % interval; ``same_scores`` when not one score differs. ``latency_ratio`` is the second
    median over the first, of the clean set alone."""

    artifact: str
    signals: str
    n: int
    auc_first: float | None
    auc_second: float | None
    difference: float | None
    low: float | None
    high: float | None
    p_adjusted: float | None
    verdict: Verdict | None
    same_scores: bool
    latency_first_ms: float | None
    latency_second_ms: float | None
    latency_ratio: float | None


@dataclass(frozen=True)
class _Pair:
    """What both have of one artifact and signal set. ``values`` float64 (1 + resamples,): the difference of all
    recordings, then of each resample."""

    artifact: str
    signals: str
    n: int
    patients: int
    aucs: tuple[float, float]
    values: NDArray[np.float64]
    same: bool
    medians_ms: tuple[float | None, float | None]


def read_runs(bundle: HostBundle, first: Path, second: Path) -> tuple[DeviceResults, DeviceResults]:
    """Both runs. Raises InputError for a folder without results, and for one of other bytes than the bundle's."""
    return _read_run(bundle, Path(first)), _read_run(bundle, Path(second))


def compared(
    bundle: HostBundle, runs: tuple[DeviceResults, DeviceResults], resamples: int, seed: int, delta: float
) -> list[Both]:
    """What both runs measured, in the order of the bundle; p-values are corrected over all of it (Holm)."""
    drawn: dict[int, Resamples] = {}
    pairs = [
        pair
        for artifact in bundle.head.artifacts
        for signals in bundle.head.signals
        if (pair := _pair(bundle, runs, artifact.name, signals.name, drawn, resamples, seed)) is not None
    ]
    clean = {each.name for each in bundle.head.signals if each.method == "clean"}
    tests = [paired_test(pair.values, pair.patients, delta) for pair in pairs]
    adjusted, equivalent = holm([each.p for each in tests]), holm([each.p_equivalence for each in tests])
    both = []
    for pair, test, p, p_equivalence in zip(pairs, tests, adjusted, equivalent, strict=True):
        before, after = pair.medians_ms if pair.signals in clean else (None, None)
        both.append(
            Both(
                artifact=pair.artifact,
                signals=pair.signals,
                n=pair.n,
                auc_first=known(pair.aucs[0]),
                auc_second=known(pair.aucs[1]),
                difference=known(test.estimate),
                low=known(test.low),
                high=known(test.high),
                p_adjusted=known(p),
                verdict=verdict(test, p, p_equivalence, delta) if known(p) is not None else None,
                same_scores=pair.same,
                latency_first_ms=before,
                latency_second_ms=after,
                latency_ratio=after / before if before and after else None,
            )
        )
    return both


def _read_run(bundle: HostBundle, folder: Path) -> DeviceResults:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder", NAME_TWO)
    run = read_device(bundle, folder)
    other = [each for each in run.stale if each.reason != GONE]
    if other:
        artifact, signals = other[0].key
        raise InputError(
            f"{folder}: {len(other)} of its results do not belong to {bundle.folder}: {artifact} on {signals} was "
            f"{other[0].reason}",
            "compare runs of one bundle: measure the older one again, or name the study and build that both are of",
        )
    if not run.results:
        raise InputError(f"{folder}: no result of the study {bundle.head.study}", NAME_TWO)
    return run


def _pair(
    bundle: HostBundle,
    runs: tuple[DeviceResults, DeviceResults],
    artifact: str,
    signals: str,
    drawn: dict[int, Resamples],
    resamples: int,
    seed: int,
) -> _Pair | None:
    """One artifact on one signal set; None where one run has no scores. ``drawn`` keeps the resamples of the first n
    recordings, which all pairs of as many share."""
    first, second = (run.results.get((artifact, signals)) for run in runs)
    if first is None or second is None or first.scores is None or second.scores is None:
        return None
    n = min(len(first.scores), len(second.scores))
    labels = bundle.labels[:n]
    scores: tuple[NDArray[Any], NDArray[Any]] = (first.scores[:n], second.scores[:n])
    aucs = (macro_auc(scores[0], labels), macro_auc(scores[1], labels))
    same = bool(np.array_equal(*scores))
    values = np.zeros(1 + resamples)  # of the same scores there is no difference in any resample
    if not same:
        if n not in drawn:
            drawn[n] = draw_resamples(bundle.patients[:n], resamples, seed)
        before, after = (resampled_macro_auc(each, labels, drawn[n]) for each in scores)
        values = np.concatenate([[aucs[1] - aucs[0]], after - before])
    patients = len(np.unique(bundle.patients[:n]))
    return _Pair(artifact, signals, n, patients, aucs, values, same, (_median(first), _median(second)))


def _median(measured: MeasuredResult) -> float | None:
    return measured.result.latency_ms.p50 if measured.result.latency_ms else None
