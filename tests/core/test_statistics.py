"""The bootstrap against itself written out with copied recordings, and against the truth: what test_bootstrap.py, which
holds the rules that every input obeys, leaves to one example each."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from pulseproof.core.statistics import (
    Interval,
    Resamples,
    difference,
    draw_resamples,
    interval,
    percentiles,
    resampled_macro_auc,
)
from pulseproof.runtime.auc import macro_auc

Case = tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.int64]]


@st.composite
def recordings(draw: st.DrawFn) -> Case:
    """Scores of three classes on a coarse grid (so that many tie), labels and patients of 2 to 40 recordings; small
    enough that classes often lose one side."""
    n = draw(st.integers(2, 40))
    scores = draw(hnp.arrays(np.float32, (n, 3), elements=st.integers(-4, 4).map(lambda value: value / 4)))
    labels = draw(hnp.arrays(np.uint8, (n, 3), elements=st.integers(0, 1)))
    patients = draw(hnp.arrays(np.int64, n, elements=st.integers(0, 9)))
    return scores, labels, patients


def made(n: int = 200, patients: int = 80) -> Case:
    """Scores that follow the labels, three classes, a few recordings a patient."""
    rng = np.random.default_rng(3)
    labels = (rng.random((n, 3)) < 0.4).astype(np.uint8)
    scores = (labels * 1.2 + rng.normal(size=labels.shape)).astype(np.float32)
    return scores, labels, rng.integers(0, patients, n)


def width(found: Interval) -> float:
    return found.high - found.low


@settings(max_examples=50, deadline=None)
@given(recordings(), st.integers(0, 2**32 - 1))
def test_a_resampled_macro_auc_is_scikit_learns_on_copied_recordings(case: Case, seed: int) -> None:
    scores, labels, patients = case
    resamples = draw_resamples(patients, 8, seed)
    for value, counts in zip(resampled_macro_auc(scores, labels, resamples), resamples.counts.T, strict=True):
        times = counts[resamples.rows].astype(int)
        copied, truth = np.repeat(scores, times, axis=0), np.repeat(labels, times, axis=0)
        kept = [k for k in range(3) if len(np.unique(truth[:, k])) == 2]
        expected = np.mean([roc_auc_score(truth[:, k], copied[:, k]) for k in kept]) if kept else math.nan
        assert value == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_the_interval_is_that_of_the_bootstrap_written_out() -> None:
    scores, labels, patients = made(60, 20)
    found = interval(scores, labels, patients, count=50, seed=7)
    distinct, rows = np.unique(patients, return_inverse=True)
    rng = np.random.default_rng(7)
    values = []
    for _ in range(50):
        drawn = rng.integers(0, len(distinct), len(distinct))
        picked = np.concatenate([np.flatnonzero(rows == patient) for patient in drawn])
        values.append(macro_auc(scores[picked], labels[picked]))
    assert found.estimate == macro_auc(scores, labels)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])), abs=1e-12)


def test_a_resample_without_any_class_is_nan_and_not_in_the_interval() -> None:
    scores, labels = np.array([[0.0], [1.0], [2.0]], np.float32), np.array([[0], [1], [0]], np.uint8)
    counts = np.array([[1, 3, 1], [1, 0, 2], [1, 0, 0]], np.float32)
    values = resampled_macro_auc(scores, labels, Resamples(np.arange(3), counts))
    np.testing.assert_array_equal(values, [0.5, np.nan, 1.0])
    assert percentiles(values) == pytest.approx((0.5125, 0.9875))


@pytest.mark.parametrize("side", [0, 1])
def test_labels_of_one_side_have_no_estimate(side: int) -> None:
    scores, labels, patients = made(30)
    found = interval(scores, np.full_like(labels, side), patients, count=100)
    assert all(math.isnan(value) for value in (found.estimate, found.low, found.high))


@pytest.mark.parametrize("transform", [np.exp, np.arctan, lambda x: 3 * x - 7, lambda x: x**3 + x])
def test_only_the_order_of_the_scores_counts(transform) -> None:  # type: ignore[no-untyped-def]
    scores, labels, patients = made()
    assert interval(transform(scores.astype(float)), labels, patients) == interval(scores, labels, patients)


def test_the_seed_moves_the_interval_and_not_the_estimate() -> None:
    scores, labels, patients = made()
    first, other = (interval(scores, labels, patients, count=200, seed=seed) for seed in (5, 6))
    assert other.estimate == first.estimate
    assert (other.low, other.high) != (first.low, first.high)


def test_more_recordings_of_the_same_patients_say_nothing_more() -> None:
    scores, labels, _ = made(60)
    once = interval(scores, labels, np.arange(60), count=400)
    four = [np.repeat(each, 4, axis=0) for each in (scores, labels, np.arange(60))]
    patients = interval(four[0], four[1], four[2], count=400)
    assert (patients.low, patients.high) == pytest.approx((once.low, once.high), abs=1e-12)
    # As if the 240 recordings were of 240 hearts: the wrong interval, half as wide (1 / sqrt(4)).
    wrong = interval(four[0], four[1], np.arange(240), count=400)
    assert 0.35 < width(wrong) / width(once) < 0.65


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """200 studies of 40 patients, two recordings each: of the 95 % intervals, 88 to 99 % hold the true AUC."""
    rng = np.random.default_rng(11)
    patients, held = np.repeat(np.arange(40), 2), 0
    truth = 0.5 * math.erfc(-1.5 / math.sqrt(2.5) / math.sqrt(2))  # Phi(1.5 / sqrt(2.5)): 1.5 apart, variances 1.25
    for study in range(200):
        labels = np.repeat(rng.random(40) < 0.5, 2).astype(np.uint8)[:, None]
        heart = np.repeat(rng.normal(size=40), 2)  # what the two recordings of a patient share
        scores = (labels[:, 0] * 1.5 + heart + 0.5 * rng.normal(size=80))[:, None]
        found = interval(scores, labels, patients, count=200, seed=study)
        held += found.low <= truth <= found.high
    assert 0.88 * 200 <= held <= 0.99 * 200


def test_a_set_does_not_differ_from_itself() -> None:
    scores, labels, patients = made()
    assert difference(scores, scores.copy(), labels, patients) == Interval(0.0, 0.0, 0.0)


def test_a_paired_interval_is_narrower_than_two_intervals_suggest() -> None:
    scores, labels, patients = made()
    rounded = scores + np.float32(0.1) * np.random.default_rng(1).normal(size=scores.shape).astype(np.float32)
    a, b = interval(scores, labels, patients), interval(rounded, labels, patients)
    paired = difference(scores, rounded, labels, patients)
    assert paired.estimate == a.estimate - b.estimate
    assert width(paired) < 0.3 * ((a.high - b.low) - (a.low - b.high))
    # Resampled independently of each other, the same two sets look far less certain.
    one = resampled_macro_auc(scores, labels, draw_resamples(patients, 1000, 1))
    two = resampled_macro_auc(rounded, labels, draw_resamples(patients, 1000, 2))
    low, high = percentiles(one - two)
    assert width(paired) < 0.5 * (high - low)


@pytest.mark.parametrize("shape", [(3, 2), (2, 1), (3,)])
def test_scores_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="shape of the labels"):
        resampled_macro_auc(np.zeros(shape), np.array([[0], [1], [0]]), draw_resamples(np.arange(3), 10, 1))


def test_a_rare_class_with_far_apart_scores_is_exactly_1_or_0() -> None:
    rng = np.random.default_rng(2)
    labels = (rng.random((5000, 1)) < 0.01).astype(np.uint8)
    scores = np.where(labels, 1e30, -1e30).astype(np.float32)
    for sign, expected in ((1, 1.0), (-1, 0.0)):
        values = resampled_macro_auc(sign * scores, labels, draw_resamples(np.arange(5000), 50, 1))
        np.testing.assert_array_equal(values, expected)
