"""What weights of seven bits cost: the measurement on small files, and its claims. No test asserts a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from perf import claims as perf
from perf.weights import Weights, file_name, measure_weights, missed, weights_markdown, weights_table
from pulseproof.core.errors import InputError
from pulseproof.ecg.recordings import Recordings
from pulseproof.export.gate.saturation import kernels_saturate
from pulseproof.models.run import train_study
from tests.export.making import NETS, small_study
from tests.models.making import small_recordings

SEVEN = Weights("cnn", 7, 0.13, 1.02, 0.912, 0.912, 1.0)
EIGHT = Weights("cnn", 8, 0.13, 1.0, 0.9, 0.9125, 40.0)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Recordings:
    return small_recordings(tmp_path_factory.mktemp("recordings") / "small")


@pytest.mark.slow
def test_both_files_are_measured(recordings: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perf, "INFERENCES", 3)
    study = small_study({name: NETS[name] | {"epochs": 1} for name in ("cnn", "lstm")}, recipes=["onnx-fp32"])
    trained = train_study(study, recordings, tmp_path)
    seven, eight = measure_weights(study, recordings, list(trained.values()), tmp_path, rounds=3)  # an LSTM has none
    assert (seven.model, seven.bits, eight.bits) == ("cnn", 7, 8) and eight.ratio == 1
    assert seven.p50_ms > 0 and seven.ratio > 0 and seven.largest <= 1.01
    assert seven.auc_engine == pytest.approx(seven.auc_exact, abs=0.02)
    assert kernels_saturate() or eight.largest <= 1.01
    assert weights_table([seven, eight]).row_count == 2
    text = weights_markdown([seven, eight], "some processor")
    assert "| cnn | 7 |" in text and "(some processor)" in text
    assert ("do not saturate" in text) == (not kernels_saturate()) == (not file_name("a").endswith("saturating.md"))
    with pytest.raises(InputError, match="no model has an onnx-int8-static file"):
        measure_weights(study, recordings, [trained["lstm"]], tmp_path, rounds=1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        ({"ratio": 1.2}, ["cnn: seven bits take 1.20 times as long"]),
        ({"auc_exact": 0.9}, ["cnn: seven bits lose 0.0125 of AUC"]),
        ({"largest": 1.2}, ["cnn: seven bits are 1.2 steps off"]),
        ({"largest": float("nan")}, ["cnn: seven bits are nan steps off"]),
    ],
)
def test_the_claims(changes: dict[str, float], said: list[str]) -> None:
    assert missed([replace(SEVEN, **changes), EIGHT]) == said
