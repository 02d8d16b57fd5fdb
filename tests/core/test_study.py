"""Studies: what is read, and what a wrong one says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from pulseproof.core.data.marked import RecordsPart, WindowSpec
from pulseproof.core.errors import InputError
from pulseproof.core.studies.sources import BeatData, PtbXlData, SyntheticData, WindowData
from pulseproof.core.study import (
    AttackSpec,
    AugmentSpec,
    BenchSpec,
    ExportSpec,
    ModelSpec,
    PartSpec,
    Study,
    load_study,
)

GOOD = """
name = "small"
title = "A small one"
[data]
source = "synthetic"
records = 100
[models.cnn]
epochs = 2
[models.logistic-regression]
[attacks]
sources = ["cnn"]
budgets_mv = [0.01, 0.02]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "study.toml"
    path.write_text(text)
    return path


def test_a_study_is_read(tmp_path: Path) -> None:
    study = load_study(write(tmp_path, GOOD))
    assert study.name == "small"
    assert list(study.models) == ["cnn", "logistic-regression"]
    assert study.models["cnn"].epochs == 2
    assert study.attacks.budgets_mv == (0.01, 0.02)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("records = 100", "recods = 100", "unknown key 'data.recods'"),
        ("epochs = 2", "epoch = 2", "unknown key 'models.cnn.epoch'"),
        ('title = "A small one"', "", "key 'title' is missing"),
        ("records = 100", 'records = "many"', "data.records"),
        ("records = 100", "seed = -1", "data.seed"),
        ('name = "small"', 'name = "small"\nseed = -1', "seed"),
        ("budgets_mv = [0.01, 0.02]", "budgets_mv = [nan]", "budgets_mv"),
        ("budgets_mv = [0.01, 0.02]", "budgets_mv = [inf]", "budgets_mv"),
        ("budgets_mv = [0.01, 0.02]", "budgets_mv = [0.02, 0.01]", "rising order"),
        ("budgets_mv = [0.01, 0.02]", "budgets_mv = [-0.01]", "rising order"),
        ('sources = ["cnn"]', 'sources = ["lstm"]', "'lstm', which is not under [models]"),
        ('name = "small"', 'name = "../up"', "name"),
        ('source = "synthetic"', 'source = "tape"', "data"),
        ("epochs = 2", 'factory = "a:b"\nestimator = "c:d"', "one of system, factory, estimator and file"),
        ("epochs = 2", 'system = "transformer"', "[models.cnn]: no system named 'transformer'"),
        ("epochs = 2", "trained = true", "goes with factory or estimator"),
        ("epochs = 2", 'factory = "a:b"\nweights = "w.safetensors"', "weights go with factory and trained"),
        ("epochs = 2", 'file = "model.pkl"', "models.cnn.file"),
        ("[models.cnn]", "[models.cnn", "not valid TOML"),
    ],
)
def test_a_wrong_study_names_the_file_and_the_key(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(InputError) as raised:
        load_study(path)
    assert str(path) in raised.value.what
    assert said in raised.value.what


def test_a_missing_study_lists_those_there(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    with pytest.raises(InputError, match=r"no such study[\s\S]*study\.toml"):
        load_study(tmp_path / "other.toml")


@pytest.mark.parametrize(
    "spec",
    [
        *(Study, SyntheticData, PtbXlData, BeatData, ModelSpec, AugmentSpec, ExportSpec, AttackSpec, BenchSpec),
        *(PartSpec, WindowData, WindowSpec, RecordsPart),
    ],
    ids=lambda spec: spec.__name__,
)
def test_the_page_about_studies_names_every_key(spec: type[BaseModel]) -> None:
    page = Path("docs/studies.md").read_text(encoding="utf-8")
    assert [key for key in spec.model_fields if not re.search(rf"\b{key}\b", page)] == []


@pytest.mark.parametrize("path", sorted(Path("studies").glob("*.toml")), ids=lambda path: path.stem)
def test_every_study_of_the_project_is_valid(path: Path) -> None:
    assert load_study(path).name == path.stem
