"""What the face's tests share: one trained net with its recordings, and its ONNX files."""

from __future__ import annotations

import pytest

import pulseproof as pp
from tests.face.making import Made, make


@pytest.fixture(scope="session")
def made() -> Made:
    return make()


@pytest.fixture(scope="session")
def exported(made: Made, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pp.ExportedFile]:
    """By recipe, ONNX alone: TFLite's converter takes its time."""
    files = pp.export_model(
        made.module,
        calibration=made.training_mv,
        to=tmp_path_factory.mktemp("exported"),
        recipes=["onnx-int8-static", "onnx-fp32"],
        signals_mv=made.signals_mv,
        labels=made.labels,
        patients=made.patients,
    )
    assert [one.recipe for one in files] == ["onnx-int8-static", "onnx-fp32"]
    return {one.recipe: one for one in files}
