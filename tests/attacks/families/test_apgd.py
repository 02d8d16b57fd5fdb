"""APGD: its checkpoints and halvings are the paper's, it keeps the best, and its starts only help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pulseproof.attacks.aim.ball import L2, LINF, Ball
from pulseproof.attacks.aim.objectives import AucObjective, Bce
from pulseproof.attacks.aim.references import auc_objective, clean_scores
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.apgd import Apgd, checkpoints
from pulseproof.attacks.gradient import NoGradientError
from pulseproof.attacks.steps import Memory, Points


@dataclass(frozen=True)
class Hill:
    """The scores are the signal itself and the objective is minus their weighted squared distance from a peak."""

    peak: Tensor
    weight: Tensor

    def __call__(self, scores: Tensor, labels: Tensor, progress: float) -> Tensor:
        return -(self.weight * (scores - self.peak) ** 2).sum(dim=1)


def hill(seed: int, n: int = 6, height: float = 1.5) -> tuple[nn.Module, Victims, Hill]:
    """Recordings of one lead and eight samples, some peaks inside a ball of 1 mV about them and some outside."""
    generator = torch.Generator().manual_seed(seed)
    signals = torch.randn(n, 1, 8, generator=generator, dtype=torch.float64)
    peak = signals.flatten(1) + height * (2 * torch.rand(n, 8, generator=generator, dtype=torch.float64) - 1)
    weight = 0.1 + torch.rand(n, 8, generator=generator, dtype=torch.float64)
    return nn.Flatten(), Victims(signals, torch.zeros(n, 8)), Hill(peak, weight)


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (100, (22, 41, 57, 70, 80, 87, 93, 99)),  # the paper's example
        (20, (5, 9, 12, 14, 16, 18, 19, 20)),
        (10, (3, 5, 6, 7, 8, 9, 10)),
        (1, (1,)),
    ],
)
def test_checkpoints_are_those_of_the_paper(steps: int, expected: tuple[int, ...]) -> None:
    assert checkpoints(steps) == expected


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 500))
def test_checkpoints_rise_and_end_within_the_steps(steps: int) -> None:
    found = checkpoints(steps)
    assert list(found) == sorted(set(found))
    assert found[0] >= 1 and found[-1] <= steps


def one_by_one(
    value: Callable[[np.ndarray], float],
    slope: Callable[[np.ndarray], np.ndarray],
    steps: int,
    ball: Ball,
) -> tuple[np.ndarray, list[np.ndarray], int]:
    """Algorithm 1 of the paper for one recording and a ball of 1 mV, written down a second time and as plainly as can
    be: the best point, all points, and how often the step was halved."""

    def project(delta: np.ndarray) -> np.ndarray:
        if ball is LINF:
            return np.clip(delta, -1, 1)
        return delta / max(1.0, np.sqrt((delta**2).mean()))

    def direction(gradient: np.ndarray) -> np.ndarray:
        return np.sign(gradient) if ball is LINF else gradient / np.sqrt((gradient**2).mean())

    x = [np.zeros(8)]
    f = [value(x[0])]
    best, grown_since, eta, halvings = 0, 0, 2.0, 0
    at = 0  # the point a step is taken from; after a return it is the best one, not the newest
    window, pause, share = 0, 0.22, 0.22
    before_window_improved, halved_before = False, True
    while len(x) <= steps:
        newest = len(x) - 1
        z = project(x[at] + eta * direction(slope(x[at])))
        if newest:
            z = project(x[at] + 0.75 * (z - x[at]) + 0.25 * (x[at] - x[newest - 1]))
        x.append(z)
        f.append(value(z))
        at = newest + 1
        grown_since += f[-1] > f[-2]
        if f[-1] > f[best]:
            best, before_window_improved = at, True
        if at == int(np.ceil(round(share * steps, 9))):
            too_few = grown_since < 0.75 * (at - window)
            idle = not halved_before and not before_window_improved
            halved_before = too_few or idle
            if halved_before:
                eta, halvings, at = eta / 2, halvings + 1, best
            window, grown_since, before_window_improved = len(x) - 1, 0, False
            pause = max(pause - 0.03, 0.06)
            share += pause
    return x[best], x, halvings


def about(objective: Hill, victims: Victims, row: int) -> tuple[Callable[..., float], Callable[..., np.ndarray]]:
    """The objective of one recording and its gradient, by perturbation (8,), in numpy."""
    away = (victims.signals[row].flatten() - objective.peak[row]).numpy()
    weight = objective.weight[row].numpy()
    return lambda d: float(-(weight * (away + d) ** 2).sum()), lambda d: -2 * weight * (away + d)


@pytest.mark.parametrize("ball", [LINF, L2], ids=["linf", "l2"])
@pytest.mark.parametrize("steps", [1, 3, 20, 50])
def test_every_recording_goes_the_way_of_the_paper(ball: Ball, steps: int) -> None:
    module, victims, objective = hill(3)
    seen: list[Tensor] = []

    class Spying(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append((x - victims.signals).detach().flatten(1))
            return module(x)

    (delta,) = Apgd(steps, ball, start="zero")(Spying(), victims, [objective], [1.0], seeded())
    way = torch.stack(seen).numpy()  # (steps + 1, n, 8): a gradient a step, and a last look
    assert len(way) == steps + 1
    halvings = []
    for row in range(len(victims)):
        value, slope = about(objective, victims, row)
        best, points, halved = one_by_one(value, slope, steps, ball)
        np.testing.assert_allclose(way[:, row], np.array(points), atol=1e-9)
        np.testing.assert_allclose(delta[row].flatten().numpy(), best, atol=1e-9)
        halvings.append(halved)
    assert steps < 20 or max(halvings) >= 2  # the toy is one on which the step does shrink


def test_a_peak_inside_the_ball_is_approached() -> None:
    # With steps that stay at twice the budget, signs would jump from wall to wall of the ball.
    module, victims, objective = hill(5, height=0.5)
    (delta,) = Apgd(50)(module, victims, [objective], [1.0], seeded())
    clean, reached = (objective(module(victims.signals + d), victims.labels, 1.0) for d in (0.0, delta))
    assert (reached > 0.1 * clean).all()


MEMORY = [
    # values after each step, steps kept at the checkpoint before; is the step halved
    ("rises all the time", [1.0, 2.0, 3.0, 4.0], True, False),
    ("rises in two of four steps", [1.0, 0.5, 2.0, 1.5], False, True),
    ("rises in three of four steps", [1.0, 0.5, 2.0, 3.0], False, False),
    ("rises in three of four, never above its best, after a kept step", [-4.0, -3.0, -2.0, -1.0], True, True),
    ("the same after a halved step", [-4.0, -3.0, -2.0, -1.0], False, False),
]


@pytest.mark.parametrize(("values", "kept", "halved"), [case[1:] for case in MEMORY], ids=[case[0] for case in MEMORY])
def test_the_two_conditions(values: list[float], kept: bool, halved: bool) -> None:
    def at(value: float) -> Points:
        return Points(torch.full((1, 1, 1), value), torch.full((1, 1), value), torch.zeros(1, 1, 1))

    memory = Memory(at(0.0))
    memory.kept = torch.tensor([kept])
    for value in values:
        memory.look(at(value), lambda scores: scores.sum(dim=1))
    assert memory.checkpoint(0.75).tolist() == [halved]
    assert memory.kept.tolist() == [not halved]
    assert memory.best.delta.item() == max(0.0, *values)


def test_points_are_compared_against_the_opponents_of_one_moment() -> None:
    # One class, opponents that move from 0 to 10. A score of 3 passes them early and is worth nothing late; were the
    # early value remembered, the later and better point (4) would look worse and be lost.
    opponents = AucObjective(torch.tensor([[[0.0]], [[10.0]]]), torch.ones(1, 1), torch.ones(1), 1.0)
    labels = torch.zeros(1, 1)

    def at(value: float) -> Points:
        return Points(torch.full((1, 1, 1), value), torch.full((1, 1), value), torch.zeros(1, 1, 1))

    early, late = (opponents(torch.tensor([[score]]), labels, when) for score, when in ((3.0, 0.0), (4.0, 1.0)))
    assert early > late
    memory = Memory(at(3.0))
    memory.look(at(4.0), lambda scores: opponents(scores, labels, 1.0))
    assert memory.best.delta.item() == 4.0 and memory.risen.item() == 1


def tiny_net(classes: int = 3) -> tuple[nn.Module, Victims]:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv1d(2, 6, 5), nn.ReLU(), nn.Conv1d(6, 6, 5), nn.ReLU(), nn.Flatten(), nn.LazyLinear(classes)
    )
    generator = seeded(4)
    signals = torch.randn(40, 2, 24, generator=generator)
    net(signals[:1])
    labels = (torch.rand(40, classes, generator=generator) < 0.4).float()
    return net.eval().requires_grad_(False), Victims(signals, labels)


@pytest.mark.parametrize("ball", [LINF, L2], ids=["linf", "l2"])
def test_the_best_point_is_never_worse_than_any_seen_and_starts_only_help(ball: Ball) -> None:
    net, victims = tiny_net()
    reached = []
    for restarts in (1, 2, 4):
        seen: list[Tensor] = []
        attack = Apgd(10, ball, restarts)
        (delta,) = attack(
            net, victims, [Bce()], [0.3], seeded(), watch=lambda _, scores, seen=seen: seen.append(scores)
        )
        assert ball.size(delta).max() <= 0.3 * (1 + 1e-6)
        assert [tuple(scores.shape) for scores in seen] == [(40, 3)] * 10
        worth = [Bce()(scores, victims.labels, 0) for scores in (*seen, clean_scores(net, moved(victims, delta)))]
        assert all((after >= before - 1e-4).all() for before, after in pairwise(worth))
        reached.append(worth[-1])
    assert (reached[1] >= reached[0] - 1e-4).all() and (reached[2] >= reached[1] - 1e-4).all()
    assert reached[2].mean() > reached[0].mean()


def test_equal_generators_give_equal_bytes_whatever_the_batch() -> None:
    net, victims = tiny_net()
    runs = [Apgd(8, restarts=2, batch_size=size)(net, victims, [Bce()], [0.1], seeded(7))[0] for size in (64, 64, 7)]
    assert torch.equal(runs[0], runs[1])
    assert (runs[0] - runs[2]).abs().gt(1e-6).float().mean() < 0.01  # sums in another order may turn a sign at zero


def test_the_references_of_the_auc_objective_can_walk_it() -> None:
    net, victims = tiny_net()
    objective = auc_objective(Apgd(10, restarts=2), net, victims, 0.3, seeded())
    assert objective.scores.shape == (10, 40, 3)
    deltas = Apgd(10)(net, victims, [objective, objective], [0.1, 0.3], seeded())
    swapped = [objective(clean_scores(net, moved(victims, delta)), victims.labels, 0.0).mean() for delta in deltas]
    calm = objective(clean_scores(net, victims), victims.labels, 0.0).mean()
    assert calm < swapped[0] < swapped[1]


def test_a_model_without_gradient_is_refused() -> None:
    class Hard(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x.detach() > 0).float().mean(dim=2)

    with pytest.raises(NoGradientError):
        Apgd(2)(Hard(), Victims(torch.zeros(2, 1, 8), torch.ones(2, 1)), [Bce()], [0.1], seeded())


def moved(victims: Victims, delta: Tensor) -> Victims:
    return Victims(victims.signals + delta, victims.labels)
