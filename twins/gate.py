"""The gate that a twin has to pass before a robustness number may rest on it.

In: a twin and its file, recordings, and the file's scores on its engine. Out: what was measured, and a reason where it
does not hold. This gate compares scores. A gradient can be wrong while all scores are right, so a second one compares
attacks: recordings disturbed through the twin must hurt the file at least as much as those disturbed through its float
parent, which knows nothing of the file. That one needs the scores of the file on both sets, which every run has: it is
the flag ``twin-weaker-than-transfer`` (:func:`attacks.flags.transfer_stronger`), after Athalye, Carlini and Wagner 2018
(arXiv 1802.00420, "black-box attacks are better than white-box attacks").
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core import engines
from core.errors import InputError
from runtime.auc import macro_auc
from runtime.engines import EngineError
from twins.program import Twin

Floats = NDArray[np.float32]
STEPS = 1.0  # of the file's own rounding of scores: its engine at another optimisation level differs as much
SLACK = 0.01  # of a step: scores are steps times a float32 scale
AUC = 0.001
FLOAT_STEP = 1e-4  # of the scores' spread, where the file does not round them
BATCH = 64


@dataclass(frozen=True)
class TwinCheck:
    """A twin beside its file on ``records`` recordings.

    ``engine``, ``version``: what ran the file. ``output_step``: the step of its scores, in their unit, None where it
    does not round them; ``largest``: the largest difference of any score, in units of that step (of 1e-4 of the spread
    of the file's scores where there is none). ``equal``: the share of recordings whose scores all are equal, to half of
    that unit. ``file_auc``, ``twin_auc``: macro AUCs, NaN where no class has both labels, or a
    score is NaN. ``reason``: why the twin does not hold; None where it does.
    """

    engine: str
    version: str
    records: int
    output_step: float | None
    largest: float
    equal: float
    file_auc: float
    twin_auc: float
    reason: str | None

    @property
    def auc_difference(self) -> float:
        """AUC of the twin minus that of the file."""
        return self.twin_auc - self.file_auc


def check(
    twin: Twin,
    path: Path,
    signals: Floats,
    labels: NDArray[Any],
    engine: str | None = None,
    scores: Floats | None = None,
) -> TwinCheck:
    """Compare a twin with its file: at most one output step apart on every recording, and .001 in AUC.

    ``signals`` float32 (k, leads, samples) mV; ``labels`` (k, classes) of 0 and 1. ``scores`` float32 (k, classes):
    what ``engine`` (default: the one that decides about such a file here) gave for them, where that is known already;
    else the file is run, in a process of its own.

    Raises InputError where no engine here opens the file, and ValueError without recordings.
    """
    if not len(signals):
        raise ValueError("a twin cannot be checked without recordings")
    engine = engine or next(iter(engines.engines_of(path.suffix.lstrip("."))), None)
    if engine is None or engine not in engines.here():
        raise InputError(f"{path}: no engine here opens it", "install onnxruntime or ai-edge-litert")
    if scores is None:
        try:
            scores = engines.score(path, signals, engine)
        except EngineError as error:
            raise InputError(f"{path}: {engine} does not run it ({error})", "export it again") from None
    own = scores_of(twin, signals)
    unit = twin.output_step or FLOAT_STEP * float(scores.std()) or 1.0
    apart = np.abs(own.astype(np.float64) - scores) / unit
    found = TwinCheck(
        engine=engine,
        version=engines.here()[engine],
        records=len(signals),
        output_step=twin.output_step,
        largest=float(apart.max()),
        equal=float((apart < 0.5).all(axis=1).mean()),
        file_auc=_auc(scores, labels),
        twin_auc=_auc(own, labels),
        reason=None,
    )
    return TwinCheck(**{**vars(found), "reason": _reason(found)})


def scores_of(twin: Twin, signals: Floats, batch_size: int = BATCH) -> Floats:
    """A twin's scores float32 (k, classes)."""
    with torch.no_grad():
        parts = [twin(torch.from_numpy(signals[at : at + batch_size])) for at in range(0, len(signals), batch_size)]
    scores: Floats = torch.cat(parts).numpy()
    return scores


def _auc(scores: Floats, labels: NDArray[Any]) -> float:
    return float("nan") if np.isnan(scores).any() else macro_auc(scores, labels)


def _reason(found: TwinCheck) -> str | None:
    if not found.largest <= STEPS + SLACK:  # written so that NaN does not pass
        unit = "steps of its output" if found.output_step is not None else f"times {FLOAT_STEP:g} of the scores' spread"
        return f"its scores differ from those of {found.engine} by up to {found.largest:.1f} {unit}"
    if abs(found.auc_difference) > AUC:
        return f"its AUC differs from that on {found.engine} by {found.auc_difference:+.4f}"
    return None
