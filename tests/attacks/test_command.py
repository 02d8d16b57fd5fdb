"""``pulseproof attack`` as a user types it: the table, what is not applicable, WFDB records, wrong use, and Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pulseproof.attacks.grid.wfdb_out import read_set
from pulseproof.runtime.files import read_array

STUDY = """
name = "small"
title = "A study to attack"
[data]
source = "synthetic"
records = 240
leads = ["I", "II"]
window_s = [0, 4]
[models.cnn]
epochs = 1
[export]
recipes = ["onnx-int8-static"]
calibration_records = 32
parity_records = 40
[attacks]
methods = ["pgd", "random-sign", "square"]
budgets_mv = [0.0001, 0.05]
further_methods = ["noise-bw", "twin"]
further_budgets_mv = [0.05]
deployed = ["onnx-int8-static"]
steps = 2
queries = 5
references = 16
shard = 8
"""
MADE = [
    "clean",
    "pgd-cnn-0.05mV",
    "random-sign-0.05mV",
    "square-cnn.onnx-int8-static-0.05mV",
    "twin-cnn.onnx-int8-static-0.05mV",
]

pytestmark = pytest.mark.slow


def started(*arguments: str) -> subprocess.Popen[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PULSEPROOF_DATA"}
    return subprocess.Popen(
        [sys.executable, "-m", "pulseproof", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment | {"COLUMNS": "200", "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def command(*arguments: str, expect: int = 0) -> tuple[str, str]:
    process = started(*arguments)
    said = process.communicate(timeout=300)
    assert process.returncode == expect, said[1]
    assert "Traceback" not in said[1]
    return said


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("command")
    (home / "small.toml").write_text(STUDY)
    return home


@pytest.fixture(scope="module")
def where(home: Path) -> list[str]:
    return ["--study", str(home / "small.toml"), "--build", str(home / "build")]


@pytest.fixture(scope="module")
def said(where: list[str]) -> tuple[str, str]:
    return command("attack", *where, "--workers", "2")


def test_it_prints_every_set_and_what_cannot_be(said: tuple[str, str], home: Path) -> None:
    table, about = said
    signals = home / "build" / "small" / "signals"
    lines = table.splitlines()
    for name in MADE:
        (line,) = [line for line in lines if f" {name} " in line]
        described = json.loads((signals / f"{name}.json").read_text())
        assert described["sha256"][:12] in line
        assert f" {described['sigma']:.3f} " in line
    assert {path.stem for path in signals.glob("*.npy")} == set(MADE)
    assert json.loads((signals / "square-cnn.onnx-int8-static-0.05mV.json").read_text())["facts"]["queries"] <= 5
    assert "not applicable: 0.0001 mV: below the recorder's step" in about
    assert "not applicable: noise-bw-0.05mV: recorded noise" in about


def test_sets_become_records_that_are_read_back_equal(
    said: tuple[str, str], where: list[str], home: Path, tmp_path: Path
) -> None:
    command("wfdb", *where, "--to", str(tmp_path), "--set", "pgd-cnn-0.05mV")
    assert [path.name for path in tmp_path.iterdir()] == ["pgd-cnn-0.05mV"]
    steps = read_array(home / "build" / "small" / "signals" / "pgd-cnn-0.05mV.npy")
    assert np.array_equal(read_set(tmp_path / "pgd-cnn-0.05mV"), steps)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["wfdb", "--to", "records", "--set", "pgd-vit-0.05mV"], "--set pgd-vit-0.05mV: no such set"),
        (["attack", "--workers", "-1"], "--workers"),
    ],
)
def test_wrong_use_is_a_sentence(
    arguments: list[str], sentence: str, said: tuple[str, str], where: list[str], tmp_path: Path
) -> None:
    told = command(arguments[0], *where, *arguments[1:], expect=2)[1]
    assert sentence in told


def test_ctrl_c_ends_the_workers_and_the_same_command_goes_on(
    said: tuple[str, str], where: list[str], home: Path, tmp_path: Path
) -> None:
    slow = tmp_path / "slow.toml"
    slow.write_text(STUDY.replace("steps = 2", "steps = 60"))
    asked = ["attack", "--study", str(slow), *where[2:], "--workers", "2"]
    process = started(*asked)
    shards = home / "build" / "small" / "signals" / "shards"
    while process.poll() is None and not list(shards.glob("pgd*/*.npy")):
        time.sleep(0.02)
    assert process.poll() is None, "it ended before it could be stopped"
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the command and its workers
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "Traceback" not in told
    deadline = time.monotonic() + 30
    while alive(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive(process.pid), "a worker is left"
    assert list(shards.glob("pgd*/*.npy")), "what was made is gone"
    command(*asked)
    described = json.loads((shards.parent / "pgd-cnn-0.05mV.json").read_text())
    assert described["settings"]["steps"] == 60
    assert not shards.exists()


def alive(group: int) -> bool:
    """Whether any process of the group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
