"""The page "my own recordings", done as it stands there, and the packaged study of a made-up wearable."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import resample_poly

from pulseproof.core.study import load_study
from pulseproof.ecg.prepare import prepare
from tests.docs.test_tutorial import FENCE, ROOT, run
from tests.ecg.tables.making import write_edf

PAGE = (ROOT / "docs" / "own-recordings.md").read_text("utf-8")


def blocks(kind: str) -> list[str]:
    return [text for found, text in FENCE.findall(PAGE) if found == kind]


def checkout(folder: Path) -> Path:
    """A folder with the page's files and an environment."""
    environment = folder / ".venv" / "bin"
    environment.mkdir(parents=True)
    for name, rest in (("python", ""), ("pulseproof", "-m pulseproof ")):
        (environment / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {rest}"$@"\n')
        (environment / name).chmod(0o755)
    (script,), (study,) = blocks("python"), blocks("toml")
    (folder / "make_recordings.py").write_text(script)
    (folder / "wearable.toml").write_text(study)
    return folder


@pytest.mark.slow
def test_the_page_works_as_it_stands(tmp_path: Path) -> None:
    folder = checkout(tmp_path)
    commands = blocks("sh")
    assert len(commands) == 3
    run(commands[0], folder)
    looked = run(commands[1], folder)
    assert "MADE UP" in looked and "96 recordings kept" in looked and "Resampled to 100 Hz: 96 of 333 Hz" in looked
    page = (folder / "build" / "wearable-try" / "look" / "index.html").read_text()
    assert page.count('<svg class="ecg"') == 2 and "AF: recording signals/r" in page
    benched = run(commands[2], folder)
    assert "cnn" in benched and "onnx-int8-static" in benched
    assert (folder / "build" / "wearable-try" / "report" / "index.html").stat().st_size > 100_000


def test_the_packaged_wearable_in_csv_and_edf(tmp_path: Path) -> None:
    """Every second file of the page's recordings as EDF: the same study reads both, to half a step of scipy's."""
    run(blocks("sh")[0], checkout(tmp_path))
    home = tmp_path / "data" / "wearable"
    with (home / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = {}
    for place, row in enumerate(rows):
        path = home / row["file"]
        microvolts = np.loadtxt(path, skiprows=1)
        if place % 2:
            write_edf(path.with_suffix(".edf"), microvolts[None] / 1000, 333, ["ECG ecg"])
            path.unlink()
            row["file"], microvolts = row["file"].replace(".csv", ".edf"), np.rint(microvolts / 1000 * 1000)
        wanted[row["file"][:-4]] = resample_poly(microvolts / 1000, 100, 333, padtype="edge")[:1000]
    with (home / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    recordings = prepare(load_study(ROOT / "studies" / "wearable.toml"), tmp_path / "data", tmp_path / "build")
    assert recordings.shape == (1, 1000) and recordings.about.fs_hz == 100 and recordings.about.exclusive
    for row, name in enumerate(recordings.ids.tolist()):
        steps_mv = recordings.steps[row, 0] * recordings.about.adc_step_mv
        assert np.abs(steps_mv - wanted[name]).max() <= 0.5001 * recordings.about.adc_step_mv
    labels = {row["file"][:-4]: row["rhythm"] for row in rows}
    assert recordings.about.classes == ("AF", "rest")
    assert [labels[name] == "AFIB" for name in recordings.ids.tolist()] == recordings.labels[:, 0].astype(bool).tolist()
    people = {row["file"][:-4]: row["person"] for row in rows}
    assert len(set(recordings.patients.tolist())) == len(set(people.values())) == 48
