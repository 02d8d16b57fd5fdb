"""A logistic regression that was fitted on attacked recordings keeps more of its AUC; a forest is fitted so too."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pulseproof.core.study import DefenceSpec, Study
from pulseproof.models.hardened.defence import attacked
from pulseproof.models.run import train_study
from pulseproof.runtime.auc import macro_auc
from tests.models.making import small_recordings

BUDGET = 0.05
HARD = {"defence": {"kind": "adversarial", "budget_mv": BUDGET, "steps": 3}}


@pytest.mark.slow
def test_more_is_left_of_a_logistic_regression(tmp_path: Path) -> None:
    recordings = small_recordings(tmp_path / "recordings", 300)
    models = {"logistic-regression": {}, "hard": {"system": "logistic-regression", **HARD}}
    study = Study.model_validate({"name": "s", "title": "s", "data": {"source": "synthetic"}, "models": models})
    trained = train_study(study, recordings, tmp_path)
    rows = recordings.indices("test")
    x, labels = torch.from_numpy(recordings.signals(rows)), recordings.labels[rows]
    left = {}
    for name, model in trained.items():
        near = attacked(model.module, x, torch.from_numpy(labels).float(), BUDGET, 10, torch.Generator().manual_seed(0))
        left[name] = macro_auc(model.module(near).numpy(), labels)
    assert left["hard"] > left["logistic-regression"] + 0.05, left


@pytest.mark.slow
def test_a_forest_is_fitted_on_more_than_it_was(tmp_path: Path) -> None:
    recordings = small_recordings(tmp_path / "recordings", 60)
    models = {
        "random-forest": {"options": {"trees": 3}},
        "hard": {"system": "random-forest", "options": {"trees": 3}, **HARD},
    }
    study = Study.model_validate({"name": "s", "title": "s", "data": {"source": "synthetic"}, "models": models})
    first = train_study(study, recordings, tmp_path / "a")
    again = train_study(study, recordings, tmp_path / "b")
    assert first["hard"].digest == again["hard"].digest, "to the bit"
    x = torch.from_numpy(recordings.signals(recordings.indices("test")))
    assert not torch.equal(first["hard"].module(x), first["random-forest"].module(x))
    assert DefenceSpec.model_validate(HARD["defence"]) == study.models["hard"].defence
