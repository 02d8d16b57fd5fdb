"""Whether this engine on this processor gives a quantized file's own scores: its first recordings, computed twice.

In come an artifact and the mode in which its engine computes it exactly (:data:`runtime.engines.MODES`), with the size
of one step of its scores, both as the bundle says; out comes what was found, for the results. A processor whose integer
kernels saturate gives other scores without an error, and no statistics at home can tell that from the cost of
quantization. A process of its own does this before the artifact is timed, so that a second copy of the model is in
nobody's memory, energy or latency.
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
ALLOWED = 1.01  # steps: at another level of optimisation an engine may round the other way


@dataclass(frozen=True)
class Exact:
    """How an artifact is held against its exact arithmetic: the engine's ``mode`` that gives it, and how far scores may
    be ``within``, one step of theirs."""

    mode: str
    within: float


def hold(
    path: str | os.PathLike[str],
    engine: str,
    shape: tuple[int, int],
    exact: Exact,
    recordings: Callable[[int], np.ndarray],
    n: int,
    beat: Callable[[int], None],
) -> dict[str, Any]:
    """Run the first recordings as the engine does by default and in its exact mode; return ``mode``, ``recordings``,
    ``within``, ``largest`` (the largest difference of any score, in steps), ``mark`` and ``features`` (of the
    processor).

    The mark is ``engine-saturates`` where the difference is gone without the saturating kernels, ``engine-differs``
    where it is not, None within a step. Raises :class:`~runtime.engines.EngineError`.
    """
    some = min(n, RECORDINGS)

    def scores(mode: str) -> np.ndarray:
        opened = open_engine(path, 1, engine, shape, mode)
        rows = []
        for index in range(some):
            rows.append(opened.run(recordings(index)))
            beat(0)
        return np.concatenate(rows).astype(np.float64)

    given, wanted = scores("default"), scores(exact.mode)
    largest, mark = float(np.abs(given - wanted).max() / exact.within), None
    if not largest <= ALLOWED:
        mark = SATURATES if _gone_without_saturation(scores, exact, wanted, path) else DIFFERS
    return {
        "mode": exact.mode,
        "recordings": some,
        "within": exact.within,
        "largest": round(largest, 6) if np.isfinite(largest) else None,
        "mark": mark,
        "features": features(),
    }


def _gone_without_saturation(
    scores: Callable[[str], np.ndarray], exact: Exact, wanted: np.ndarray, path: str | os.PathLike[str]
) -> bool:
    if not os.fspath(path).endswith(".onnx"):
        return False
    return bool(np.abs(scores("precise") - wanted).max() / exact.within <= ALLOWED)
