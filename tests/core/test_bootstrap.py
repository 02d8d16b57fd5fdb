"""The weighted AUC is that of the repeated recordings, and the bootstrap draws patients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from pulseproof.core.statistics import (
    BLOCK,
    Resamples,
    draw_resamples,
    interval,
    macro_auc,
    percentiles,
    resampled_aucs,
    resampled_macro_auc,
    weighted_auc,
)


def drawn(seed: int, n: int, classes: int = 3, levels: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, labels and patients; ``levels`` makes ties."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, classes)) < rng.uniform(0.2, 0.8, classes)).astype(np.uint8)
    scores = rng.normal(size=(n, classes)) + labels
    if levels is not None:
        scores = np.floor(scores * levels)
    return scores.astype(np.float32), labels, rng.integers(0, max(2, n // 2), n)


def repeated(scores: np.ndarray, positive: np.ndarray, times: np.ndarray) -> float:
    """The AUC by scikit-learn on recordings that are really repeated; NaN where it is not defined."""
    y, s = np.repeat(positive, times), np.repeat(scores, times)
    return float(roc_auc_score(y, s)) if 0 < y.sum() < len(y) else float("nan")


@pytest.mark.slow
@given(seed=st.integers(0, 10_000), n=st.integers(2, 60), levels=st.sampled_from([None, 1, 2, 5]))
@settings(max_examples=150, deadline=None)
def test_weighted_auc_is_that_of_the_repeated_recordings(seed: int, n: int, levels: int | None) -> None:
    scores, labels, patients = drawn(seed, n, levels=levels)
    resamples = draw_resamples(patients, 8, seed)
    for column in range(labels.shape[1]):
        positive = labels[:, column].astype(bool)
        ours = weighted_auc(scores[:, column], positive, resamples)
        for each, value in enumerate(ours):
            times = resamples.counts[resamples.rows, each].astype(int)
            np.testing.assert_allclose(value, repeated(scores[:, column], positive, times), rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "levels"), [(700, None), (700, 40), (9000, None)])
def test_many_thresholds_and_sums_beyond_float32_are_exact_too(n: int, levels: int | None) -> None:
    """700 recordings have several groups of thresholds; the pairs of 9,000 are more than float32 can count in
    halves."""
    scores, labels, patients = drawn(4, n, classes=2, levels=levels)
    labels[:, 0] = np.arange(n) % 2
    resamples = draw_resamples(patients, BLOCK + 3, 4)
    found = resampled_aucs(scores, labels, resamples)
    assert found.shape == (2, BLOCK + 3)
    for each in (0, 1, BLOCK - 1, BLOCK, BLOCK + 2):
        times = resamples.counts[resamples.rows, each].astype(int)
        for column in (0, 1):
            expected = repeated(scores[:, column], labels[:, column], times)
            np.testing.assert_allclose(found[column, each], expected, rtol=0, atol=1e-12)


def test_more_pairs_than_float32_counts_in_one_gap_are_exact() -> None:
    positive = np.arange(9002) % 3 == 1
    found = weighted_auc(positive.astype(np.float32), positive, draw_resamples(np.arange(9002), 40, 1))
    assert (found == 1).all()


@pytest.mark.parametrize(
    ("scores", "positive", "weights", "auc"),
    [
        ([1, 2, 3], [0, 1, 1], [1, 1, 1], 1.0),
        ([1, 2, 3], [1, 1, 0], [1, 1, 1], 0.0),
        ([1, 1, 1], [0, 1, 1], [1, 3, 2], 0.5),
        ([1, 2, 2], [0, 1, 0], [1, 1, 1], 0.75),
        ([1, 2, 2], [0, 1, 0], [1, 1, 3], 0.625),
        ([1, 2, 3], [0, 1, 1], [0, 1, 1], np.nan),
        ([1, 2, 3], [0, 1, 1], [1, 0, 0], np.nan),
        ([1, 2, 3], [1, 1, 1], [1, 1, 1], np.nan),
        ([1, 2, 3], [0, 0, 0], [1, 1, 1], np.nan),
    ],
)
def test_weighted_auc_by_hand(scores: list[float], positive: list[int], weights: list[int], auc: float) -> None:
    resamples = Resamples(np.arange(3), np.array(weights, np.float32)[:, None])
    found = weighted_auc(np.array(scores, np.float32), np.array(positive, bool), resamples)
    np.testing.assert_allclose(found, [auc], rtol=0, atol=1e-12)


@given(seed=st.integers(0, 10_000), patients=st.integers(2, 30))
@settings(max_examples=50, deadline=None)
def test_a_resample_draws_as_many_patients_with_all_their_recordings(seed: int, patients: int) -> None:
    names = np.random.default_rng(seed).integers(1000, 1000 + patients, 80)
    resamples = draw_resamples(names, 20, seed)
    assert (resamples.counts.sum(axis=0) == len(np.unique(names))).all()
    for name in np.unique(names):  # one count a patient, so every recording of it has the same weight
        assert len(set(resamples.rows[names == name])) == 1


def test_a_class_that_is_lost_is_left_out_of_that_resample() -> None:
    labels = np.array([[1, 1], [0, 0], [0, 1], [1, 0]], np.uint8)
    scores = np.array([[2, 0], [1, 1], [0, 3], [3, 2]], np.float32)
    both, second_only, none = [1, 1, 1, 1], [1, 0, 0, 1], [1, 0, 0, 0]
    resamples = Resamples(np.arange(4), np.array([both, second_only, none], np.float32).T)
    found = resampled_macro_auc(scores, labels, resamples)
    assert found[0] == macro_auc(scores, labels)
    assert found[1] == repeated(scores[:, 1], labels[:, 1], np.array(second_only))
    assert np.isnan(found[2])


@given(seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_the_interval_holds_the_estimate_and_repeats_with_its_seed(seed: int) -> None:
    scores, labels, patients = drawn(seed, 120)
    found = interval(scores, labels, patients, count=200, seed=seed)
    assert found.low <= found.estimate <= found.high
    assert found.estimate == macro_auc(scores, labels)
    assert found == interval(scores, labels, patients, count=200, seed=seed)
    assert found != interval(scores, labels, patients, count=200, seed=seed + 1)


def test_the_order_of_the_recordings_and_the_names_of_the_patients_do_not_matter() -> None:
    scores, labels, patients = drawn(5, 90)
    order = np.random.default_rng(0).permutation(90)
    straight = interval(scores, labels, patients, count=100)
    assert straight == interval(scores[order], labels[order], patients[order], count=100)
    assert straight == interval(scores, labels, patients * 10 + 3, count=100)


def test_intervals_are_wider_when_the_recordings_are_of_few_patients() -> None:
    rng = np.random.default_rng(3)
    patient = np.repeat(np.arange(20), 20)
    labels = (rng.random(20) < 0.5)[patient].astype(np.uint8)[:, None]
    scores = (rng.normal(size=20)[patient] + labels[:, 0] + 0.1 * rng.normal(size=400)).astype(np.float32)[:, None]
    by_patient, by_recording = interval(scores, labels, patient), interval(scores, labels, np.arange(400))
    assert by_patient.high - by_patient.low > 1.5 * (by_recording.high - by_recording.low)


def test_one_patient_has_no_interval() -> None:
    scores, labels, _ = drawn(1, 40)
    found = interval(scores, labels, np.zeros(40, int), count=100)
    assert np.isfinite(found.estimate)
    assert np.isnan([found.low, found.high]).all()
    assert np.isnan(percentiles(np.array([np.nan, np.nan]))).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_refused(bad: float) -> None:
    scores, labels, patients = drawn(1, 20)
    scores[3, 1] = bad
    with pytest.raises(ValueError, match="finite"):
        resampled_macro_auc(scores, labels, draw_resamples(patients, 10, 1))
