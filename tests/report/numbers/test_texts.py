"""Numbers as tables write them."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pulseproof.core.markdown import markdown_table
from pulseproof.core.statistics import Interval
from pulseproof.report.numbers.texts import auc_text, difference_text, milliseconds, signed, size_text


@pytest.mark.parametrize(
    ("value", "expected"), [(None, "-"), (0.0, ".000"), (0.9124, ".912"), (0.9996, "1.000"), (1.0, "1.000")]
)
def test_auc_text(value: float | None, expected: str) -> None:
    assert auc_text(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, ".000"), (-0.0004, ".000"), (0.0126, "+.013"), (-0.004, "-.004"), (1.0, "+1.000"), (-0.5, "-.500")],
)
def test_signed(value: float, expected: str) -> None:
    assert signed(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "-"), (0.04123, "0.0412"), (1.2, "1.20"), (12.34, "12.3"), (123.4, "123"), (1234.5, "1,234")],
)
def test_milliseconds(value: float | None, expected: str) -> None:
    assert milliseconds(value) == expected


@given(st.floats(0.001, 1e5))
@example(999.7)
def test_milliseconds_are_within_half_a_percent_and_never_in_powers_of_ten(value: float) -> None:
    text = milliseconds(value)
    assert "e" not in text
    assert float(text.replace(",", "")) == pytest.approx(value, rel=0.005)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (None, "-"),
        (0, "0.0 kB"),
        (1300, "1.3 kB"),
        (999_949, "999.9 kB"),
        (1_000_000, "1.00 MB"),
        (22_345_678, "22.35 MB"),
    ],
)
def test_size_text(size: int | None, expected: str) -> None:
    assert size_text(size) == expected


@pytest.mark.parametrize(
    ("difference", "expected"),
    [
        (None, "-"),
        (Interval(-0.0114, -0.013, -0.0088), "-.011 [-.013, -.009]"),
        (Interval(0.1, math.nan, math.nan), "+.100"),
    ],
)
def test_difference_text(difference: Interval | None, expected: str) -> None:
    assert difference_text(difference) == expected


def test_a_markdown_table_keeps_its_cells_apart() -> None:
    text = markdown_table(["a|b", "c"], [["x", "*1*"]], left=1)
    assert text.splitlines() == [r"| a\|b | c |", "| --- | ---: |", r"| x | \*1\* |"]
