"""DeLong's variance against its definition written out over all pairs, and against the bootstrap of independent
recordings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from pulseproof.core.statistics import difference, interval
from tests.core.delong import delong, delong_difference, delong_interval


def by_definition(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> tuple[NDArray[np.float64], ...]:
    """AUCs and their covariance by every pair of a case and a control (DeLong et al. 1988, equations 4 to 6)."""
    wins = np.array(
        [(s[positive][:, None] > s[~positive]) + 0.5 * (s[positive][:, None] == s[~positive]) for s in scores]
    )
    aucs = wins.mean(axis=(1, 2))
    of_cases, of_controls = wins.mean(axis=2) - aucs[:, None], wins.mean(axis=1) - aucs[:, None]
    m, n = of_cases.shape[1], of_controls.shape[1]
    return aucs, of_cases @ of_cases.T / ((m - 1) * m) + of_controls @ of_controls.T / ((n - 1) * n)


@given(seed=st.integers(0, 10_000), n=st.integers(4, 60), levels=st.sampled_from([None, 1, 3]))
@settings(max_examples=100, deadline=None)
def test_delong_is_its_definition_over_all_pairs(seed: int, n: int, levels: int | None) -> None:
    rng = np.random.default_rng(seed)
    positive = rng.permutation(n) < rng.integers(2, n - 1)
    scores = rng.normal(size=(3, n)) + positive
    scores = scores if levels is None else np.round(scores * levels)  # ties
    found = delong(scores, positive)
    aucs, covariance = by_definition(scores, positive)
    np.testing.assert_allclose(found.aucs, aucs, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.covariance, covariance, rtol=0, atol=1e-12)
    assert found.aucs[0] == pytest.approx(roc_auc_score(positive, scores[0]), abs=1e-12)


def test_delong_by_hand() -> None:
    """Cases 3, 2, 1 and controls 2, 0: placements of the cases 1, .75 (a tie), .5; of the controls 1.5/3 and 1."""
    found = delong(np.array([[3, 2, 1, 2, 0]]), np.array([True, True, True, False, False]))
    assert found.aucs[0] == pytest.approx(0.75)
    assert found.covariance[0, 0] == pytest.approx(np.var([1, 0.75, 0.5], ddof=1) / 3 + np.var([0.5, 1], ddof=1) / 2)


@pytest.mark.slow
def test_the_bootstrap_agrees_with_delong_on_independent_recordings() -> None:
    rng = np.random.default_rng(5)
    positive = rng.random(1500) < 0.3
    shared = 1.5 * positive + rng.normal(size=1500)
    a, b = shared + 0.3 * rng.normal(size=1500), shared + 0.9 * rng.normal(size=1500)
    labels, own = positive.astype(np.uint8)[:, None], np.arange(1500)
    for ours, theirs in (
        (interval(a[:, None], labels, own, count=4000), delong_interval(a, positive)),
        (difference(a[:, None], b[:, None], labels, own, count=4000), delong_difference(a, b, positive)[0]),
    ):
        assert ours.estimate == pytest.approx(theirs.estimate, abs=1e-12)
        assert (ours.high - ours.low) / (theirs.high - theirs.low) == pytest.approx(1, abs=0.05)


def test_a_difference_and_its_p_value() -> None:
    rng = np.random.default_rng(1)
    positive = np.arange(400) < 120
    good, bad = 2.0 * positive + rng.normal(size=400), 0.5 * positive + rng.normal(size=400)
    found, p = delong_difference(good, bad, positive)
    assert 0 < found.low < found.estimate < found.high
    assert p < 1e-6
    same, one = delong_difference(good, np.exp(good), positive)  # another scale, the same ranking
    assert (same.estimate, same.low, same.high, one) == (0.0, 0.0, 0.0, 1.0)
    assert delong_interval(good, positive).high <= 1


@pytest.mark.parametrize(
    ("scores", "positive", "said"),
    [
        ([[1.0, 2, 3, 4]], [True, False, False, False], "two of each side"),
        ([[1.0, 2, 3, np.nan]], [True, True, False, False], "finite"),
        ([[1.0, 2, 3]], [True, True, False, False], "must be finite and"),
    ],
)
def test_what_has_no_variance_is_refused(scores: list[list[float]], positive: list[bool], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        delong(np.array(scores), np.array(positive))
