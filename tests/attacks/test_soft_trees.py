"""Softened trees: scores of the true forest, gradients of the soft one, and an attack that only believes the former."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.tree import DecisionTreeClassifier
from torch import Tensor, nn

from pulseproof.attacks.aim.ball import L2, LINF, Ball
from pulseproof.attacks.aim.objectives import Bce, Linear
from pulseproof.attacks.aim.recorder import Recorder
from pulseproof.attacks.aim.references import auc_objective, clean_scores, spread_of
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.gradient import Attack, NoGradientError, Pgd, anneal, evaluate
from pulseproof.attacks.soft_trees import (
    FIRST_MV,
    SoftTrees,
    TreeSight,
    has_soft_trees,
    node_widths,
    per_millivolt,
    soften,
    tree_attack,
)
from pulseproof.core.study import load_study
from pulseproof.ecg.prepare import prepare
from pulseproof.ecg.recordings import Recordings, to_millivolts
from pulseproof.models.classical import FeatureModel, Logistic, head_of
from pulseproof.models.features import Features
from pulseproof.models.systems import decision_tree, logistic_regression, random_forest
from pulseproof.models.trees import tree_arrays
from pulseproof.runtime.auc import macro_auc
from tests.models.making import small_recordings

STEP_MV = 0.001
BUDGET_MV = 0.2  # half the height of the bump that tells the classes apart
ESTIMATORS: dict[str, Callable[[], Any]] = {
    "tree": lambda: DecisionTreeClassifier(max_depth=5, min_samples_leaf=6, random_state=1),
    "forest": lambda: RandomForestClassifier(20, max_depth=5, random_state=1),
    "forest-per-class": lambda: OneVsRestClassifier(RandomForestClassifier(8, max_depth=4, random_state=1)),
    "boosted": lambda: OneVsRestClassifier(GradientBoostingClassifier(n_estimators=12, max_depth=2, random_state=1)),
    "histogram": lambda: OneVsRestClassifier(HistGradientBoostingClassifier(max_iter=12, max_depth=3, random_state=1)),
}
EVERY = pytest.mark.parametrize("name", ESTIMATORS)


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def victims_of(recordings: Recordings, rows: NDArray[np.intp]) -> Victims:
    labels = recordings.labels[rows].astype(np.float32)
    return Victims(torch.from_numpy(recordings.signals(rows)), torch.from_numpy(labels))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    return small_recordings(tmp_path_factory.mktemp("small"), n=300)


@pytest.fixture(scope="module")
def references(recordings: Recordings) -> Victims:
    return victims_of(recordings, recordings.indices("validation"))


@pytest.fixture(scope="module")
def victims(recordings: Recordings) -> Victims:
    return victims_of(recordings, recordings.indices("test"))


@pytest.fixture(scope="module")
def true(recordings: Recordings) -> dict[str, FeatureModel]:
    """A fitted model of every kind."""
    features = Features(("I", "II"), 160, 100.0, segments=8)
    rows = recordings.indices("train")
    seen = features(torch.from_numpy(recordings.signals(rows))).numpy()
    return {
        name: FeatureModel(features, head_of(make().fit(seen, recordings.labels[rows])))
        for name, make in ESTIMATORS.items()
    }


def random_forest_of(seed: int, trees: int, depth: int) -> tuple[RandomForestClassifier, NDArray[np.float32]]:
    """A forest on random features of three decimals, and features of which many lie on its limits exactly."""
    rng = np.random.default_rng(seed)
    known = rng.normal(size=(60, 4)).round(3).astype(np.float32)
    labels = (known[:, :3] + 0.5 * rng.normal(size=(60, 3)) > 0).astype(np.uint8)
    forest = RandomForestClassifier(trees, max_depth=depth, random_state=seed).fit(known, labels)
    limits = tree_arrays(forest).threshold
    asked = np.where(rng.random((40, 4)) < 0.5, rng.choice(limits, (40, 4)), rng.normal(size=(40, 4)))
    return forest, asked.astype(np.float32)


FORESTS = given(seed=st.integers(0, 10_000), trees=st.integers(1, 5), depth=st.integers(1, 6))


# The trees


@settings(max_examples=30, deadline=None)
@FORESTS
def test_scores_are_those_of_scikit_learn(seed: int, trees: int, depth: int) -> None:
    forest, features = random_forest_of(seed, trees, depth)
    walk = head_of(forest)
    soft = SoftTrees(tree_arrays(forest), torch.ones(4))
    asked = torch.from_numpy(features)
    said = np.stack([part[:, -1] for part in forest.predict_proba(features)], axis=1)
    with_gradient = soft(asked.clone().requires_grad_(True))
    assert with_gradient.requires_grad
    for scores in (with_gradient.detach(), soft.soft(asked, 0), soft(asked)):
        assert torch.equal(scores, walk(asked))
        np.testing.assert_allclose(scores.numpy(), said, atol=1e-6)


@settings(max_examples=30, deadline=None)
@FORESTS
def test_soft_trees_become_hard_as_nodes_narrow(seed: int, trees: int, depth: int) -> None:
    forest, features = random_forest_of(seed, trees, depth)
    arrays = tree_arrays(forest)
    soft = SoftTrees(arrays, torch.tensor([0.5, 1.0, 2.0, 4.0]))
    inner = ~arrays.leaf
    gaps = np.abs(features[:, arrays.feature[inner]] - arrays.threshold[inner])
    closest = (gaps / soft.per_mv.numpy()[arrays.feature[inner]]).min(axis=1)
    asked = torch.from_numpy(features[closest > 1e-4]).double()
    closest = torch.from_numpy(closest[closest > 1e-4]).double()
    for width in (1.0, 0.1, 0.01, 1e-5):
        off = (soft.soft(asked, width) - soft.soft(asked, 0)).abs().amax(dim=1)
        # A node sends sigmoid(-closest / width) astray at most; a tree of this depth keeps the rest on the true path.
        astray = 1 - torch.sigmoid(closest / width) ** arrays.depth
        assert (off <= astray + 1e-6).all()
    assert (off < 1e-3).all()


def test_levels_hold_every_leaf_once() -> None:
    forest, _ = random_forest_of(3, 4, 5)
    arrays = tree_arrays(forest)
    soft = SoftTrees(arrays, torch.ones(4))
    value = np.concatenate([level.value.numpy() for level in soft.levels])
    np.testing.assert_allclose(np.sort(value, axis=0), np.sort(arrays.value[arrays.leaf], axis=0))
    assert len(soft.levels) == arrays.depth + 1


@EVERY
@pytest.mark.parametrize("width", [1.0, 0.2])
def test_the_soft_gradient_is_that_of_finite_differences(
    name: str, width: float, true: dict[str, FeatureModel], references: Victims
) -> None:
    soft = soften(true[name], references.signals).head
    assert isinstance(soft, SoftTrees)
    features = true[name].features(references.signals[:2]).double().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda asked: soft.soft(asked, width), features)


@EVERY
def test_a_softened_model_has_the_soft_gradient(name: str, true: dict[str, FeatureModel], references: Victims) -> None:
    module = soften(true[name], references.signals)
    soft = module.head
    assert isinstance(soft, SoftTrees)
    signals = references.signals[:3].clone().requires_grad_(True)
    (told,) = torch.autograd.grad(module(signals).sum(), signals)
    (wanted,) = torch.autograd.grad(soft.soft(true[name].features(signals), FIRST_MV).sum(), signals)
    assert torch.equal(told, wanted) and told.abs().sum() > 0


def test_annealing_is_geometric() -> None:
    forest, _ = random_forest_of(1, 2, 3)
    soft = nn.Sequential(SoftTrees(tree_arrays(forest), torch.ones(4)))
    widths = []
    with node_widths(soft, 0.01, 0.0001):
        for progress in (0.0, 0.5, 1.0):
            anneal(soft, progress)
            widths.append(soft[0].width_mv)
    np.testing.assert_allclose(widths, [0.01, 0.001, 0.0001])
    assert soft[0].width_mv == FIRST_MV


# Softening


@EVERY
def test_softening_changes_the_gradient_only(name: str, true: dict[str, FeatureModel], references: Victims) -> None:
    model = true[name]
    soft = soften(model, references.signals)
    assert torch.equal(soft(references.signals), model(references.signals))
    assert has_soft_trees(soft) and not has_soft_trees(model)
    assert all(getattr(part, "differentiable", True) for part in soft.modules())
    with pytest.raises(NoGradientError):
        evaluate(model, references, torch.zeros_like(references.signals), Bce(), 0.0)


@pytest.mark.parametrize(
    "module", [nn.Flatten(), FeatureModel(nn.Flatten(), Logistic(4, 2))], ids=["no-features", "logistic"]
)
def test_a_module_without_trees_is_given_back(module: nn.Module) -> None:
    assert soften(module, torch.zeros(2, 1, 4)) is module


def test_how_far_features_move(references: Victims) -> None:
    features = Features(("I", "II"), 160, 100.0, segments=4)
    used = torch.arange(0, len(features.names), 1)
    moved = dict(zip(features.names, per_millivolt(features, references.signals[:5], used).tolist(), strict=True))
    for one in ("mean", "min", "max", "segment-0", "segment-3"):
        assert moved[f"II:{one}"] == pytest.approx(1, rel=1e-4)
    assert 0 < moved["I:std"] < 1
    assert per_millivolt(features, references.signals[:5], used[:0]).abs().sum() == 0


def test_features_move_as_far_as_they_are_said_to(references: Victims) -> None:
    """By the signs of its gradient, a tiny perturbation moves a feature as far as that: nothing moves it farther."""
    features, one = Features(("I", "II"), 160, 100.0).double(), references.signals[:1].double()
    said = per_millivolt(features, one, torch.arange(24))
    for column in (1, 5, 9, 13, 20):
        signals = one.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(features(signals)[0, column], signals)
        tiny = 1e-7 * gradient.sign()
        rise = (features(one + tiny) - features(one - tiny))[0, column] / 2e-7
        assert float(rise) == pytest.approx(float(said[column]), rel=1e-3)


# The attack


def recorded(signals: Tensor, delta: Tensor, budget: float) -> Tensor:
    """What the attack judges."""
    return TreeSight(STEP_MV).place(signals, delta, "linf", budget)


def test_it_is_an_attack() -> None:
    attack: Attack = tree_attack()
    assert attack == tree_attack(20, 0.0) and hash(attack) == hash(tree_attack())


@settings(max_examples=60, deadline=None)
@given(
    step_mv=st.sampled_from([0.001, 0.0025, 0.005, 0.01]),
    budget=st.floats(0.001, 0.05),
    seed=st.integers(0, 1000),
)
def test_what_is_judged_is_what_is_recorded(step_mv: float, budget: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    clean = rng.integers(-3000, 3000, (3, 2, 40)).astype(np.int16)
    delta = LINF.random(torch.zeros(clean.shape), budget, seeded(seed))
    judged = TreeSight(step_mv).place(torch.from_numpy(to_millivolts(clean, step_mv)), delta, "linf", budget)
    recorded = Recorder(step_mv, -32767, 32767).record(clean, delta.numpy(), budget)
    np.testing.assert_array_equal(judged.numpy(), to_millivolts(recorded, step_mv))


@pytest.mark.parametrize("ball", [LINF, L2], ids=["linf", "l2"])
@pytest.mark.parametrize("restarts", [1, 3])
def test_budgets_are_kept_and_equal_seeds_give_equal_bytes(
    ball: Ball, restarts: int, true: dict[str, FeatureModel], references: Victims, victims: Victims
) -> None:
    module, budgets = soften(true["tree"], references.signals), [0.0025, 0.02, 0.1]
    attack = tree_attack(4, STEP_MV, restarts, ball)
    first = attack(module, victims, [Bce()] * 3, budgets, seeded())
    again = attack(module, victims, [Bce()] * 3, budgets, seeded())  # after other budgets: nothing is left of them
    for one, other, budget in zip(first, again, budgets, strict=True):
        assert one.shape == victims.signals.shape and torch.equal(one, other)
        assert (ball.size(one) <= budget * (1 + 1e-5)).all()
    assert not torch.equal(first[1], attack(module, victims, [Bce()], budgets[1:2], seeded(2))[0])


class Overheard(nn.Module):
    """A module that keeps every batch of signals it is asked about."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.asked: list[Tensor] = []

    def forward(self, signals: Tensor) -> Tensor:
        self.asked.append(signals.detach().clone())
        return self.module(signals)


@EVERY
@pytest.mark.parametrize("restarts", [1, 2])
def test_each_recording_keeps_the_best_of_its_way_on_the_true_trees(
    name: str, restarts: int, true: dict[str, FeatureModel], references: Victims, victims: Victims
) -> None:
    model, n = true[name], len(victims)
    overheard = Overheard(soften(model, references.signals))
    objective = Linear(spread_of(clean_scores(model, references)))
    attack = replace(tree_attack(6, STEP_MV, restarts), batch_size=restarts * n)
    (delta,) = attack(overheard, victims, [objective], [0.1], seeded())
    assert len(overheard.asked) == 6 + 1  # gradients, and one look
    worths = [
        objective(model(signals), victims.labels.repeat(restarts, 1), 1.0).reshape(restarts, n).amax(dim=0)
        for signals in overheard.asked
    ]
    judged = recorded(victims.signals, delta, 0.1)
    found = objective(model(judged), victims.labels, 1.0)
    torch.testing.assert_close(found, torch.stack(worths).amax(dim=0))
    assert (found >= worths[-1] - 1e-5).all()
    if name == "forest":  # the case where it matters: the last point is not the best
        assert (found > worths[-1] + 0.01).sum() > n // 10


def test_watch_sees_the_true_scores_of_the_best_point(
    true: dict[str, FeatureModel], references: Victims, victims: Victims
) -> None:
    seen: list[tuple[float, Tensor]] = []
    module, objective = soften(true["forest"], references.signals), Linear(torch.ones(3))
    attack = tree_attack(5, STEP_MV, restarts=2)
    attack(
        module,
        victims,
        [objective],
        [BUDGET_MV],
        seeded(),
        watch=lambda progress, scores: seen.append((progress, scores)),
    )
    assert [progress for progress, _ in seen] == [0, 0.25, 0.5, 0.75, 1]
    worth = torch.stack([objective(scores, victims.labels, 1.0) for _, scores in seen])
    assert (worth.diff(dim=0) >= 0).all() and worth[-1].mean() > worth[0].mean()


def random_signs(victims: Victims, budget: float) -> Tensor:
    return budget * (torch.randint(0, 2, victims.signals.shape, generator=seeded(9)) * 2.0 - 1)


@EVERY
def test_the_auc_falls_below_that_of_random_signs(
    name: str, true: dict[str, FeatureModel], references: Victims, victims: Victims
) -> None:
    model, attack = true[name], tree_attack(8, STEP_MV)
    module = soften(model, references.signals)
    objective = auc_objective(attack, module, references, BUDGET_MV, seeded())
    (delta,) = attack(module, victims, [objective], [BUDGET_MV], seeded(2))
    auc = {
        what: macro_auc(model(recorded(victims.signals, moved, BUDGET_MV)).numpy(), victims.labels.numpy())
        for what, moved in (("attack", delta), ("random", random_signs(victims, BUDGET_MV)))
    }
    assert auc["attack"] < auc["random"] - 0.15


def test_every_gradient_attack_can_follow_soft_trees(
    true: dict[str, FeatureModel], references: Victims, victims: Victims
) -> None:
    model = true["forest"]
    module = soften(model, references.signals)
    objective = Linear(spread_of(clean_scores(model, references)))
    (delta,) = Pgd(8)(module, victims, [objective], [BUDGET_MV], seeded())
    attacked = macro_auc(model(victims.signals + delta).numpy(), victims.labels.numpy())
    noisy = macro_auc(model(victims.signals + random_signs(victims, BUDGET_MV)).numpy(), victims.labels.numpy())
    assert attacked < noisy - 0.15


# PTB-XL


@pytest.mark.real
@pytest.mark.slow
def test_trees_of_real_recordings_fall(data_root: Path, tmp_path: Path) -> None:
    """AUC at 0.01 mV of the forest below 0.6; at 0.02 mV that of the tree at least 0.2 below random signs; and that of
    a logistic regression, which has a gradient of its own, below 0.55 at 0.01 mV: PTB-XL, 160 test recordings."""
    kept = prepare(load_study(Path("studies/ptb-xl.toml")), data_root, tmp_path)
    features = Features(kept.about.leads, kept.shape[1], kept.about.fs_hz)
    rows = kept.indices("train")
    seen = np.concatenate(
        [features(torch.from_numpy(kept.signals(rows[at : at + 128]))).numpy() for at in range(0, len(rows), 128)]
    )
    references = victims_of(kept, kept.sample("validation", 160, 1))
    victims = victims_of(kept, kept.sample("test", 160, 1))

    def auc(estimator: Any, budget: float) -> tuple[float, float]:
        """(attacked, with random signs)"""
        model = FeatureModel(features, head_of(estimator.fit(seen, kept.labels[rows]))).eval().requires_grad_(False)
        module, judge = soften(model, references.signals), tree_attack(step_mv=STEP_MV)
        attack: Attack = judge if has_soft_trees(module) else Pgd()
        objective = auc_objective(attack, module, references, budget, seeded())
        (delta,) = attack(module, victims, [objective], [budget], seeded(2))
        scores = [
            clean_scores(model, Victims(recorded(victims.signals, moved, budget), victims.labels)).numpy()
            for moved in (delta, random_signs(victims, budget))
        ]
        return macro_auc(scores[0], victims.labels.numpy()), macro_auc(scores[1], victims.labels.numpy())

    assert auc(random_forest(1), 0.01)[0] < 0.6
    assert auc(logistic_regression(1), 0.01)[0] < 0.55
    attacked, noisy = auc(decision_tree(1), 0.02)
    assert attacked < noisy - 0.2
