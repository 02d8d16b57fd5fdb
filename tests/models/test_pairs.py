"""Which model is the plain one of a defended one, what a training took, and what a filter in front of a net does."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from pulseproof.core.errors import InputError
from pulseproof.core.study import Study
from pulseproof.models.hardened.front import SmoothInput
from pulseproof.models.hardened.pairs import described, plain_of, training_of
from pulseproof.models.nets import Cnn
from pulseproof.runtime.files import write_json

HARD = {"kind": "adversarial", "budget_mv": 0.02}


def study(**models: dict[str, Any]) -> Study:
    named = {name.replace("_", "-"): spec for name, spec in models.items()}
    return Study.model_validate({"name": "s", "title": "s", "data": {"source": "synthetic"}, "models": named})


def test_the_plain_one_is_the_same_net_without_the_defence() -> None:
    asked = study(
        small={"system": "cnn", "options": {"width": 4}},
        cnn={"seeds": 2, "epochs": 3},
        lstm={},
        cnn_hard={"system": "cnn", "epochs": 5, "seed": 4, "defence": HARD},
        lens_hard={"system": "ecg-lens", "defence": HARD},
    )
    assert plain_of(asked, "cnn-hard") == "cnn", "other epochs and another seed are the same net; another width is not"
    assert plain_of(asked, "lens-hard") is None
    assert plain_of(study(own={"factory": "a:b"}, hard={"factory": "a:b", "defence": HARD}), "hard") == "own"


def test_what_a_bundle_says_of_a_model(tmp_path: Path) -> None:
    asked = study(cnn={"seeds": 2}, cnn_hard={"system": "cnn", "defence": HARD})
    assert described(asked, "cnn", tmp_path) == {}, "an older history knows no time"
    assert described(asked, "cnn-seed-2", tmp_path) == {"seed_of": "cnn"}
    line = {"epoch": 0, "loss": 1.0, "validation_auc": None, "seconds": 2.0, "processor_seconds": 1.5}
    write_json(tmp_path / "history.json", [line, line])
    told = {"epochs": 2, "seconds": 4.0, "processor_seconds": 3.0}
    assert described(asked, "cnn-hard", tmp_path) == {"defence": {**HARD, "plain": "cnn"}, "training": told}
    for odd in ([], [{"epoch": 0}], [1], {"a": 1}):
        write_json(tmp_path / "history.json", odd)
        assert training_of(tmp_path) is None


def test_a_filter_in_front_takes_out_what_is_fast_and_hides_no_gradient() -> None:
    net = SmoothInput(Cnn(1, 400, 2, width=4), 1, 100.0, 15.0).eval()
    at = torch.arange(400) / 100
    for hertz, left in ((1.0, 1.0), (5.0, 1.0), (15.0, 0.5), (30.0, 0.0), (45.0, 0.0)):
        wave = torch.sin(2 * math.pi * hertz * at).reshape(1, 1, -1)
        middle = net.front(wave)[0, 0, 50:-50].detach()
        assert float(middle.abs().max()) == pytest.approx(left, abs=0.03), hertz
    x = torch.randn(2, 1, 400, requires_grad=True)
    net(x).sum().backward()
    assert x.grad is not None and x.grad.abs().max() > 0
    assert not net.front.weight.requires_grad, "it is not trained"
    with pytest.raises(InputError, match="takes nothing out of recordings at 100 Hz"):
        SmoothInput(Cnn(1, 400, 2), 1, 100.0, 50.0)
