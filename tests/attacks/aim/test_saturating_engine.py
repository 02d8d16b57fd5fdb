"""A deployed file whose engine saturates on this processor is attacked through its own graph all the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pulseproof.attacks.aim import sources
from pulseproof.attacks.aim.sources import Source, open_source
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.gradient import NoGradientError
from pulseproof.twins.program import Twin
from tests.twins.saturating import exact_scores, kernels_saturate, large_signals, write_saturating

SIGNALS = large_signals(20)
VICTIMS = Victims(torch.from_numpy(SIGNALS), torch.from_numpy((np.arange(60).reshape(20, 3) % 2).astype(np.float32)))


def test_the_twin_of_the_exact_arithmetic_is_usable_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_saturating(tmp_path / "wide.onnx")
    twin = open_source(Source("a/onnx-as-given", (), path, "0"), "twin", VICTIMS).model
    assert isinstance(twin, Twin)
    apart = np.abs(twin(VICTIMS.signals).numpy() - exact_scores(SIGNALS)).max()
    assert twin.output_step is not None and apart <= 1.01 * twin.output_step
    printed = capsys.readouterr()
    assert ("engine-saturates" in printed.out + printed.err) == kernels_saturate()


def test_a_twin_that_is_not_the_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_saturating(tmp_path / "wide.onnx")
    other = write_saturating(tmp_path / "other.onnx", 64)
    opened = sources.open_twin
    monkeypatch.setattr(sources, "open_twin", lambda file: opened(other))
    with pytest.raises(NoGradientError, match="scores differ"):
        open_source(Source("a/onnx-as-given", (), path, "0"), "twin", VICTIMS)
