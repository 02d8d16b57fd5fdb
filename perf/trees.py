"""``make perf``, the trees: our writer of trees beside skl2onnx, which the other estimators go through.

In: a study whose trees and forests were trained. Out: for each of them a line for either writer: how many validation
recordings get other scores than the estimator's own, the largest difference, the bytes of the file, and its p50, both
files in turns. Both have the same features in front. Nothing is kept of the files.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table
from torch import nn

from perf.claims import ROUNDS, alternate
from pulseproof.core import engines
from pulseproof.core.errors import InputError
from pulseproof.core.study import Study
from pulseproof.ecg.recordings import Recordings
from pulseproof.export import sklearn_files, tree_files
from pulseproof.export.job import ExportJob, RefusedError
from pulseproof.export.quiet import quiet
from pulseproof.models.brought.estimator_files import load_estimator
from pulseproof.models.brought.model import ESTIMATOR
from pulseproof.models.classical import FeatureModel, PythonHead
from pulseproof.models.run import Trained
from pulseproof.models.trees import TreeWalk
from pulseproof.runtime.engines import open_engine

ENGINE = "onnxruntime"
OURS, THEIRS = "ours", "skl2onnx"
MOVED = 1e-4  # of the spread of a class's scores: what the gate allows a float file
SLOWER = 1.2  # times the p50 of skl2onnx's file


@dataclass(frozen=True)
class TreeFile:
    """The file of one model by one ``writer``. ``moved``: of ``records`` validation recordings, those with a score that
    is not scikit-learn's own; ``largest``: difference of a score; ``p50_ms``: median over the rounds, ``ratio`` to
    skl2onnx's of the same rounds. ``reason``: why there is none."""

    model: str
    writer: str
    records: int
    moved: int
    largest: float
    size_bytes: int
    p50_ms: float
    ratio: float
    reason: str | None = None


def measure_trees(
    study: Study, recordings: Recordings, trained: Sequence[Trained], rounds: int = ROUNDS
) -> list[TreeFile]:
    """Two lines a model, ours first. Raises InputError where the study has no trees."""
    found = [line for one in trained if _has_trees(one) for line in _measure(study, recordings, one, rounds)]
    if not found:
        raise InputError(f"{study.name}: no trees or forests in it", "measure a study that has some")
    return found


def _has_trees(trained: Trained) -> bool:
    return isinstance(trained.module, FeatureModel) and isinstance(trained.module.head, TreeWalk)


def _measure(study: Study, recordings: Recordings, trained: Trained, rounds: int) -> list[TreeFile]:
    model = trained.module
    assert isinstance(model, FeatureModel) and trained.folder is not None
    estimator = load_estimator(trained.folder / ESTIMATOR, ours=True)
    alone = len(trained.task.classes) == 1
    sources = {
        OURS: model,
        THEIRS: FeatureModel(model.features, PythonHead(estimator, alone=alone)).eval(),
    }
    writers = {OURS: tree_files.write_onnx, THEIRS: sklearn_files.write_onnx}
    rows = recordings.sample("validation", study.export.parity_records, study.seed)
    signals = recordings.signals(rows)
    reasons: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for writer, write in writers.items():
            out = Path(folder) / f"{writer}.onnx"
            try:
                with quiet():
                    write(ExportJob(sources[writer], recordings.shape, out, out, signals[:0], "minmax"))
                files[writer] = out
            except RefusedError as error:
                reasons[writer] = str(error)
        compared = {writer: _compare(sources[writer], file, signals) for writer, file in files.items()}
        latency = alternate({writer: open_engine(file) for writer, file in files.items()}, rounds)
        sizes = {writer: file.stat().st_size for writer, file in files.items()}
    base = latency.get(THEIRS)
    lines = []
    for writer in writers:
        if writer in reasons:
            nan = float("nan")
            lines.append(TreeFile(trained.name, writer, len(rows), 0, nan, 0, nan, nan, reasons[writer]))
            continue
        moved, largest = compared[writer]
        ratio = float("nan") if base is None else float(np.median(latency[writer] / base))
        p50 = float(np.median(latency[writer]))
        lines.append(TreeFile(trained.name, writer, len(rows), moved, largest, sizes[writer], p50, ratio))
    return lines


def _compare(source: nn.Module, file: Path, signals: NDArray[np.float32]) -> tuple[int, float]:
    """(recordings with another score, the largest difference) of a file beside its estimator."""
    with torch.inference_mode():
        own = source(torch.from_numpy(signals)).numpy()
    apart = np.abs(engines.score(file, signals, ENGINE) - own)
    return int((apart > MOVED * own.std(axis=0)).any(axis=1).sum()), float(apart.max())


def missed(found: Sequence[TreeFile]) -> str | None:
    """Which claims do not hold: ours is never less exact, nor slower by more than a fifth. Bytes are told, not claimed:
    a leaf of ours has a number for each class, of a tree that knows one class as well."""
    said = []
    for ours, theirs in zip(found[::2], found[1::2], strict=True):
        if ours.reason is not None or ours.moved > (theirs.moved if theirs.reason is None else 0):
            said.append(f"{ours.model}: ours moves {ours.moved} recordings")
        elif theirs.reason is None and ours.ratio > SLOWER:
            said.append(f"{ours.model}: ours takes {ours.ratio:.2f} times its p50")
    return "; ".join(said) or None


def trees_table(found: Sequence[TreeFile]) -> Table:
    """The lines for a terminal."""
    drawn = Table("model", "writer", "other scores", "largest difference", "bytes", "p50 ms", "times skl2onnx's")
    for one in found:
        if one.reason is not None:
            drawn.add_row(one.model, one.writer, one.reason, "", "", "", "")
            continue
        drawn.add_row(
            one.model,
            one.writer,
            f"{one.moved} of {one.records}",
            f"{one.largest:.1g}",
            f"{one.size_bytes:,}",
            f"{one.p50_ms:.3f}",
            f"{one.ratio:.2f}",
        )
    return drawn
