"""Bounds of files that strangers made: refused by name, or never left by what the file's engine gives."""

from __future__ import annotations

import numpy as np
import pytest

from pulseproof.certify.bounds import score_bounds
from pulseproof.models.hardened.ends import NoBoundsError
from pulseproof.runtime.engines import open_engine
from pulseproof.twins import NotCoveredError, open_twin
from tests.twins.strangers import FILES, FOLDER, drawn

BUDGET_MV = 0.01


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_a_strangers_file_is_bounded_or_refused(name: str) -> None:
    signals, _ = drawn(name, 3)
    try:
        bounds = score_bounds(open_twin(FOLDER / name), signals, BUDGET_MV)
    except (NoBoundsError, NotCoveredError):
        return  # anything else that is raised is a fault
    engine, rng = open_engine(FOLDER / name), np.random.default_rng(0)
    for turn in range(20):
        moved = signals + (turn > 0) * rng.choice([-BUDGET_MV, BUDGET_MV], signals.shape)
        scores = np.concatenate([engine.run(one[None]) for one in moved.astype(np.float32)])
        assert (scores >= bounds.lower).all() and (scores <= bounds.upper).all()


def test_some_of_each_format_are_bounded() -> None:
    """Or the tests above would hold of a module that refuses everything."""
    for name in ("keras-dilated-int8.tflite", "keras-cnn-float32.tflite", "torch-tcn-20.onnx"):
        signals, _ = drawn(name, 1)
        bounds = score_bounds(open_twin(FOLDER / name), signals, BUDGET_MV)
        assert (bounds.upper - bounds.lower < 1).all()
