"""What bounds prove is never above what any scores within them reach."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pulseproof.certify.proved import ScoreBounds, proved, worst_ends
from pulseproof.core.statistics import draw_resamples
from pulseproof.runtime.auc import auc, macro_auc

N, CLASSES = 40, 3


def drawn(seed: int, width: float) -> tuple[ScoreBounds, np.ndarray, np.random.Generator]:
    rng = np.random.default_rng(seed)
    middle = rng.normal(size=(N, CLASSES))
    around = width * rng.random((N, CLASSES))
    return ScoreBounds(middle - around, middle + around), (rng.random((N, CLASSES)) < 0.4).astype(np.uint8), rng


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**30), width=st.sampled_from([0.0, 0.1, 1.0, 5.0]), exclusive=st.booleans())
def test_no_scores_within_the_bounds_do_worse(seed: int, width: float, exclusive: bool) -> None:
    bounds, labels, rng = drawn(seed, width)
    thresholds = rng.normal(size=CLASSES)
    found = proved(bounds, labels, draw_resamples(np.arange(N), 50, 0), thresholds, exclusive)
    for draw in range(6):
        share = rng.random((N, CLASSES)) if draw < 4 else rng.integers(0, 2, (N, CLASSES))
        scores = bounds.lower + share * (bounds.upper - bounds.lower)
        assert macro_auc(scores, labels) >= found.auc
        for k in range(CLASSES):
            value = auc(scores[:, k], labels[:, k])
            assert np.isnan(value) or value >= found.class_aucs[k].estimate
        above = scores >= thresholds
        there = labels != 0
        assert np.mean([above[there[:, k], k].mean() for k in range(CLASSES) if there[:, k].any()]) >= found.sensitivity
        middle = (bounds.lower + bounds.upper) / 2
        same = (
            scores.argmax(axis=1) == middle.argmax(axis=1)
            if exclusive
            else (above == (middle >= thresholds)).all(axis=1)
        )
        assert same.mean() >= found.decided
    if width == 0:
        assert found.auc == macro_auc(bounds.lower, labels)


def test_scores_without_bounds_prove_nothing() -> None:
    labels = np.eye(4, dtype=np.uint8)[np.arange(20) % 4]
    endless = np.full(labels.shape, np.inf)
    found = proved(ScoreBounds(-endless, endless), labels, draw_resamples(np.arange(20), 50, 0), None, False)
    assert found.auc == 0 and found.auc_high == 0 and np.isnan(found.decided)
    unknown = np.full(labels.shape, np.nan)
    assert macro_auc(worst_ends(ScoreBounds(unknown, unknown), labels), labels) == 0
