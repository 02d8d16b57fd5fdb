"""The commands of the pages that only read what was run, done as they stand there; of the others a reason is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pulseproof.main import app
from tests.docs.commands import ROOT, Shown, shown
from tests.docs.tried import ALONE, FOLLOWED, READING, REASONS, asked_of_us, reason
from tests.report.making_report import make_study

WHOLE = [each for each in shown() if each.whole]
RUN = {each.text: each for each in WHOLE if reason(each) is None}
DONE: set[tuple[str, ...]] = set()
STUDY = """name = "mine"
title = "Mine"
[data]
source = "synthetic"
[models.cnn]
[bench]
bootstrap = 100
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packaged studies and one of a reader, each of them run."""
    folder = tmp_path_factory.mktemp("reader")
    recipes = ("onnx-fp32", "tflite-fp32", "tflite-int8-static")
    make_study(folder / "made", models=("cnn",), sources=("cnn",), recipes=recipes, budgets=(0.01, 0.02), further=())
    (folder / "build").mkdir()
    for name in ("mine", "demo", "ptb-xl"):
        (folder / "build" / name).symlink_to(folder / "made")
    (folder / "studies").symlink_to(ROOT / "studies")
    (folder / "mine.toml").write_text(STUDY)
    return folder


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("environment")
    for name in (".ready", ".tflite-runtime-ready"):
        (folder / name).touch()
    return folder


def test_every_other_has_its_reason() -> None:
    """One that has none and is not run here fails below, for it is none of those that can be."""
    assert len(RUN) >= 10 and len(WHOLE) > 60
    assert all(any(reason(each) == told for each in WHOLE) for told in REASONS.values()), "a reason that nobody needs"
    assert all((ROOT / path).is_file() for path in FOLLOWED.values())
    assert reason(Shown("a page", "pulseproof invent --study mine.toml", True)) is None


@pytest.mark.slow
@pytest.mark.parametrize("text", RUN)
def test_it_does_what_the_page_says(text: str, checkout: Path, ready: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)
    asked = asked_of_us(RUN[text], ready)
    assert asked, f"{text} runs nothing of ours"
    for words in asked:
        assert words[0] in (*READING, *ALONE), f"{text} needs a reason in tests/docs/tried.py"
        same = tuple(
            "a study" if word.endswith(".toml") else word for word in words if word not in ("--build", "build")
        )
        if same in DONE:  # the studies here are one and the same
            continue
        DONE.add(same)
        done = CliRunner().invoke(app, words)
        assert done.exit_code in ((0, 1) if words[0] == "gate" else (0,)), f"{words}: {done.output}{done.exception!r}"
        assert done.output.strip()
