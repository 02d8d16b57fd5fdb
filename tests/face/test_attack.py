"""``attack_model``: what it says is what the module gives on the recordings it hands back, and they are recordings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import nn

import pulseproof as pp
from tests.face.making import Made

STEP_MV = 0.001


def scores_of(module: nn.Module, signals: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.no_grad():
        return module(torch.from_numpy(signals)).numpy()


@pytest.fixture(scope="module")
def result(made: Made) -> pp.AttackResult:
    return pp.attack_model(
        made.module,
        made.signals_mv,
        made.labels,
        budgets_mv=[0.0105, 0.05],
        fs_hz=100,
        adc_step_mv=STEP_MV,
        patients=made.patients,
        steps=6,
    )


def test_its_auc_is_that_of_the_module_on_the_recordings_that_it_gives(made: Made, result: pp.AttackResult) -> None:
    """By scikit-learn, on the caller's own module."""
    assert result.clean_auc == pytest.approx(roc_auc_score(made.labels, scores_of(made.module, made.signals_mv)))
    for one in result.budgets:
        there = scores_of(made.module, one.signals_mv)
        np.testing.assert_allclose(one.scores, there, atol=1e-5)
        assert one.auc == pytest.approx(roc_auc_score(made.labels, there), abs=1e-6)
        assert one.auc == min(one.by_method.values()) == one.by_method[one.method]
        assert set(one.by_method) == {"pgd", "apgd"}


def test_attacked_recordings_are_whole_steps_inside_the_budget(made: Made, result: pp.AttackResult) -> None:
    for one in result.budgets:
        assert one.signals_mv.dtype == np.float32 and one.signals_mv.shape == made.signals_mv.shape
        steps = one.signals_mv.astype(np.float64) / STEP_MV
        np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
        moved = np.rint(steps) - np.rint(made.signals_mv.astype(np.float64) / STEP_MV)
        assert np.abs(moved).max() == int(one.budget_mv / STEP_MV)  # .0105 mV is ten steps and a half: ten


def test_the_attack_beats_noise_and_more_budget_more_so(result: pp.AttackResult) -> None:
    small, large = result.budgets
    assert large.auc < small.auc < result.clean_auc
    assert small.auc < small.control_auc and large.auc < large.control_auc - 0.1
    assert large.auc_low is not None and large.auc_high is not None
    assert large.auc_low < large.auc < large.auc_high < small.control_auc
    assert result.at(0.05) is large
    with pytest.raises(pp.InputError, match=r"no result at 0.02 mV"):
        result.at(0.02)


def test_equal_input_gives_equal_bytes_and_leaves_the_module_alone(made: Made) -> None:
    module = made.module
    module.train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    try:
        asked = {"budgets_mv": [0.02], "fs_hz": 100, "steps": 2, "methods": ["pgd"]}
        one, other = (pp.attack_model(module, made.signals_mv, made.labels, **asked) for _ in range(2))
        assert module.training and all(parameter.requires_grad for parameter in module.parameters())
    finally:
        module.eval()
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert one.budgets[0].signals_mv.tobytes() == other.budgets[0].signals_mv.tobytes()
    other = pp.attack_model(module, made.signals_mv, made.labels, **asked, seed=2)
    assert one.budgets[0].signals_mv.tobytes() != other.budgets[0].signals_mv.tobytes()
    assert one.patients is None and one.clean_low is None and one.budgets[0].auc_low is None


@pytest.mark.parametrize("method", ["fgsm", "mi-fgsm", "smooth", "band", "diverse", "pgd-bce", "pgd-linear"])
def test_other_methods_of_a_study_keep_inside_the_budget_too(made: Made, method: str) -> None:
    asked = {"budgets_mv": [0.05], "fs_hz": 100, "steps": 3, "methods": [method]}
    (one,) = pp.attack_model(made.module, made.signals_mv[:20], made.labels[:20], **asked).budgets
    assert one.method == method and 0 < np.abs(one.signals_mv - made.signals_mv[:20]).max() <= 0.05 + 1e-6


def test_a_single_class_needs_no_second_dimension(made: Made) -> None:
    module = nn.Sequential(made.module, nn.Linear(2, 1, bias=False))
    result = pp.attack_model(module, made.signals_mv, made.labels[:, 0], budgets_mv=[0.05], fs_hz=100, steps=2)
    assert result.clean_scores.shape == (len(made.labels), 1) and len(result.budgets) == 1


def test_opponents_may_be_other_recordings(made: Made) -> None:
    asked = {"budgets_mv": [0.05], "fs_hz": 100, "steps": 4, "methods": ["pgd"]}
    half = len(made.signals_mv) // 2
    references = (made.signals_mv[half:], made.labels[half:])
    own = pp.attack_model(made.module, made.signals_mv[:half], made.labels[:half], **asked)
    result = pp.attack_model(made.module, made.signals_mv[:half], made.labels[:half], references=references, **asked)
    assert result.budgets[0].auc < result.clean_auc - 0.1
    assert result.budgets[0].signals_mv.tobytes() != own.budgets[0].signals_mv.tobytes()


class Stairs(nn.Module):
    """Scores in steps: a gradient that is zero everywhere, and looks robust."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.round(self.inner(x) * 8) / 8


class Saturated(nn.Module):
    """A clamp at the scores' own range: many recordings share the highest one."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -nn.functional.relu(-self.inner(x))


@pytest.mark.parametrize(("wrap", "flag"), [(Stairs, "zero-gradient"), (Saturated, "saturated-outputs")])
def test_a_number_that_must_not_be_believed_is_flagged(made: Made, wrap: type[nn.Module], flag: str) -> None:
    asked = {"budgets_mv": [0.02], "fs_hz": 100, "steps": 2, "methods": ["pgd"]}
    plain = pp.attack_model(made.module, made.signals_mv, made.labels, **asked)
    found = pp.attack_model(wrap(made.module), made.signals_mv, made.labels, **asked)
    assert flag not in {one.name for one in plain.flags}
    assert flag in {one.name for one in found.flags}
    assert f"flag {flag}: " in str(found)


def test_a_sigmoid_at_the_end_hides_nothing(made: Made) -> None:
    """Attacked before it: the logits of these are so large that its float32 gradient is zero."""
    asked = {"budgets_mv": [0.05], "fs_hz": 100, "steps": 4, "methods": ["pgd"]}

    class Steep(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sigmoid(20 * made.module(x))

    plain = pp.attack_model(made.module, made.signals_mv, made.labels, **asked)
    steep = pp.attack_model(Steep(), made.signals_mv, made.labels, **asked)
    assert steep.budgets[0].auc < plain.budgets[0].auc + 0.05


def test_it_prints_as_a_table(made: Made, result: pp.AttackResult) -> None:
    first, head, clean, *rest = str(result).splitlines()
    assert first == f"white box on the module, {len(made.labels)} recordings of {len(set(made.patients))} patients"
    assert head.split() == ["mV", "AUC", "random", "signs", "strongest"]
    assert clean.startswith(f"0       {result.clean_auc:.3f} [") and clean.endswith("clean")
    assert [line.split()[0] for line in rest[:2]] == ["0.0105", "0.05"]
    assert repr(result) == str(result) and "array(" not in repr(result.budgets)
