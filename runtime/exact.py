"""Whether this engine, here or by this provider, gives a file's own scores: its first recordings, computed twice.

In come an artifact and the mode in which its engine computes it exactly (:data:`runtime.engines.MODES`), with the size
of one step of its scores, both as the bundle says; out comes what was found, for the results. A processor whose integer
kernels saturate gives other scores without an error, and no statistics at home can tell that from the cost of
quantization. Float files are held so where an execution provider computes them: against the engine's plain arithmetic
on the processor, within what the export's gate allows. A process of its own does this before the artifact is timed, so
that a second copy of the model is in nobody's memory, energy or latency.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Callable

import numpy as np

from pulseproof.runtime.condition.processor import features
from pulseproof.runtime.engines import open_engine

SATURATES = "engine-saturates"
DIFFERS = "engine-differs"
RECORDINGS = 16  # an engine that saturates does so on most recordings; the operators one by one are slow
FLOAT_TOLERANCE = 1e-4  # of the scores' standard deviation: the export's gate for float files
ALLOWED = 1.01  # steps: at another level of optimisation an engine may round the other way


@dataclass(frozen=True)
class Exact:
    """How an artifact is held against its exact arithmetic: the engine's ``mode`` that gives it, and how far scores may
    be ``within``, one step of theirs; None: ``tolerance`` standard deviations of the exact scores."""

    mode: str
    within: float | None
    tolerance: float = FLOAT_TOLERANCE


def hold(
    path: str | os.PathLike[str],
    engine: str,
    shape: tuple[int, int],
    exact: Exact,
    recordings: Callable[[int], np.ndarray],
    n: int,
    beat: Callable[[int], None],
    provider: str | None = None,
) -> dict[str, Any]:
    """Run the first recordings as the engine does by default, or by ``provider``, and in its exact mode; return
    ``mode``, ``recordings``, ``within``, ``largest`` (the largest difference of any score, in steps), ``mark`` and
    ``features`` (of the processor).

    The mark is ``engine-saturates`` where the difference is gone without the saturating kernels, ``engine-differs``
    where it is not, None within a step. Raises :class:`~runtime.engines.EngineError`.
    """
    some = min(n, RECORDINGS)

    def scores(mode: str, provider: str | None = None) -> np.ndarray:
        opened = open_engine(path, 1, engine, shape, mode, provider)
        rows = []
        for index in range(some):
            rows.append(opened.run(recordings(index)))
            beat(0)
        return np.concatenate(rows).astype(np.float64)

    given, wanted = scores("default", provider), scores(exact.mode)
    within = exact.within or exact.tolerance * (float(wanted.std()) or 1.0)
    largest, mark = float(np.abs(given - wanted).max() / within), None
    if not largest <= ALLOWED:
        known = provider is None and _gone_without_saturation(scores, within, wanted, path)
        mark = SATURATES if known else DIFFERS
    return {
        "mode": exact.mode,
        "recordings": some,
        "within": within,
        "largest": round(largest, 6) if np.isfinite(largest) else None,
        "mark": mark,
        "features": features(),
    }


def _gone_without_saturation(
    scores: Callable[[str], np.ndarray], within: float, wanted: np.ndarray, path: str | os.PathLike[str]
) -> bool:
    if not os.fspath(path).endswith(".onnx"):
        return False
    return bool(np.abs(scores("precise") - wanted).max() / within <= ALLOWED)
