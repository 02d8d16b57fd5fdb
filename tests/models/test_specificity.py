"""Thresholds at a fixed specificity: no more negatives above them than allowed, and no lower ones would do."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pulseproof.models.metrics import SPECIFICITIES, specificity_thresholds


@given(seed=st.integers(0, 10_000), n=st.integers(1, 80), levels=st.sampled_from([1, 3, 1000]))
def test_thresholds_have_their_specificity_and_are_the_lowest_that_do(seed: int, n: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, 2)) < 0.3).astype(np.uint8)
    scores = (np.round(levels * rng.normal(size=(n, 2))) / levels).astype(np.float32)
    found = specificity_thresholds(labels, scores)
    assert tuple(found) == SPECIFICITIES
    for at, thresholds in found.items():
        for column, threshold in enumerate(np.array(thresholds, np.float32)):
            negatives = scores[labels[:, column] == 0, column]
            if not len(negatives):
                assert threshold <= scores[:, column].min()
                continue
            assert (negatives >= threshold).sum() <= (1 - float(at)) * len(negatives) + 1e-9
            lower = np.nextafter(threshold, np.float32(-np.inf))
            assert (negatives >= lower).sum() > (1 - float(at)) * len(negatives) - 1e-9


def test_thresholds_by_hand() -> None:
    labels = np.array([[0]] * 10 + [[1]], np.uint8)
    scores = np.arange(11, dtype=np.float32)[:, None]
    found = specificity_thresholds(labels, scores)
    assert np.float32(found["0.90"][0]) == np.nextafter(np.float32(8), np.float32(9))  # 9 alone of ten may be above
    assert np.float32(found["0.95"][0]) == np.nextafter(np.float32(9), np.float32(10))  # of ten, none may
