"""The plan of a study: counted from what attacks do, larger where there is more to do. No test asserts a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pulseproof import planning
from pulseproof.attacks.grid.costs import cost_of
from pulseproof.attacks.methods import METHODS
from pulseproof.core.study import AttackSpec, Study
from pulseproof.core.study import Method as Name
from pulseproof.ecg.recordings import Recordings
from pulseproof.planning import Counts, Plan, PlannedStage, counts_of, plan_study, say_plan, told_bytes, told_time
from tests.attacks.deserving import scene, sides, trained
from tests.models.making import small_recordings

COUNTED: list[Name] = ["pgd", "pgd-bce", "fgsm", "apgd", "mi-fgsm", "diverse", "smooth"]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    return small_recordings(tmp_path_factory.mktemp("recordings") / "small")


def study(**attacks: object) -> Study:
    models = {"cnn": {"options": {"width": 4}, "epochs": 2}, "decision-tree": {}, "logistic-regression": {}}
    settings = {"methods": ["pgd", "random-sign"], "budgets_mv": [0.01, 0.05]} | attacks
    content = {"name": "s", "title": "s", "data": {"source": "synthetic"}, "models": models, "attacks": settings}
    return Study.model_validate(content)


class Counted(nn.Module):
    """How many recordings a net was asked for gradients of."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.rows = inner, 0

    def forward(self, x: Tensor) -> Tensor:
        self.rows += len(x) * x.requires_grad
        scores: Tensor = self.inner(x)
        return scores


@pytest.mark.parametrize("name", COUNTED)
def test_gradients_are_counted_as_the_attack_takes_them(name: Name) -> None:
    """Those that leave early are counted to the end, so it is never less; beside them there is one look at each
    reference, whether it has a gradient."""
    here, net = scene(0.1, steps=6), Counted(trained(1))
    method, cost = METHODS[name].make(here.settings), cost_of(name, here.settings)
    prepared = method.prepare(net, here, torch.Generator().manual_seed(1))
    of_references = net.rows
    method.perturb(net, here, prepared, sides().victims, torch.Generator().manual_seed(1))
    references, victims = len(here.references), len(sides().victims)
    assert of_references <= (cost.reference_gradients + 1) * references <= of_references + 3 * references
    assert 0.5 * cost.gradients * victims <= net.rows - of_references <= cost.gradients * victims


def test_effort_and_what_it_is_made_on_count() -> None:
    asked = AttackSpec(steps=20)
    enough = asked.model_copy(update={"effort": "enough"})
    assert [cost_of("pgd", enough, on).gradients for on in ("net", "features", "trees")] == [10, 40, 40]
    assert cost_of("pgd", enough).reference_gradients == 10
    assert cost_of("pgd", asked).gradients == 20 and cost_of("pgd", asked).reference_gradients == 10
    assert cost_of("square", asked).queries == 500 and cost_of("random-sign", asked).gradients == 0
    for name in METHODS:
        cost_of(name, asked)  # every line of the table has one


def test_more_recordings_methods_and_budgets_take_longer(
    recordings: Recordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "_gradient_s", lambda study, recordings, name: 0.001)
    counts = Counts(800, 100, 100, recordings.shape)

    def planned(of: Study, counts: Counts) -> dict[str, PlannedStage]:
        return {stage.name: stage for stage in plan_study(of, recordings, counts, processors=2).stages}

    small = planned(study(), counts)
    many = planned(study(), replace(counts, test=200))
    assert many["attacks"].bytes == 2 * small["attacks"].bytes and many["bench"].seconds == 2 * small["bench"].seconds
    assert small["attacks"].bytes == (1 + 2 * (3 + 1)) * 100 * 2 * recordings.shape[0] * recordings.shape[1]
    # Two budgets on three models: 20 gradients of a net, 40 of features and of trees; the references walk half of them.
    victims, references = (20 + 40 + 40) * 100, (10 + 20 + 20) * 128
    assert small["attacks"].seconds == pytest.approx(0.001 * 2 * (victims + references))
    further = planned(study(further_methods=["apgd"]), counts)
    assert further["attacks"].seconds > small["attacks"].seconds and further["bench"].seconds > small["bench"].seconds
    assert small["training"].seconds == pytest.approx(0.001 * (1.5 * 2 * 800 + 2 * 800 / 3))


def test_a_probe_measures_the_net_of_the_study(recordings: Recordings) -> None:
    found = plan_study(study(), recordings, counts_of(study(), recordings), processors=2)
    assert all(stage.seconds > 0 for stage in found.stages if stage.name != "recordings")
    assert counts_of(study(), recordings, 1000) == Counts(800, 100, 100, recordings.shape)


def test_a_plan_is_one_line_and_said_once(
    recordings: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = Plan((PlannedStage("attacks", 4800, 6.1e9, side_by_side=True), PlannedStage("audit", 60, 0)), 2)
    assert told.sentence() == "about 41 min here (2 processors), 6.1 GB of disk"
    monkeypatch.setattr(planning, "plan_study", lambda *asked: told)
    say_plan(study(), recordings, tmp_path)
    assert "s: about 41 min here" in "".join(capsys.readouterr())
    (tmp_path / "s" / "models").mkdir(parents=True)
    say_plan(study(), recordings, tmp_path)
    assert "about" not in "".join(capsys.readouterr())


def test_times_and_bytes_are_told_as_people_do() -> None:
    assert [told_time(each) for each in (0, 40, 720, 12_600)] == ["1 s", "40 s", "12 min", "3.5 h"]
    assert [told_bytes(each) for each in (12e6, 6.1e9)] == ["12 MB", "6.1 GB"]
