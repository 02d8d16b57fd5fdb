"""Augmentation: the wavelet bands are PyWavelets' own, add up to the signal, and every disturbance keeps its bound."""

from __future__ import annotations

import numpy as np
import pytest
import pywt
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pulseproof.core.study import AugmentSpec
from pulseproof.models.augment import LEVELS, WAVELET, disturb, stretched, swt_augment, swt_bands


def signals(n: int = 3, samples: int = 400, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 2, samples, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), samples=st.integers(120, 500))
def test_bands_add_up_to_the_signal(seed: int, samples: int) -> None:
    x = signals(samples=samples, seed=seed)
    assert torch.allclose(swt_bands(x).sum(dim=2), x, atol=1e-5)


@pytest.mark.parametrize("band", range(LEVELS + 1))
def test_bands_are_those_of_pywavelets(band: int) -> None:
    x = signals(1)[0, 0].numpy().astype(np.float64)
    parts = pywt.swt(x, WAVELET, level=LEVELS, trim_approx=True, norm=True)
    kept = [part if index == band else np.zeros_like(part) for index, part in enumerate(parts)]
    ours = swt_bands(signals(1))[0, 0, band].numpy()
    inside = slice(60, -60)  # at the edges pywt wraps around, ours reflects
    assert np.abs(ours - pywt.iswt(kept, WAVELET, norm=True))[inside].max() < 1e-5


def test_gains_of_bands_are_bounded_and_differ() -> None:
    x = signals(8)
    out = swt_augment(x, 0.3, torch.Generator().manual_seed(1))
    ratio = out.norm(dim=(1, 2)) / x.norm(dim=(1, 2))
    assert ((ratio > 0.65) & (ratio < 1.35)).all()
    assert not torch.allclose(out[0] / out[0].norm(), x[0] / x[0].norm(), atol=1e-3)


def test_stretching_by_one_changes_nothing_and_keeps_the_middle() -> None:
    x = signals(4)
    assert torch.allclose(stretched(x, torch.ones(4, 1), 200), x)
    faster = stretched(x, torch.full((4, 1), 1.2), 200)
    assert torch.allclose(faster[:, :, 200], x[:, :, 200])
    assert torch.allclose(faster[:, :, 210], x[:, :, 212], atol=1e-4)


def test_nothing_asked_changes_nothing_and_a_seed_repeats() -> None:
    x = signals()
    calm = AugmentSpec(shift=0, scale=0, wavelet=0)
    assert torch.equal(disturb(x, calm, torch.Generator().manual_seed(1)), x)
    wild = AugmentSpec(stretch=0.2, offset_mv=0.1, noise_mv=0.05, wavelet=0.3)
    runs = [disturb(x, wild, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    assert runs[0].shape == x.shape
