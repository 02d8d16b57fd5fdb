"""What can be done about it: said of files that were attacked through themselves, with what it costs; of small studies
whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pulseproof.report.answers.questions import answers
from pulseproof.report.answers.types import Answers
from pulseproof.runtime.files import read_json, write_json
from tests.report.making_answers import BUDGET, Strength, evaluated, study

MODELS = ("cnn", "cnn-hard")
TWINS = tuple(("twin", f"{model}/onnx-int8-static") for model in MODELS)
SQUARE = tuple(("square", model) for model in MODELS)


def by(clean: dict[str, float], attacked: dict[str, float]) -> Strength:
    """Strengths by model; an attack hurts the model (or file) that it was made on, and no other."""

    def strength(artifact: dict[str, Any], signals: dict[str, Any]) -> float:
        own = (signals["source"] or "").partition("/")[0] == artifact["model"]
        table = attacked if own else clean
        return table.get(artifact["name"], table.get(artifact["model"], 1.5))

    return strength


def defended(folder: Path, **facts: Any) -> Answers:
    """The answers where ``cnn-hard`` is the defended ``cnn``; ``facts`` by model, put into its artifacts."""
    head = read_json(folder / "bundle" / "bundle.json")
    told = {"cnn-hard": {"defence": {"kind": "adversarial", "budget_mv": BUDGET, "plain": "cnn"}}}
    for each in head["artifacts"]:
        each.update(told.get(each["model"], {}) | facts.get(each["model"].replace("-", "_"), {}))
    write_json(folder / "bundle" / "bundle.json", head)
    return answers(evaluated(folder))


def cure(found: Answers) -> list[str]:
    (question,) = [each for each in found.questions if each.id == "cure"]
    assert all(each.evidence and each.text.endswith(".") for each in question.sentences)
    return [each.text for each in question.sentences]


CLEAN = {"cnn": 2.5, "cnn-hard": 2.0}
HURT = {"cnn": 0.2, "cnn-hard": 1.6, "cnn-hard/onnx-int8-static": 0.9}


@pytest.fixture(scope="module")
def cured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cured")
    study(folder, by(CLEAN, HURT), models=MODELS, sources=MODELS, further=TWINS)
    return folder


def test_the_file_its_price_and_what_it_withstands(cured: Path) -> None:
    training = {"epochs": 24, "seconds": 200.0, "processor_seconds": 100.0}
    hard = {"training": {**training, "epochs": 40, "processor_seconds": 240.0}}
    said = cure(defended(cured, cnn={"training": training}, cnn_hard=hard))
    assert said[0].startswith("Ship cnn-hard/onnx-fp32: its model was trained so (adversarial, 0.02 mV).")
    assert "of cnn/onnx-fp32's ." in said[0], "the plain file of the same recipe"
    assert said[1].startswith("It costs clean AUC: -.0") and "as before" in said[1]
    assert "its training took 2.4 times as much (240 s of processors in 40 epochs, 100 s in 24)" in said[1]
    assert said[2].startswith("By attack its AUC is .") and "0.02 mV" in said[2]
    assert any("some of it is lost by cnn-hard/onnx-int8-static (-." in each for each in said)


def test_that_gradients_mislead_is_excluded_by_queries_alone(cured: Path, tmp_path: Path) -> None:
    assert any("was not attacked without gradients (square)" in each for each in cure(defended(cured)))
    study(tmp_path, by(CLEAN, HURT), models=MODELS, sources=MODELS, further=(*TWINS, *SQUARE), audited=False)
    said = cure(defended(tmp_path))
    assert not any("without gradients" in each for each in said)
    assert any("were not audited" in each for each in said)


def test_what_was_not_attacked_through_itself_is_called_no_defence(tmp_path: Path) -> None:
    study(tmp_path, by(CLEAN, HURT), models=MODELS, sources=("cnn",), further=SQUARE)
    (said,) = cure(defended(tmp_path))
    assert said.startswith("cnn-hard was not attacked through itself: nothing is called a defence")


def test_what_does_not_help_is_said(tmp_path: Path) -> None:
    study(tmp_path, by({}, {"cnn": 0.9, "cnn-hard": 0.2}), models=MODELS, sources=MODELS, further=TWINS)
    (said,) = cure(defended(tmp_path))
    assert "cnn-hard/onnx-fp32 differs from cnn/onnx-fp32 by" in said
    assert said.startswith("cnn-hard (adversarial) is no cure:"), "it surely withstands less"


def test_a_study_without_one_is_told_how_it_is_had(tmp_path: Path) -> None:
    study(tmp_path, by({"cnn": 2.5}, {"cnn": 0.2}))
    (said,) = cure(answers(evaluated(tmp_path)))
    assert "pulseproof harden --study STUDY --model NAME --budget 0.02" in said and "came trained can not" in said
    study(tmp_path / "unhurt", by({"cnn": 2.5}, {"cnn": 2.5}))
    assert cure(answers(evaluated(tmp_path / "unhurt"))) == []


@pytest.mark.parametrize(("hard", "larger"), [((1.6, 1.5), True), ((1.6, 0.1), False)])
def test_a_difference_between_trainings_is_held_against_that_of_seeds(
    tmp_path: Path, hard: tuple[float, float], larger: bool
) -> None:
    models = (*MODELS, "cnn-seed-2", "cnn-hard-seed-2")
    hurt = {"cnn": 0.2, "cnn-seed-2": 0.3, "cnn-hard": hard[0], "cnn-hard-seed-2": hard[1]}
    clean = {"cnn": 1.9, "cnn-seed-2": 2.4, "cnn-hard": 2.2, "cnn-hard-seed-2": 2.0}
    study(tmp_path, by(clean, hurt), models=models, sources=models, recipes=("onnx-fp32",))
    defence = {"kind": "adversarial", "budget_mv": BUDGET, "plain": "cnn"}
    further = {"cnn_seed_2": {"seed_of": "cnn"}, "cnn_hard_seed_2": {"seed_of": "cnn-hard", "defence": defence}}
    found = defended(tmp_path, **further)
    (said,) = [each for each in cure(found) if "between seeds" in each]
    assert said.startswith("As to the difference between cnn-hard and cnn, clean it is not larger than between seeds")
    assert f"in the worst case at 0.02 mV it is {'larger' if larger else 'not larger'} than between seeds" in said
    assert found.recommendation is not None
    assert {each.artifact for each in found.recommendation.front} == {"cnn/onnx-fp32", "cnn-hard/onnx-fp32"}
