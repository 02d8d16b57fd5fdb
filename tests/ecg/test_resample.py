"""One filter from any rate to any other: scipy's own where it has one, and the same filter where it has none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import resample_poly

from pulseproof.ecg import resample as under_test
from pulseproof.ecg.resample import ratio, resample, resampled_length

STEP = 1.0  # signals below are in steps of a recorder


def ecg_like(samples: int, leads: int = 2) -> np.ndarray:
    """float64 (leads, samples) in steps of 1 uV: slow waves of 1 mV with noise."""
    draw = np.random.default_rng(1)
    time = np.arange(samples) / 300
    waves = 1000 * np.sin(2 * np.pi * 1.1 * time) ** 21 + 200 * np.sin(2 * np.pi * 0.3 * time)
    return np.asarray(waves + draw.normal(0, 10, (leads, samples)))


@pytest.mark.parametrize(
    ("from_hz", "to_hz", "up", "down"),
    [
        (500, 100, 1, 5),
        (360, 100, 5, 18),
        (250, 100, 2, 5),
        (100, 250, 5, 2),
        (333, 100, 100, 333),
        (257, 100, 100, 257),
    ],
)
def test_a_simple_ratio_is_scipys(from_hz: float, to_hz: float, up: int, down: int) -> None:
    signals = ecg_like(3001)
    made = resample(signals, from_hz, to_hz)
    assert np.array_equal(made, resample_poly(signals, up, down, axis=1, padtype="edge"))
    assert made.shape[1] == resampled_length(3001, from_hz, to_hz)


@pytest.mark.parametrize(("from_hz", "to_hz"), [(333.333, 100), (100, 333.333), (62.5001, 100)])
def test_a_ratio_of_large_numbers_is_what_scipy_makes_of_it(from_hz: float, to_hz: float) -> None:
    signals, found = ecg_like(2000), ratio(from_hz, to_hz)
    assert max(found.numerator, found.denominator) > under_test.LARGEST
    made = resample(signals, from_hz, to_hz)
    scipys = resample_poly(signals, found.numerator, found.denominator, axis=1, padtype="edge")
    assert made.shape == scipys.shape and np.abs(made - scipys).max() < 1e-3 * STEP


@pytest.mark.parametrize(("from_hz", "to_hz"), [(360, 100), (250, 333), (100, 250), (500, 360)])
def test_the_filter_at_any_time_is_scipys(from_hz: float, to_hz: float) -> None:
    signals = ecg_like(3001)
    found = ratio(from_hz, to_hz)
    made = under_test._at_any_time(signals, found)
    assert np.abs(made - resample(signals, from_hz, to_hz)).max() < 0.05 * STEP


def test_a_constant_and_one_rate_stay() -> None:
    signals = np.full((3, 1000), 7.5)
    assert resample(signals, 250, 250) is signals
    assert np.abs(resample(signals, 333.333, 100) - 7.5).max() < 1e-3
    assert resample(np.empty((2, 0)), 360, 100).shape == (2, 0)


@pytest.mark.parametrize(("from_hz", "to_hz"), [(333.333, 100), (499.9999, 250), (1000 / 3, 128)])
def test_a_tone_below_both_nyquist_rates_stays_where_it_is(from_hz: float, to_hz: float) -> None:
    made = resample(np.sin(2 * np.pi * 5 * np.arange(3333) / from_hz)[None], from_hz, to_hz)
    wanted = np.sin(2 * np.pi * 5 * np.arange(made.shape[1]) / to_hz)
    assert np.abs(made[0, 30:-30] - wanted[30:-30]).max() < 2e-3


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_no_rate(rate: float) -> None:
    with pytest.raises(ValueError, match="a rate of"):
        resample(np.zeros((1, 5)), rate, 100)
