"""The per-recording worst case: never above a single set, close to the true one, one set a recording."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pulseproof.attacks.worst import worst_case
from pulseproof.runtime.auc import macro_auc


def drawn(seed: int, sets: int, n: int, classes: int, levels: int | None = None) -> tuple[NDArray, NDArray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, classes)) < rng.uniform(0.1, 0.9, classes)).astype(np.uint8)
    scores = rng.normal(size=(sets, n, classes)) + labels
    if levels is not None:  # a tree's scores: many ties
        scores = np.round(scores * levels / 4)
    return scores.astype(np.float32), labels


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 6),
    st.integers(1, 40),
    st.integers(1, 4),
    st.sampled_from([None, 1, 4]),
)
def test_never_above_a_single_set(seed: int, sets: int, n: int, classes: int, levels: int | None) -> None:
    scores, labels = drawn(seed, sets, n, classes, levels)
    worst = worst_case(scores, labels)
    single = [macro_auc(each, labels) for each in scores]
    assert np.array_equal(worst.scores, scores[worst.chosen, np.arange(n)])
    if np.isnan(single).all():  # no class has a positive and a negative recording
        assert np.isnan(worst.auc)
    else:
        assert worst.auc == macro_auc(worst.scores, labels) <= np.nanmin(single)


@pytest.mark.parametrize("levels", [None, 3])
def test_close_to_trying_everything(levels: int | None) -> None:
    gaps = []
    for seed in range(30):
        scores, labels = drawn(seed, 3, 6, 2, levels)
        tried = (
            macro_auc(scores[list(choice), np.arange(6)], labels) for choice in itertools.product(range(3), repeat=6)
        )
        gaps.append(worst_case(scores, labels).auc - min(tried))
    gaps = [gap for gap in gaps if not np.isnan(gap)]
    assert len(gaps) > 20
    assert min(gaps) >= 0
    assert np.mean(gaps) < 0.02


def test_one_class_is_solved() -> None:
    """With one class there is no conflict: positives send their lowest score, negatives their highest."""
    scores, labels = drawn(3, 5, 200, 1)
    best = np.where(labels == 1, scores.min(axis=0), scores.max(axis=0))
    assert worst_case(scores, labels).auc == pytest.approx(macro_auc(best, labels), abs=1e-12)


def test_no_single_recording_can_do_better() -> None:
    scores, labels = drawn(5, 4, 60, 3)
    worst = worst_case(scores, labels)
    for row in range(60):
        for other in range(4):
            chosen = worst.chosen.copy()
            chosen[row] = other
            assert macro_auc(scores[chosen, np.arange(60)], labels) >= worst.auc - 1e-9


def test_one_set_is_itself() -> None:
    scores, labels = drawn(1, 1, 50, 3)
    worst = worst_case(scores, labels)
    assert not worst.chosen.any()
    assert np.array_equal(worst.scores, scores[0])
    assert worst.auc == macro_auc(scores[0], labels)


def test_a_recording_is_sent_once() -> None:
    """Set 0 ruins the first label, set 1 the second; one recording cannot be both."""
    labels = np.array([[1, 1], [0, 0]], np.uint8)
    clean = np.array([[1.0, 1.0], [0.0, 0.0]])
    scores = np.stack([clean.copy(), clean.copy()])
    scores[0, 0, 0] = scores[1, 0, 1] = -1.0
    worst = worst_case(scores, labels)
    assert worst.auc == 0.5
    assert worst.chosen[0] in (0, 1)


def test_the_rare_label_weighs_more() -> None:
    """The only positive of class 1 is also one of many positives of class 0: it is sent to harm class 1."""
    labels = np.zeros((40, 2), np.uint8)
    labels[:20, 0] = 1
    labels[0, 1] = 1
    clean = np.where(labels == 1, 1.0, 0.0) + np.linspace(0, 0.1, 40)[:, None]
    scores = np.stack([clean, clean])
    scores[0, 0, 0] = scores[1, 0, 1] = -1.0
    assert worst_case(scores, labels).chosen[0] == 1


@pytest.mark.parametrize(
    ("scores", "labels"),
    [
        (np.zeros((0, 3, 2)), np.zeros((3, 2))),
        (np.zeros((3, 2)), np.zeros((3, 2))),
        (np.zeros((2, 3, 2)), np.zeros((3, 1))),
        (np.full((2, 3, 2), np.nan), np.zeros((3, 2))),
    ],
)
def test_what_is_no_choice_is_refused(scores: NDArray, labels: NDArray) -> None:
    with pytest.raises(ValueError, match=r"scores \(|score is NaN"):
        worst_case(scores, labels)
