"""Ten mistakes that people make in a study, and the sentence that each gets."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from pulseproof.core.errors import InputError
from pulseproof.core.study import load_study
from pulseproof.core.toml_files import read_toml

EDITOR = jsonschema.Draft202012Validator(json.loads(Path("studies/study.schema.json").read_text(encoding="utf-8")))
GOOD = """
name = "mine"
title = "Ours"
[data]
source = "synthetic"
[models.cnn]
epochs = 2
[export]
recipes = ["onnx-fp32"]
[attacks]
budgets_mv = [0.01]
methods = ["pgd"]
"""
MISTAKES = {
    "a key mistyped": ("epochs = 2", "epoch = 2", "unknown key 'models.cnn.epoch'; did you mean 'epochs'?"),
    "a table mistyped": ("[attacks]", "[attack]", "unknown key 'attack'; did you mean 'attacks'?"),
    "the key that tells sources apart": ("source =", "sorce =", "unknown key 'data.sorce'; did you mean 'source'?"),
    "a source mistyped": ('"synthetic"', '"ptbxl"', "data.source: no 'ptbxl'; there are synthetic, ptb-xl, "),
    "a number in quotes for a list": ("= [0.01]", '= "0.01"', "attacks.budgets_mv: a list stands here, with one entry "
    "too: write [0.01]"),
    "a number for a list": ("= [0.01]", "= 0.01", "write [0.01]"),
    "a word for a list": ('= ["pgd"]', '= "pgd"', 'attacks.methods: a list stands here, with one entry too: write '
    '["pgd"]'),
    "a method mistyped": ('"pgd"', '"apgdd"', "attacks.methods.0: no method 'apgdd'; there are pgd, "),
    "a recipe mistyped": ("onnx-fp32", "onnx-fp23", "export.recipes.0: no recipe 'onnx-fp23'; there are onnx-fp32, "),
    "a system mistyped": ("[models.cnn]", "[models.cnnn]", "[models.cnnn]: no system named 'cnnn'; built in are "),
    "a value for a table": ("[models.cnn]\nepochs = 2", '[models]\ncnn = "cnn"', "models.cnn: a table stands here, "
    "[models.cnn] and below it a line a key, not 'cnn'"),
    "a key of one source in another": ('"synthetic"', '"ptb-xl"\nrecords = 100', "unknown key 'data.records'"),
}  # fmt: skip
MEANT = {"a source mistyped": "ptb-xl", "a method mistyped": "apgd", "a recipe mistyped": "onnx-fp32",
         "a system mistyped": "cnn"}  # fmt: skip


@pytest.fixture
def wrong(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    old, new, _ = MISTAKES[request.param]
    assert GOOD.count(old) == 1
    path = tmp_path / "study.toml"
    path.write_text(GOOD.replace(old, new), encoding="utf-8")
    return path


@pytest.mark.parametrize(("wrong", "name"), [(each, each) for each in MISTAKES], indirect=["wrong"])
def test_a_mistake_is_said_with_what_was_meant(wrong: Path, name: str) -> None:
    with pytest.raises(InputError) as raised:
        load_study(wrong)
    assert raised.value.what.startswith(f"{wrong}: ")
    assert MISTAKES[name][2] in raised.value.what
    if name in MEANT:
        assert f"; did you mean {MEANT[name]!r}?" in raised.value.what


@pytest.mark.parametrize("wrong", [each for each in MISTAKES if each != "a system mistyped"], indirect=True)
def test_an_editor_that_has_the_schema_refuses_it_too(wrong: Path) -> None:
    """But for the name of a system: that a table without ``factory``, ``estimator`` and ``file`` is called as one."""
    assert list(EDITOR.iter_errors(read_toml(wrong, "")))


def test_a_wrong_key_is_named_before_a_missing_one(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(GOOD.replace("title =", "titel ="), encoding="utf-8")
    with pytest.raises(InputError) as raised:
        load_study(path)
    assert raised.value.what == f"{path}: unknown key 'titel'; did you mean 'title'?; key 'title' is missing"


@pytest.mark.parametrize("path", sorted(Path("studies").glob("*.toml")), ids=lambda path: path.stem)
def test_an_editor_takes_every_packaged_study_and_finds_the_schema_by_it(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("#:schema study.schema.json\n")
    assert [str(each.message) for each in EDITOR.iter_errors(read_toml(path, ""))] == []
