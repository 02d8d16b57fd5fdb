"""A study with one model more: every comment stays, what is meant is what is written, and what cannot be is refused."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from pulseproof.core.errors import InputError
from pulseproof.core.study import DefenceSpec, Study, load_study
from pulseproof.models.hardened.block import hardened_text

STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.toml"))
DEFENCE = DefenceSpec(kind="adversarial", budget_mv=0.03)
PLAIN = """# My study.
name = "s"
title = "s"
[data]
source = "synthetic"

# The net.
[models.cnn]
epochs = 12 # half
[models.cnn.options]
width = 4

# The tree.
[models.decision-tree]

[attacks] # few
sources = ["cnn"]
"""


def made(text: str, model: str = "cnn", name: str = "cnn-hard", defence: DefenceSpec = DEFENCE) -> str:
    study = Study.model_validate(tomllib.loads(text))
    return hardened_text(Path("s.toml"), text, study, model, name, defence)


def test_the_block_stands_below_the_model_and_the_rest_stays() -> None:
    found = made(PLAIN)
    for line in PLAIN.splitlines():
        assert line in found.splitlines() or line.startswith("sources")
    assert found.index("[models.cnn.options]") < found.index("[models.cnn-hard]") < found.index("# The tree.")
    study = Study.model_validate(tomllib.loads(found))
    hard = study.models["cnn-hard"]
    assert (hard.system, hard.options, hard.epochs, hard.defence) == ("cnn", {"width": 4}, 20, DEFENCE)  # 12 * 40 / 24
    assert study.attacks.sources == ("cnn", "cnn-hard"), "a defence is attacked through itself"
    assert study.models["cnn"] == Study.model_validate(tomllib.loads(PLAIN)).models["cnn"]


def test_the_same_again_changes_nothing_and_another_is_refused() -> None:
    found = made(PLAIN)
    assert made(found) == found
    with pytest.raises(InputError, match="there already, with other settings"):
        made(found, defence=DefenceSpec(kind="gradient"))
    assert "[models.cnn-2]" in made(found, name="cnn-2", defence=DefenceSpec(kind="gradient"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_packaged_study_takes_one(path: Path) -> None:
    text, study = path.read_text(), load_study(path)
    found = hardened_text(path, text, study, "cnn", "cnn-more", DEFENCE)
    assert [line for line in found.splitlines() if line.startswith("#")] == [
        line for line in text.splitlines() if line.startswith("#")
    ]
    again = Study.model_validate(tomllib.loads(found))
    assert set(again.models) == {*study.models, "cnn-more"}
    assert again.models["cnn-more"].defence == DEFENCE and again.data == study.data


@pytest.mark.parametrize(
    ("text", "last"),
    [
        (
            'name = "s"\r\ntitle = "s"\r\n[data]\r\nsource = "synthetic"\r\n[models.cnn]\r\n',
            "steps = 5, weight = 1.0}\r\n",
        ),
        ('models.cnn = {}\nname = "s"\ntitle = "s"\ndata = {source = "synthetic"}\n', "steps = 5, weight = 1.0}\n"),
        ('name = "s"\ntitle = "s"\n[data]\nsource = "synthetic"\n[models."cnn"]', "steps = 5, weight = 1.0}\n"),
    ],
)
def test_however_it_is_written(text: str, last: str) -> None:
    found = made(text)
    assert found.endswith(last) and set(tomllib.loads(found)["models"]) == {"cnn", "cnn-hard"}
    assert found.count("\r\n") == (found.count("\n") if "\r\n" in text else 0)


def test_sources_on_lines_of_their_own_stay_so() -> None:
    text = PLAIN.replace('["cnn"]', '[\n    "cnn",\n    "decision-tree",\n]')
    assert '    "decision-tree",\n    "cnn-hard",\n]' in made(text)


def test_what_cannot_be_written_in_says_what_to_add() -> None:
    text = 'name = "s"\ntitle = "s"\ndata = {source = "synthetic"}\nmodels = {cnn = {}}\n'
    with pytest.raises(InputError, match=r"(?s)cannot be put in.*\[models.cnn-hard\] system = \"cnn\""):
        made(text)


@pytest.mark.parametrize(
    ("model", "name", "said"),
    [
        ("lens", "x", r"no \[models.lens\].*cnn, decision-tree"),
        ("cnn", "Cnn Hard", "names no model"),
        ("cnn", "decision-tree", "with other settings"),
    ],
)
def test_what_is_refused(model: str, name: str, said: str) -> None:
    with pytest.raises(InputError, match=f"(?s){said}"):
        made(PLAIN, model, name)


def test_a_classical_system_takes_attacked_recordings_and_nothing_else() -> None:
    assert "[models.decision-tree-hard]" in made(PLAIN, "decision-tree", "decision-tree-hard")
    with pytest.raises(InputError, match="is no net, and certified is a way to train one"):
        made(PLAIN, "decision-tree", "x", DefenceSpec(kind="certified"))


def test_a_trained_or_a_defended_model_is_refused() -> None:
    given = PLAIN.replace("[models.decision-tree]", '[models.given]\nfile = "x.onnx"')
    with pytest.raises(InputError, match="came trained"):
        made(given, "given")
    with pytest.raises(InputError, match="has a defence already"):
        made(made(PLAIN), "cnn-hard", "more")
