"""From paired bootstrap differences to verdicts: p-values, Holm's correction, equivalence.

In comes a difference of macro AUCs on all recordings and on each resample of the patients; out come its intervals, the
p-values of "no difference" and of "a difference as large as delta", and, after correction for all comparisons that are
made together, one of four words: better, worse, no-difference, undecided.

Why the p-values are not counted from the resamples: with 2,000 of them none is below 2 / 2,001, and Holm's correction
of more than fifty comparisons could then never find a difference. They come from the standard deviation of the
resamples instead, by Student's t with one degree of freedom less than there are patients (Efron and Tibshirani 1993,
chapter 12). A verdict needs both: the corrected p-value and the percentile interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.statistics import percentiles

ALPHA = 0.05
ROUNDING = 1e-12  # resamples that are no further apart are equal
Verdict = Literal["better", "worse", "no-difference", "undecided"]


@dataclass(frozen=True)
class PairedTest:
    """One difference before any correction. ``low`` and ``high``: 95 % percentile interval; ``low90`` and ``high90``:
    90 %; ``p``: two-sided, of no difference; ``p_equivalence``: the larger of the two one-sided ones, of a difference
    of at least delta in either direction. All but the estimate are NaN where no resample is defined, where all
    patients are one, or where a difference has no spread."""

    estimate: float
    low: float
    high: float
    low90: float
    high90: float
    p: float
    p_equivalence: float


def paired_test(values: NDArray[np.float64], patients: int, delta: float) -> PairedTest:
    """``values`` float64 (1 + resamples,): the difference on all recordings, then on each resample of ``patients``
    patients. ``delta`` above 0: the largest difference of AUC that does not matter."""
    estimate, resampled = float(values[0]), values[1:][np.isfinite(values[1:])]
    if not np.isfinite(estimate) or len(resampled) < 2 or patients < 2:
        return PairedTest(estimate, *[float("nan")] * 6)
    from scipy.special import stdtr  # late, and not scipy.stats.t.sf, which is this and takes a second to load

    deviation = float(resampled.std(ddof=1)) if np.ptp(resampled) > ROUNDING else 0.0
    if deviation == 0 and abs(estimate) > ROUNDING:  # so few patients that nothing is known of the spread
        return PairedTest(estimate, *[float("nan")] * 6)

    def tail(distance: float) -> float:
        """P of a t beyond ``distance``; without any spread (equal rankings) the distance alone decides."""
        if deviation == 0:
            return 0.0 if distance > 0 else 1.0
        return float(stdtr(patients - 1, -distance / deviation))

    return PairedTest(
        estimate,
        *percentiles(resampled),
        *percentiles(resampled, 0.9),
        p=min(1.0, 2 * tail(abs(estimate))),
        p_equivalence=max(tail(delta - estimate), tail(estimate + delta)),
    )


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values (Scandinavian Journal of Statistics 6, 1979), in the order given; NaN stays NaN and does
    not count.

    Why Holm: it bounds the chance of a single wrong claim among all that are made together, however they depend on each
    other (here strongly: the same recordings, the same models), and never claims less than Bonferroni does.
    """
    values = np.asarray(p, np.float64)
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(values[known], kind="stable")]
    adjusted = np.full(len(values), np.nan)
    steps = values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(order) else steps
    return [float(value) for value in adjusted]


def verdict(test: PairedTest, p_adjusted: float, p_equivalence_adjusted: float, delta: float) -> Verdict:
    """What may be said of a difference.

    ``no-difference``: none as large as ``delta``; two one-sided tests (Schuirmann 1987) and the 90 % interval within
    plus and minus delta. It is asked first: a difference that is surely there and surely smaller than what matters is
    none. Then ``better`` or ``worse``: the corrected p-value is below .05 and the 95 % interval leaves out 0. Else
    ``undecided``.
    """
    if p_equivalence_adjusted < ALPHA and -delta < test.low90 and test.high90 < delta:
        return "no-difference"
    if p_adjusted < ALPHA and test.low > 0:
        return "better"
    if p_adjusted < ALPHA and test.high < 0:
        return "worse"
    return "undecided"
