"""A bundle as the runner reads it. Damaged ones: tests/hostile/bundle/test_bundle.py."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from pulseproof.runtime.runner import main
from pulseproof.runtime.wire.bundle import SetRecordings, open_bundle
from tests.runtime import tiny_bundle as tiny
from tests.runtime.tiny_bundle import set_key


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_two(tmp_path_factory.mktemp("whole") / "bundle")


@pytest.fixture
def bundle(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "bundle"))


def test_a_whole_one(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(bundle)]) == 0
    assert "2 artifacts, 2 signal sets of 24 recordings" in capsys.readouterr().out
    found = open_bundle(bundle)
    assert [artifact.name for artifact in found.artifacts] == ["cnn/onnx-fp32", "cnn/tflite-fp32"]
    assert [one.clean for one in found.signals] == [True, False]
    assert (found.shape, found.n) == ((2, 20), 24)


@pytest.mark.parametrize(
    ("file", "done"),
    [
        ("artifacts/cnn/tflite-fp32.tflite", {"cnn__onnx-fp32/clean.json", "cnn__onnx-fp32/pgd-0.01mV.json"}),
        ("signals/pgd-0.01mV.npy", {"cnn__onnx-fp32/clean.json"}),
    ],
)
def test_a_file_that_is_not_the_listed_one_is_found_when_its_turn_comes(
    bundle: Path, capsys: pytest.CaptureFixture[str], file: str, done: set[str]
) -> None:
    """What was measured before stays, and a mended bundle goes on from there."""
    path, out = bundle / file, bundle.parent / "out"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert main(["run", str(bundle), "--out", str(out)]) == 2
    assert capsys.readouterr().err.endswith(f"error: {path}: its SHA-256 is not the one in bundle.json\n")
    first = {each: each.stat().st_mtime_ns for each in out.glob("*/*.json")}
    assert {each.relative_to(out).as_posix() for each in first} == done
    path.write_bytes(whole)
    assert main(["run", str(bundle), "--out", str(out)]) == 0
    assert {each: each.stat().st_mtime_ns for each in first} == first
    assert len(list(out.glob("*/*.json"))) == 4


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        (None, ["cnn/onnx-fp32", "cnn/tflite-fp32"]),
        (["cnn"], ["cnn/onnx-fp32", "cnn/tflite-fp32"]),
        (["lstm", "cnn/tflite-fp32"], ["cnn/tflite-fp32"]),
        (["cnn/onnx"], []),
        (["lstm"], []),
    ],
)
def test_a_set_may_be_for_some_artifacts_alone(bundle: Path, only: list[str] | None, expected: list[str]) -> None:
    set_key("signals", 1, "only", only)(bundle)
    found = open_bundle(bundle)
    assert [artifact.name for artifact in found.artifacts if found.signals[1].is_for(artifact)] == expected
    assert all(found.signals[0].is_for(artifact) for artifact in found.artifacts)  # it does not say


def test_recordings_are_read_as_the_host_reads_them(bundle: Path) -> None:
    recordings = SetRecordings(bundle / "signals/clean.npy", tiny.STEP_MV)
    expected = tiny.steps(0).astype(np.float32) * np.float32(tiny.STEP_MV)
    for index in (0, 7, tiny.N - 1):
        np.testing.assert_array_equal(recordings(index)[0], expected[index])
        assert recordings(index).dtype == np.float32
    recordings.close()
