"""Smooth, band-limited, universal and travelling attacks: what each promises of its perturbation, and that it works."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pulseproof.attacks.aim.aimed import Aimed
from pulseproof.attacks.aim.ball import LINF
from pulseproof.attacks.aim.plausibility import plausibility
from pulseproof.attacks.aim.references import clean_scores, spread_of
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.band import Band
from pulseproof.attacks.gradient import Pgd
from pulseproof.attacks.method import Method, Scene
from pulseproof.attacks.smooth import Smooth
from pulseproof.attacks.transfer import Diverse, DiverseMethod, Ensemble, shifted
from pulseproof.attacks.universal import UniversalMethod, at_shifts
from pulseproof.core.study import AttackSpec
from pulseproof.runtime.auc import macro_auc
from tests.attacks.deserving import STEP_MV, sides, trained

FS_HZ = 100.0
BUDGET = 0.05
SMOOTH, BAND = Smooth(), Band(fs_hz=FS_HZ)


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scene(budget_mv: float = BUDGET) -> Scene:
    known = sides()
    return Scene(
        budget_mv=budget_mv,
        step_mv=STEP_MV,
        fs_hz=FS_HZ,
        settings=AttackSpec(steps=10),
        references=known.references,
        prevalence=known.training.labels.mean(dim=0),
        training=lambda count: Victims(known.training.signals[:count], known.training.labels[:count]),
    )


def made(method: Method, seed: int = 1, budget_mv: float = BUDGET) -> Tensor:
    """What a method makes of the victims on the plain net."""
    net, here = trained(1), scene(budget_mv)
    prepared = method.prepare(net, here, seeded(seed))
    return method.perturb(net, here, prepared, sides().victims, seeded(seed + 1)).delta


def auc(delta: Tensor) -> float:
    victims = sides().victims
    scores = clean_scores(trained(1), Victims(victims.signals + delta, victims.labels))
    return macro_auc(scores.numpy(), victims.labels.numpy())


METHODS: dict[str, tuple[Method, float]] = {  # and by how much it must beat random signs of the budget
    "smooth": (Aimed(Pgd(10, SMOOTH)), 0.2),
    "band": (Aimed(Pgd(10, BAND)), 0.2),
    "diverse": (DiverseMethod(Aimed(Pgd(10, momentum=1.0, start="zero"))), 0.05),
    "universal": (UniversalMethod(10, 200), 0.0),
}


@pytest.mark.parametrize(("method", "by"), METHODS.values(), ids=METHODS.keys())
def test_each_stays_in_its_budget_repeats_and_beats_noise(method: Method, by: float) -> None:
    delta = made(method)
    assert delta.shape == sides().victims.signals.shape
    assert float(delta.abs().max()) <= BUDGET * (1 + 1e-6)
    assert torch.equal(delta, made(method))
    assert not torch.equal(delta, made(method, seed=7))
    noise = BUDGET * torch.randn(delta.shape, generator=seeded(9)).sign()
    assert auc(delta) < auc(noise) - by


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), samples=st.integers(20, 120), budget=st.floats(0.001, 1.0))
def test_band_holds_both_of_its_bounds(seed: int, samples: int, budget: float) -> None:
    delta = BAND.project(torch.randn(3, 2, samples, generator=seeded(seed)), budget)
    assert float(delta.abs().max()) <= budget * (1 + 1e-5)
    outside, _ = plausibility(delta.numpy(), delta.numpy(), FS_HZ)
    assert np.nan_to_num(outside).max() < 1e-6


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), samples=st.integers(20, 120))
def test_projection_on_the_band_is_orthogonal(seed: int, samples: int) -> None:
    x, y = (torch.randn(1, 2, samples, generator=seeded(seed + at), dtype=torch.float64) for at in (0, 5000))
    once = BAND.in_band(x)
    assert torch.allclose(BAND.in_band(once), once, atol=1e-9)
    assert float((once * y).sum()) == pytest.approx(float((x * BAND.in_band(y)).sum()), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), samples=st.integers(10, 80))
def test_smoothing_is_its_own_adjoint_and_never_exceeds(seed: int, samples: int) -> None:
    x, y = (torch.randn(2, 2, samples, generator=seeded(seed + at), dtype=torch.float64) for at in (0, 5000))
    smooth = SMOOTH.smoothed(x)
    assert float(smooth.abs().max()) <= float(x.abs().max()) * (1 + 1e-9)
    assert float((smooth * y).sum()) == pytest.approx(float((x * SMOOTH.smoothed(y)).sum()), abs=1e-9)


def test_the_kernel_is_a_mean_of_gaussians() -> None:
    kernel = SMOOTH.kernel()
    assert len(kernel) == 19
    assert float(kernel.sum()) == pytest.approx(1)
    assert torch.equal(kernel, kernel.flip(0))
    assert (kernel >= 0).all()
    assert Smooth(sizes=(1,), sigmas=(1.0,)).kernel().tolist() == [1.0]


def test_band_leaves_nothing_outside_and_smooth_is_not_jagged() -> None:
    """What is smooth may still drift: below 0.5 Hz there is more of it than in PGD's, not less."""
    clean = sides().victims.signals.numpy()
    plain, smooth, band = (
        plausibility(clean, made(Aimed(Pgd(10, one))).numpy(), FS_HZ) for one in (LINF, SMOOTH, BAND)
    )
    assert band[0].max() < 1e-6 < plain[0].mean()
    assert smooth[1].mean() < plain[1].mean() / 10


def test_plausibility_of_known_signals() -> None:
    time = np.arange(200) / FS_HZ
    slow, fast, still = np.sin(2 * np.pi * 10 * time), np.sin(2 * np.pi * 45 * time), np.zeros(200)
    delta = np.stack([slow, fast, slow + fast, np.ones(200), still])[:, None].astype(np.float32)
    clean = np.broadcast_to(slow, (5, 1, 200)).astype(np.float32)
    outside, jagged = plausibility(clean, delta, FS_HZ)
    assert outside[:4] == pytest.approx([0, 1, 0.5, 1], abs=1e-6)
    assert jagged[0] == pytest.approx(1)
    assert jagged[1] == pytest.approx(np.sin(np.pi * 0.45) ** 2 / np.sin(np.pi * 0.1) ** 2, rel=0.05)
    assert np.isnan(outside[4])
    assert np.isnan(jagged[4])


def test_a_universal_perturbation_is_one_perturbation() -> None:
    delta = made(METHODS["universal"][0])
    first = delta[0]
    for other in delta[1:20]:
        turned = [torch.equal(torch.roll(first, shift, dims=1), other) for shift in range(first.shape[1])]
        assert any(turned)
    one_lead = made(replace(UniversalMethod(4, 64), lead=1))
    assert not one_lead[:, 0].any()
    assert one_lead[:, 1].any()


def test_shifts_are_circular() -> None:
    delta = torch.tensor([[1.0, 2.0, 3.0]])
    shifts = torch.tensor([[0], [1], [-1], [4]])
    rows = [[1, 2, 3], [3, 1, 2], [2, 3, 1], [3, 1, 2]]
    assert at_shifts(delta, shifts)[:, 0].tolist() == rows
    assert shifted(delta.expand(4, 1, 3), shifts)[:, 0].tolist() == rows


def test_an_ensemble_of_one_ranks_as_that_one_and_of_two_as_their_mean() -> None:
    victims = sides().victims
    one, other = clean_scores(trained(1), victims), clean_scores(trained(2), victims)
    spreads = [spread_of(one), spread_of(other)]
    alone = clean_scores(Ensemble([trained(1)], spreads[:1]), victims)
    assert torch.equal(alone.argsort(dim=0), one.argsort(dim=0))
    both = clean_scores(Ensemble([trained(1), trained(2)], spreads), victims)
    assert torch.allclose(both, (one / spreads[0] + other / spreads[1]) / 2)


def test_diverse_varies_only_where_gradients_are_taken() -> None:
    net, signals = trained(1), sides().victims.signals[:8]
    varied = Diverse(net, seed=3)
    with torch.no_grad():
        assert torch.equal(varied(signals), net(signals))
    place = signals.clone().requires_grad_(True)
    first, second = varied(place), varied(place)
    assert not torch.equal(first, second)
    assert torch.equal(Diverse(net, seed=3)(place), first)


def test_an_ensemble_travels_further_than_each_of_its_members() -> None:
    """Made on two nets, tried on a third that neither is."""
    victims, spreads = sides().victims, []
    for seed in (2, 3):
        spreads.append(spread_of(clean_scores(trained(seed), sides().references)))
    both = Ensemble([trained(2), trained(3)], spreads)
    found = []
    for module in (trained(2), trained(3), both):
        method, here = Aimed(Pgd(10)), scene()
        prepared = method.prepare(module, here, seeded())
        found.append(auc(method.perturb(module, here, prepared, victims, seeded(2)).delta))
    assert found[2] <= min(found[:2]) + 0.01
