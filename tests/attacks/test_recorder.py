"""No recording leaves the recorder's step, its range or the budget, whatever the perturbation was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from attacks.noise import random_sign
from attacks.recorder import Recorder, distances


@settings(max_examples=200, deadline=None)
@given(
    clean=hnp.arrays(np.int16, (2, 3, 5), elements=st.integers(-1024, 1023)),
    delta=hnp.arrays(np.float32, (2, 3, 5), elements=st.floats(-1, 1, width=32)),
    epsilon_mv=st.floats(0.0005, 0.2),
    step_mv=st.sampled_from([0.001, 0.005, 0.00488, 0.0024]),
)
def test_budget_step_and_range_hold(clean, delta, epsilon_mv, step_mv) -> None:  # type: ignore[no-untyped-def]
    recorder = Recorder(step_mv, -1024, 1023)
    other = recorder.record(clean, delta, epsilon_mv)
    assert other.dtype == np.int16
    assert np.abs(other.astype(int) - clean).max() * step_mv <= epsilon_mv * (1 + 1e-6)
    assert other.min() >= -1024
    assert other.max() <= 1023


@pytest.mark.parametrize(
    ("epsilon_mv", "step_mv", "steps"),
    [(0.005, 0.005, 1), (0.01, 0.005, 2), (0.02, 0.005, 4), (0.0025, 0.001, 2), (0.001, 0.005, 0), (0.3, 0.1, 3)],
)
def test_a_budget_is_a_whole_number_of_steps_rounded_down(epsilon_mv: float, step_mv: float, steps: int) -> None:
    assert Recorder(step_mv, -10, 10).budget_steps(epsilon_mv) == steps


def test_distances_of_known_recordings() -> None:
    clean = np.zeros((1, 1, 4), np.int16)
    clean[0, 0] = [100, -100, 100, -100]
    other = clean.copy()
    other[0, 0, 0] += 10
    linf, l2, snr = distances(clean, other, 0.001)
    assert linf == pytest.approx(0.010)
    assert l2 == pytest.approx(0.010)
    assert snr == pytest.approx(10 * np.log10(4 * 0.1**2 / 0.01**2))
    assert distances(clean, clean, 0.001)[2] is None


def test_random_sign_is_as_loud_as_allowed_and_balanced() -> None:
    noise = random_sign((20, 3, 500), 0.01, np.random.default_rng(1))
    assert set(np.unique(noise)) == {np.float32(-0.01), np.float32(0.01)}
    assert abs(float(np.sign(noise).mean())) < 0.02
