"""Results of windows, read as those of the recordings that the windows are of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulseproof.bench.devices.asked import Asked
from pulseproof.bench.devices.part import make_part
from pulseproof.bench.wire.results import read_bundle, read_results
from pulseproof.bench.wire.schema import Part
from pulseproof.core.errors import InputError
from pulseproof.report.numbers.evaluation import evaluate
from pulseproof.report.page import write_report
from pulseproof.runtime.auc import macro_auc
from pulseproof.runtime.files import read_json, write_array, write_json
from tests.bench.making import entry, make_bundle, make_scores, write_result

WINDOWS, RECORDINGS = 90, 30


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A bundle of 30 recordings of one to five windows, whose files scored each window."""
    bundle = tmp_path / "bundle"
    make_bundle(bundle, n=WINDOWS, patients=20)
    draw = np.random.default_rng(7)
    wholes = np.sort(np.append(np.arange(RECORDINGS), draw.integers(0, RECORDINGS, WINDOWS - RECORDINGS)))
    for name in ("labels", "patients"):
        write_array(bundle / f"{name}.npy", np.load(bundle / f"{name}.npy")[wholes])
    write_array(bundle / "wholes.npy", wholes.astype(np.int64))
    (bundle / "runner.pyz").write_bytes(b"a runner")
    settle(bundle, "mean")
    return tmp_path


def settle(bundle: Path, how: str) -> dict[str, Any]:
    """The head of the bundle as its files are now."""
    head: dict[str, Any] = read_json(bundle / "bundle.json")
    head["task"]["join"] = how
    names = ("labels.npy", "patients.npy", "wholes.npy", "runner.pyz")
    head["files"] |= {name: entry(bundle / name) for name in names}
    write_json(bundle / "bundle.json", head)
    return head


def scored(home: Path, n: int | None = None) -> dict[str, Any]:
    head: dict[str, Any] = read_json(home / "bundle" / "bundle.json")
    labels = np.load(home / "bundle" / "labels.npy")
    for artifact in head["artifacts"]:
        for signals in head["signals"]:
            write_result(home / "results" / "host", head, artifact, signals, make_scores(labels, artifact, signals)[:n])
    return head


@pytest.mark.parametrize("how", ["mean", "max"])
def test_the_auc_is_of_recordings(home: Path, how: str) -> None:
    settle(home / "bundle", how)
    scored(home)
    raw, wholes, labels = (
        np.load(home / path)
        for path in ("results/host/cnn__onnx-fp32/clean.npy", "bundle/wholes.npy", "bundle/labels.npy")
    )
    joined = np.stack([getattr(raw[wholes == each], how)(axis=0) for each in range(RECORDINGS)])
    firsts = np.array([np.flatnonzero(wholes == each)[0] for each in range(RECORDINGS)])
    found = evaluate(home, 200)
    row = next(each for each in found.rows if each.method == "clean" and each.recipe == "onnx-fp32")
    assert (row.n, found.recordings, found.patients) == (RECORDINGS, RECORDINGS, len(set(_people(home))))
    assert row.auc == pytest.approx(macro_auc(joined, labels[firsts]), abs=1e-6)
    assert row.auc != pytest.approx(macro_auc(raw, labels), abs=1e-3)  # of windows it is another
    page = write_report(found, home / "report", home).read_text()
    assert "Of each its first window, beside its joined scores." in page


def _people(home: Path) -> list[int]:
    people: list[int] = np.load(home / "bundle" / "patients.npy").tolist()
    return people


def test_a_run_that_ended_inside_a_recording(home: Path) -> None:
    wholes = np.load(home / "bundle" / "wholes.npy")
    n = int(np.flatnonzero(wholes == 7)[-1]) + (2 if (wholes == 8).sum() > 1 else 1)  # recording 8 is not whole
    scored(home, n)
    bundle = read_bundle(home / "bundle")
    (host,) = read_results(bundle, home / "results")
    assert {each.n for each in host.results.values()} == {8}


def test_a_device_gets_what_joins(home: Path) -> None:
    part = make_part(home / "bundle", home / "part", Asked(), Part(sets=("clean",)))
    assert (part / "wholes.npy").is_file()
    assert len(read_bundle(part).labels) == RECORDINGS


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda wholes: wholes[::-1], "not 0, 0, 1, ... of each window"),
        (np.zeros_like, "windows of one recording differ"),
        (lambda wholes: wholes[:-1], "not 0, 0, 1"),
        (lambda wholes: wholes.astype(np.int32), "int32"),
    ],
)
def test_windows_that_do_not_fit(home: Path, change: Any, says: str) -> None:
    path = home / "bundle" / "wholes.npy"
    write_array(path, np.ascontiguousarray(change(np.load(path))))
    settle(home / "bundle", "mean")
    with pytest.raises(InputError, match=says):
        read_bundle(home / "bundle")
