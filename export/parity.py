"""The gate: no file counts before its scores were compared with its source on the engine that will run it.

In: a file, and validation recordings with the torch module's scores for them. Out: a :class:`~export.manifest.Parity`
and a verdict: fine, fine with a note, or refused with a reason. The limits:

* a float file may differ by at most 1e-4 in any score;
* a float file of trees may differ more on at most 1 % of the recordings: features are computed in another order of
  additions there, and a value within a rounding error of a threshold takes the other branch;
* an int8 file may lose at most .02 of macro AUC, and is marked from .01 on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ecg.recordings import Recordings
from export.job import RefusedError
from export.manifest import Parity
from runtime.auc import macro_auc
from runtime.engines import EngineError, open_engine

FLOAT_TOLERANCE = 1e-4
MOVED_SHARE = 0.01
AUC_LOSS_REFUSED = 0.02
AUC_LOSS_NOTED = 0.01
BATCH = 64


@dataclass(frozen=True)
class Reference:
    """What a file is compared with: float32 ``signals`` (k, leads, samples) mV of validation recordings, uint8
    ``labels`` (k, classes), and the torch module's ``scores`` (k, classes); ``threshold``: the score above which a
    class is decided for; ``exclusive``: each recording has exactly one class; ``steps``: scores come from trees."""

    signals: NDArray[np.float32]
    labels: NDArray[np.uint8]
    scores: NDArray[np.float32]
    threshold: float
    exclusive: bool
    steps: bool


def make_reference(
    module: nn.Module, recordings: Recordings, rows: NDArray[np.intp], threshold: float, steps: bool
) -> Reference:
    """Score the recordings ``rows`` with the torch module, in float32."""
    signals = recordings.signals(rows)
    with torch.inference_mode():
        batches = [module(torch.from_numpy(signals[at : at + BATCH])).numpy() for at in range(0, len(rows), BATCH)]
    return Reference(
        signals, recordings.labels[rows], np.concatenate(batches), threshold, recordings.about.exclusive, steps
    )


def measure(path: Path, reference: Reference) -> Parity:
    """Run the file over the reference's recordings, one by one as on a device.

    Raises RefusedError when its engine does not open or run it, or it gives scores of another shape or not finite ones.
    """
    try:
        engine = open_engine(path, threads=1, shape=reference.signals.shape[1:])
        rows = [engine.run(signal[None]) for signal in reference.signals]
    except EngineError as error:
        raise RefusedError(f"its engine does not run it: {str(error).replace(str(path), path.name)}") from None
    if any(row.shape != (1, reference.scores.shape[1]) for row in rows):
        raise RefusedError(f"it gives scores of shape {rows[0].shape}, not (1, {reference.scores.shape[1]})")
    scores = np.concatenate(rows)
    if not np.isfinite(scores).all():
        strange = int((~np.isfinite(scores)).any(axis=1).sum())
        raise RefusedError(f"{strange} of {len(scores)} validation recordings get a score that is not finite")
    difference = np.abs(scores.astype(np.float64) - reference.scores)
    auc_model, auc_file = (macro_auc(values, reference.labels) for values in (reference.scores, scores))
    known = math.isfinite(auc_model) and math.isfinite(auc_file)
    return Parity(
        engine=f"{engine.name} {engine.version}",
        records=len(scores),
        max_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        label_agreement=float((decisions(scores, reference) == decisions(reference.scores, reference)).mean()),
        tolerance=FLOAT_TOLERANCE,
        moved=int((difference.max(axis=1) > FLOAT_TOLERANCE).sum()),
        auc_model=float(auc_model) if known else None,
        auc_file=float(auc_file) if known else None,
        auc_change=float(auc_file - auc_model) if known else None,
    )


def decisions(scores: NDArray[np.float32], reference: Reference) -> NDArray[np.int64]:
    """What a reader of the scores would decide: one class a recording in an exclusive task, else yes or no a class."""
    if reference.exclusive:
        return scores.argmax(axis=1)
    return (scores > reference.threshold).astype(np.int64)


def judge(parity: Parity, quantized: bool, steps: bool) -> str | None:
    """The note that the file's rows must carry, or None. Raises RefusedError when the file must not be shipped."""
    if quantized:
        return _judge_auc(parity)
    if not steps and parity.max_difference > FLOAT_TOLERANCE:
        raise RefusedError(
            f"its scores differ from the torch module's by up to {parity.max_difference:.2g} on {parity.records} "
            f"validation recordings (allowed: {FLOAT_TOLERANCE:g})"
        )
    if parity.moved > MOVED_SHARE * parity.records:
        raise RefusedError(
            f"{parity.moved} of {parity.records} validation recordings take another branch than in the torch module "
            f"(allowed: {MOVED_SHARE:.0%})"
        )
    if parity.moved:
        return f"{parity.moved} of {parity.records} validation recordings take another branch, by float32 rounding"
    return None


def _judge_auc(parity: Parity) -> str | None:
    if parity.auc_change is None:
        raise RefusedError("the validation recordings hold no class with both labels, so its AUC cannot be compared")
    loss = -parity.auc_change
    said = f"validation macro AUC {parity.auc_file:.3f} against {parity.auc_model:.3f} in float"
    if loss > AUC_LOSS_REFUSED:
        raise RefusedError(f"{said}: a loss of {loss:.3f} (allowed: {AUC_LOSS_REFUSED:g})")
    return said if loss > AUC_LOSS_NOTED else None
