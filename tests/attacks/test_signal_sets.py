"""The signal sets of a study: what is made, what is made again, and that every one is a recording."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pulseproof.attacks.grid.study import MadeSets, attack_study, reference_rows
from pulseproof.core.errors import InputError
from pulseproof.core.study import ModelSpec, Study
from pulseproof.ecg.recordings import Recordings
from pulseproof.models.run import train_study
from pulseproof.runtime.files import read_array, sha256_file
from tests.models.making import small_recordings


def study(**attacks: Any) -> Study:
    settings = {"sources": ["cnn"], "budgets_mv": [0.0005, 0.01, 0.05], "steps": 4, "references": 16} | attacks
    models = {"cnn": {"epochs": 2, "batch_size": 16, "options": {"width": 4}}, "decision-tree": {}}
    data = {"source": "synthetic"}
    return Study.model_validate({"name": "s", "title": "s", "data": data, "models": models, "attacks": settings})


@pytest.fixture
def recordings(tmp_path: Path) -> Recordings:
    return small_recordings(tmp_path / "recordings")


def make(asked: Study, recordings: Recordings, home: Path, workers: int = 0) -> MadeSets:
    return attack_study(asked, recordings, train_study(asked, recordings, home), home, workers=workers)


def times(home: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (home / "s" / "signals").iterdir()}


def test_every_set_is_a_recording_within_its_budget(recordings: Recordings, tmp_path: Path) -> None:
    made = make(study(), recordings, tmp_path)
    sets = made.sets
    assert [(each.name, each.reason) for each in made.not_applicable] == [
        ("0.0005 mV", "below the recorder's step of 0.001 mV")
    ]
    assert [each.name for each in sets] == [
        "clean",
        "pgd-cnn-0.01mV",
        "random-sign-0.01mV",
        "pgd-cnn-0.05mV",
        "random-sign-0.05mV",
    ]
    clean = recordings.adc(recordings.indices("test"))
    for each in sets:
        path = tmp_path / "s" / "signals" / f"{each.name}.npy"
        steps = read_array(path)
        assert steps.dtype == np.int16
        assert sha256_file(path) == each.sha256
        largest = np.abs(steps.astype(int) - clean).max()
        assert largest == round(each.budget_mv / 0.001)
        assert each.linf_mv == pytest.approx(each.budget_mv)
        assert each.rms_mv <= each.budget_mv * (1 + 1e-9)
        assert each.l2_mv == pytest.approx(each.rms_mv * np.sqrt(clean[0].size), rel=1e-6)
        assert (each.source is None) == (each.method != "pgd")


@pytest.mark.slow
def test_only_what_changed_is_made_again(recordings: Recordings, tmp_path: Path) -> None:
    make(study(), recordings, tmp_path)
    first = times(tmp_path)
    make(study(), recordings, tmp_path)
    assert times(tmp_path) == first
    make(study(budgets_mv=[0.01, 0.02, 0.05]), recordings, tmp_path)
    second = times(tmp_path)
    assert {name: second[name] for name in first} == first
    assert {name for name in second if name not in first} == {
        f"{method}-0.02mV{suffix}"
        for method in ("pgd-cnn", "random-sign")
        for suffix in (".npy", ".json", ".stamp.json")
    }
    make(study(budgets_mv=[0.01], steps=5), recordings, tmp_path)
    third = times(tmp_path)
    assert not any("0.05" in name or "0.02" in name for name in third)  # the folder holds what the study says
    assert third["random-sign-0.01mV.npy"] == first["random-sign-0.01mV.npy"]
    assert third["pgd-cnn-0.01mV.npy"] != first["pgd-cnn-0.01mV.npy"]


def test_a_budget_is_called_what_can_be_recorded_of_it(recordings: Recordings, tmp_path: Path) -> None:
    sets = make(study(budgets_mv=[0.01, 0.0104, 0.0208]), recordings, tmp_path).sets
    assert [each.budget_mv for each in sets] == [0.0, 0.01, 0.01, 0.02, 0.02]
    assert [each.linf_mv for each in sets] == pytest.approx([0.0, 0.01, 0.01, 0.02, 0.02])


@pytest.mark.slow
def test_a_damaged_set_is_made_again_with_the_same_bytes(recordings: Recordings, tmp_path: Path) -> None:
    before = {each.name: each.sha256 for each in make(study(), recordings, tmp_path).sets}
    path = tmp_path / "s" / "signals" / "pgd-cnn-0.01mV.npy"
    path.write_bytes(path.read_bytes()[:-2])
    assert {each.name: each.sha256 for each in make(study(), recordings, tmp_path).sets} == before
    assert sha256_file(path) == before["pgd-cnn-0.01mV"]


def test_a_tree_is_attacked_through_its_features(recordings: Recordings, tmp_path: Path) -> None:
    made = make(study(sources=["decision-tree"]), recordings, tmp_path)
    assert "pgd-decision-tree-0.05mV" in {each.name for each in made.sets}


def test_what_cannot_be_made_has_a_reason_and_stops_nothing(recordings: Recordings, tmp_path: Path) -> None:
    asked = study(methods=["pgd", "noise-bw", "ensemble"], budgets_mv=[0.01])
    made = make(asked, recordings, tmp_path)
    reasons = {each.name: each.reason for each in made.not_applicable}
    assert reasons.keys() == {"noise-bw-0.01mV", "ensemble"}
    assert "no data folder" in reasons["noise-bw-0.01mV"]
    assert [each.name for each in made.sets] == ["clean", "pgd-cnn-0.01mV"]


class Dull(torch.nn.Module):
    """A net whose last step has no gradient."""

    def __init__(self, leads: int, samples: int, classes: int) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(leads * samples, classes)
        torch.nn.init.constant_(self.linear.weight, 0.01)
        torch.nn.init.zeros_(self.linear.bias)
        self.differentiable = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.flatten(1)).round().detach()


def test_a_study_whose_only_source_has_no_gradient_is_refused(recordings: Recordings, tmp_path: Path) -> None:
    models = {"dull": ModelSpec(factory="tests.attacks.test_signal_sets:Dull", trained=True)}
    asked = study(sources=None).model_copy(update={"models": models})
    with pytest.raises(InputError, match=r"no attack can be made on any source[\s\S]*no gradient[\s\S]*Dull"):
        make(asked, recordings, tmp_path)


@pytest.mark.slow
def test_a_reason_is_a_result_and_is_kept(
    recordings: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be made is not tried again at every start; with another engine it is."""
    dull = ModelSpec(factory="tests.attacks.test_signal_sets:Dull", trained=True)
    asked = study(methods=["pgd"], budgets_mv=[0.01], sources=None)
    asked = asked.model_copy(update={"models": {**asked.models, "dull": dull}})
    first = make(asked, recordings, tmp_path, workers=1)
    assert [each.name for each in first.not_applicable] == ["pgd-dull-0.01mV"]

    def none(*_: object) -> None:
        raise AssertionError("it was tried again")

    monkeypatch.setattr("pulseproof.attacks.grid.study.run_jobs", none)
    assert make(asked, recordings, tmp_path) == first
    monkeypatch.setattr("pulseproof.attacks.grid.work.here", lambda: {"onnxruntime": "another"})
    with pytest.raises(AssertionError, match="tried again"):
        make(asked, recordings, tmp_path)
    make(asked.model_copy(update={"models": study().models}), recordings, tmp_path)  # no longer asked for
    assert not list((tmp_path / "s" / "signals").glob("*.reason*"))


def test_a_deployed_file_without_a_twin_is_not_applicable(recordings: Recordings, tmp_path: Path) -> None:
    """A method made on files, where nothing was exported."""
    made = make(study(methods=["pgd", "twin"], budgets_mv=[0.01]), recordings, tmp_path)
    assert [each.name for each in made.not_applicable] == ["twin"]


def test_references_hold_rare_classes(tmp_path: Path) -> None:
    recordings = small_recordings(tmp_path / "recordings", 900, exclusive=True)
    labels = recordings.labels.copy()
    validation = recordings.indices("validation")
    labels[validation] = [1, 0, 0]
    labels[validation[:3]] = [0, 0, 1]
    recordings = Recordings(**{**vars(recordings), "labels": labels})
    rows = reference_rows(recordings, 40, seed=1)
    assert len(rows) == len(set(rows)) == 40
    assert set(rows) <= set(validation)
    assert labels[rows, 2].sum() == 3
