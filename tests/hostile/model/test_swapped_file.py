"""A file of a bundle that is swapped after it was hashed: what was used is what was hashed, or it is not used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulseproof.runtime.job import ChildJob, dump_job
from pulseproof.runtime.wire.bundle import Bundle, SetRecordings, open_bundle
from pulseproof.runtime.wire.results import wanted
from pulseproof.runtime.wire.untrusted import BundleError
from tests.runtime import tiny_bundle as tiny

HOME = Path(__file__).parents[3]
NAME = "artifacts/linear/onnx-fp32.onnx"
CLEAN = "signals/clean.npy"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return open_bundle(tiny.write_bundle(tmp_path / "bundle", {"linear/onnx-fp32": tiny.onnx_linear}), hashed=False)


def swap(path: Path, content: bytes) -> bytes:
    """Put another file in the place of ``path``, of the same size and time; returns what was there."""
    before, about = path.read_bytes(), path.stat()
    assert len(content) == len(before)
    path.with_suffix(".other").write_bytes(content)
    os.utime(path.with_suffix(".other"), ns=(about.st_atime_ns, about.st_mtime_ns))
    path.with_suffix(".other").rename(path)
    return before


def write(path: Path, content: bytes) -> None:
    """Write to the very file, and set its time back."""
    about = path.stat()
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def other(path: Path) -> bytes:
    data = path.read_bytes()
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize("how", [swap, write])
def test_it_is_hashed_again(bundle: Bundle, how: Any) -> None:
    path = bundle.root / NAME
    state = bundle.hashed(NAME)
    assert bundle.hashed(NAME) == state
    before = path.read_bytes()
    how(path, other(path))
    with pytest.raises(BundleError, match=r"onnx-fp32\.onnx: its SHA-256 is not the one in bundle.json"):
        bundle.check([NAME])
    how(path, before)
    assert bundle.hashed(NAME) != state


@pytest.mark.parametrize("name", ["labels.npy", "patients.npy", CLEAN, NAME])
def test_a_pipe_or_a_link_in_its_place(bundle: Bundle, name: str, tmp_path: Path) -> None:
    path = bundle.root / name
    path.rename(tmp_path / "away")
    path.symlink_to(tmp_path / "away")
    bundle._checked.clear()
    with pytest.raises(BundleError, match="a link"):
        bundle.check([name])
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(BundleError, match="no plain file"):
        bundle.check([name])


def test_recordings_that_are_written_to_are_seen(bundle: Bundle) -> None:
    path = bundle.root / CLEAN
    recordings = SetRecordings(path, tiny.STEP_MV)
    assert not recordings.changed()
    swap(path, other(path))  # another file: the one that is read is as it was, but for its name
    recordings.close()
    recordings = SetRecordings(path, tiny.STEP_MV)
    write(path, other(path))
    assert recordings.changed()
    recordings.close()


def conversation(bundle: Bundle, out: Path, answers: Any) -> tuple[int, list[dict[str, Any]]]:
    """The real process of an artifact, whose questions ``answers`` answers; its status and its reports."""
    artifact = bundle.artifacts[0]
    about: dict[str, Any] = {"device": {}, "engine": {}, "n": tiny.N, "rules": bundle.run}
    job = ChildJob(
        root=bundle.root,
        artifact=bundle.root / artifact.file,
        engine="onnxruntime",
        shape=bundle.shape,
        classes=tiny.CLASSES,
        adc_step_mv=bundle.adc_step_mv,
        n=tiny.N,
        rules=bundle.run,
        wanted=[wanted(out, bundle, artifact, one, **about) for one in bundle.signals],
    )
    program = "from pulseproof.runtime.child import main; raise SystemExit(main())"
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=HOME, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdin and child.stdout
        print(dump_job(job), file=child.stdin, flush=True)
        reports = []
        for line in child.stdout:
            reports.append(json.loads(line))
            if "needs" in reports[-1]:
                print(json.dumps(answers(reports[-1]["needs"])), file=child.stdin, flush=True)
        child.stdin.close()
    return child.returncode, reports


@pytest.mark.slow
@pytest.mark.parametrize("name", [NAME, CLEAN, "labels.npy"])
def test_a_file_that_is_swapped_between_its_hash_and_its_use_is_used_again(
    name: str, bundle: Bundle, tmp_path: Path
) -> None:
    """Swapped right after it was hashed, and swapped back when the process asks again."""
    path, out = bundle.root / name, tmp_path / "out"
    content = other(path) if name != NAME else tiny.onnx_linear(tmp_path / "other.onnx", bias=1.0).read_bytes()
    whole: list[bytes] = []

    def answers(needed: str) -> Any:
        if needed == name and len(whole) == 1:
            swap(path, whole.pop())
            whole.extend([b"", b""])
        state = bundle.hashed(needed)
        if needed == name and not whole:
            whole.append(swap(path, content))
        return state

    status, reports = conversation(bundle, tmp_path / "out", answers)
    assert (status, len(whole)) == (0, 2)
    scores = np.load(out / "linear__onnx-fp32/clean.npy")
    weights, biases = tiny.linear_weights()
    x = tiny.steps(0).reshape(tiny.N, -1).astype(np.float32) * np.float32(tiny.STEP_MV)
    np.testing.assert_allclose(scores, x @ weights.T + biases, atol=1e-4)
    asked = [each["needs"] for each in reports if "needs" in each]
    assert asked.count(name) == 2 + (name == CLEAN)


@pytest.mark.slow
def test_a_file_that_always_changes_is_not_used(bundle: Bundle, tmp_path: Path) -> None:
    path = bundle.root / NAME

    def states() -> Iterator[tuple[int, ...]]:
        while True:
            state = bundle.hashed(NAME)
            swap(path, path.read_bytes())
            yield state

    changing = states()
    status, reports = conversation(
        bundle, tmp_path / "out", lambda needed: next(changing) if needed == NAME else bundle.hashed(needed)
    )
    assert status == 1
    assert reports[-1]["failed"] == f"{NAME}: it changes while it is read"
    assert not list((tmp_path / "out").rglob("*.json"))
