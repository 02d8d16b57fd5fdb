"""The gate that a twin has to pass before a robustness number may rest on it.

In: a twin and its file, recordings, and the file's scores on its engine. Out: what was measured, and a reason where it
does not hold. This gate compares scores. A gradient can be wrong while all scores are right, so a second one compares
attacks: recordings disturbed through the twin must hurt the file at least as much as those disturbed through its float
parent, which knows nothing of the file. That one needs the scores of the file on both sets, which every run has: it is
the flag ``twin-weaker-than-transfer`` (:func:`attacks.audit.flags.transfer_stronger`), after Athalye, Carlini and
Wagner 2018 (arXiv 1802.00420, "black-box attacks are better than white-box attacks").
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseproof.core import engines
from pulseproof.core.errors import InputError
from pulseproof.runtime.auc import macro_auc
from pulseproof.runtime.engines import EngineError
from pulseproof.runtime.words import one_line
from pulseproof.twins.exact import FLOAT_STEP, SLACK, STEPS, Exactness, apart, beyond, compare, unit_of
from pulseproof.twins.program import Twin, scores_of

Floats = NDArray[np.float32]
AUC = 0.001
# Of a file whose steps depend on the recording: a float's last digit decides a step of an activation now and then, and
# then the scores are as far off as that step is worth. The file itself says no more than that: with every sample moved
# to the next float32, ONNX Runtime's own scores of 80 beats move by more than a unit of 1e-4 of their spread for 1 in
# 80 (a GRU) to 6 in 80 (an xresnet) of them, by up to 152 units, and the twin's by the same. So this many recordings
# hold all the same, and the others by so much of the spread. Where more than 1 in 100 are off, nothing is known of the
# twin that the gate could tell from a fault, and it is refused: a trained LSTM of ours with dynamic weights (LiteRT's
# scores move so for 26 of 60 recordings, by up to 9 units; the twin is off for 19, by up to 21).
HOLD, OFF = 0.99, 0.01


@dataclass(frozen=True)
class TwinCheck:
    """A twin beside its file on ``records`` recordings.

    ``engine``, ``version``: what ran the file. ``output_step``: the step of its scores, in their unit, None where it
    does not round them; ``largest``: the largest difference of any score, in units of that step (of 1e-4 of the
    spread of its scores where there is none). ``equal``: the share of recordings whose scores all are equal, to half of
    that unit. ``file_auc``, ``twin_auc``: macro AUCs, NaN where no class has both labels, or a score is NaN.
    ``reason``: why the twin does not hold; None where it does.

    Where the engine is more than a step off the file's exact arithmetic and the twin is not, ``mark`` says so
    (``engine-saturates``, ``engine-differs``) and ``engine_largest`` by how many steps. All else is then of the exact
    scores: the twin is right about the file, and what the engine adds is the engine's. None in both where nothing more
    than the twin says that the engine is off.
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
    mark: str | None = None
    engine_largest: float | None = None

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

    The file's scores are those of the engine where it computes the file exactly, else those of the exact arithmetic
    (:func:`twins.exact.compare`): a twin that equals them holds, and the engine is marked.

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
            raise InputError(f"{path}: {engine} does not run it ({one_line(error)})", "export it again") from None
    own = scores_of(twin, signals)
    unit = unit_of(twin.output_step, scores)
    exact = _exact(twin, path, signals, scores, engine) if beyond(own, scores, unit) else None
    if exact is not None and exact.scores is not None and not beyond(own, exact.scores, unit):
        engine_off, scores = exact, exact.scores
    else:
        engine_off = None
    steps = np.abs(own.astype(np.float64) - scores) / unit
    found = TwinCheck(
        engine=engine,
        version=engines.here()[engine],
        records=len(signals),
        output_step=twin.output_step,
        largest=apart(own, scores, unit),
        equal=float((steps < 0.5).all(axis=1).mean()),
        file_auc=_auc(scores, labels),
        twin_auc=_auc(own, labels),
        reason=None,
        mark=None if engine_off is None else engine_off.mark,
        engine_largest=None if engine_off is None else engine_off.largest,
    )
    within = float((steps <= STEPS + SLACK).all(axis=1).mean())
    return TwinCheck(**{**vars(found), "reason": _reason(found, within if twin.own_steps else None)})


def _exact(twin: Twin, path: Path, signals: Floats, scores: Floats, engine: str) -> Exactness | None:
    """The engine beside the file's exact arithmetic; None where the scores are not even numbers, or nothing exact is to
    be had."""
    return compare(path, signals, scores, engine, twin) if np.isfinite(scores).all() else None


def _auc(scores: Floats, labels: NDArray[Any]) -> float:
    return float("nan") if np.isnan(scores).any() else macro_auc(scores, labels)


def _reason(found: TwinCheck, within: float | None) -> str | None:
    """``within``: the share of recordings no further off than a step, of a file with steps of its own."""
    few = within is not None and within >= HOLD and found.largest <= OFF / FLOAT_STEP
    if not few and not found.largest <= STEPS + SLACK:  # written so that NaN does not pass
        unit = "steps of its output" if found.output_step is not None else f"times {FLOAT_STEP:g} of the scores' spread"
        return f"its scores differ from those of {found.engine} by up to {found.largest:.1f} {unit}"
    if abs(found.auc_difference) > AUC:
        return f"its AUC differs from that on {found.engine} by {found.auc_difference:+.4f}"
    return None
