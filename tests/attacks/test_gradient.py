"""Gradient attacks: objectives and gradients against finite differences, balls, the formulas of momentum, and that the
AUC really falls."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pulseproof.attacks.aim.ball import L1, L2, LINF, Ball
from pulseproof.attacks.aim.objectives import AucObjective, Bce, Linear, Objective
from pulseproof.attacks.aim.references import auc_objective, clean_scores, spread_of
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.gradient import NoGradientError, Pgd, evaluate, fgsm, mi_fgsm, ni_fgsm
from pulseproof.models.nets import Cnn
from pulseproof.models.trees import TreeWalk, tree_arrays
from pulseproof.runtime.auc import macro_auc

BALLS = pytest.mark.parametrize("ball", [LINF, L2, L1], ids=["linf", "l2", "l1"])
ATTACKS: dict[str, Callable[[Ball], Pgd]] = {
    "fgsm": fgsm,
    "pgd": lambda ball: Pgd(6, ball),
    "pgd-equal": lambda ball: Pgd(6, ball, size="equal", start="zero"),
    "mi-fgsm": lambda ball: mi_fgsm(6, ball),
    "ni-fgsm": lambda ball: ni_fgsm(6, ball),
}


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_labels(n: int, classes: int, seed: int) -> Tensor:
    labels = (torch.rand(n, classes, generator=seeded(seed)) < 0.4).float()
    labels[0], labels[1] = 0, 1  # both sides of every class
    return labels


def opponents(snapshots: int = 3, n: int = 30, classes: int = 3) -> Tensor:
    return torch.randn(snapshots, n, classes, generator=seeded(5), dtype=torch.float64)


SPREAD = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
OBJECTIVES: dict[str, Objective] = {
    "bce": Bce(),
    "linear": Linear(SPREAD),
    "auc": AucObjective(opponents(), random_labels(30, 3, 6).double(), SPREAD, 0.5),
    "auc-cold": AucObjective(opponents(), random_labels(30, 3, 6).double(), SPREAD, 0.1),
    "auc-prevalence": AucObjective(
        opponents(), random_labels(30, 3, 6).double(), SPREAD, 2.0, torch.tensor([0.1, 0.5, 0.9]).double()
    ),
}
AIMS = pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES.keys())


# Objectives


@AIMS
@pytest.mark.parametrize("progress", [0.0, 0.6, 1.0])
def test_an_objective_has_the_gradient_it_says(objective: Objective, progress: float) -> None:
    scores = torch.randn(4, 3, generator=seeded(), dtype=torch.float64, requires_grad=True)
    labels = random_labels(4, 3, 2).double()
    assert torch.autograd.gradcheck(lambda s: objective(s, labels, progress), scores)


@AIMS
def test_an_objective_grows_where_a_score_leaves_its_label(objective: Objective) -> None:
    scores, labels = torch.randn(8, 3, generator=seeded(), dtype=torch.float64), random_labels(8, 3, 2).double()
    away = scores + 0.3 * (1 - 2 * labels)
    assert (objective(away, labels, 0.0) > objective(scores, labels, 0.0)).all()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-4, 4), st.booleans(), st.integers(-4, 4), st.booleans()), min_size=4, max_size=30)
)
def test_the_cold_auc_objective_is_one_minus_the_macro_auc(rows: list[tuple[int, bool, int, bool]]) -> None:
    """Against themselves, ties included: the mean over recordings of what each is worth."""
    scores = torch.tensor([[row[0], row[2]] for row in rows], dtype=torch.float64)
    labels = torch.tensor([[row[1], row[3]] for row in rows], dtype=torch.float64)
    assume(bool(((labels.mean(dim=0) > 0) & (labels.mean(dim=0) < 1)).all()))
    objective = AucObjective(scores.unsqueeze(0), labels, torch.ones(2, dtype=torch.float64), 1e-3)
    expected = 1 - macro_auc(scores.numpy(), labels.numpy())
    assert objective(scores, labels, 0.0).mean().item() == pytest.approx(expected, abs=1e-9)


def test_a_class_without_opponents_adds_nothing() -> None:
    objective = AucObjective(torch.zeros(1, 5, 2), torch.tensor([[1.0, 0.0]] * 5), torch.ones(2), 1.0)
    assert objective(torch.zeros(2, 2), torch.tensor([[1.0, 0.0], [1.0, 0.0]]), 0).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("progress", "snapshot"), [(0.0, 0), (0.2, 0), (0.3, 1), (0.5, 1), (0.9, 2), (1.0, 2)])
def test_the_opponents_are_those_of_the_same_progress(progress: float, snapshot: int) -> None:
    known = opponents()
    objective = AucObjective(known, random_labels(30, 3, 6), SPREAD, 1.0)
    assert torch.equal(objective.opponents(progress), known[snapshot])


# Balls


@BALLS
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**30), scale=st.sampled_from([1e-20, 1e-3, 1.0, 30.0]), epsilon=st.floats(1e-3, 1.0))
def test_projection_leads_inside_and_leaves_alone_what_is_inside(
    ball: Ball, seed: int, scale: float, epsilon: float
) -> None:
    delta = scale * torch.randn(5, 2, 9, generator=seeded(seed))
    inside = ball.project(delta, epsilon)
    assert ball.size(inside).max() <= epsilon * (1 + 1e-5)
    small = ball.size(delta) <= epsilon * (1 - 1e-6)
    assert torch.allclose(inside[small], delta[small], rtol=1e-6, atol=0)
    other = ball.project(torch.randn(5, 2, 9, generator=seeded(seed + 1)), epsilon)  # no other inside is nearer
    nearest, far = ((delta - one).square().sum(dim=(1, 2)) for one in (inside, other))
    assert (nearest <= far * (1 + 1e-4)).all()


@BALLS
@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e20])
def test_the_steepest_step_beats_every_other_of_its_size(ball: Ball, scale: float) -> None:
    gradient = scale * torch.randn(5, 2, 9, generator=seeded())
    step = ball.steepest(gradient)
    assert torch.allclose(ball.size(step), torch.ones(5))
    for seed in range(20):
        other = ball.random(gradient, 1.0, seeded(seed))
        gain, others = ((gradient.double() / scale * one).sum(dim=(1, 2)) for one in (step, other))
        assert (gain >= others * (1 - 1e-6)).all()


@BALLS
def test_no_gradient_gives_no_step_and_a_random_start_fills_the_ball(ball: Ball) -> None:
    assert not ball.steepest(torch.zeros(3, 2, 4)).any()
    sizes = ball.size(ball.random(torch.zeros(50, 2, 40), 0.02, seeded()))
    assert sizes.max() <= 0.02 * (1 + 1e-6) and sizes.min() >= 0.015


# Attacks


def tiny_net(smooth: bool = False) -> tuple[nn.Module, Victims]:
    """An untrained net of three classes on 40 recordings."""
    torch.manual_seed(0)
    bend = nn.Tanh if smooth else nn.ReLU
    net = nn.Sequential(nn.Conv1d(2, 6, 5), bend(), nn.Conv1d(6, 6, 5), bend(), nn.Flatten(), nn.Linear(96, 3))
    signals = torch.randn(40, 2, 24, generator=seeded(4))
    return net.eval().requires_grad_(False), Victims(signals, random_labels(40, 3, 5))


@pytest.fixture(scope="module")
def trained() -> tuple[nn.Module, Victims]:
    """A net trained for a moment on recordings in which a class is an offset with noise."""
    labels = random_labels(160, 2, 3)
    signals = 0.05 * torch.randn(160, 2, 64, generator=seeded(3)) + 0.04 * (labels.unsqueeze(2) - 0.5)
    torch.manual_seed(0)
    net = Cnn(2, 64, 2, width=4, dropout=0.0)
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(40):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(net(signals), labels).backward()
        optimizer.step()
    return net.eval().requires_grad_(False), Victims(signals, labels)


def auc(net: nn.Module, victims: Victims, delta: Tensor | float = 0.0) -> float:
    scores = clean_scores(net, Victims(victims.signals + delta, victims.labels))
    return macro_auc(scores.numpy(), victims.labels.numpy())


@AIMS
def test_the_gradient_at_the_signal_is_that_of_finite_differences(objective: Objective) -> None:
    net, victims = tiny_net(smooth=True)
    net, victims = net.double(), Victims(victims.signals.double(), victims.labels.double())
    delta = 0.01 * torch.randn(victims.signals.shape, generator=seeded(8), dtype=torch.float64)
    gradient = evaluate(net, victims, delta, objective, 0.5, batch_size=16).gradient
    for seed in range(5):
        way = torch.randn(delta.shape, generator=seeded(seed), dtype=torch.float64)
        ahead, behind = (evaluate(net, victims, delta + h * way, objective, 0.5).worth for h in (1e-6, -1e-6))
        assert torch.allclose((ahead - behind) / 2e-6, (gradient * way).sum(dim=(1, 2)), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", ATTACKS)
@BALLS
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**30), epsilon=st.floats(1e-4, 2.0))
def test_an_attack_stays_in_its_ball_and_repeats_to_the_bit(name: str, ball: Ball, seed: int, epsilon: float) -> None:
    net, victims = tiny_net()
    runs = [ATTACKS[name](ball)(net, victims, [Bce()] * 2, [epsilon, 2 * epsilon], seeded(seed)) for _ in range(2)]
    for budget, first, again in zip((epsilon, 2 * epsilon), *runs, strict=True):
        assert ball.size(first).max() <= budget * (1 + 1e-5)
        assert torch.equal(first, again)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_makes_its_objective_larger_and_does_not_depend_on_the_batch(name: str) -> None:
    net, victims = tiny_net()
    attack = ATTACKS[name](LINF)
    whole, parts = (
        Pgd(**{**vars(attack), "batch_size": size})(net, victims, [Bce()], [0.1], seeded())[0] for size in (64, 7)
    )
    assert (whole - parts).abs().gt(1e-6).float().mean() < 0.01  # sums in another order may turn a sign at zero
    before, after = (evaluate(net, victims, delta, Bce(), 1.0).worth for delta in (torch.zeros_like(whole), whole))
    assert (after > before).all()


def test_watch_sees_the_scores_before_every_step() -> None:
    net, victims = tiny_net()
    seen: list[tuple[float, Tensor]] = []
    Pgd(5, start="zero")(net, victims, [Bce()], [0.1], seeded(), watch=lambda *what: seen.append(what))
    assert [progress for progress, _ in seen] == [0, 0.25, 0.5, 0.75, 1]
    assert torch.equal(seen[0][1], clean_scores(net, victims))
    worth = [Bce()(scores, victims.labels, 0).mean().item() for _, scores in seen]
    assert worth == sorted(worth)


def test_an_attack_wants_an_objective_for_every_budget() -> None:
    net, victims = tiny_net()
    with pytest.raises(ValueError, match="zip"):
        fgsm()(net, victims, [Bce()], [0.1, 0.2], seeded())


@BALLS
def test_fgsm_is_one_steepest_step_from_the_clean_recording(ball: Ball) -> None:
    net, victims = tiny_net()
    gradient = evaluate(net, victims, torch.zeros_like(victims.signals), Bce(), 0.0).gradient
    (delta,) = fgsm(ball)(net, victims, [Bce()], [0.03], seeded())
    assert torch.allclose(delta, 0.03 * ball.steepest(gradient), rtol=1e-5)


class Bowl:
    """The scores are the signal; the objective falls with the squared distance from a peak, each axis at its own rate:
    its gradient is ``-2 rate (x - peak)``."""

    def __init__(self, peak: Tensor, rate: Tensor) -> None:
        self.peak, self.rate = peak, rate

    def __call__(self, scores: Tensor, labels: Tensor, progress: float) -> Tensor:
        return -(self.rate * (scores - self.peak) ** 2).sum(dim=1)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("size", ["equal", "falling"])
def test_momentum_accumulates_as_the_papers_say(momentum: float, nesterov: bool, size: str) -> None:
    """Dong et al. 2018, equation 6; Lin et al. 2020, equations 5 to 7: on a bowl, step by step in numpy."""
    steps, epsilon = 8, 0.5
    peak = torch.randn(3, 6, generator=seeded(2), dtype=torch.float64)
    rate = 0.1 + torch.rand(3, 6, generator=seeded(3), dtype=torch.float64)
    signals = torch.randn(3, 1, 6, generator=seeded(1), dtype=torch.float64)
    attack = Pgd(steps, L2, size=size, momentum=momentum, nesterov=nesterov, start="zero")  # type: ignore[arg-type]
    places: list[Tensor] = []

    class Spying(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            places.append(x.detach().flatten(1))
            return x.flatten(1)

    (delta,) = attack(Spying(), Victims(signals, torch.zeros(3, 6)), [Bowl(peak, rate)], [epsilon], seeded())

    x, total = np.zeros((3, 6)), np.zeros((3, 6))
    for step in range(steps):
        alpha = epsilon / steps if size == "equal" else epsilon * (1 - step / steps)
        ahead = x + alpha * momentum * total if nesterov else x
        place = signals.flatten(1).numpy() + ahead
        np.testing.assert_allclose(places[step].numpy(), place, atol=1e-12)
        gradient = -2 * rate.numpy() * (place - peak.numpy())
        total = momentum * total + gradient / np.abs(gradient).mean(axis=1, keepdims=True)
        x = x + alpha * total / np.sqrt((total**2).mean(axis=1, keepdims=True))
        x = x / np.maximum(1, np.sqrt((x**2).mean(axis=1, keepdims=True)) / epsilon)
    np.testing.assert_allclose(delta.flatten(1).numpy(), x, atol=1e-9)


def test_a_stand_in_is_sharpened_from_step_to_step() -> None:
    told: list[float] = []

    class Soft(nn.Flatten):
        def anneal(self, progress: float) -> None:
            told.append(progress)

    Pgd(3)(nn.Sequential(Soft()), Victims(torch.zeros(2, 1, 4), torch.ones(2, 4)), [Bce()], [0.1], seeded())
    assert told == [0.0, 0.5, 1.0]


def test_a_model_without_gradient_is_refused_not_called_robust() -> None:
    from sklearn.tree import DecisionTreeClassifier

    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(50, 8)).astype(np.float32), rng.integers(0, 2, (50, 2))
    walk = TreeWalk(tree_arrays(DecisionTreeClassifier(max_depth=3).fit(features, labels)))
    victims = Victims(torch.zeros(4, 1, 8), torch.ones(4, 2))
    with pytest.raises(NoGradientError, match="not differentiable"):
        fgsm()(nn.Sequential(nn.Flatten(), walk), victims, [Bce()], [0.1], seeded())


# The AUC


def aimed(net: nn.Module, victims: Victims, attack: Pgd, budget: float) -> Tensor:
    objective = auc_objective(attack, net, victims, budget, seeded(2))
    return attack(net, victims, [objective], [budget], seeded(1))[0]


@BALLS
def test_the_auc_falls_with_the_budget_and_more_than_by_noise(trained: tuple[nn.Module, Victims], ball: Ball) -> None:
    net, victims = trained
    curve = [auc(net, victims)]
    curve += [auc(net, victims, aimed(net, victims, Pgd(10, ball), budget)) for budget in (0.005, 0.02, 0.08)]
    assert curve == sorted(curve, reverse=True)
    noise = 0.02 * torch.randn(victims.signals.shape, generator=seeded(2)).sign()
    assert curve[2] < auc(net, victims, noise) - 0.1
    assert curve[3] < 0.5 < curve[0]


def test_steps_in_bfloat16_lead_as_far(trained: tuple[nn.Module, Victims]) -> None:
    net, victims = trained
    clean = auc(net, victims)
    full, half = (auc(net, victims, aimed(net, victims, Pgd(10, half=half), 0.02)) for half in (False, True))
    assert half == pytest.approx(full, abs=0.1 * (clean - full))


def test_references_walk_against_each_other(trained: tuple[nn.Module, Victims]) -> None:
    net, victims = trained
    attack = Pgd(6)
    objective = auc_objective(attack, net, victims, 0.02, seeded())
    assert objective.scores.shape == (6, 160, 2)
    assert torch.equal(objective.spread, spread_of(clean_scores(net, victims)))
    aucs = [macro_auc(scores.numpy(), victims.labels.numpy()) for scores in objective.scores]
    assert aucs[-1] < aucs[0] - 0.1  # they have really gone somewhere

    # Walked again by hand: before each step the opponents are where the step before found them.
    known = [clean_scores(net, victims)]

    def by_hand(scores: Tensor, labels: Tensor, progress: float) -> Tensor:
        now = AucObjective(known[-1].unsqueeze(0), victims.labels, objective.spread, objective.temperature)
        return now(scores, labels, progress)

    attack(net, victims, [by_hand], [0.02], seeded(), watch=lambda _, scores: known.append(scores))
    assert torch.equal(torch.stack(known[1:]), objective.scores)
