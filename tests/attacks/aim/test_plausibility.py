"""The share of energy outside the band against a count over all frequencies, and what leaves both numbers alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pulseproof.attacks.aim.plausibility import HIGH_HZ, LOW_HZ, plausibility

FS_HZ = 100.0


def drawn(seed: int, samples: int, n: int = 4) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(n, 2, samples)).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), samples=st.integers(20, 121))
def test_the_share_outside_is_that_of_the_whole_spectrum(seed: int, samples: int) -> None:
    """Even and odd lengths: the energies of the full transform add up to the signal's own (Parseval)."""
    delta = drawn(seed, samples)
    power = np.abs(np.fft.fft(delta.astype(np.float64), axis=2)) ** 2
    assert power.sum() / samples == pytest.approx((delta.astype(np.float64) ** 2).sum())
    height = np.abs(np.fft.fftfreq(samples, 1 / FS_HZ))
    expected = power[:, :, (height < LOW_HZ) | (height > HIGH_HZ)].sum(axis=(1, 2)) / power.sum(axis=(1, 2))
    assert plausibility(drawn(seed + 1, samples), delta, FS_HZ)[0] == pytest.approx(expected, abs=1e-12)


def test_the_highest_frequency_counts_once() -> None:
    """A sample up, a sample down, as tall as a sine of 10 Hz: twice the sine's energy, all of it outside."""
    time = np.arange(200)
    delta = (np.sin(2 * np.pi * 10 * time / FS_HZ) + (-1.0) ** time).astype(np.float32)[None, None]
    assert plausibility(delta, delta, FS_HZ)[0] == pytest.approx([2 / 3], abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), factor=st.sampled_from([0.5, 2.0, 8.0]))
def test_the_unit_does_not_matter_and_a_larger_perturbation_is_more_jagged(seed: int, factor: float) -> None:
    clean, delta = drawn(seed, 60), drawn(seed + 1, 60)
    outside, jagged = plausibility(clean, delta, FS_HZ)
    both = plausibility(factor * clean, factor * delta, FS_HZ)
    assert both[0] == pytest.approx(outside)
    assert both[1] == pytest.approx(jagged)
    larger = plausibility(clean, factor * delta, FS_HZ)
    assert larger[0] == pytest.approx(outside)
    assert larger[1] == pytest.approx(factor * jagged)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000))
def test_a_drift_of_the_recording_is_not_jagged(seed: int) -> None:
    """A constant and a straight line have no second difference."""
    clean, delta = drawn(seed, 60), drawn(seed + 1, 60)
    line = np.linspace(0, 1, 60, dtype=np.float32)
    assert plausibility(clean + line, delta + line, FS_HZ)[1] == pytest.approx(
        plausibility(clean, delta, FS_HZ)[1], rel=1e-4
    )


def test_a_recording_without_any_second_difference_has_no_jaggedness_to_compare_with() -> None:
    outside, jagged = plausibility(np.zeros((1, 2, 60), np.float32), drawn(1, 60, n=1), FS_HZ)
    assert np.isfinite(outside).all()
    assert np.isnan(jagged).all()
