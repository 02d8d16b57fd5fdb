"""Growth: every stage is timed at every size, and one that grows too fast is said. No test asserts a time."""

from __future__ import annotations

import pytest

from perf import growth
from perf.growth import SIZES, STAGES, Growth, growth_markdown, growth_table, measure_growth, missed


def test_every_stage_is_measured_at_every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "RESAMPLES", 20)
    found = measure_growth(sizes=(40, 80, 320), rounds=1)
    assert [one.stage for one in found] == list(STAGES)
    assert all(len(one.seconds) == len(SIZES) and min(one.seconds) > 0 for one in found)
    assert growth_table(found).row_count == len(STAGES)
    assert all(f"| {stage} |" in growth_markdown(found) for stage in STAGES)


@pytest.mark.parametrize(
    ("seconds", "power"), [((1.0, 4.0, 16.0), 1.0), ((1.0, 4.0, 64.0), 2.0), ((5.0, 4.0, 4.0), 0.0)]
)
def test_the_power_is_that_of_the_two_largest(seconds: tuple[float, ...], power: float) -> None:
    one = Growth("sorting", seconds)
    assert one.power == pytest.approx(power)
    assert missed([one]) == ([] if power <= 1.15 else [f"sorting: power {power:.2f}"])
