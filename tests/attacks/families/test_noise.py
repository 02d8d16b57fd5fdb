"""The controls: equal energy at a budget, whatever they are made of, and known to be blind."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.method import Method, Scene
from pulseproof.attacks.noise import Gaussian, RandomSign, RecordedNoise, random_sign, recorded_noise
from pulseproof.core.errors import InputError
from pulseproof.core.study import AttackSpec

NOISE = np.cumsum(np.random.default_rng(0).standard_normal((2, 3000)), axis=1).astype(np.float32)
CONTROLS: list[Method] = [RandomSign(), Gaussian(), RecordedNoise("bw")]


def victims(n: int = 5, leads: int = 3, samples: int = 200) -> Victims:
    return Victims(torch.zeros(n, leads, samples), torch.zeros(n, 1))


def scene(budget_mv: float, noise: Mapping[str, NDArray[np.float32]] | None = None) -> Scene:
    return Scene(
        budget_mv=budget_mv,
        step_mv=0.001,
        fs_hz=100.0,
        settings=AttackSpec(),
        references=victims(),
        prevalence=torch.zeros(1),
        training=lambda count: victims(),
        noise={"bw": NOISE} if noise is None else noise,
    )


@settings(max_examples=30, deadline=None)
@given(budget_mv=st.floats(0.0005, 1.0), seed=st.integers(0, 100))
@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: type(control).__name__)
def test_every_control_has_the_energy_of_the_budget(control: Method, budget_mv: float, seed: int) -> None:
    asked = scene(budget_mv)
    prepared = control.prepare(None, asked, torch.Generator().manual_seed(seed))
    made, again = (
        control.perturb(None, asked, prepared, victims(), torch.Generator().manual_seed(seed)).delta for _ in range(2)
    )
    assert made.dtype == torch.float32 and made.shape == (5, 3, 200)
    rms = made.double().square().mean(dim=(1, 2)).sqrt()
    torch.testing.assert_close(rms, torch.full_like(rms, budget_mv), rtol=1e-5, atol=0)
    assert torch.equal(made, again)
    other = control.perturb(None, asked, prepared, victims(), torch.Generator().manual_seed(seed + 1)).delta
    assert not torch.equal(made, other)


@pytest.mark.parametrize(("control", "bounded"), [(CONTROLS[0], True), (CONTROLS[1], False), (CONTROLS[2], False)])
def test_says_whether_the_budget_bounds_each_sample(control: Method, bounded: bool) -> None:
    delta = control.perturb(None, scene(0.02), {}, victims(), torch.Generator().manual_seed(1)).delta
    assert getattr(control, "bounded", True) is bounded
    assert (float(delta.abs().max()) <= 0.02 * (1 + 1e-6)) is bounded


def test_random_sign_is_a_fair_coin() -> None:
    made = random_sign((50, 2, 500), 0.01, np.random.default_rng(1))
    assert set(np.unique(made)) == {np.float32(-0.01), np.float32(0.01)}
    assert abs(float((made > 0).mean()) - 0.5) < 0.01  # 4.5 standard deviations


def test_recorded_noise_is_cut_and_not_made() -> None:
    """Each lead is a piece of some channel, as it was recorded, and all leads of a recording are scaled alike."""
    made = recorded_noise(NOISE, (4, 3, 50), 0.02, torch.Generator().manual_seed(3)).numpy().astype(np.float64)
    pieces = np.lib.stride_tricks.sliding_window_view(NOISE.astype(np.float64), 50, axis=1)
    places = set()
    for recording in made:
        scales = []
        for lead in recording:
            fitted = (pieces @ lead) / (lead @ lead)  # of every piece, how many times the lead it is
            error = np.abs(pieces - fitted[..., None] * lead).max(axis=2)
            channel, first = np.unravel_index(error.argmin(), error.shape)
            assert error.min() < 1e-3
            scales.append(fitted[channel, first])
            places.add((channel, first))
        np.testing.assert_allclose(scales, scales[0], rtol=1e-4)
    assert len(places) == 12 and {channel for channel, _ in places} == {0, 1}


def test_noise_of_exactly_a_recording_s_length_fits() -> None:
    made = recorded_noise(NOISE[:1, :50], (1, 1, 50), 0.02, torch.Generator())
    ratio = made[0, 0] / torch.from_numpy(NOISE[0, :50])
    torch.testing.assert_close(ratio, ratio[:1].expand(50))


def test_silence_stays_silence() -> None:
    assert not recorded_noise(np.zeros((2, 300), np.float32), (2, 3, 100), 0.02, torch.Generator()).any()


@pytest.mark.parametrize(
    ("noise", "says"), [({}, "no recorded noise 'bw'"), ({"bw": NOISE[:, :199]}, "199 samples of noise.*of 200")]
)
def test_noise_that_is_not_enough_is_refused(noise: Mapping[str, NDArray[np.float32]], says: str) -> None:
    with pytest.raises(InputError, match=says):
        RecordedNoise("bw").perturb(None, scene(0.02, noise), {}, victims(), torch.Generator())
