"""The GitHub Action and the pre-commit hook: their steps are run as their runners run them, by a shell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from tests.bench.making import make_build
from tests.report.test_gate import INT8, give

ROOT = Path(__file__).parents[2]
PULSEPROOF = Path(sys.executable).with_name("pulseproof")
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
EXPRESSION = re.compile(r"\$\{\{ *inputs\.(\w+) *\}\}")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study that was run, in a folder whose name has a blank."""
    home = tmp_path / "a build"
    give(home / "made", make_build(home / "made"), INT8, "clean", 0.8)
    path = tmp_path / "made.toml"
    path.write_text('name = "made"\ntitle = "A made study"\n[data]\nsource = "synthetic"\n[models.cnn]\n')
    return path


def act(folder: Path, **given: str) -> tuple[subprocess.CompletedProcess[str], dict[str, str]]:
    """Run the action's steps but the installation, as a runner does: inputs by their defaults, each step's ``env``, and
    its outputs in a file."""
    inputs = {name: str(each.get("default", "")) for name, each in ACTION["inputs"].items()} | given
    assert not {name for name, each in ACTION["inputs"].items() if each.get("required")} - set(given)
    (step,) = [each for each in ACTION["runs"]["steps"] if "id" in each]
    variables = {key: EXPRESSION.sub(lambda found: inputs[found[1]], value) for key, value in step["env"].items()}
    outputs = folder / "outputs"
    env = os.environ | variables | {"GITHUB_ACTION_PATH": str(ROOT), "GITHUB_OUTPUT": str(outputs)}
    script = step["run"]
    assert "${{" not in script, "what a caller gives would become a part of the script"
    done = subprocess.run(["bash", "-ec", script], cwd=folder, env=env, capture_output=True, text=True, check=False)
    pairs = outputs.read_text().splitlines() if outputs.exists() else []
    return done, dict(pair.split("=", 1) for pair in pairs)


def gate(study: Path, bounds: str, **more: str) -> tuple[subprocess.CompletedProcess[str], dict[str, str]]:
    given = {"study": str(study), "build": str(study.parent / "a build"), "command": str(PULSEPROOF)}
    return act(study.parent, bounds=bounds, **given | more)


@pytest.mark.slow
def test_the_action_holds_and_fails_as_the_gate_does(study: Path) -> None:
    done, outputs = gate(study, "--min-auc .7\n--max-size-bytes 1000", artifacts=f"{INT8}\n", devices="host")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"ok     {INT8} on host") == 2
    report = ElementTree.parse(study.parent / outputs["junit"]).getroot()
    assert (report.get("tests"), report.get("failures")) == ("2", "0")
    done, outputs = gate(study, "--max-size-bytes 10", artifacts=INT8)
    assert done.returncode == 1
    assert ElementTree.parse(study.parent / outputs["junit"]).getroot().get("failures") == "1"


@pytest.mark.slow
def test_what_a_caller_gives_is_not_run(study: Path) -> None:
    """A branch can be called so; it reaches the command as one word, and is refused by it."""
    done, _ = gate(study, "--min-auc $(touch made-by-bounds)", artifacts="$(touch made-by-artifact); `touch made-too`")
    assert done.returncode != 0
    assert not list(study.parent.glob("made-*"))


def test_every_input_is_used_and_every_step_has_a_shell() -> None:
    steps: list[dict[str, Any]] = ACTION["runs"]["steps"]
    used = set(EXPRESSION.findall(str([each.get("env") for each in steps])))
    assert used | {"command"} == set(ACTION["inputs"])
    assert {each["shell"] for each in steps} == {"bash"}


def test_our_own_workflow_uses_it_as_it_is() -> None:
    flow = yaml.safe_load((ROOT / ".github/workflows/gate.yml").read_text(encoding="utf-8"))
    steps = flow["jobs"]["demo"]["steps"]
    (used,) = [each["with"] for each in steps if each.get("uses") == "./"]
    assert set(used) <= set(ACTION["inputs"])
    assert {name for name, each in ACTION["inputs"].items() if each.get("required")} <= set(used)
    assert (ROOT / used["study"]).is_file()


@pytest.mark.slow
def test_the_hook_names_what_is_wrong_in_every_study(tmp_path: Path) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert re.search(hook["files"], "studies/mine.toml") and not re.search(hook["files"], "pyproject.toml")
    command = [sys.executable, "-m", *hook["entry"].split()]
    good = ROOT / "studies" / "demo.toml"
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    first.write_text(good.read_text().replace("[models.cnn]", "[models.cnnn]"))
    second.write_text(good.read_text().replace("title", "titel"))
    done = subprocess.run([*command, str(good)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "study demo" in done.stderr
    done = subprocess.run([*command, str(first), str(good), str(second)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "did you mean 'cnn'?" in done.stderr and "did you mean 'title'?" in done.stderr
