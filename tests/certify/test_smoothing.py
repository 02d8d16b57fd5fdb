"""Bounds of median scores in the L2 ball: sound where the median is known, and no more often wrong than they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr
from scipy.stats import binom

from pulseproof.certify.proved import proved
from pulseproof.certify.smoothing import each_noisy, rank, smoothed_bounds
from pulseproof.core.statistics import draw_resamples

SIGMA = 0.1


@settings(max_examples=60, deadline=None)
@given(draws=st.integers(2, 400), shift=st.floats(0, 3), alpha=st.floats(1e-6, 0.3))
def test_the_rank_is_the_highest_that_is_sure_enough(draws: int, shift: float, alpha: float) -> None:
    k, share = rank(draws, shift, alpha), ndtr(-shift)
    if k:
        assert binom.sf(k - 1, draws, share) >= 1 - alpha - 1e-12
    if k < draws:
        assert binom.sf(k, draws, share) < 1 - alpha + 1e-12


@pytest.mark.parametrize("radius", [0.02, 0.1])
def test_a_linear_score_stays_inside_and_the_bound_is_near(radius: float) -> None:
    """Of a linear score the disturbed median is known: w'(x + d). Many recordings, with a generous alpha: bounds may
    fail as often as they say, and not more."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(1, 6)).astype(np.float32)
    signals = rng.normal(size=(4000, 1, 6)).astype(np.float32)
    draws, alpha = 100, 0.1
    scores = np.stack([np.sort((each * weights).sum(axis=(1, 2))) for each in each_noisy(signals, SIGMA, draws, 1)])
    bounds = smoothed_bounds(scores[:, :, None], SIGMA, radius, alpha)
    middle = (signals * weights).sum(axis=(1, 2))
    worst = middle - radius * np.linalg.norm(weights), middle + radius * np.linalg.norm(weights)
    for wrong in (bounds.lower[:, 0] > worst[0], bounds.upper[:, 0] < worst[1]):
        assert wrong.mean() <= alpha + 3 * np.sqrt(alpha / len(wrong))
    apart = (worst[0] - bounds.lower[:, 0]).mean() / (SIGMA * np.linalg.norm(weights))
    assert 0 < apart < 0.5  # the draws' own uncertainty


def test_steps_have_ties_and_stay_inside() -> None:
    """A tree's score: a step function, whose median under noise jumps."""
    rng = np.random.default_rng(1)
    signals = rng.uniform(-0.3, 0.3, (2000, 1, 1)).astype(np.float32)
    radius, draws, alpha = 0.05, 200, 0.05
    scores = np.stack(
        [np.sort((each[:, 0] > 0).astype(np.float32), axis=0) for each in each_noisy(signals, SIGMA, draws, 2)]
    )
    bounds = smoothed_bounds(scores, SIGMA, radius, alpha)
    # The median of the disturbed score is 0 or 1, by the side on which x + d lies.
    lowest, highest = signals[:, 0] - radius > 0, signals[:, 0] + radius > 0
    assert (bounds.lower > lowest).mean() <= 0.05 and (bounds.upper < highest).mean() <= 0.05
    assert (bounds.lower == 1).any() and (bounds.upper == 0).any()


def test_too_few_draws_prove_nothing() -> None:
    scores = np.sort(np.random.default_rng(0).normal(size=(20, 5, 2)), axis=1)
    bounds = smoothed_bounds(scores, SIGMA, 0.5, 1e-6)
    assert np.isinf(bounds.lower).all() and np.isinf(bounds.upper).all()
    labels = np.eye(2, dtype=np.uint8)[np.arange(20) % 2]
    assert proved(bounds, labels, draw_resamples(np.arange(20), 50, 0), None, False).auc == 0


def test_each_recording_has_draws_of_its_own_and_the_same_ones_again() -> None:
    signals = np.zeros((3, 2, 50), np.float32)
    first, again = (list(each_noisy(signals, SIGMA, 40, 7)) for _ in range(2))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert not (first[0] == first[1]).any()
    assert np.std(first) == pytest.approx(SIGMA, rel=0.02)
