"""The AUC by ranks against scikit-learn's, on scores with many ties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import roc_auc_score

from pulseproof.runtime.auc import auc, macro_auc


@pytest.mark.parametrize(
    ("scores", "labels", "expected"),
    [
        ([1, 2, 3, 4], [0, 0, 1, 1], 1.0),
        ([4, 3, 2, 1], [0, 0, 1, 1], 0.0),
        ([1, 1, 1, 1], [0, 1, 0, 1], 0.5),
        ([1, 2, 2, 3], [0, 0, 1, 1], 3.5 / 4),
        ([-np.inf, 0, np.inf], [0, 1, 1], 1.0),
        ([1, 2], [1, 1], math.nan),
        ([1, 2], [0, 0], math.nan),
        ([], [], math.nan),
    ],
)
def test_known_values(scores: list[float], labels: list[int], expected: float) -> None:
    assert auc(np.array(scores), np.array(labels)) == pytest.approx(expected, nan_ok=True)


@st.composite
def tied_scores(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores (n, classes) of few distinct values, labels with both sides in every class."""
    n, classes = draw(st.integers(2, 60)), draw(st.integers(1, 5))
    scores = draw(hnp.arrays(np.float32, (n, classes), elements=st.integers(-4, 4).map(lambda step: step / 4)))
    labels = draw(hnp.arrays(np.uint8, (n, classes), elements=st.integers(0, 1)))
    labels[0], labels[1] = 0, 1
    return scores, labels


@settings(max_examples=60, deadline=None)
@given(tied_scores())
def test_equals_scikit_learn(case: tuple[np.ndarray, np.ndarray]) -> None:
    scores, labels = case
    for column in range(scores.shape[1]):
        expected = roc_auc_score(labels[:, column], scores[:, column])
        assert auc(scores[:, column], labels[:, column]) == pytest.approx(expected, abs=1e-12)
    assert macro_auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores, average="macro"), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(tied_scores())
def test_only_the_order_counts_and_the_two_sides_mirror(case: tuple[np.ndarray, np.ndarray]) -> None:
    scores, labels = case
    value = macro_auc(scores, labels)
    assert macro_auc(1 / (1 + np.exp(-scores.astype(np.float64))), labels) == pytest.approx(value, abs=1e-12)
    assert macro_auc(-scores, labels) == pytest.approx(1 - value, abs=1e-12)
    assert macro_auc(scores[::-1], labels[::-1]) == pytest.approx(value, abs=1e-12)


def test_a_class_without_both_sides_is_left_out_of_the_mean() -> None:
    scores = np.array([[1, 1, 1], [2, 2, 2], [3, 3, 3]], np.float32)
    labels = np.array([[0, 1, 0], [0, 1, 1], [1, 1, 0]], np.uint8)
    assert macro_auc(scores, labels) == pytest.approx((1.0 + 0.5) / 2)
    assert math.isnan(macro_auc(scores, np.ones((3, 3), np.uint8)))


@pytest.mark.parametrize(
    ("scores", "labels"),
    [(np.array([1, np.nan]), np.array([0, 1])), (np.zeros(3), np.zeros(2)), (np.zeros((2, 2)), np.zeros((2, 2)))],
)
def test_refused(scores: np.ndarray, labels: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"rank|vector"):
        auc(scores, labels)
