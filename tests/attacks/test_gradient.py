"""PGD and the AUC objective: gradients against finite differences, budgets, and that the AUC really falls."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from attacks.gradient import pgd
from attacks.objectives import References, auc_objective, bce_objective
from models.nets import Cnn
from models.trees import TreeWalk, tree_arrays


def references(n: int = 30, classes: int = 3, seed: int = 5) -> References:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(1, n, classes, generator=generator, dtype=torch.float64)
    return References(scores, (torch.rand(n, classes, generator=generator) < 0.4).double())


@pytest.mark.parametrize("temperature", [0.1, 0.5, 2.0])
def test_the_objective_has_the_gradient_it_says(temperature: float) -> None:
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(4, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    truth = (torch.rand(4, 3, generator=generator) < 0.5).double()
    objective = auc_objective(references(), torch.tensor([0.5, 1.0, 2.0]).double(), temperature)
    assert torch.autograd.gradcheck(lambda s: objective(s, truth, 0), scores)


def test_the_objective_counts_swapped_pairs_when_cold() -> None:
    known = references()
    truth = torch.tensor([[1.0, 0.0, 1.0]]).double()
    scores = torch.tensor([[-0.3, 0.2, 0.9]]).double()
    cold = auc_objective(known, torch.ones(3).double(), 1e-6)(scores, truth, 0).item()
    counted = 0.0
    for column in range(3):
        ranks = known.scores[0][known.labels[:, column] != truth[0, column], column]
        passed = scores[0, column] < ranks if truth[0, column] else scores[0, column] > ranks
        counted += passed.double().mean().item()
    assert cold == pytest.approx(counted)


def test_a_class_without_opponents_adds_nothing() -> None:
    known = References(torch.zeros(1, 5, 2), torch.tensor([[1.0, 0.0]] * 5))
    objective = auc_objective(known, torch.ones(2), 1.0)
    assert objective(torch.zeros(2, 2), torch.tensor([[1.0, 0.0], [1.0, 0.0]]), 0).tolist() == [0.0, 0.0]


def small_problem() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """A net trained for a moment on recordings in which the class is an offset with noise."""
    generator = torch.Generator().manual_seed(3)
    labels = (torch.rand(160, 2, generator=generator) < 0.5).float()
    x = 0.05 * torch.randn(160, 2, 64, generator=generator) + 0.04 * (labels.unsqueeze(2) - 0.5)
    torch.manual_seed(0)
    net = Cnn(2, 64, 2, width=4, dropout=0.0)
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(40):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(net(x), labels).backward()
        optimizer.step()
    net.eval().requires_grad_(False)
    return net, x, labels


def auc(net: nn.Module, x: torch.Tensor, labels: torch.Tensor) -> float:
    with torch.inference_mode():
        return float(roc_auc_score(labels.numpy(), net(x).numpy(), average="macro"))


def test_pgd_stays_in_its_budget_and_lowers_the_auc_more_than_noise() -> None:
    net, x, labels = small_problem()
    with torch.inference_mode():
        calm = net(x).clone()
    objective = auc_objective(References(calm.unsqueeze(0), labels), calm.std(dim=0), 0.5)
    curve = []
    for budget in (0.005, 0.02, 0.08):
        delta = pgd(net, x, labels, objective, budget, 10, torch.Generator().manual_seed(1))
        assert delta.abs().max() <= budget * (1 + 1e-6)
        curve.append(auc(net, x + delta, labels))
    noise = 0.02 * torch.sign(torch.randn(x.shape, generator=torch.Generator().manual_seed(2)))
    clean = auc(net, x, labels)
    assert curve == sorted(curve, reverse=True)
    assert curve[1] < auc(net, x + noise, labels) - 0.1
    assert curve[2] < 0.5 < clean


def test_pgd_repeats_to_the_bit_and_does_not_depend_on_the_batch() -> None:
    net, x, labels = small_problem()
    runs = [
        pgd(net, x, labels, bce_objective, 0.02, 3, torch.Generator().manual_seed(7), batch_size=size)
        for size in (64, 64, 160)
    ]
    assert torch.equal(runs[0], runs[1])
    assert (runs[0] == runs[2]).float().mean() > 0.99  # sums in another order may flip a sign at zero


def test_watch_sees_the_scores_of_every_step() -> None:
    net, x, labels = small_problem()
    seen: list[torch.Tensor] = []
    pgd(net, x, labels, bce_objective, 0.02, 4, torch.Generator().manual_seed(7), watch=lambda _, s: seen.append(s))
    assert [tuple(scores.shape) for scores in seen] == [(160, 2)] * 4


def test_a_model_without_gradient_is_refused_not_called_robust() -> None:
    from sklearn.tree import DecisionTreeClassifier

    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(50, 8)).astype(np.float32), rng.integers(0, 2, (50, 2))
    walk = TreeWalk(tree_arrays(DecisionTreeClassifier(max_depth=3).fit(features, labels)))
    module = nn.Sequential(nn.Flatten(), walk)
    x, truth = torch.zeros(4, 1, 8), torch.ones(4, 2)
    with pytest.raises(ValueError, match="not differentiable"):
        pgd(module, x, truth, bce_objective, 0.1, 1, torch.Generator())
