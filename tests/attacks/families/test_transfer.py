"""What input diversity does to a recording: a shift, a scale and a slow drift, each inside its bound and each there.

Out: the changes of :class:`attacks.transfer.Diverse`, one at a time. That its attacks work: ``test_shapes``.
"""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pulseproof.attacks.transfer import Diverse

SAMPLES = 100


def varied(x: Tensor, seed: int, *, shift: float = 0.0, scale: float = 0.0, drift_mv: float = 0.0) -> Tensor:
    return Diverse(nn.Identity(), seed, shift, scale, drift_mv).varied(x)


def recordings(seed: int, n: int = 40) -> Tensor:
    return torch.randn(n, 3, SAMPLES, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), shift=st.sampled_from([0.02, 0.05, 0.2]))
def test_a_shift_turns_all_leads_of_a_recording_alike_and_not_too_far(seed: int, shift: float) -> None:
    x = recordings(seed)
    most = round(shift * SAMPLES)
    found = set()
    for before, after in zip(x, varied(x, seed, shift=shift), strict=True):
        turned = [at for at in range(-most, most + 1) if torch.allclose(torch.roll(before, at, dims=1), after)]
        assert len(turned) == 1
        found.add(turned[0])
    assert len(found) > 1
    assert min(found) < 0 < max(found)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.sampled_from([0.05, 0.1, 0.5]))
def test_a_scale_is_one_factor_a_recording_either_way(seed: int, scale: float) -> None:
    x = recordings(seed)
    factors = varied(x, seed, scale=scale) / x
    one = factors[:, :1, :1]
    assert torch.allclose(factors, one.expand_as(factors), rtol=1e-4)
    assert one.min() >= 1 - scale - 1e-4
    assert one.max() <= 1 + scale + 1e-4
    assert one.min() < 1 - scale / 4 < 1 + scale / 4 < one.max()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), drift_mv=st.sampled_from([0.01, 0.05, 0.5]))
def test_a_drift_is_one_slow_sine_a_lead_inside_its_height(seed: int, drift_mv: float) -> None:
    drift = varied(torch.zeros(40, 3, SAMPLES), seed, drift_mv=drift_mv)
    assert drift.abs().max() <= drift_mv * (1 + 1e-5)
    assert drift.abs().max() > drift_mv / 2
    spectrum = torch.fft.rfft(drift.double()).abs()
    assert spectrum[..., [0, *range(2, spectrum.shape[-1])]].max() < 1e-4 * spectrum[..., 1].max()
    assert not torch.allclose(drift[:, 0], drift[:, 1], atol=drift_mv / 10)


def test_without_bounds_nothing_changes() -> None:
    assert torch.equal(varied(recordings(1), 1), recordings(1))


@pytest.mark.parametrize("change", [{"shift": 0.1}, {"scale": 0.1}, {"drift_mv": 0.1}], ids=lambda one: next(iter(one)))
def test_each_call_varies_anew_and_equal_seeds_vary_alike(change: dict[str, float]) -> None:
    x = recordings(1)
    first, again = (Diverse(nn.Identity(), 5, **{"shift": 0, "scale": 0, "drift_mv": 0} | change) for _ in range(2))
    before, after = first.varied(x), first.varied(x)
    assert not torch.equal(before, after)
    assert torch.equal(before, again.varied(x))


def test_the_gradient_comes_back_to_the_place_that_was_varied() -> None:
    """What a score sees of a sample, the gradient says of that sample: the shift is undone, the scale stays."""
    x = recordings(1, n=4).double().requires_grad_(True)
    weights = torch.randn(4, 3, SAMPLES, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def scored(place: Tensor) -> Tensor:
        return (Diverse(nn.Identity(), 3, 0.1, 0.2, 0.05)(place) * weights).sum()

    assert torch.autograd.gradcheck(scored, x)
