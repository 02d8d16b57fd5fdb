"""``make perf``: the speed and size that Pulseproof claims, as ratios of artifacts side by side in one run.

In: a study that was exported. Out: one line a claim: the ratio, its range over the rounds, the bound. A ratio of two
latencies of the same minute on the same machine says something on a noisy machine too; a latency alone does not. In
every round each artifact runs for the same number of inferences, one after the other; the ratio is taken in each round
and the median over the rounds is what counts. Never part of the tests.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.table import Column, Table

from pulseproof.core.errors import InputError
from pulseproof.core.study import Study
from pulseproof.core.terminal.console import follow
from pulseproof.export.manifest import ManifestEntry, load_manifest
from pulseproof.runtime.engines import Engine, open_engine

ROUNDS = 15
INFERENCES = 100  # of each artifact in a round
WARM_UP = 30


@dataclass(frozen=True)
class FileClaim:
    """``artifact`` has at most ``bound`` times the ``what`` ("p50" or "bytes") of ``other``."""

    what: str
    artifact: str
    other: str
    bound: float


CLAIMS = (
    FileClaim("p50", "ecg-lens/onnx-int8-static", "ecg-lens/onnx-fp32", 0.5),
    FileClaim("p50", "ecg-lens/tflite-int8-static", "ecg-lens/onnx-fp32", 0.5),
    FileClaim("p50", "lstm/tflite-fp32", "lstm/onnx-fp32", 5.0),
    FileClaim("bytes", "ecg-lens/onnx-int8-static", "ecg-lens/onnx-fp32", 0.3),
    FileClaim("bytes", "ecg-lens/tflite-int8-static", "ecg-lens/onnx-fp32", 0.3),
)


@dataclass(frozen=True)
class FileOutcome:
    """A claim with its median ratio, the lowest and highest one of the rounds, and the median of both sides."""

    claim: FileClaim
    ratio: float
    low: float
    high: float
    artifact: float
    other: float

    @property
    def held(self) -> bool:
        return self.ratio <= self.claim.bound


def measure(study: Study, build: Path, claims: Sequence[FileClaim] = CLAIMS, rounds: int = ROUNDS) -> list[FileOutcome]:
    """Hold the claims on the files of a study, batch 1, one thread.

    Raises InputError when a file that a claim is about was not made.
    """
    entries = {entry.name: entry for entry in load_manifest(study, build).made()}
    missing = {name for claim in claims for name in (claim.artifact, claim.other)} - set(entries)
    if missing:
        raise InputError(f"{study.name}: no {', '.join(sorted(missing))}", "export it first, or see why it was refused")
    timed = list(dict.fromkeys(name for one in claims if one.what == "p50" for name in (one.artifact, one.other)))
    latency = alternate({name: open_engine(_file(study, build, entries[name])) for name in timed}, rounds)
    sizes = {name: np.array([float(entry.size_bytes or 0)]) for name, entry in entries.items()}
    return [_outcome(claim, latency if claim.what == "p50" else sizes) for claim in claims]


def _file(study: Study, build: Path, entry: ManifestEntry) -> Path:
    return build / study.name / str(entry.file)


def alternate(engines: dict[str, Engine], rounds: int) -> dict[str, np.ndarray]:
    """{name: median latency in ms of each round, float64 (rounds,)}."""
    shapes = {name: tuple(size or 1 for size in engine.input_shape) for name, engine in engines.items()}
    rng = np.random.default_rng(1)
    signals = {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}
    medians: dict[str, list[float]] = {name: [] for name in engines}
    for name, engine in engines.items():
        for _ in range(WARM_UP):
            engine.run(signals[name])
    for _ in follow(range(rounds), "measuring"):
        for name, engine in engines.items():
            samples = []
            for _ in range(INFERENCES):
                begun = time.perf_counter_ns()
                engine.run(signals[name])
                samples.append(time.perf_counter_ns() - begun)
            medians[name].append(float(np.median(samples)) / 1e6)
    return {name: np.array(values) for name, values in medians.items()}


def _outcome(claim: FileClaim, values: dict[str, np.ndarray]) -> FileOutcome:
    artifact, other = values[claim.artifact], values[claim.other]
    ratios = artifact / other
    sides = float(np.median(artifact)), float(np.median(other))
    return FileOutcome(claim, float(np.median(ratios)), float(ratios.min()), float(ratios.max()), *sides)


def perf_table(outcomes: Sequence[FileOutcome]) -> Table:
    """The outcomes for a terminal."""
    names = [Column(name, overflow="fold") for name in ("artifact", "against")]
    drawn = Table("what", *names, "ratio", "range", "at most", "held")
    for one in outcomes:
        unit = "ms" if one.claim.what == "p50" else "bytes"
        sides = [f"{side:.3f} ms" if unit == "ms" else f"{side:,.0f} bytes" for side in (one.artifact, one.other)]
        drawn.add_row(
            one.claim.what,
            f"{one.claim.artifact} ({sides[0]})",
            f"{one.claim.other} ({sides[1]})",
            f"{one.ratio:.2f}",
            f"{one.low:.2f} to {one.high:.2f}",
            f"{one.claim.bound:g}",
            "yes" if one.held else "NO",
        )
    return drawn
