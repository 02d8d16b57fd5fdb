"""A stranger's six tasks, each by its page of docs/adding alone: a model, a recipe, an attack, a device, a database, a
task. The page is followed to the letter in a copy of the packages; what it says it touches is counted, and what its
commands make is looked at."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from pulseproof.ecg.recordings import open_recordings
from tests.adding.following import HOME, PAGES, copied, follow

KINDS = ("model", "recipe", "attack", "device", "database", "task")


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def entries(build: Path) -> dict[str, Any]:
    listed = read(build / "artifacts" / "manifest.json")["entries"]
    return {f"{each['model']}/{each['recipe']}": each for each in listed}


def look_at_model(build: Path, said: str) -> None:
    found = entries(build)
    assert {name: each["status"] for name, each in found.items()} == dict.fromkeys(
        ("inception1d/onnx-fp32", "inception1d/onnx-int8-static"), "ok"
    )
    assert "kernels of three lengths side by side" in said


def look_at_recipe(build: Path, said: str) -> None:
    found = entries(build)
    assert [found[f"{model}/onnx-bf16"]["status"] for model in ("cnn", "decision-tree")] == ["ok", "ok"]
    weights = [
        onnx.numpy_helper.to_array(tensor).view(np.uint32)
        for tensor in onnx.load(build / "artifacts" / "cnn" / "onnx-bf16.onnx").graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
    ]
    assert weights and not any((each & 0xFFFF).any() for each in weights)


def look_at_attack(build: Path, said: str) -> None:
    rows = [cells for cells in csv.reader(io.StringIO(said)) if cells[:2] == ["host", "measured-on-host"]]
    assert [cells[2:7] for cells in rows] == [
        ["cnn", "onnx-fp32", "cnn", "sparse", "0.02"],
        ["cnn", "onnx-fp32", "", "random-sign", "0.02"],
    ]
    scores = {
        name: read(build / "results/host/cnn__onnx-fp32" / f"{name}.json")["auc_macro"]
        for name in ("clean", "sparse-cnn-0.02mV", "random-sign-0.02mV")
    }
    assert scores["sparse-cnn-0.02mV"] < min(scores["clean"], scores["random-sign-0.02mV"]) - 0.1
    moved = np.load(build / "signals/sparse-cnn-0.02mV.npy").astype(int) - np.load(build / "signals/clean.npy")
    assert 0 < (moved != 0).mean() < 0.5 and np.abs(moved).max() > 20  # few samples, and by more than the budget


def look_at_device(build: Path, said: str) -> None:
    name = "command-nice-n-5-venv-bin-python"
    there, here = (build / "results" / each for each in (name, "host"))
    result = read(there / "decision-tree__onnx-fp32" / "clean.json")
    assert (result["device"]["name"], result["device"]["evidence"]) == (name, "measured-on-device")
    for path in here.glob("*/*.npy"):
        if not path.name.startswith("_"):
            assert path.read_bytes() == (there / path.relative_to(here)).read_bytes()
    assert said.count(name) >= 2


def look_at_database(build: Path, said: str) -> None:
    (folder,) = (build.parent / "recordings").glob("chest-*")
    found = open_recordings(folder)
    assert (len(found), found.shape, found.about.classes) == (60, (2, 250), ("quick", "slow"))
    assert (found.about.database, found.about.fs_hz, found.about.adc_step_mv) == ("chest", 125.0, 0.0025)
    raw = np.fromfile(build.parents[1] / "recordings/chest/r07.i16", ">i2").reshape(2, 250)
    row = found.ids.tolist().index("r07")
    assert (found.adc(np.array([row]))[0] == raw).all() and found.labels[row].tolist() == [1, 0]
    assert read(build / "models/cnn/metrics.json")["test"]["auc"] > 0.7


def look_at_task(build: Path, said: str) -> None:
    assert "record w1 is left out of train: same patient as w6 (test)" in said
    (folder,) = (build.parent / "recordings").glob("ward-*")
    found = open_recordings(folder)
    assert (found.about.classes, found.shape, found.about.fs_hz) == (("N", "V"), (1, 45), 50.0)
    assert {name.split(":")[0] for name in found.ids.tolist()} == {"w2", "w3", "w4", "w5", "w6"}
    assert read(build / "models/cnn/metrics.json")["test"]["auc"] > 0.7


LOOKS = {
    "model": look_at_model,
    "recipe": look_at_recipe,
    "attack": look_at_attack,
    "device": look_at_device,
    "database": look_at_database,
    "task": look_at_task,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_page_is_all_that_is_needed(kind: str, tmp_path: Path) -> None:
    home = copied(tmp_path / "copy")
    said = follow(home, kind)
    (study,) = re.findall(r'^name = "(.*?)"', (home / "mine.toml").read_text(), re.M)
    LOOKS[kind](home / "build" / study, said)


def test_every_kind_has_a_page_and_a_template_and_stands_in_the_index() -> None:
    pages = {path.stem for path in PAGES.glob("*.md")}
    templates = {path.stem for path in PAGES.iterdir() if path.suffix in (".py", ".toml")}
    assert pages == templates == set(KINDS) == set(LOOKS)
    index = (HOME / "docs" / "ADDING.md").read_text(encoding="utf-8")
    for kind in KINDS:
        page = (PAGES / f"{kind}.md").read_text(encoding="utf-8")
        (touched,) = re.findall(r"^\*\*Touched: (.*)\.\*\*$", page, re.M)
        assert f"](adding/{kind}.md) | {touched} |" in index


def test_every_blank_of_a_template_is_filled_on_its_page() -> None:
    for path in (each for each in PAGES.iterdir() if each.suffix in (".py", ".toml")):
        blanks = re.findall(r"\bFILL (\w+)$", path.read_text(encoding="utf-8"), re.M)
        filled = re.findall(r"^# \S+, FILL (\w+)$", path.with_suffix(".md").read_text(encoding="utf-8"), re.M)
        assert blanks and sorted(blanks) == sorted(filled), path.name
