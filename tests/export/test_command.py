"""``pulseproof export`` as a user types it: a model of his own beside a study, and wrong use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from torch import nn

from pulseproof.core.study import load_study
from pulseproof.export.commands import _name_of
from pulseproof.export.table import recipe_table

STUDY = """
name = "own"
title = "A study to bring a model to"
[data]
source = "synthetic"
records = 240
leads = ["I", "II"]
window_s = [0, 4]
[models.cnn]
epochs = 1
[export]
recipes = ["onnx-fp32", "onnx-int8-static", "tflite-fp32"]
calibration_records = 32
parity_records = 40
"""


def command(*arguments: str, expect: int = 0, name: str = "export") -> subprocess.CompletedProcess[str]:
    calm = {key: value for key, value in os.environ.items() if key != "PULSEPROOF_DATA"} | {"COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-m", "pulseproof", name, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=calm,
    )
    assert done.returncode == expect, done.stderr[-3000:] + done.stdout[-1000:]
    return done


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "own.toml"
    path.write_text(STUDY)
    return path


def onnx_model(path: Path) -> Path:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(2, 8, 9, 4), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 5))
    torch.onnx.export(net.eval(), (torch.zeros(1, 2, 400),), path, opset_version=17, dynamo=False)
    return path


@pytest.mark.slow
def test_a_model_of_a_user_is_exported_alone_and_kept_on_request(study: Path, tmp_path: Path) -> None:
    model, build = onnx_model(tmp_path / "Their Net.onnx"), str(tmp_path / "build")
    asked = ["--study", str(study), "--build", build, "--model", str(model)]
    first = command(*asked)
    assert "[models.their-net]" in first.stderr and "Their Net.onnx" in first.stderr
    manifest = json.loads((tmp_path / "build" / "own" / "artifacts" / "manifest.json").read_text())
    status = {entry["name"]: entry["status"] for entry in manifest["entries"]}
    assert status == {
        "their-net/onnx-fp32": "ok",
        "their-net/onnx-int8-static": "ok",
        "their-net/tflite-fp32": "not-applicable",
    }
    assert not (tmp_path / "build" / "own" / "models" / "cnn").exists()  # nobody asked for the study's own

    command(*asked, "--keep")
    assert tomllib.loads(study.read_text())["models"]["their-net"] == {"file": str(model)}
    assert load_study(study).models["their-net"].brought
    command("--study", str(study), "--build", build)
    manifest = json.loads((tmp_path / "build" / "own" / "artifacts" / "manifest.json").read_text())
    assert {entry["model"] for entry in manifest["entries"] if entry["status"] == "ok"} == {"cnn", "their-net"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no study"),
        (["--study", "studies/demo.toml", "--name", "x"], "go with --model"),
        (["--study", "studies/none.toml", "--model", "x.onnx"], "no such study"),
    ],
)
def test_wrong_use_ends_with_status_2_and_a_sentence(arguments: list[str], said: str) -> None:
    done = command(*arguments, expect=2)
    assert said in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("model", ["none.onnx", "no.such.module:make", "models.pkl", "net.pt"])
def test_a_model_that_cannot_be_taken_is_named(model: str, study: Path, tmp_path: Path) -> None:
    done = command("--study", str(study), "--build", str(tmp_path / "build"), "--model", model, expect=2)
    assert model.split(":", maxsplit=1)[0] in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_name_that_the_study_has_is_refused(study: Path, tmp_path: Path) -> None:
    model = onnx_model(tmp_path / "cnn.onnx")
    done = command("--study", str(study), "--build", str(tmp_path / "build"), "--model", str(model), expect=2)
    assert "another model named 'cnn'" in done.stderr


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("models/My_net.v2.onnx", "my-net-v2"),
        ("package.nets:make", "nets-make"),
        ("pipeline.skops", "pipeline"),
        ("ÄÖ.tflite", "own"),
    ],
)
def test_a_model_gets_a_name_that_a_study_takes(model: str, name: str) -> None:
    assert _name_of(model) == name


@pytest.mark.slow
def test_the_table_of_recipes_is_printed() -> None:
    assert command(name="recipes").stdout == recipe_table() + "\n"
