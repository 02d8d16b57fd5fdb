"""The budgets at which AUC is lost: cases worked out by hand, what must hold of any curve, and how often the interval
holds the truth."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulseproof.core.statistics import draw_resamples, resampled_macro_auc
from pulseproof.report.numbers.loss_budgets import ABOVE, BELOW, Crossing, crossing, crossings, loss_budgets
from pulseproof.runtime.auc import macro_auc

BUDGETS = (0.01, 0.1, 1.0)


def at(curve: list[float], level: float, clean: float = 0.9, budgets: tuple[float, ...] = BUDGETS) -> float:
    (found,) = crossings(budgets, np.array(curve)[:, None], np.array([clean]), level)
    return float(found)


@pytest.mark.parametrize(
    ("curve", "level", "expected"),
    [
        ([0.8, 0.6, 0.4], 0.5, 10**-0.5),  # half way from .1 to 1 on the log axis
        ([0.8, 0.6, 0.4], 0.7, 10**-1.5),
        ([0.8, 0.6, 0.4], 0.75, 10**-1.75),
        ([0.8, 0.6, 0.4], 0.6, 0.1),  # at a measured budget
        ([0.8, 0.6, 0.4], 0.8, 0.01),  # at the smallest one
        ([0.8, 0.6, 0.4], 0.4, 1.0),  # at the largest one
        ([0.8, 0.6, 0.4], 0.81, BELOW),
        ([0.8, 0.6, 0.4], 0.39, ABOVE),
        ([0.8, 0.4, 0.6], 0.5, 10**-1.25),  # not monotone: .4 was found at .1, and lies in the ball of 1 too
        ([0.6, 0.8, 0.4], 0.5, 10**-0.5),  # .8 at .1 is a weak attack: .6 is known there
        ([0.6, 0.6, 0.6], 0.6, 0.01),
        ([0.6, 0.6, 0.6], 0.5, ABOVE),
        ([math.nan, 0.6, 0.4], 0.5, math.nan),
    ],
)
def test_crossings_by_hand(curve: list[float], level: float, expected: float) -> None:
    assert at(curve, level) == pytest.approx(expected, nan_ok=True)


def test_one_budget_gives_inequalities_alone() -> None:
    assert at([0.7], 0.8, budgets=(0.02,)) == BELOW
    assert at([0.7], 0.6, budgets=(0.02,)) == ABOVE


def test_a_clean_auc_that_is_not_above_the_level_is_crossed_before_any_budget() -> None:
    assert at([0.6, 0.6, 0.4], 0.5, clean=0.49) == BELOW


AUC = st.integers(0, 100).map(lambda value: value / 100)
CURVES = st.lists(AUC, min_size=3, max_size=3)


@given(CURVES, AUC)
def test_a_crossing_lies_within_the_budgets_that_bracket_it(curve: list[float], level: float) -> None:
    found, lowest = at(curve, level, clean=1.0), np.minimum.accumulate(curve)
    first = next((k for k, value in enumerate(lowest) if value <= level), None)
    if first is None or level >= 1:
        assert found == (ABOVE if first is None and level < 1 else BELOW)
    elif first == 0:
        assert found == (BUDGETS[0] if lowest[0] == level else BELOW)
    else:
        assert BUDGETS[first - 1] <= found <= BUDGETS[first]


@given(CURVES, CURVES, AUC)
def test_a_curve_that_lies_lower_crosses_no_later(curve: list[float], other: list[float], level: float) -> None:
    lower = [min(pair) for pair in zip(curve, other, strict=True)]
    assert at(lower, level, clean=1.0) <= at(curve, level, clean=1.0) * (1 + 1e-12)


@given(CURVES, AUC, AUC)
def test_a_lower_level_is_crossed_no_earlier(curve: list[float], one: float, other: float) -> None:
    assert at(curve, min(one, other), clean=1.0) >= at(curve, max(one, other), clean=1.0) * (1 - 1e-12)


def repeated(curve: list[float], clean: float, resamples: int = 40) -> Crossing:
    """A curve whose resamples all equal the estimate."""
    values = np.repeat(np.array(curve)[:, None], 1 + resamples, axis=1)
    return crossing(BUDGETS, values, np.full(1 + resamples, clean), loss=0.05)


@pytest.mark.parametrize(
    ("curve", "clean", "text", "numbers"),
    [
        ([0.9, 0.8, 0.4], 0.9, "0.0316 mV [0.0316, 0.0316]", True),
        ([0.7, 0.6, 0.4], 0.9, "< 0.01 mV", False),
        ([0.9, 0.9, 0.88], 0.9, "> 1 mV", False),
    ],
)
def test_texts(curve: list[float], clean: float, text: str, numbers: bool) -> None:
    found = repeated(curve, clean)
    assert found.text == text.replace(" [0.0316, 0.0316]", "")
    assert (found.numbers[0] is not None) == numbers
    if numbers:
        assert found.numbers == pytest.approx([10**-1.5] * 3)


@pytest.mark.parametrize(
    ("numbers", "sentence"),
    [
        ((0.02, 0.01, 0.03), "at 0.0200 mV [0.0100, 0.0300]"),
        ((BELOW, BELOW, BELOW), "below 0.01 mV"),
        ((ABOVE, ABOVE, ABOVE), "not up to 1 mV"),
        ((ABOVE, 0.5, ABOVE), "not up to 1 mV [0.500, > 1]"),
    ],
)
def test_within_a_sentence(numbers: tuple[float, float, float], sentence: str) -> None:
    assert Crossing(*numbers, 0.01, 1.0).sentence == sentence


def test_the_interval_by_hand_has_inequalities_for_ends() -> None:
    """Of 41 resamples those at the ends: the lowest curves cross below .01 mV, the highest do not reach the level."""
    clean = np.full(42, 0.9)
    curve = np.tile(np.array([[0.88], [0.8], [0.7]]), (1, 42))
    curve[:, 1:4], curve[:, 4:7] = 0.6, 0.89
    found = crossing(BUDGETS, curve, clean, loss=0.05)
    middle = 10 ** (-2 + 0.03 / 0.08)
    assert (found.low, found.high) == (BELOW, ABOVE)
    assert found.estimate == pytest.approx(middle)
    assert found.text == f"{middle:.3g} mV [< 0.01, > 1]"
    assert found.numbers == (found.estimate, None, None)


@pytest.mark.parametrize(
    ("clean", "curve", "budgets", "reason"),
    [
        (0.49, [0.4, 0.3, 0.2], BUDGETS, "its clean AUC is below .5"),
        (math.nan, [0.4, 0.3, 0.2], BUDGETS, "its AUC is not defined"),
        (0.9, [], (), "no attack was measured"),
    ],
)
def test_no_number_has_a_reason(clean: float, curve: list[float], budgets: tuple[float, ...], reason: str) -> None:
    values = np.repeat(np.array(curve).reshape(-1, 1), 11, axis=1)
    found = loss_budgets(budgets, values, np.full(11, clean))
    for each in (found.lost, found.chance):
        assert (each.estimate, each.low, each.high, each.reason, each.text) == (None, None, None, reason, "-")


def test_without_a_defined_resample_there_is_no_number() -> None:
    clean, curve = np.full(5, math.nan), np.full((3, 5), math.nan)
    clean[0], curve[:, 0] = 0.9, (0.8, 0.6, 0.4)
    found = crossing(BUDGETS, curve, clean)
    assert found.estimate is None and found.reason is not None and "no interval" in found.reason


STUDIES, PATIENTS, RESAMPLES = 400, 240, 300
TRUE = np.array([0.85, 0.84, 0.75, 0.55, 0.45])  # clean, then at each budget; linear between them by the definition
PLACES = (0.005, 0.01, 0.02, 0.05)


@pytest.mark.slow
def test_the_interval_holds_the_truth_in_93_to_97_percent() -> None:
    """Binormal scores of a known AUC at each budget; what lies between is what the definition says it is. 400 studies:
    the share is known to about .011."""
    rng = np.random.default_rng(5)
    apart = np.array([NormalDist().inv_cdf(value) * 2**0.5 for value in TRUE])
    truths = [float(crossings(PLACES, TRUE[1:, None], TRUE[:1], level)[0]) for level in (TRUE[0] - 0.05, 0.5)]
    held, resamples = np.zeros(2), None
    for study in range(STUDIES):
        if study % 50 == 0:
            resamples = draw_resamples(np.arange(PATIENTS), RESAMPLES, study)
        assert resamples is not None
        labels = (rng.random((PATIENTS, 3)) < (0.4, 0.35, 0.3)).astype(np.uint8)
        shared = rng.normal(size=labels.shape)
        values = []
        for each in apart:
            scores = labels * each + 0.8 * shared + 0.6 * rng.normal(size=labels.shape)
            values.append(np.concatenate([[macro_auc(scores, labels)], resampled_macro_auc(scores, labels, resamples)]))
        found = loss_budgets(PLACES, np.stack(values[1:]), values[0])
        for at, (number, truth) in enumerate(zip((found.lost, found.chance), truths, strict=True)):
            assert number.low is not None and number.high is not None
            held[at] += number.low <= truth <= number.high
    shares = held / STUDIES
    assert ((shares >= 0.93) & (shares <= 0.97)).all(), shares
