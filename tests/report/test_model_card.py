"""A model card says of a file what its rows say, in the form that model hubs read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from pulseproof.core.errors import InputError
from pulseproof.main import app
from pulseproof.report.model_card import model_card
from pulseproof.report.numbers.evaluation import Evaluation, evaluate
from pulseproof.report.numbers.resampled import WORST
from tests.bench.making import change_json
from tests.report.making_report import OTHER, make_study

FILE = "cnn/onnx-fp32"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("card") / "made"
    make_study(folder)
    return folder


@pytest.fixture(scope="module")
def evaluation(home: Path) -> Evaluation:
    return evaluate(home, 100)


def parted(card: str) -> tuple[dict[str, Any], str]:
    """The front matter as YAML, and what follows."""
    _, head, text = card.split("---\n", 2)
    return yaml.safe_load(head), text


def test_the_front_matter_has_the_numbers_of_the_rows(evaluation: Evaluation) -> None:
    head, _ = parted(model_card(evaluation, FILE))
    (model,) = head["model-index"]
    (result,) = model["results"]
    metrics = {each["name"]: each["value"] for each in result["metrics"]}
    rows = [row for row in evaluation.rows if row.artifact == FILE and row.device == "host"]
    (clean,) = [row for row in rows if row.method == "clean"]
    worst = {row.budget_mv: row.auc for row in rows if row.method == WORST}
    expected = {"macro AUC": clean.auc} | {f"worst-case macro AUC at {at:g} mV": auc for at, auc in worst.items()}
    assert metrics == {name: pytest.approx(value, abs=5e-5) for name, value in expected.items()}
    assert (model["name"], head["library_name"], result["dataset"]["split"]) == (FILE, "onnx", "test")
    assert "synthetic" in head["tags"] and "(synthetic)" in result["dataset"]["name"]


def test_the_text_has_every_class_budget_flag_and_doubt(evaluation: Evaluation) -> None:
    _, text = parted(model_card(evaluation, FILE))
    for name in evaluation.head.task.classes:
        assert f"\n| {name} | " in text
    for budget in ("0.005 mV", "0.01 mV", "0.02 mV", "0.05 mV"):
        assert f"\n| {budget} | ." in text
    sha256 = evaluation.head.files["artifacts/cnn/onnx-fp32.onnx"].sha256
    assert sha256 in text and "**Synthetic: nothing here is about patients.**" in text
    assert "unsettled" in text and "not a proof that others leave as much" in text


def test_a_file_that_was_attacked_through_another_says_so(evaluation: Evaluation) -> None:
    assert "float parent" in model_card(evaluation, "lstm/onnx-int8-static")


def test_a_card_is_of_one_device(evaluation: Evaluation) -> None:
    card = model_card(evaluation, FILE, OTHER)
    assert "million an inference" in card and " ms at the median" not in card
    with pytest.raises(InputError, match="it was on"):
        model_card(evaluation, FILE, "pi4")
    with pytest.raises(InputError, match=r"nobody/onnx-fp32: no such file[\s\S]*cnn/onnx-fp32"):
        model_card(evaluation, "nobody/onnx-fp32")


def test_text_of_strangers_stays_text(tmp_path: Path) -> None:
    make_study(tmp_path / "made")
    title = "a |]: <script>alert(1)</script> --- # `x`"
    change_json(tmp_path / "made" / "bundle" / "bundle.json", title=title)
    card = model_card(evaluate(tmp_path / "made", 100), FILE)
    head, text = parted(card)
    assert head["model-index"][0]["results"][0]["dataset"]["name"] == f"{title} (synthetic)"
    assert "<script>" not in text.replace("\\<script", "")


def test_the_command_writes_that_of_the_recommended_file(home: Path, tmp_path: Path) -> None:
    study = tmp_path / "made.toml"
    study.write_text('name = "made"\ntitle = "A made study"\n[data]\nsource = "synthetic"\n[models.cnn]\n')
    done = CliRunner().invoke(app, ["card", "--study", str(study), "--build", str(home.parent)])
    assert done.exit_code == 0, done.output
    (card,) = (home / "report" / "cards").glob("*.md")
    assert card.name.startswith("lstm__")
    assert f"wrote {card}" in done.stderr
