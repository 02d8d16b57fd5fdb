"""The gate: what it measures, and what it lets through."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg.recordings import Recordings
from export import onnx_files, parity
from export.job import RefusedError
from export.manifest import Parity
from models.run import Trained
from tests.export.making import job_for

BASE = Parity(
    engine="onnxruntime 1",
    records=300,
    max_difference=0.0,
    mean_difference=0.0,
    label_agreement=1.0,
    tolerance=1e-4,
    moved=0,
    auc_model=0.9,
    auc_file=0.9,
    auc_change=0.0,
)


@pytest.mark.parametrize(
    ("change", "quantized", "steps", "verdict"),
    [
        ({"max_difference": 9e-5}, False, False, "passes"),
        ({"max_difference": 2e-4, "moved": 1}, False, False, "refused"),
        ({"max_difference": 0.3, "moved": 0}, False, True, "passes"),
        ({"max_difference": 0.3, "moved": 3}, False, True, "noted"),
        ({"max_difference": 0.3, "moved": 4}, False, True, "refused"),
        ({"max_difference": 3.0, "moved": 300, "auc_file": 0.895, "auc_change": -0.005}, True, False, "passes"),
        ({"auc_file": 0.95, "auc_change": 0.05}, True, False, "passes"),
        ({"auc_file": 0.885, "auc_change": -0.015}, True, False, "noted"),
        ({"auc_file": 0.87, "auc_change": -0.03}, True, False, "refused"),
        ({"auc_model": None, "auc_file": None, "auc_change": None}, True, False, "refused"),
    ],
)
def test_the_limits(change: dict[str, float], quantized: bool, steps: bool, verdict: str) -> None:
    measured = BASE.model_copy(update=change)
    if verdict == "refused":
        with pytest.raises(RefusedError):
            parity.judge(measured, quantized, steps)
    else:
        assert (parity.judge(measured, quantized, steps) is not None) == (verdict == "noted")


@pytest.fixture
def reference(trained: dict[str, Trained], recordings: Recordings) -> parity.Reference:
    rows = recordings.indices("validation")
    return parity.make_reference(trained["cnn"].module, recordings, rows, 0.0, False)


def test_a_good_file_passes_and_one_changed_weight_is_caught(
    trained: dict[str, Trained], reference: parity.Reference, tmp_path: Path
) -> None:
    out = tmp_path / "cnn.onnx"
    onnx_files.write_float(job_for(trained["cnn"].module, reference.signals.shape[1:], out))
    good = parity.measure(out, reference)
    assert good.max_difference <= 1e-5 and good.label_agreement == 1 and good.moved == 0
    assert good.auc_change == pytest.approx(0, abs=1e-6)
    assert parity.judge(good, quantized=False, steps=False) is None

    model = onnx.load(out)
    weight = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 3)
    values = onnx.numpy_helper.to_array(weight).copy()
    values.flat[np.abs(values).argmax()] *= 1.1
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    onnx.save(model, out)
    bad = parity.measure(out, reference)
    assert bad.moved > 0
    with pytest.raises(RefusedError, match="differ from the torch module's"):
        parity.judge(bad, quantized=False, steps=False)


def test_a_file_that_no_engine_opens_is_refused(reference: parity.Reference, tmp_path: Path) -> None:
    for name in ("damaged.onnx", "damaged.tflite"):
        (tmp_path / name).write_bytes(b"not a model")
        with pytest.raises(RefusedError, match="its engine does not run it") as caught:
            parity.measure(tmp_path / name, reference)
        assert str(tmp_path) not in str(caught.value)


def test_a_file_of_other_classes_is_refused(
    trained: dict[str, Trained], reference: parity.Reference, tmp_path: Path
) -> None:
    out = tmp_path / "cnn.onnx"
    onnx_files.write_float(job_for(trained["cnn"].module, reference.signals.shape[1:], out))
    with pytest.raises(RefusedError, match="shape"):
        parity.measure(out, replace(reference, scores=reference.scores[:, :2]))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_decisions_ignore_what_does_not_change_them(seed: int, exclusive: bool) -> None:
    scores = np.random.default_rng(seed).normal(size=(20, 4)).astype(np.float32)
    nothing = np.zeros((0, 1, 1), np.float32)
    reference = parity.Reference(nothing, np.zeros((0, 4), np.uint8), scores, 0.0, exclusive, False)
    assert np.array_equal(parity.decisions(scores, reference), parity.decisions(2 * scores, reference))
    assert not np.array_equal(parity.decisions(scores, reference), parity.decisions(-scores, reference))
