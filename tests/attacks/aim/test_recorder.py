"""No recording leaves the recorder's step, its range or the budget, whatever the perturbation was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pulseproof.attacks.aim.ball import L1, L2, LINF, Ball
from pulseproof.attacks.aim.recorder import Recorder, distances
from pulseproof.attacks.method import expect_declared, expect_inside
from pulseproof.attacks.methods import METHODS
from pulseproof.attacks.noise import RandomSign, random_sign
from pulseproof.core.errors import InputError
from pulseproof.core.study import AttackSpec


@pytest.mark.parametrize("ball", [LINF, L2, L1], ids=lambda ball: ball.norm)
@settings(max_examples=200, deadline=None)
@given(
    clean=hnp.arrays(np.int16, (2, 3, 5), elements=st.integers(-1024, 1023)),
    delta=hnp.arrays(np.float32, (2, 3, 5), elements=st.floats(-1, 1, width=32)),
    budget_mv=st.floats(0.0005, 0.2),
    step_mv=st.sampled_from([0.001, 0.005, 0.00488, 0.0024]),
)
def test_budget_step_and_range_hold(ball: Ball, clean, delta, budget_mv, step_mv) -> None:  # type: ignore[no-untyped-def]
    recorder = Recorder(step_mv, -1024, 1023)
    other = recorder.record(clean, delta, budget_mv, ball.norm)
    assert other.dtype == np.int16
    assert other.min() >= -1024
    assert other.max() <= 1023
    moved = (other.astype(int) - clean) * step_mv
    sizes = {
        "linf": np.abs(moved).max(),
        "l2": np.sqrt((moved**2).mean(axis=(1, 2))).max(),
        "l1": np.abs(moved).mean(axis=(1, 2)).max(),
    }
    assert sizes[ball.norm] <= budget_mv * (1 + 1e-6)


@settings(max_examples=100, deadline=None)
@given(delta=hnp.arrays(np.float32, (1, 2, 50), elements=st.floats(-0.015625, 0.015625, width=32)))
def test_an_l2_perturbation_inside_its_ball_loses_little_by_rounding(delta: np.ndarray) -> None:
    clean = np.zeros((1, 2, 50), np.int16)
    budget = float(np.sqrt((delta.astype(np.float64) ** 2).mean())) + 1e-9
    other = Recorder(0.001, -1024, 1023).record(clean, delta, budget, "l2")
    assert np.abs(other * 0.001 - delta).max() <= 0.0015 + 1e-6  # the nearest step, or the one before it


@settings(max_examples=100, deadline=None)
@given(delta=hnp.arrays(np.float32, (1, 2, 50), elements=st.floats(-0.015625, 0.015625, width=32)))
def test_an_l1_perturbation_inside_its_ball_loses_little_by_rounding(delta: np.ndarray) -> None:
    clean = np.zeros((1, 2, 50), np.int16)
    budget = float(np.abs(delta.astype(np.float64)).mean()) + 1e-9
    other = Recorder(0.001, -1024, 1023).record(clean, delta, budget, "l1")
    assert np.abs(other * 0.001 - delta).max() <= 0.0015 + 1e-6  # the nearest step, or the one before it
    assert np.abs(other).sum() <= budget / 0.001 * delta.size * (1 + 1e-6)


def test_a_norm_that_the_recorder_does_not_know_is_refused() -> None:
    clean, delta = np.zeros((1, 1, 3), np.int16), np.zeros((1, 1, 3), np.float32)
    with pytest.raises(ValueError, match="no norm 'l3'; there are linf, l2, l1, none"):
        Recorder(0.001, -1024, 1023).record(clean, delta, 0.001, "l3")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="bounded, and in no norm"):
        Recorder(0.001, -1024, 1023).record(clean, delta, 0.001, "none", bounded=True)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_declares_its_norm_and_its_bound(name: str) -> None:
    expect_declared(name, METHODS[name].make(AttackSpec()))  # type: ignore[index]


@pytest.mark.parametrize(("value", "said"), [(0.0011, "beyond the budget of 0.001 mV"), (np.nan, "is not finite")])
def test_what_goes_beyond_what_is_declared_is_refused_and_not_clipped(value: float, said: str) -> None:
    delta = torch.zeros(2, 1, 3)
    delta[1, 0, 2] = value
    with pytest.raises(InputError, match=f"method random-sign: .*recording b.*{said}"):
        expect_inside("random-sign", RandomSign(), delta, 0.001, ["a", "b"])
    expect_inside("random-sign", RandomSign(), delta[:1], 0.001, ["a"])


def test_noise_without_a_bound_is_only_rounded_and_clipped() -> None:
    clean = np.full((1, 1, 3), 1000, np.int16)
    delta = np.array([[[0.0124, -0.5, 0.5]]], np.float32)
    other = Recorder(0.001, -1024, 1023).record(clean, delta, 0.001, bounded=False)
    assert other.tolist() == [[[1012, 500, 1023]]]


@pytest.mark.parametrize(
    ("budget_mv", "step_mv", "steps"),
    [(0.005, 0.005, 1), (0.01, 0.005, 2), (0.02, 0.005, 4), (0.0025, 0.001, 2), (0.001, 0.005, 0), (0.3, 0.1, 3)],
)
def test_a_budget_is_a_whole_number_of_steps_rounded_down(budget_mv: float, step_mv: float, steps: int) -> None:
    assert Recorder(step_mv, -10, 10).budget_steps(budget_mv) == steps


def test_distances_of_known_recordings() -> None:
    clean = np.zeros((2, 1, 4), np.int16)
    clean[:, 0] = [100, -100, 100, -100]
    other = clean.copy()
    other[0, 0, 0] += 10
    found = distances(clean, other, 0.001)
    assert found.linf_mv == pytest.approx([0.010, 0])
    assert found.l2_mv == pytest.approx([0.010, 0])
    assert found.rms_mv == pytest.approx([0.005, 0])
    assert found.snr_db[0] == pytest.approx(10 * np.log10(4 * 0.1**2 / 0.01**2))
    assert np.isnan(found.snr_db[1])


def test_random_sign_is_as_loud_as_allowed_and_balanced() -> None:
    noise = random_sign((20, 3, 500), 0.01, np.random.default_rng(1))
    assert set(np.unique(noise)) == {np.float32(-0.01), np.float32(0.01)}
    assert abs(float(np.sign(noise).mean())) < 0.02
