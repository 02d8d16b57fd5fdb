"""The whole path on a small synthetic study, with the real engines and the packed runner, as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pulseproof.bench.bundle import runner_archive

STUDY = """
name = "tiny"
title = "A tiny study"
test_records = 40
[data]
source = "synthetic"
records = 240
window_s = [0, 4]
[models.decision-tree]
[models.cnn]
epochs = 2
options = {width = 8}
[export]
recipes = ["onnx-fp32", "onnx-fp16", "onnx-int8-static", "tflite-fp32", "tflite-int8-static", "tflite-int8-full"]
[attacks]
sources = ["cnn"]
budgets_mv = [0.02]
further_methods = ["twin"]
steps = 3
references = 16
[bench]
bootstrap = 100
"""
KEYS = (
    "device, evidence, model, recipe, source, method, budget_mv, n, auc, auc_low, auc_high, latency_p50_ms, "
    "latency_p99_ms, load_ms, peak_rss_mb, size_bytes, runtime, not_applicable"
)


def pulseproof(
    *arguments: str, home: Path, expect: int = 0, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pulseproof", *arguments, "--build", str(home / "build")]
    calm = {key: value for key, value in os.environ.items() if key != "PULSEPROOF_DATA"} | (environment or {})
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=calm)
    assert done.returncode == expect, done.stderr[-3000:] + done.stdout[-1000:]
    return done


def test_the_runner_is_packed_the_same_every_time_and_holds_only_the_runtime(tmp_path: Path) -> None:
    packed = runner_archive()
    assert packed == runner_archive()
    (tmp_path / "runner.pyz").write_bytes(packed)
    names = zipfile.ZipFile(tmp_path / "runner.pyz").namelist()
    assert all(name == "__main__.py" or name.startswith("pulseproof/") for name in names)
    done = subprocess.run(
        [sys.executable, tmp_path / "runner.pyz", "probe"], capture_output=True, text=True, check=True
    )
    assert "fingerprint" in json.loads(done.stdout)


def _touched(home: Path, before: dict[Path, int]) -> list[Path]:
    """The files of a build that are not as they were, but for what a device says of its state now."""
    now = {path: path.stat().st_mtime_ns for path in (home / "build").rglob("*.*") if path.is_file()}
    return [path for path in now if now[path] != before.get(path) and path.name != "device.json"]


def _expect_nothing_to_do(study: list[str], home: Path, files: dict[Path, int]) -> None:
    again = pulseproof("bench", *study, home=home, environment={"PYTHONPROFILEIMPORTTIME": "1"})
    assert "nothing has changed since it was made" in again.stderr
    imported = {line.rpartition("|")[2].strip() for line in again.stderr.splitlines()}
    assert "pulseproof.pipeline" in imported and not imported & {"torch", "sklearn", "onnx", "scipy", "matplotlib"}
    assert not _touched(home, files)
    # The same by each step's own stamp, where the run as a whole is not known to be done.
    known = home / "build" / "tiny" / "bundle.unchanged.stamp.json"
    known.unlink()
    assert "nothing has changed" not in pulseproof("bench", *study, home=home).stderr
    assert _touched(home, files) == [known]


@pytest.mark.slow
def test_from_a_study_to_the_table_and_only_what_changed_again(tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(STUDY)
    study = ["--study", str(path)]
    first = pulseproof("bench", *study, home=tmp_path)
    assert "SYNTHETIC" in first.stdout
    rows = json.loads(pulseproof("table", *study, "--format", "json", home=tmp_path).stdout)
    assert ", ".join(rows[0]).startswith(KEYS)
    measured = [row for row in rows if row["auc"] is not None]
    assert {(row["model"], row["recipe"]) for row in measured} == {
        (model, f"{f}-{r}")
        for model in ("decision-tree", "cnn")
        for f in ("onnx", "tflite")
        for r in ("fp32", "int8-static")
    }
    twins = [row for row in measured if row["method"] == "twin"]
    assert {row["source"] for row in twins} == {"cnn/onnx-int8-static", "cnn/tflite-int8-static"}
    assert {row["model"] for row in twins} == {"cnn"}  # made on its files, of no use for others
    assert len(twins) == 2 * 4
    worst = [row for row in measured if row["method"] == "worst-case"]
    assert {(row["model"], row["sets"]) for row in worst} == {("decision-tree", 1), ("cnn", 3)}
    assert len(measured) == 8 * 3 + len(twins) + 8
    steps = {(row["model"], row["recipe"]): row["input_step_uv"] for row in measured if row["method"] == "clean"}
    assert steps["cnn", "onnx-int8-static"] > 1 and steps["cnn", "onnx-fp32"] is None
    for row in [row for row in measured if row["method"] != "worst-case"]:
        assert row["evidence"] == "measured-on-host"
        assert row["n"] == 40
        assert row["auc_low"] <= row["auc"] <= row["auc_high"]
        assert 0 < row["latency_p50_ms"] <= row["latency_p99_ms"]
    # Made, but not in the bundle: as long as the study does not name them under [bench].
    artifacts = tmp_path / "build" / "tiny" / "artifacts"
    assert (artifacts / "cnn" / "onnx-fp16.onnx").exists() and (artifacts / "cnn" / "tflite-int8-full.tflite").exists()

    files = {p: p.stat().st_mtime_ns for p in (tmp_path / "build").rglob("*.*") if p.is_file()}
    _expect_nothing_to_do(study, tmp_path, files)

    path.write_text(STUDY.replace("[0.02]", "[0.02, 0.04]"))
    pulseproof("bench", *study, home=tmp_path)
    third = {p: p.stat().st_mtime_ns for p in (tmp_path / "build").rglob("*.*") if p.is_file()}
    kept = [p for p in files if p.parts[-3] == "results" or "models" in p.parts or "artifacts" in p.parts]
    assert kept
    results = [p for p in files if "results" in p.parts and p.name != "device.json" and p.name[0] != "_"]
    assert len(results) == (8 * 3 + len(twins)) * 2
    for p in (*results, *(p for p in files if "models" in p.parts)):
        assert third[p] == files[p], p
    rows = json.loads(pulseproof("table", *study, "--format", "json", home=tmp_path).stdout)
    assert sum(row["auc"] is not None for row in rows) == 8 * 5 + len(twins) + 8 * 2

    labels = tmp_path / "build" / "tiny" / "bundle" / "labels.npy"
    whole = labels.read_bytes()
    labels.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))  # damaged, and of the same size
    pulseproof("bench", *study, home=tmp_path)
    assert labels.read_bytes() == whole

    page = tmp_path / "build" / "tiny" / "report" / "index.html"
    pulseproof("report", *study, home=tmp_path)
    assert "SYNTHETIC" in page.read_text() and "The attacks were not repeated" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["table", "--study", "studies/none.toml"], "no such study"),
        (["table", "--study", "studies/demo.toml"], "no bundle there yet"),
        pytest.param(["bench", "--study", "studies/ptb-xl.toml"], "DATA", marks=pytest.mark.slow),
        pytest.param(["paper", "--study", "studies/demo.toml"], "nothing is trained there yet", marks=pytest.mark.slow),
        (["table", "--study", "studies/demo.toml", "--format", "xml"], "xml"),
    ],
)
def test_wrong_use_ends_with_status_2_and_a_sentence(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = pulseproof(*arguments, home=tmp_path, expect=2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "build").exists()
