"""Two runs side by side: the same numbers as by hand, on the same bytes or not at all."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from pulseproof.bench.wire.results import read_bundle
from pulseproof.core.errors import InputError
from pulseproof.core.statistics import difference
from pulseproof.main import app
from pulseproof.report.page.side_by_side import compared, read_runs
from pulseproof.report.page.side_by_side_page import write_comparison
from tests.bench.making import change_json, entry, make_build, make_scores, write_result


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The runs ``first`` and ``second``: the latter with other scores of the quantized file, half the recordings of one
    set, and twice the latency."""
    folder = tmp_path / "made"
    head = make_build(folder, "first", models=("cnn",))
    labels = np.load(folder / "bundle" / "labels.npy")
    rng = np.random.default_rng(5)
    for artifact in head["artifacts"]:
        for signals in head["signals"]:
            scores = make_scores(labels, artifact, signals)
            if "int8" in artifact["recipe"]:
                scores = (scores + rng.normal(0, 0.3, scores.shape)).astype(np.float32)
            if signals["name"] == "random-sign-0.02mV":
                scores = scores[:30]
            times = {"count": 200, "p50": 1.0 + ("int8" in artifact["recipe"]), "p90": 3.0, "p99": 4.0}
            write_result(folder / "results" / "second", head, artifact, signals, scores, latency_ms=times)
    return folder


def both(home: Path) -> tuple[Path, Path]:
    return home / "results" / "first", home / "results" / "second"


def test_differences_are_those_of_the_paired_bootstrap(home: Path) -> None:
    bundle = read_bundle(home / "bundle")
    found = {
        (each.artifact, each.signals): each for each in compared(bundle, read_runs(bundle, *both(home)), 200, 7, 0.01)
    }
    assert len(found) == len(bundle.head.artifacts) * len(bundle.head.signals)
    for (artifact, signals), each in found.items():
        place = [folder / artifact.replace("/", "__") / f"{signals}.npy" for folder in both(home)]
        scores = [np.load(path) for path in place]
        n = min(map(len, scores))
        assert each.n == n == (30 if signals == "random-sign-0.02mV" else 60)
        expected = difference(scores[1][:n], scores[0][:n], bundle.labels[:n], bundle.patients[:n], count=200, seed=7)
        assert each.same_scores == ("int8" not in artifact)
        assert each.difference == pytest.approx(expected.estimate, abs=1e-12)
        assert (each.low, each.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
        assert each.auc_second - each.auc_first == pytest.approx(each.difference, abs=1e-12)  # type: ignore[operator]
        latency = json.loads(place[0].with_suffix(".json").read_text())["latency_ms"]["p50"]
        median = 2.0 if "int8" in artifact else 1.0
        assert each.latency_ratio == (pytest.approx(median / latency) if signals == "clean" else None)


def test_the_same_run_twice_differs_in_nothing(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "results" / "first", tmp_path / "elsewhere" / "first")
    bundle = read_bundle(home / "bundle")
    runs = read_runs(bundle, home / "results" / "first", tmp_path / "elsewhere" / "first")
    for each in compared(bundle, runs, 50, 1, 0.01):
        assert each.same_scores
        assert (each.difference, each.low, each.high) == (0.0, 0.0, 0.0)
        assert each.verdict == "no-difference"
    page = write_comparison(home, home / "results" / "first", tmp_path / "elsewhere" / "first", tmp_path / "out", 50)
    assert "There is none: all scores are the same." in page.read_text()
    assert "<h1>results/first and elsewhere/first, side by side</h1>" in page.read_text()


def test_the_page_and_its_files_hold_the_same(home: Path, tmp_path: Path) -> None:
    page = write_comparison(home, *both(home), tmp_path / "out", 100).read_text()
    rows = json.loads((tmp_path / "out" / "comparison.json").read_text())["rows"]
    lines = list(csv.DictReader((tmp_path / "out" / "comparison.csv").open()))
    assert len(rows) == len(lines) == 10
    for row, line in zip(rows, lines, strict=True):
        assert [("" if value is None else str(value)) for value in row.values()] == list(line.values())
    assert "5 of 10 runs have the very same scores" in page
    assert "SYNTHETIC" in page
    apart = [row for row in rows if not row["same_scores"]]
    most = max(apart, key=lambda row: abs(row["difference"]))
    assert f"{most['difference']:+.4f}: {most['artifact']} on {most['signals']}" in page


def other_artifact(home: Path) -> None:
    for path in (home / "results" / "second" / "cnn__onnx-fp32").glob("*.json"):
        change_json(path, artifact__sha256="0" * 64)


def other_signals(home: Path) -> None:
    change_json(home / "results" / "second" / "cnn__onnx-fp32" / "clean.json", signals__sha256="0" * 64)


def other_bundle(home: Path) -> None:
    path = home / "bundle" / "signals" / "clean.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\x05")
    files = json.loads((home / "bundle" / "bundle.json").read_text())["files"]
    change_json(home / "bundle" / "bundle.json", files=files | {"signals/clean.npy": entry(path)})


def other_study(home: Path) -> None:
    for path in (home / "results" / "second").rglob("*.json"):
        change_json(path, study="another")


def nothing(home: Path) -> None:
    shutil.rmtree(home / "results" / "second" / "cnn__onnx-fp32")
    shutil.rmtree(home / "results" / "second" / "cnn__onnx-int8-static")


def no_folder(home: Path) -> None:
    shutil.rmtree(home / "results" / "second")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (other_artifact, "5 of its results do not belong .* on another version of the artifact"),
        (other_signals, "1 of its results .* cnn/onnx-fp32 on clean was measured on another version of the signal set"),
        (other_bundle, "2 of its results .* on another version of the signal set"),
        (other_study, "measured for the study another"),
        (nothing, "no result of the study made"),
        (no_folder, "no such folder"),
    ],
)
def test_other_bytes_are_refused(home: Path, tmp_path: Path, change, says: str) -> None:  # type: ignore[no-untyped-def]
    change(home)
    with pytest.raises(InputError, match=says):
        write_comparison(home, *both(home), tmp_path / "out", 50)
    assert not (tmp_path / "out").exists()


def test_one_folder_named_twice_is_refused(home: Path, tmp_path: Path) -> None:
    first = home / "results" / "first"
    with pytest.raises(InputError, match="named twice"):
        write_comparison(home, first, first, tmp_path / "out", 50)


def test_the_command_lays_two_runs_side_by_side(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    make_build(home, "first", models=("cnn",))
    shutil.copytree(home / "results" / "first", tmp_path / "elsewhere" / "first")
    asked = ["report", "--study", "studies/demo.toml", "--build", str(tmp_path), "--compare"]
    runs = [str(home / "results" / "first"), str(tmp_path / "elsewhere" / "first")]
    done = CliRunner().invoke(app, [*asked, runs[0], "--compare", runs[1]])
    assert done.exit_code == 0
    assert "10 of 10 runs have the very same scores" in (home / "report" / "side-by-side" / "index.html").read_text()
    one = CliRunner().invoke(app, [*asked, runs[0]])
    assert isinstance(one.exception, InputError)
    assert "1 folders" in str(one.exception)
