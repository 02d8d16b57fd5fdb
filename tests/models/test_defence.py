"""Nets trained against attacks, and for bounds: more is left of them, and a killed training ends the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from pulseproof.core.errors import InputError
from pulseproof.core.study import AugmentSpec, DefenceSpec, Study
from pulseproof.models.hardened.defence import Hardening, attacked, interval_scores, training_bounds
from pulseproof.models.nets import Cnn, Lstm
from pulseproof.models.run import load_metrics, train_study
from pulseproof.models.train import TrainingPlan, train_net
from pulseproof.runtime.auc import macro_auc
from tests.models.making import small_recordings

BUDGET = 0.05


def trained(recordings, defence: DefenceSpec | None, checkpoint: Path, stop_after: int | None = None):  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    net = Cnn(2, 160, 3, width=8)

    def after(epoch: int) -> None:
        if epoch == stop_after:
            raise KeyboardInterrupt

    plan = TrainingPlan(14, 16, 4e-3, 0.01, AugmentSpec(), None, False, 1, defence)
    train_net(net, recordings, plan, checkpoint, "cnn", after)
    return net


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["adversarial", "certified", "gradient"])
def test_more_is_left_of_a_defended_net(kind: str, tmp_path: Path) -> None:
    """Of the test recordings, by the attack and the bounds that a plain net is judged by as well."""
    recordings = small_recordings(tmp_path / "recordings", 400)
    spec = DefenceSpec(kind=kind, budget_mv=BUDGET)  # type: ignore[arg-type]
    nets = {name: trained(recordings, each, tmp_path / name) for name, each in (("plain", None), (kind, spec))}
    rows = recordings.indices("test")
    judge = Hardening(
        nets["plain"], DefenceSpec(kind="adversarial", budget_mv=BUDGET, steps=20), "x", torch.zeros(1, 2, 160)
    )
    labels = recordings.labels[rows]
    left = {name: macro_auc(judge.judged(net, recordings, rows, None), labels) for name, net in nets.items()}  # type: ignore[arg-type]
    assert left[kind] > left["plain"] + 0.02, left
    if kind == "certified":
        prover = Hardening(nets[kind], spec, "x", torch.zeros(1, 2, 160))
        sure = {name: macro_auc(prover.judged(net, recordings, rows, None), labels) for name, net in nets.items()}  # type: ignore[arg-type]
        assert sure[kind] > sure["plain"] + 0.2 and sure[kind] <= left[kind], (sure, left)


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("adversarial", {"average": True}),
        ("adversarial", {"consistency": True, "weight": 0.75}),
        ("certified", {}),
        ("gradient", {}),
        ("noise", {}),
        ("smooth-input", {}),
    ],
)
def test_a_stopped_training_ends_with_the_same_weights(kind: str, more: dict[str, float], tmp_path: Path) -> None:
    recordings = small_recordings(tmp_path / "recordings", 100)
    spec = DefenceSpec(kind=kind, budget_mv=BUDGET, steps=2, **more)  # type: ignore[arg-type]
    whole = trained(recordings, spec, tmp_path / "whole").state_dict()
    with pytest.raises(KeyboardInterrupt):
        trained(recordings, spec, tmp_path / "half", 7)
    again = trained(recordings, spec, tmp_path / "half").state_dict()
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_bounds_in_training_are_those_of_the_batch() -> None:
    """At no budget they are the batch's own scores, and what a batch norm remembers is touched once."""
    torch.manual_seed(0)
    net = Cnn(2, 160, 3, width=8, dropout=0.0).train()
    x = torch.randn(6, 2, 160)
    scores, bounds = training_bounds(net, x, 0.0)
    torch.testing.assert_close(bounds.lower, scores, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(bounds.upper, scores, rtol=1e-4, atol=1e-5)
    norms = [part for part in net.modules() if isinstance(part, nn.BatchNorm1d)]
    assert all(int(part.num_batches_tracked) == 1 for part in norms)  # type: ignore[arg-type]
    assert not any("forward" in vars(part) for part in norms)
    _, wide = training_bounds(net, x, 0.1)
    assert (wide.lower < wide.upper).all()
    assert all(part.weight.grad is None for part in norms)
    wide.upper.sum().backward()
    assert all(part.weight.grad is not None for part in norms)


def test_the_attack_stays_in_its_ball_and_raises_the_loss(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Cnn(2, 160, 3, width=8).train()
    x, y = torch.randn(8, 2, 160), (torch.rand(8, 3) < 0.5).float()
    near = attacked(net, x, y, 0.05, 5, torch.Generator().manual_seed(1))
    assert (near - x).abs().max() <= 0.05 + 1e-6 and net.training
    net.eval()
    loss = nn.functional.binary_cross_entropy_with_logits
    assert loss(net(near), y) > loss(net(x), y)


def test_what_has_no_bounds_is_refused_before_it_is_trained() -> None:
    net = Lstm(2, 160, 3, hidden=8, patch=8)
    with pytest.raises(InputError, match=r"models\.mine\.defence.*certified training needs"):
        Hardening(net, DefenceSpec(kind="certified"), "mine", torch.zeros(2, 2, 160))
    own = nn.Sequential(nn.Conv1d(2, 4, 3), nn.Flatten(), nn.Linear(4 * 158, 3))
    assert interval_scores(own, torch.zeros(2, 2, 160), 0.1).shape == (2, 3)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"file": "x.onnx", "defence": {"kind": "noise"}}, "a way to train"),
        ({"estimator": "a:b", "defence": {"kind": "noise"}}, "a way to train"),
        ({"system": "cnn", "defence": {"kind": "magic"}}, "certified"),
        ({"system": "cnn", "defence": {"kind": "noise", "budget_mv": 0}}, "greater than 0"),
    ],
)
def test_what_no_study_may_ask(model: dict[str, object], said: str) -> None:
    asked = {"name": "s", "title": "s", "data": {"source": "synthetic"}, "models": {"own": model}}
    with pytest.raises(ValueError, match=said):
        Study.model_validate(asked)


def test_a_study_trains_both_and_a_plain_model_is_not_trained_anew(tmp_path: Path) -> None:
    recordings = small_recordings(tmp_path / "recordings" / "small", 100)
    asked = {"name": "s", "title": "s", "data": {"source": "synthetic"}}
    plain = {"options": {"width": 4}, "epochs": 1, "batch_size": 16}
    hard = {"system": "cnn", **plain, "defence": {"kind": "adversarial", "steps": 1}}
    study = Study.model_validate({**asked, "models": {"cnn": plain, "cnn-hard": hard}})
    first = train_study(study, recordings, tmp_path)
    assert set(load_metrics(study, tmp_path)) == {"cnn", "cnn-hard"}
    assert first["cnn"].digest != first["cnn-hard"].digest
    forest = Study.model_validate({**asked, "models": {"random-forest": {"defence": {"kind": "noise"}}}})
    with pytest.raises(InputError, match="is no net"):
        train_study(forest, recordings, tmp_path)
