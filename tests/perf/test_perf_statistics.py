"""The claims of ``pulseproof perf statistics``: how they are judged, on a size of a second. No test asserts a
time."""

from __future__ import annotations

import pytest

from perf.statistics import DIFFERENCE, Size, StatisticsOutcome, measure_statistics, statistics_table

SMALL = Size(artifacts=2, sets=3, recordings=300, patients=200, classes=2, resamples=50, looped=10)


def test_the_three_claims_are_measured() -> None:
    seconds, ratio, difference = measure_statistics(SMALL, rounds=3)
    assert seconds.value > 0
    assert "2 artifacts x 3 sets, 50 resamples of 300 recordings" in seconds.what
    assert 0 < ratio.low <= ratio.value <= ratio.high
    assert difference.value <= DIFFERENCE  # this one holds at every size
    assert difference.held
    assert statistics_table([seconds, ratio, difference]).row_count == 3


@pytest.mark.parametrize(
    ("value", "at_least", "held"), [(2.0, False, True), (2.1, False, False), (2.0, True, True), (1.9, True, False)]
)
def test_a_claim_is_held_up_to_its_bound(value: float, at_least: bool, held: bool) -> None:
    assert StatisticsOutcome("x", value, value, value, 2.0, at_least).held == held
