"""Do the intervals hold the truth as often as they say, and are verdicts wrong as seldom? Studies are drawn from a law
whose true AUC is known: scores are normal, so AUC = Phi(separation / (deviation * sqrt 2)) (binormal model).

A study is 240 patients with two recordings each, three labels; recordings of one patient share what their heart adds to
every score. All seeds are fixed. With 1,500 studies the share of intervals that hold the truth is known to about .006.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray

from pulseproof.core.statistics import Resamples, draw_resamples, percentiles, resampled_macro_auc
from pulseproof.core.statistics_verdict import PairedTest, holm, paired_test, verdict
from pulseproof.runtime.auc import macro_auc

STUDIES, RESAMPLES = 1500, 400
PATIENTS, EACH = 240, 2
SEPARATION = np.array([1.2, 1.6, 2.0])


def true_auc(deviation: float) -> float:
    """Macro AUC of scores whose classes are ``SEPARATION`` apart."""
    return float(np.mean([NormalDist().cdf(each / (deviation * 2**0.5)) for each in SEPARATION]))


@dataclass(frozen=True)
class Law:
    """Extra noise of the two systems that are compared, on top of what both share (of variance 1.25)."""

    noise_a: float
    noise_b: float

    def truths(self) -> tuple[float, float]:
        return true_auc((1.25 + self.noise_a**2) ** 0.5), true_auc((1.25 + self.noise_b**2) ** 0.5)


def resampled_studies(law: Law, seed: int, patients: int = PATIENTS) -> Iterator[tuple[NDArray[np.float64], ...]]:
    """For each study the macro AUC of both systems, of all recordings and then of each resample. Resamples do not look
    at the scores, so 50 studies share them: that changes no expectation."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(patients), EACH)
    resamples: Resamples | None = None
    for study in range(STUDIES):
        if resamples is None or study % 50 == 0:
            resamples = draw_resamples(who, RESAMPLES, seed + study)
        labels = (rng.random((patients, 3)) < (0.3, 0.25, 0.2))[who]
        heart = rng.normal(size=(patients, 3))[who]
        shared = labels * SEPARATION + heart + 0.5 * rng.normal(size=labels.shape)
        both = [shared + noise * rng.normal(size=labels.shape) for noise in (law.noise_a, law.noise_b)]
        yield tuple(
            np.concatenate([[macro_auc(each, labels)], resampled_macro_auc(each, labels, resamples)]) for each in both
        )


@pytest.mark.slow
def test_95_percent_intervals_hold_the_truth_in_93_to_97_percent() -> None:
    law = Law(0.2, 0.6)
    truth_a, truth_b = law.truths()
    held = {"one AUC": 0, "a paired difference": 0}
    for a, b in resampled_studies(law, seed=1):
        for name, values, truth in (("one AUC", a, truth_a), ("a paired difference", a - b, truth_a - truth_b)):
            low, high = percentiles(values[1:])
            held[name] += low <= truth <= high
    shares = {name: count / STUDIES for name, count in held.items()}
    assert all(0.93 <= share <= 0.97 for share in shares.values()), shares


@pytest.mark.slow
def test_no_difference_is_wrong_in_at_most_5_percent_where_the_difference_is_just_delta() -> None:
    law = Law(0.05, 0.3)
    truth_a, truth_b = law.truths()
    delta = truth_a - truth_b  # the smallest difference that matters: here "no difference" is just wrong
    differences = [a - b for a, b in resampled_studies(law, seed=2)]

    def share(delta: float) -> float:
        found = [alone(paired_test(each, PATIENTS, delta), delta) for each in differences]
        return found.count("no-difference") / STUDIES

    assert 0.01 <= share(delta) <= 0.05
    assert share(3 * delta) > 0.9  # and it is found where it is true


@pytest.mark.slow
def test_a_difference_is_claimed_in_at_most_5_percent_where_there_is_none() -> None:
    found = [alone(paired_test(a - b, PATIENTS, 1e-9), 1e-9) for a, b in resampled_studies(Law(0.4, 0.4), seed=3)]
    assert sum(each in ("better", "worse") for each in found) / STUDIES <= 0.06  # .05 and the error of 1,500 studies


@pytest.mark.slow
def test_holm_keeps_a_whole_family_to_5_percent() -> None:
    """Five comparisons in which nothing differs: some difference is claimed in at most 5 % of the families, where it
    would be in about 20 % without the correction."""
    tests = [paired_test(a - b, PATIENTS, 1e-9) for a, b in resampled_studies(Law(0.4, 0.4), seed=4)]
    families = [tests[first : first + 5] for first in range(0, STUDIES, 5)]
    corrected = sum(any(p < 0.05 for p in holm([test.p for test in family])) for family in families)
    plain = sum(any(test.p < 0.05 for test in family) for family in families)
    assert corrected / len(families) <= 0.075  # .05 and two errors of 300 families
    assert plain / len(families) > 0.15


def alone(test: PairedTest, delta: float) -> str:
    """The verdict of a comparison that is made by itself: nothing to correct for."""
    return verdict(test, test.p, test.p_equivalence, delta)


@pytest.mark.parametrize(("difference", "known"), [(0.0, True), (-0.016, False)])
def test_a_difference_without_spread_is_no_finding(difference: float, known: bool) -> None:
    """Equal rankings differ by nothing, surely; two patients whose resamples are all alike say nothing."""
    test = paired_test(np.full(401, difference), 2, 0.01)
    assert test.estimate == difference and np.isfinite([test.p, test.low, test.p_equivalence]).all() == known
