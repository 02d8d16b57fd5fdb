"""``make perf``: the bootstrap against a plain loop over scikit-learn, and how long a whole study takes.

Nothing comes in: scores and labels are drawn, since only their number matters. Out comes one line a claim. The loop is
what one would write: repeat the recordings of the drawn patients, call ``roc_auc_score``. It is timed on some resamples
of a score set and scaled to all of them, in turn with ours on the same set, so that a restless machine slows both; the
median of the rounds counts, and both sides use one thread. The seconds are those of all score sets, by as many threads
as :mod:`report.numbers.resampled` takes. Never part of the tests.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from pulseproof.core.processors import usable
from pulseproof.core.statistics import Resamples, draw_resamples, resampled_macro_auc
from pulseproof.core.terminal.console import follow

SECONDS, RATIO, DIFFERENCE = 60.0, 50.0, 1e-12  # what is claimed
ROUNDS = 7


@dataclass(frozen=True)
class Size:
    """How much is computed: ``artifacts`` x ``sets`` score sets of ``recordings`` of ``patients``; the loop is timed on
    ``looped`` of the ``resamples``."""

    artifacts: int = 60
    sets: int = 60
    recordings: int = 2000
    patients: int = 1700
    classes: int = 5
    resamples: int = 2000
    looped: int = 40


@dataclass(frozen=True)
class StatisticsOutcome:
    """One claim: its value, the lowest and highest of the rounds, the bound, and whether that is the least or the most
    that is allowed."""

    what: str
    value: float
    low: float
    high: float
    bound: float
    at_least: bool = False

    @property
    def held(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound


def measure_statistics(size: Size | None = None, rounds: int = ROUNDS) -> list[StatisticsOutcome]:
    """Hold the three claims: seconds of a whole study, ratio to the loop, largest difference from it."""
    size = size or Size()
    rng = np.random.default_rng(1)
    labels = (rng.random((size.recordings, size.classes)) < np.linspace(0.45, 0.12, size.classes)).astype(np.uint8)
    resamples = draw_resamples(rng.integers(0, size.patients, size.recordings), size.resamples, 1)
    ratios, differences = [], []
    for _ in follow(range(rounds), "beside scikit-learn"):
        ratio, difference = _beside(_scores(labels, rng), labels, resamples, size.looped)
        ratios.append(ratio)
        differences.append(difference)
    seconds = _whole(labels, resamples, size, rng)
    shape = f"{size.artifacts} artifacts x {size.sets} sets, {size.resamples:,} resamples"
    return [
        StatisticsOutcome(f"seconds for {shape} of {size.recordings:,} recordings", seconds, seconds, seconds, SECONDS),
        StatisticsOutcome(
            "times as fast as the loop", float(np.median(ratios)), min(ratios), max(ratios), RATIO, at_least=True
        ),
        StatisticsOutcome(
            "largest difference from the loop", max(differences), min(differences), max(differences), DIFFERENCE
        ),
    ]


def _scores(labels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    """Scores that follow the labels; a few tie, as those of a quantized file do."""
    scores = labels + rng.normal(size=labels.shape)
    return (np.round(scores * 1000) / 1000).astype(np.float32)


def _beside(
    scores: NDArray[np.float32], labels: NDArray[np.uint8], resamples: Resamples, looped: int
) -> tuple[float, float]:
    """The time of the loop over that of ours, scaled to all resamples, and the largest difference of the AUCs."""
    begun = time.perf_counter()
    ours = resampled_macro_auc(scores, labels, resamples)
    between = time.perf_counter()
    theirs = np.array([_loop_once(scores, labels, resamples, column) for column in range(looped)])
    ended = time.perf_counter()
    scale = resamples.counts.shape[1] / looped
    return (ended - between) * scale / (between - begun), float(np.abs(ours[:looped] - theirs).max())


def _loop_once(scores: NDArray[Any], labels: NDArray[Any], resamples: Resamples, column: int) -> float:
    """One resample as one would write it. A class that has lost one side makes roc_auc_score fail, and does not happen
    at this size."""
    from sklearn.metrics import roc_auc_score

    rows = np.repeat(np.arange(len(labels)), resamples.counts[resamples.rows, column].astype(int))
    return float(roc_auc_score(labels[rows], scores[rows], average="macro"))


def _whole(labels: NDArray[np.uint8], resamples: Resamples, size: Size, rng: np.random.Generator) -> float:
    """Seconds for every score set of a study; drawing the scores is not counted."""
    spent = 0.0
    with ThreadPoolExecutor(usable()) as pool:
        for _ in follow(range(size.artifacts), "a whole study"):
            scores = [_scores(labels, rng) for _ in range(size.sets)]
            begun = time.perf_counter()
            list(pool.map(lambda each: resampled_macro_auc(each, labels, resamples), scores))
            spent += time.perf_counter() - begun
    return spent


def statistics_table(outcomes: Sequence[StatisticsOutcome]) -> Table:
    """The outcomes for a terminal."""
    drawn = Table("what", "measured", "range", "bound", "held")
    for one in outcomes:
        drawn.add_row(
            one.what,
            f"{one.value:.3g}",
            f"{one.low:.3g} to {one.high:.3g}",
            f"at {'least' if one.at_least else 'most'} {one.bound:g}",
            "yes" if one.held else "NO",
        )
    return drawn
