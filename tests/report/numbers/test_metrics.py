"""Metrics of decisions: equal to scikit-learn's, by hand where it has none, and unknown where no threshold is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from pulseproof.report.numbers.metrics import (
    Metrics,
    Rules,
    calibration_error,
    decisions,
    flipped,
    metrics,
    probabilities,
)

THRESHOLDS = (0.0, 0.5, -0.25)
RULES = Rules(False, THRESHOLDS, {})


def drawn(seed: int, n: int, exclusive: bool = False) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Scores (n, 3) on a coarse grid, so that some lie on a threshold, and labels of which each class has one."""
    rng = np.random.default_rng(seed)
    scores = (np.round(4 * rng.normal(size=(n, 3))) / 4).astype(np.float32)
    if exclusive:
        return scores, np.eye(3, dtype=np.uint8)[np.concatenate([[0, 1, 2], rng.integers(0, 3, n - 3)])]
    labels = (rng.random((n, 3)) < 0.4).astype(np.uint8)
    labels[0], labels[1] = 0, 1
    return scores, labels


@given(seed=st.integers(0, 10_000), n=st.integers(3, 50), exclusive=st.booleans())
@settings(max_examples=60, deadline=None)
def test_metrics_are_scikit_learns(seed: int, n: int, exclusive: bool) -> None:
    scores, labels = drawn(seed, n, exclusive)
    found = metrics(scores, labels, Rules(exclusive, None if exclusive else THRESHOLDS, {}))
    said = np.eye(3, dtype=int)[scores.argmax(axis=1)] if exclusive else (scores >= THRESHOLDS).astype(int)
    settings = {"average": "macro", "zero_division": 0}
    assert found.accuracy == pytest.approx(accuracy_score(labels, said))
    assert found.label_accuracy == pytest.approx(np.mean(labels == said))
    assert found.f1 == pytest.approx(f1_score(labels, said, **settings))
    assert found.precision == pytest.approx(precision_score(labels, said, **settings))
    assert found.recall == pytest.approx(recall_score(labels, said, **settings))
    assert found.specificity == pytest.approx(recall_score(1 - labels, 1 - said, **settings))


def test_a_class_without_positives_or_negatives_counts_in_no_mean_over_classes() -> None:
    labels = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 1]], np.uint8)
    scores = np.array([[1, -1, 1], [-1, 1, -1], [1, -1, 1]], np.float32)
    found = metrics(scores, labels, Rules(False, (0, 0, 0), {}))
    assert (found.f1, found.precision, found.recall, found.specificity) == (1.0, 1.0, 1.0, 1.0)
    assert found.accuracy == pytest.approx(2 / 3)
    alone = metrics(scores[:, 1:], labels[:, 1:], Rules(False, (0, 0), {}))
    assert math.isnan(alone.f1) and math.isnan(alone.specificity)  # no class has both sides


def test_without_thresholds_nothing_is_said_that_needs_them() -> None:
    scores, labels = drawn(1, 20)
    found = metrics(scores, labels, Rules(False, None, {}), scores)
    known = {name for name, value in vars(found).items() if not math.isnan(value)}
    assert known == {"calibration_error"}
    assert decisions(scores, Rules(False, None, {})) is None


def test_sensitivity_is_at_the_thresholds_of_its_specificity() -> None:
    labels = np.array([[1], [1], [1], [0]], np.uint8)
    scores = np.array([[0.9], [0.6], [0.2], [0.1]], np.float32)
    found = metrics(scores, labels, Rules(False, None, {"0.90": (0.5,)}))
    assert found.sensitivity_90 == pytest.approx(2 / 3)
    assert math.isnan(found.sensitivity_95)


@pytest.mark.parametrize(
    ("exclusive", "attacked", "share"),
    [
        (False, [[1.0, -1, 0], [-1, 0, 1]], 0.0),
        (False, [[9.0, -1, 0], [-1, 0.4, 1]], 0.0),  # other scores, the same decisions
        (False, [[1.0, 0.5, 0], [-1, 0, 1]], 0.5),
        (False, [[-1.0, 0.5, -1], [1, 1, -1]], 1.0),  # several flips in a recording are one flipped recording
        (True, [[1.0, 0.5, 0], [-1, 0, 1]], 0.0),
        (True, [[0.0, 0.5, 0], [-1, 0, 1]], 0.5),
    ],
)
def test_flipped_is_the_share_of_recordings_decided_otherwise(
    exclusive: bool, attacked: list[list[float]], share: float
) -> None:
    clean = np.array([[1.0, -1, 0], [-1, 0, 1], [0, 0, 0]], np.float32)  # the last was not attacked
    labels = np.zeros((2, 3), np.uint8)
    found = metrics(np.array(attacked, np.float32), labels, Rules(exclusive, THRESHOLDS, {}), clean)
    assert found.flipped == share


def test_without_clean_scores_nothing_is_said_of_flips() -> None:
    scores, labels = drawn(2, 20)
    assert math.isnan(metrics(scores, labels, RULES).flipped)
    assert math.isnan(metrics(scores, labels, RULES).calibration_error)


def test_calibration_error_by_hand() -> None:
    """30 recordings, two a bin: probability .2 throughout one class of which none is positive, .9 of which all are."""
    probability = np.column_stack([np.full(30, 0.2), np.full(30, 0.9)])
    labels = np.column_stack([np.zeros(30, int), np.ones(30, int)])
    assert calibration_error(probability, labels) == pytest.approx((0.2 + 0.1) / 2)
    halves = np.column_stack([np.repeat([0.1, 0.8], 15)])
    assert calibration_error(halves, np.repeat([0, 1], 15)[:, None]) == pytest.approx((0.1 + 0.2) / 2)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_calibration_error_does_not_depend_on_the_order_and_of_a_calibrated_model_is_small(seed: int) -> None:
    rng = np.random.default_rng(seed)
    probability = np.round(rng.random((3000, 2)), 2)  # many are equal
    labels = (rng.random((3000, 2)) < probability).astype(np.uint8)
    found = calibration_error(probability, labels)
    order = rng.permutation(3000)
    assert found == pytest.approx(calibration_error(probability[order], labels[order]), abs=1e-12)
    assert found < 0.05
    assert calibration_error(probability**3, labels) > 3 * found


def test_scores_are_probabilities_when_the_clean_ones_are() -> None:
    clean = np.array([[0.0, 1.0]])
    np.testing.assert_array_equal(probabilities(np.array([[0.25, 1.5]]), clean), [[0.25, 1.0]])
    logits = np.array([[-800.0, 0.0, np.log(3), 800.0]])
    np.testing.assert_allclose(probabilities(logits, logits), [[0, 0.5, 0.75, 1]], atol=1e-15)


def test_the_names_are_those_of_the_rows() -> None:
    from pulseproof.report.numbers.rows import Row

    assert set(vars(Metrics())) < set(Row.model_fields)


@pytest.mark.parametrize(
    ("kept", "in_the_bundle"),
    [
        ({}, {"thresholds": None}),
        ({"thresholds": [0.5]}, {"thresholds": [0.5]}),
        (
            {"thresholds": [0.5], "specificity_thresholds": {"0.90": [0.7]}},
            {"thresholds": [0.5], "specificity_thresholds": {"0.90": [0.7]}},
        ),
    ],
)
def test_a_bundle_takes_the_thresholds_that_validation_gave(kept: dict, in_the_bundle: dict) -> None:  # type: ignore[type-arg]
    from pulseproof.bench.bundle import _thresholds

    assert _thresholds(kept) == in_the_bundle


F32 = np.float32
A = np.array([[1, -1], [2, 3], [0, 0], [-1, -2]], F32)


@pytest.mark.parametrize(
    ("other", "thresholds", "expected"),
    [
        (A, (0, 0), 0.0),
        (-A, (0, 0), 0.75),  # all but the third, which is at both thresholds
        (A + np.array([0, -2], F32), (0, 0), 0.25),  # only the third has a label less; the second keeps both
        (A + F32(0.5), (0, 0), 0.0),
        (A + F32(0.5), (10, 10), 0.0),
        (A * np.array([1, -1], F32), (0, 1), 0.75),  # a score at its threshold gives the label
        (A + F32(0.5), None, 0.0),
        (A[:, ::-1], None, 0.75),  # a tie goes to the first class on both sides
    ],
)
def test_decisions_that_flip(other: NDArray[np.float32], thresholds: tuple[float, ...] | None, expected: float) -> None:
    rules = Rules(thresholds is None, thresholds, {})
    assert flipped(decisions(A, rules), decisions(other, rules)) == expected
