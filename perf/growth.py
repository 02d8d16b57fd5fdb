"""``pulseproof perf growth``: does the time of what sees all recordings at once grow faster than their number?

Nothing comes in: scores, labels and signals are drawn, since only their number matters. Out comes processor time at
1,000, 4,000 and 16,000 recordings, and the power of their number with which it grows from the second to the third: 1 is
linear. Attacks are made in shards and files are judged one recording at a time, so theirs is linear by construction;
here are the stages that sort, resample, or compare everybody with everybody. Never part of the tests.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from pulseproof.attacks.aim.plausibility import plausibility
from pulseproof.attacks.aim.recorder import Recorder, distances
from pulseproof.attacks.worst import worst_case
from pulseproof.core.markdown import markdown_table
from pulseproof.core.statistics import difference, draw_resamples, resampled_macro_auc
from pulseproof.core.terminal.console import follow

SIZES = (1_000, 4_000, 16_000)
ROUNDS = 3
POWER = 1.15  # what is claimed, at most: n log n is 1.1 here
CLASSES, SETS, RESAMPLES = 5, 20, 2000
LEADS, SAMPLES, FS_HZ, STEP_MV = 12, 250, 100.0, 0.001
HEADS = ("stage", *(f"{size:,}, s" for size in SIZES), "power")

# Makes what a stage takes of so many recordings, and gives the stage.
Maker = Callable[[int], Callable[[], object]]


@dataclass(frozen=True)
class Growth:
    """``seconds`` of processor time at each of :data:`SIZES`, the best of the rounds."""

    stage: str
    seconds: tuple[float, ...]

    @property
    def power(self) -> float:
        """Of the number of recordings, between the two largest."""
        return math.log(self.seconds[-1] / self.seconds[-2]) / math.log(SIZES[-1] / SIZES[-2])


def _labels(count: int) -> NDArray[np.uint8]:
    return (np.random.default_rng(1).random((count, CLASSES)) < np.linspace(0.45, 0.12, CLASSES)).astype(np.uint8)


def _scores(labels: NDArray[np.uint8], seed: int) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(size=labels.shape)
    return np.round((labels + noise), 3).astype(np.float32)


def _patients(count: int) -> NDArray[np.int64]:
    return np.random.default_rng(2).integers(0, max(2, count * 17 // 20), count)


def _bootstrap(count: int) -> Callable[[], object]:
    labels, patients = _labels(count), _patients(count)
    scores = _scores(labels, 3)
    return lambda: resampled_macro_auc(scores, labels, draw_resamples(patients, RESAMPLES, 1))


def _paired(count: int) -> Callable[[], object]:
    labels, patients = _labels(count), _patients(count)
    one, other = _scores(labels, 3), _scores(labels, 4)
    return lambda: difference(one, other, labels, patients)


def _worst(count: int) -> Callable[[], object]:
    labels = _labels(count)
    sets = np.stack([_scores(labels, seed) for seed in range(SETS)])
    return lambda: worst_case(sets, labels)


def _described(count: int) -> Callable[[], object]:
    rng = np.random.default_rng(1)
    clean = rng.integers(-500, 500, (count, LEADS, SAMPLES), np.int16)
    signs = rng.choice(np.array([-10, 10], np.int16), clean.shape)
    recorder = Recorder(STEP_MV, -32768, 32767)

    def describe() -> None:
        for first in range(0, count, 256):  # as a set is described
            part = slice(first, first + 256)
            moved = signs[part] * np.float32(STEP_MV)
            other = recorder.record(clean[part], moved, 0.01)
            distances(clean[part], other, STEP_MV)
            plausibility(clean[part] * np.float32(STEP_MV), moved, FS_HZ)

    return describe


STAGES: dict[str, Maker] = {
    f"interval of an AUC, {RESAMPLES:,} resamples": _bootstrap,
    "difference of two AUCs, paired": _paired,
    f"worst case of {SETS} attacks": _worst,
    "a signal set rounded and described": _described,
}


def measure_growth(sizes: Sequence[int] = SIZES, rounds: int = ROUNDS) -> list[Growth]:
    """Every stage at every size."""
    found = []
    for name, maker in follow(list(STAGES.items()), "growth"):
        best = []
        for size in sizes:
            stage = maker(size)
            took = []
            for _ in range(rounds):
                begun = time.process_time()
                stage()
                took.append(time.process_time() - begun)
            best.append(max(min(took), 1e-9))
        found.append(Growth(name, tuple(best)))
    return found


def missed(found: Sequence[Growth]) -> list[str]:
    """The stages that grow faster than :data:`POWER`, a sentence each."""
    return [f"{one.stage}: power {one.power:.2f}" for one in found if not one.power <= POWER]


def growth_table(found: Sequence[Growth]) -> Table:
    """For a terminal."""
    drawn = Table(*HEADS)
    for one in found:
        drawn.add_row(*_cells(one))
    return drawn


def growth_markdown(found: Sequence[Growth]) -> str:
    """For a page of the docs."""
    return markdown_table(HEADS, [_cells(one) for one in found], left=1) + "\n"


def _cells(one: Growth) -> tuple[str, ...]:
    return one.stage, *(f"{seconds:.2f}" for seconds in one.seconds), f"{one.power:.2f}"
