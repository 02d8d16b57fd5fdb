"""Holm by hand and by its definition, p-values against the bootstrap's tails, and a table of verdicts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulseproof.core.statistics_verdict import PairedTest, holm, paired_test, verdict

PROBABILITIES = st.lists(st.floats(0, 1), max_size=12)


def test_holm_by_hand() -> None:
    """Sorted: .005 x 4 = .02, .01 x 3 = .03, .03 x 2 = .06, .04 x 1 = .04, which may not be below the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_of_unknown_and_of_nothing() -> None:
    found = holm([0.02, math.nan, 0.01])
    assert found[0] == pytest.approx(0.02)
    assert math.isnan(found[1])
    assert found[2] == pytest.approx(0.02)
    assert holm([]) == []


@given(PROBABILITIES)
def test_holm_lies_between_the_plain_p_value_and_bonferronis(p: list[float]) -> None:
    for adjusted, plain in zip(holm(p), p, strict=True):
        assert plain <= adjusted + 1e-15
        assert adjusted <= min(1.0, plain * len(p)) + 1e-15


@given(PROBABILITIES, st.randoms())
def test_holm_keeps_the_order_and_does_not_look_at_the_places(p: list[float], random) -> None:  # type: ignore[no-untyped-def]
    adjusted = holm(p)
    for i, one in enumerate(p):
        assert all(adjusted[i] <= adjusted[j] for j, other in enumerate(p) if one <= other)
    places = list(range(len(p)))
    random.shuffle(places)
    assert holm([p[i] for i in places]) == [adjusted[i] for i in places]


def test_a_p_value_is_about_the_share_of_resamples_beyond_0() -> None:
    resampled = np.random.default_rng(1).normal(0.02, 0.01, 20_000)
    found = paired_test(np.concatenate([[0.02], resampled]), patients=500, delta=0.01)
    assert found.p == pytest.approx(2 * (resampled < 0).mean(), abs=0.005)
    assert (found.low, found.high) == pytest.approx((0.02 - 0.0196, 0.02 + 0.0196), abs=0.0005)
    assert (found.low90, found.high90) == pytest.approx((0.02 - 0.01645, 0.02 + 0.01645), abs=0.0005)
    assert found.p_equivalence == pytest.approx(0.841, abs=0.01)  # one deviation beyond delta


def test_few_patients_make_a_p_value_larger() -> None:
    values = np.concatenate([[0.02], np.random.default_rng(1).normal(0.02, 0.01, 2000)])
    many, few = paired_test(values, 1000, 0.01), paired_test(values, 6, 0.01)
    assert few.p > 2 * many.p > 0


def test_equal_rankings_have_no_difference_and_are_equivalent() -> None:
    found = paired_test(np.zeros(201), patients=50, delta=0.01)
    assert found == PairedTest(0.0, 0.0, 0.0, 0.0, 0.0, p=1.0, p_equivalence=0.0)
    assert verdict(found, found.p, found.p_equivalence, 0.01) == "no-difference"


@pytest.mark.parametrize(
    ("values", "patients"), [([0.1, np.nan, np.nan], 9), ([np.nan, 0.1, 0.2], 9), ([0.1, 0.1, 0.2], 1)]
)
def test_what_has_no_interval_is_undecided(values: list[float], patients: int) -> None:
    found = paired_test(np.array(values), patients, 0.01)
    assert math.isnan(found.low)
    assert math.isnan(found.p)
    assert verdict(found, found.p, found.p_equivalence, 0.01) == "undecided"


@pytest.mark.parametrize(
    ("low", "low90", "high90", "high", "p", "p_equivalence", "said"),
    [
        (0.02, 0.021, 0.03, 0.031, 0.001, 1.0, "better"),
        (-0.031, -0.03, -0.021, -0.02, 0.001, 1.0, "worse"),
        (-0.005, -0.004, 0.004, 0.005, 0.9, 0.001, "no-difference"),
        (0.001, 0.002, 0.004, 0.005, 0.001, 0.001, "no-difference"),  # there, and smaller than what matters
        (0.02, 0.021, 0.03, 0.031, 0.06, 1.0, "undecided"),  # not after correction
        (-0.001, 0.001, 0.03, 0.031, 0.04, 1.0, "undecided"),  # the interval does not say so
        (-0.005, -0.004, 0.004, 0.005, 0.9, 0.06, "undecided"),  # not equivalent after correction
        (-0.02, -0.01, 0.004, 0.005, 0.9, 0.01, "undecided"),  # on the bound is not within
    ],
)
def test_verdicts(
    low: float, low90: float, high90: float, high: float, p: float, p_equivalence: float, said: str
) -> None:
    test = PairedTest((low + high) / 2, low, high, low90, high90, math.nan, math.nan)
    assert verdict(test, p, p_equivalence, 0.01) == said
