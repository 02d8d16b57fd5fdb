"""The tutorial, done as it stands there: its files saved, its commands run, one after the other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What would change what the commands do: recordings of this machine, a make around this test, a summary of GitHub's.
NOT_OURS = ("PULSEPROOF_DATA", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "GITHUB_STEP_SUMMARY")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(kind: str, page: str = "tutorial.md") -> list[str]:
    return [text for found, text in FENCE.findall((ROOT / "docs" / page).read_text("utf-8")) if found == kind]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that has what a command of the tutorial needs of a checkout, and nothing that it could harm."""
    folder = tmp_path_factory.mktemp("checkout")
    environment = folder / ".venv" / "bin"
    environment.mkdir(parents=True)
    for name, rest in (("python", ""), ("pulseproof", "-m pulseproof ")):  # a link would lose its packages
        (environment / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {rest}"$@"\n')
        (environment / name).chmod(0o755)
    for name in (
        "Makefile",
        "pyproject.toml",
        "requirements.lock",
        "requirements-torch-cpu.lock",
        "requirements-tflite-runtime.lock",
    ):
        (folder / name).symlink_to(ROOT / name)
    for name in (".ready", ".tflite-runtime-ready"):  # the environment is made: it is the one that runs this test
        (environment.parent / name).touch()
    (model,), (study,) = blocks("python"), blocks("toml")
    (folder / "mymodel.py").write_text(model)
    (folder / "mine.toml").write_text(study)
    return folder


def run(command: str, folder: Path) -> str:
    own = {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env={key: value for key, value in os.environ.items() if key not in NOT_OURS} | own,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


@pytest.mark.slow
def test_the_tutorial_works_as_it_stands(checkout: Path) -> None:
    commands = blocks("sh")
    said = [run(command, checkout) for command in commands]
    assert len(commands) == 4
    assert "tflite-int8-static" in said[0] and "SYNTHETIC" in said[0]
    assert re.search(r"\.\d{3}g / ", said[0]), "the file was attacked through its own graph"
    assert "twice the" in said[1]
    assert "Which file should I ship?" in said[2] and "build/mine/report/index.html" in said[2]
    assert (checkout / "build" / "mine" / "report" / "index.html").stat().st_size > 100_000
    assert said[3].count("ok  ") == 2
    gate = blocks("sh", "ci.md")[0]  # that page goes on with the tutorial's study
    assert run(gate, checkout).count("ok  ") == 3
