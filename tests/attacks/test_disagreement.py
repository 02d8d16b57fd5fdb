"""Disagreement: its rate is what it says, and the attack finds more of it than there was and than others find."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pulseproof.attacks.aim.objectives import Bce
from pulseproof.attacks.aim.references import clean_scores, spread_of
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.disagreement import Decisions, Disagreement, DisagreementMethod
from pulseproof.attacks.gradient import NoGradientError, Pgd
from pulseproof.attacks.method import Scene
from pulseproof.core.study import AttackSpec
from pulseproof.report.numbers.metrics import Rules, flipped
from pulseproof.report.numbers.metrics import decisions as decided_by

STEP = 0.001


def net(classes: int = 3) -> nn.Module:
    """A small net, frozen, whose scores of noise have mean 0 and standard deviation 1, so that every class wins."""
    torch.manual_seed(1)
    convolutions = nn.Sequential(nn.Conv1d(2, 8, 7, padding=3), nn.ReLU(), nn.Conv1d(8, 8, 7, padding=3), nn.ReLU())
    last = nn.Linear(8, classes)
    made = nn.Sequential(convolutions, nn.AdaptiveAvgPool1d(1), nn.Flatten(), last).eval().requires_grad_(False)
    scores = made(0.3 * torch.randn(500, 2, 100))
    last.weight /= scores.std(dim=0).unsqueeze(1)
    last.bias.copy_((last.bias - scores.mean(dim=0)) / scores.std(dim=0))
    return made


def rounded(module: nn.Module, bits: int = 8) -> nn.Module:
    """The module with its weights rounded to ``bits``, as a quantized file has them."""
    twin = copy.deepcopy(module)
    for parameter in twin.parameters():
        scale = parameter.detach().abs().max() / (2 ** (bits - 1) - 1)
        parameter.data = torch.round(parameter.data / scale) * scale
    return twin


def recordings(n: int, parent: nn.Module, exclusive: bool = False, seed: int = 1) -> Victims:
    """Noise in whole steps, with the labels that the parent gives it: the upper half of each class, or the highest."""
    generator = torch.Generator().manual_seed(seed)
    signals = torch.round(0.3 * torch.randn(n, 2, 100, generator=generator) / STEP) * STEP
    with torch.no_grad():
        scores = parent(signals)
    best = nn.functional.one_hot(scores.argmax(dim=1), scores.shape[1])
    labels = best if exclusive else scores > scores.median(dim=0).values
    return Victims(signals, labels.float())


def decisions_of(parent: nn.Module, exclusive: bool = False) -> Decisions:
    scores = clean_scores(parent, recordings(200, parent, seed=9))
    return Decisions(None if exclusive else scores.median(dim=0).values, spread_of(scores))


def rate(parent: nn.Module, twin: nn.Module, signals: Tensor, decisions: Decisions) -> float:
    with torch.no_grad():
        a, b = parent(signals).numpy(), twin(signals).numpy()
    limits = None if decisions.thresholds is None else tuple(decisions.thresholds.tolist())
    rules = Rules(limits is None, limits, {})
    return flipped(*(decided_by(each, rules) for each in (a, b)))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), exclusive=st.booleans(), classes=st.integers(2, 5))
def test_a_margin_is_above_0_where_the_decision_holds(seed: int, exclusive: bool, classes: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    before, after = torch.randn(2, 20, classes, generator=generator)
    decisions = Decisions(
        None if exclusive else torch.randn(classes, generator=generator), torch.rand(classes, generator=generator) + 0.1
    )
    decided = decisions.of(before)
    assert (decisions.margins(before, decided) > 0).all()
    held = decisions.margins(after, decided) > 0
    same = decisions.of(after) == decided
    assert torch.equal(held, same.all(dim=1, keepdim=True) if exclusive else same)


@settings(max_examples=15, deadline=None)
@given(
    budget_mv=st.floats(0.0005, 0.1),
    step_mv=st.sampled_from([0.001, 0.0024, 0.005]),
    exclusive=st.booleans(),
    steps=st.integers(1, 4),
)
def test_stays_in_the_ball_and_on_the_recorder_s_steps(
    budget_mv: float, step_mv: float, exclusive: bool, steps: int
) -> None:
    parent = net()
    victims = recordings(5, parent, exclusive)
    (found,) = Disagreement(steps)(
        parent, rounded(parent, 4), victims, decisions_of(parent, exclusive), [budget_mv], step_mv=step_mv
    )
    moved = np.rint(found.delta.numpy() / np.float32(step_mv))
    np.testing.assert_array_equal(found.delta.numpy(), moved.astype(np.float32) * np.float32(step_mv))
    assert np.abs(moved).max() <= np.floor(budget_mv / step_mv + 1e-6)


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("bits", [7, 11])
def test_finds_more_disagreement_than_there_was_and_than_pgd_finds(exclusive: bool, bits: int) -> None:
    parent = net()
    twin, victims, decisions = (
        rounded(parent, bits),
        recordings(100, parent, exclusive),
        decisions_of(parent, exclusive),
    )
    (found,) = Disagreement()(parent, twin, victims, decisions, [0.05], step_mv=STEP)
    (pgd,) = Pgd(20)(parent, victims, [Bce()], [0.05], torch.Generator().manual_seed(1))
    attacked = torch.round((victims.signals + found.delta) / STEP) * STEP
    before = rate(parent, twin, victims.signals, decisions)
    after = rate(parent, twin, attacked, decisions)
    assert after > before + 0.1
    assert after > rate(parent, twin, victims.signals + pgd, decisions) + 0.1
    # What it says of itself is what the two models say: the parent kept a decision that the twin turned.
    with torch.no_grad():
        decided = decisions.of(parent(victims.signals))
        kept = decisions.margins(parent(attacked), decided) > 0
        turned = decisions.margins(twin(attacked), decided) < 0
    torch.testing.assert_close(found.facts["disagrees"], (kept & turned).any(dim=1).float())


def test_what_disagrees_undisturbed_is_not_lost() -> None:
    """With a single step only the clean recording is judged; with more, what it had is kept."""
    parent = net()
    twin, victims, decisions = rounded(parent, 7), recordings(100, parent), decisions_of(parent)
    counts = [
        Disagreement(steps)(parent, twin, victims, decisions, [0.05], step_mv=STEP)[0].facts["disagrees"]
        for steps in (1, 5, 20)
    ]
    assert counts[0].any()
    assert (counts[1] >= counts[0]).all() and (counts[2] >= counts[0]).all() and counts[2].sum() > counts[0].sum()


def test_batches_change_nothing() -> None:
    parent = net()
    twin, victims, decisions = rounded(parent), recordings(10, parent), decisions_of(parent)
    whole, parts = (
        torch.stack(
            [
                found.delta
                for found in Disagreement(5, batch_size=size)(
                    parent, twin, victims, decisions, [0.01, 0.05], step_mv=STEP
                )
            ]
        )
        for size in (64, 5)
    )
    assert (whole == parts).float().mean() > 0.999  # a sum in another order may turn the sign of a tiny gradient


def test_a_model_without_gradient_is_said_to_be_one() -> None:
    parent = net()
    decisions = decisions_of(parent)

    class Blind(nn.Module):
        def forward(self, signals: Tensor) -> Tensor:
            return parent(signals.detach())

    with pytest.raises(NoGradientError):
        Disagreement(2)(Blind(), Blind(), recordings(3, parent), decisions, [0.05], step_mv=STEP)


@pytest.mark.parametrize("exclusive", [False, True])
def test_the_method_takes_its_thresholds_from_the_references(exclusive: bool) -> None:
    parent = net()
    twin, victims, references = rounded(parent, 6), recordings(40, parent, exclusive), recordings(80, parent, exclusive)
    scene = Scene(
        budget_mv=0.05,
        step_mv=STEP,
        fs_hz=100.0,
        settings=AttackSpec(steps=10),
        references=references,
        prevalence=references.labels.mean(dim=0),
        training=lambda count: references,
        parent=parent,
    )
    method = DisagreementMethod.of(scene.settings)
    prepared = method.prepare(twin, scene, torch.Generator())
    assert ("thresholds" in prepared) is not exclusive
    if not exclusive:  # the labels are the parent's own above the median, so its best thresholds give them back
        assert torch.equal((clean_scores(parent, references) >= prepared["thresholds"]).float(), references.labels)
    found, again = (method.perturb(twin, scene, prepared, victims, torch.Generator()) for _ in range(2))
    assert torch.equal(found.delta, again.delta)
    assert 0.05 < float(found.facts["disagrees"].mean()) <= 1
