"""The claims of ``make perf``: how a ratio is judged, and that it is taken from the files. No test asserts a time."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from perf import claims as perf
from perf.claims import FileClaim, _outcome, measure, perf_table
from pulseproof.core.errors import InputError
from pulseproof.ecg.recordings import Recordings
from pulseproof.export.run import export_study
from tests.export.making import as_trained, small_study
from tests.models.making import small_recordings

NAMES = ("own/onnx-fp32", "own/onnx-fp16")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    return small_recordings(tmp_path_factory.mktemp("recordings") / "small")


@pytest.mark.parametrize(("bound", "held"), [(0.5, True), (0.49, False)])
def test_the_median_of_the_rounds_decides(bound: float, held: bool) -> None:
    values = {"a": np.array([1.0, 5.0, 3.0]), "b": np.array([2.0, 2.0, 6.0])}
    outcome = _outcome(FileClaim("p50", "a", "b", bound), values)
    assert (outcome.ratio, outcome.low, outcome.high) == (0.5, 0.5, 2.5)
    assert (outcome.artifact, outcome.other, outcome.held) == (3.0, 2.0, held)


def test_ratios_come_from_the_files(recordings: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch import nn

    monkeypatch.setattr(perf, "INFERENCES", 3)
    study = small_study(models={"own": {"system": "cnn"}}, recipes=["onnx-fp32", "onnx-fp16"])
    system = as_trained(nn.Sequential(nn.Conv1d(2, 3, 160), nn.Flatten()), recordings)
    manifest = export_study(study, recordings, {"own": system}, tmp_path)
    sizes = {entry.name: entry.size_bytes for entry in manifest.made()}
    claims = [FileClaim("p50", *NAMES, 1e9), FileClaim("bytes", *NAMES, 1.0)]
    speed, size = measure(study, tmp_path, claims, rounds=3)
    assert 0 < speed.low <= speed.ratio <= speed.high and speed.held
    assert size.ratio == sizes[NAMES[0]] / sizes[NAMES[1]] and size.artifact == sizes[NAMES[0]]
    assert perf_table([speed, size]).row_count == 2
    with pytest.raises(InputError, match=re.escape("cnn/onnx-fp32")):
        measure(study, tmp_path, [FileClaim("bytes", "cnn/onnx-fp32", NAMES[0], 1)])
