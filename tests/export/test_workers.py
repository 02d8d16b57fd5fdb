"""Models side by side, in processes of their own: the same files as one after the other, and a crash costs one file."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from pulseproof.core.errors import InputError
from pulseproof.ecg.recordings import Recordings
from pulseproof.export import workers
from pulseproof.export.manifest import ManifestEntry
from pulseproof.export.run import export_study
from pulseproof.models.run import Trained
from tests.export.making import as_trained, small_study

RECIPES = ["onnx-fp32", "onnx-int8-static"]


class Deadly(nn.Module):
    """A net whose export takes its process along, as a defect of a converter's C++ would."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Conv1d(2, 3, 160), nn.Flatten())

    def forward(self, x: Tensor) -> Tensor:
        if torch.jit.is_tracing() or torch.onnx.is_in_onnx_export():
            os.kill(os.getpid(), signal.SIGKILL)
        return self.inner(x)


def by_name(build: Path, recordings: Recordings, trained: dict[str, Trained], jobs: int) -> dict[str, ManifestEntry]:
    study = small_study(recipes=RECIPES)
    return {entry.name: entry for entry in export_study(study, recordings, trained, build, jobs).entries}


class Counting:
    """A model whose making says how many threads torch has then."""

    brought = False
    trained = SimpleNamespace(name="counting")

    def __init__(self) -> None:
        self.threads: list[int] = []

    def make(self) -> Iterator[str]:
        self.threads.append(torch.get_num_threads())
        yield "onnx-fp32"


def test_a_file_is_made_with_one_thread_whatever_the_machine_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "usable", lambda: 1)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        models = [Counting(), Counting()]
        assert list(workers.export_all(models, None)) == ["onnx-fp32"] * 2  # type: ignore[arg-type]
        assert [each.threads for each in models] == [[1], [1]]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
def test_side_by_side_gives_what_one_after_the_other_gives(
    trained: dict[str, Trained], recordings: Recordings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recordings = replace(recordings, fingerprint="of what a study sees of them")
    three = {name: replace(trained[name], recipes=None) for name in ("decision-tree", "cnn", "lstm")}
    alone = by_name(tmp_path / "alone", recordings, three, 1)
    assert "cnn/onnx-fp32" in "".join(capsys.readouterr())
    beside = by_name(tmp_path / "beside", recordings, three, 2)
    assert beside == alone and list(beside) == list(alone)
    assert sum(entry.status == "ok" for entry in beside.values()) >= 4
    assert "cnn/onnx-fp32" not in "".join(capsys.readouterr())  # made by the others, and not once more here


@pytest.mark.slow
def test_a_process_that_dies_costs_one_file(
    trained: dict[str, Trained], recordings: Recordings, tmp_path: Path
) -> None:
    both = {"deadly": as_trained(Deadly(), recordings, "deadly"), "cnn": trained["cnn"]}
    entries = by_name(tmp_path, recordings, both, 2)
    assert entries["cnn/onnx-fp32"].status == entries["cnn/onnx-int8-static"].status == "ok"
    assert entries["deadly/onnx-fp32"].status == entries["deadly/onnx-int8-static"].status == "refused"
    assert "died (SIGKILL)" in str(entries["deadly/onnx-fp32"].reason)
    assert "onnx-fp32, from which it is made, was refused" in str(entries["deadly/onnx-int8-static"].reason)
    assert by_name(tmp_path, recordings, both, 2) == entries  # remembered: it does not die again


@pytest.mark.slow
def test_a_process_that_dies_of_the_same_file_again_ends_the_export(
    recordings: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the sources are edited while it runs: what is remembered then counts for nothing in the next process."""
    monkeypatch.setattr(workers.ModelFiles, "crashed", lambda *_: None)
    both = {name: as_trained(Deadly(), recordings, name) for name in ("deadly", "too")}
    with pytest.raises(InputError, match="died of it again"):
        by_name(tmp_path, recordings, both, 2)
