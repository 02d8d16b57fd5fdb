"""``make perf``, the weights: what static int8 ONNX files pay for weights of seven bits, beside eight.

In: a study whose models are trained and exported. Out: for each model with an ``onnx-int8-static`` file a line for
seven bits and one for eight: both files are made of the same float file and the same ranges, run in turns, and held
against their exact arithmetic on the validation recordings. On a processor whose kernels saturate eight bits give other
scores; the price of seven is the AUC of the exact scores and the latency. Nothing is kept of the files.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from perf.claims import ROUNDS, alternate
from pulseproof.core import engines
from pulseproof.core.errors import InputError
from pulseproof.core.study import Study
from pulseproof.ecg.recordings import Recordings
from pulseproof.export.gate.parity import Reference
from pulseproof.export.gate.saturation import kernels_saturate
from pulseproof.export.job import RefusedError
from pulseproof.export.model_files import ModelFiles
from pulseproof.export.onnx import graph as onnx_graph
from pulseproof.export.onnx import int8 as onnx_int8
from pulseproof.export.quiet import quiet
from pulseproof.models.run import Trained
from pulseproof.runtime.auc import macro_auc
from pulseproof.runtime.condition.processor import features, named
from pulseproof.runtime.engines import open_engine
from pulseproof.twins import exact

RECIPE = "onnx-int8-static"
ENGINE = "onnxruntime"
FEATURES = ("trees", "logistic")  # of which the products alone are int8
SLOWER = 1.1  # times the p50 of eight bits
AUC_LOSS = 0.005  # of the exact scores, below those of eight bits


@dataclass(frozen=True)
class Weights:
    """The file of one model with weights of so many ``bits``: ``p50_ms`` (median over the rounds) and its ``ratio`` to
    that of eight bits (median of the rounds' ratios), macro AUC of the engine's scores and of the exact ones, and the
    largest difference of the two in steps of the scores."""

    model: str
    bits: int
    p50_ms: float
    ratio: float
    auc_engine: float
    auc_exact: float
    largest: float


def measure_weights(
    study: Study, recordings: Recordings, trained: Sequence[Trained], build: Path, rounds: int = ROUNDS
) -> list[Weights]:
    """Two lines a model, seven bits first. Raises InputError where no model has such a file."""
    found: list[Weights] = []
    for one in trained:
        files = ModelFiles(study, recordings, one, build)
        if files.brought:  # a stranger's file is not timed in this process
            continue
        try:
            found += _of_one(files, rounds)
        except RefusedError:
            continue
    if not found:
        raise InputError(f"{study.name}: no model has an {RECIPE} file", "export one first, or name another study")
    return found


def _of_one(files: ModelFiles, rounds: int) -> list[Weights]:
    entry = files.export(RECIPE)
    if entry.status != "ok":
        raise RefusedError(str(entry.reason))
    with tempfile.TemporaryDirectory() as folder:
        paths = {bits: Path(folder, f"{bits}.onnx") for bits in (7, 8)}
        with quiet():
            job, of_features = files.job(RECIPE, paths[7]), files.kind in FEATURES
            for bits, path in paths.items():
                onnx_graph.save(onnx_int8.static(job, of_features, reduce_range=bits == 7), path)
        latency = alternate({str(bits): open_engine(path) for bits, path in paths.items()}, rounds)
        ratio = float(np.median(latency["7"] / latency["8"]))
        return [
            Weights(
                files.trained.name,
                bits,
                float(np.median(latency[str(bits)])),
                ratio if bits == 7 else 1.0,
                *_scores(path, files.reference),
            )
            for bits, path in paths.items()
        ]


def _scores(path: Path, reference: Reference) -> tuple[float, float, float]:
    """AUC of the engine, of the exact arithmetic, and how far they are apart."""
    own = engines.score(path, reference.signals, ENGINE)
    found = exact.compare(path, reference.signals, own, ENGINE)
    if found is None:
        raise RefusedError("nothing exact is to be had of it")
    right: NDArray[np.float32] = own if found.scores is None else found.scores
    return macro_auc(own, reference.labels), macro_auc(right, reference.labels), found.largest


def missed(found: Sequence[Weights]) -> list[str]:
    """The claims that do not hold, a sentence each."""
    said = []
    for seven, eight in zip(found[::2], found[1::2], strict=True):
        if seven.ratio > SLOWER:
            said.append(f"{seven.model}: seven bits take {seven.ratio:.2f} times as long")
        if seven.auc_exact < eight.auc_exact - AUC_LOSS:
            said.append(f"{seven.model}: seven bits lose {eight.auc_exact - seven.auc_exact:.4f} of AUC")
        if not seven.largest <= exact.STEPS + exact.SLACK:
            said.append(f"{seven.model}: seven bits are {seven.largest:.1f} steps off")
    return said


def where(note: str | None) -> str:
    """What processor that was: what it has, and what its kernels do when they are asked."""
    does = "saturate" if kernels_saturate() else "do not saturate"
    said = f"{engines.here()[ENGINE]}, whose kernels for signed weights {does} here"
    unit = "Steps are those of the file's scores, 1e-4 of their spread where it does not round them."
    return f"ONNX Runtime {said} ({note or named(features())}). {unit}"


def file_name(study: str) -> str:
    """Of the table in the docs: one for processors whose kernels saturate, one for the others."""
    return f"{study}-weights{'-saturating' if kernels_saturate() else ''}.md"


def weights_table(found: Sequence[Weights]) -> Table:
    """For a terminal."""
    drawn = Table(*HEADS)
    for one in found:
        drawn.add_row(*_cells(one))
    return drawn


def weights_markdown(found: Sequence[Weights], note: str | None) -> str:
    """For a page of the docs."""
    lines = [f"| {' | '.join(HEADS)} |", "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
    lines += [f"| {' | '.join(_cells(one))} |" for one in found]
    return "\n".join([*lines, "", where(note), ""])


HEADS = ("model", "bits", "p50, ms", "to eight bits", "AUC, engine", "AUC, exact", "engine off by, steps")


def _cells(one: Weights) -> list[str]:
    aucs = [f"{one.auc_engine:.4f}", f"{one.auc_exact:.4f}"]
    return [one.model, str(one.bits), f"{one.p50_ms:.3f}", f"{one.ratio:.2f}", *aucs, f"{one.largest:.1f}"]
