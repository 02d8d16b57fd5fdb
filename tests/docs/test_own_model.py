"""The page "my own model", done as it stands there, with a file that Keras' own converter wrote."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from pulseproof.core.studies.model_input import RrSpec
from pulseproof.core.study import Study, load_study
from pulseproof.core.toml_files import read_toml
from tests.docs.test_tutorial import FENCE, ROOT, run

PAGE = (ROOT / "docs" / "own-model.md").read_text("utf-8")
FILES = ROOT / "tests" / "models" / "strangers"


def blocks(kind: str) -> list[str]:
    return [text for found, text in FENCE.findall(PAGE) if found == kind]


@pytest.mark.slow
def test_the_page_works_as_it_stands(tmp_path: Path, data_root: Path) -> None:
    environment = tmp_path / ".venv" / "bin"
    environment.mkdir(parents=True)
    (environment / "pulseproof").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pulseproof "$@"\n')
    (environment / "pulseproof").chmod(0o755)
    path = f"export PATH={environment}:$PATH\n"
    shutil.copyfile(FILES / "dense.tflite", tmp_path / "mine.tflite")
    (tmp_path / "beats.toml").write_text(blocks("toml")[0])
    (tmp_path / "recordings").symlink_to(data_root)
    looked, brought, benched = blocks("sh")
    said = run(path + looked, tmp_path)
    assert "one lead of 100 samples" in said and "FULLY_CONNECTED, LOGISTIC" in said
    said = run(path + brought, tmp_path)
    assert 'normalise = "minmax"' in said and "attacked through its own graph" in said
    study = load_study(tmp_path / "beats.toml")
    spec = study.models["mine"]
    assert spec.input is not None and spec.input.normalise == "minmax"
    assert list(study.models) == ["mine", "surrogate"] and study.attacks.further_methods == ("square",)
    said = run(path + benched, tmp_path)
    home = tmp_path / "build" / "own"
    manifest = json.loads((home / "artifacts" / "manifest.json").read_text())
    (made,) = [entry for entry in manifest["entries"] if entry["status"] == "ok"]
    assert made["name"] == "mine/tflite-as-given" and "minmax, RESHAPE to (1, 100)" in made["note"]
    sets = {one.stem for one in (home / "signals").glob("*.npy")}
    ways = ("pgd-mine", "pgd-surrogate", "square-mine.tflite-as-given", "random-sign")
    assert sets == {"clean", *(f"{way}-0.02mV" for way in ways)}
    assert "tflite-as-given" in said


def test_the_block_of_keys_is_one_that_a_study_takes(tmp_path: Path) -> None:
    head, keys, others, _ = blocks("toml")  # the last is of another model, from a hub
    (tmp_path / "s.toml").write_text(f"{head}\n{keys}\n{others}")
    spec = Study.model_validate(read_toml(tmp_path / "s.toml", "")).models["mine"]
    assert spec.classes == ("V", "N") and spec.input is not None and spec.input.fs_hz == 100.0
    assert spec.input.others["age"] == 61.0 and spec.input.others["rr"] == RrSpec(rr="previous-next", beat_s=1.6)
