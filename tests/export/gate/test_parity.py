"""The gate: what it measures, what it lets through, and what it says of every engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from pulseproof.core import engines
from pulseproof.core.recipes import RECIPES
from pulseproof.ecg.recordings import Recordings
from pulseproof.export.gate import bounds, parity
from pulseproof.export.gate.bounds import bound_of
from pulseproof.export.job import RefusedError
from pulseproof.export.manifest import Parity
from pulseproof.export.onnx import files as onnx_files
from pulseproof.models.run import Trained
from tests.export.making import job_for

N, CLASSES = 300, 3
PARITY = Parity(
    engine="onnxruntime",
    version="1",
    records=N,
    max_difference=0.0,
    mean_difference=0.0,
    label_agreement=1.0,
    tolerance=1e-4,
    moved=0,
    auc_source=0.9,
    auc_file=0.9,
    auc_change=0.0,
    auc_change_low=0.0,
    auc_change_high=0.0,
    reason=None,
)
UNKNOWN = dict.fromkeys(("auc_source", "auc_file", "auc_change", "auc_change_low", "auc_change_high"))


def some_reference(seed: int = 0, scale: float = 1.0, exclusive: bool = False, n: int = N) -> parity.Reference:
    """Recordings of nobody, whose labels have something to do with their scores."""
    rng = np.random.default_rng(seed)
    scores = (scale * rng.normal(size=(n, CLASSES))).astype(np.float32)
    labels = (scores + scale * rng.normal(size=scores.shape) > 0).astype(np.uint8)
    signals = np.arange(n, dtype=np.float32).reshape(n, 1, 1)
    return parity.Reference(signals, labels, np.arange(n, dtype=np.int64) // 2, scores, 0.0, exclusive, False)


def loses(auc: float) -> dict[str, float]:
    return {"auc_file": 0.9 - auc, "auc_change": -auc}


@pytest.mark.parametrize(
    ("recipe", "steps", "change", "noise", "verdict"),
    [
        ("onnx-fp32", False, {"max_difference": 9e-5}, 0, "passes"),
        ("onnx-fp32", False, {"max_difference": 2e-4, "moved": 1}, 0, "differ from the torch module's by up to 0.0002"),
        ("tflite-fp32", False, {"moved": 1}, 0, "refused"),
        ("onnx-fp32", True, {"max_difference": 0.3, "moved": 0}, 0, "passes"),
        ("onnx-fp32", True, {"max_difference": 0.3, "moved": 3}, 0, "noted"),
        ("onnx-fp32", True, {"max_difference": 0.3, "moved": 4}, 0, "take another branch"),
        ("tflite-fp16", False, {"moved": 9} | loses(0.001), 0, "passes"),
        ("tflite-fp16", False, {"moved": 10}, 0, "10 of 300 validation recordings differ by more than"),
        ("onnx-fp16", True, loses(0.003), 0, "noted"),
        ("onnx-fp16", True, loses(0.006), 0, "a loss of 0.006"),
        ("onnx-int8-static", False, {"max_difference": 3.0, "moved": N} | loses(0.005), 0.1, "passes"),
        ("onnx-int8-static", False, loses(-0.05), 0.1, "passes"),
        ("onnx-int8-dynamic", True, loses(0.015), 0.1, "noted"),
        ("tflite-int8-full", False, loses(0.03), 0.1, "a loss of 0.030 (allowed: 0.02)"),
        ("tflite-int8-static", False, UNKNOWN, 0, "no class with both labels"),
        ("tflite-int8-static", False, loses(0), 0.6, "by 0.6 of their standard deviation"),
        ("tflite-int16x8", False, loses(0.004), 0.1, "passes"),
        ("tflite-int16x8", False, loses(0.006), 0.1, "noted"),
        ("tflite-int16x8", False, loses(0.012), 0.1, "refused"),
    ],
)
def test_the_limits(recipe: str, steps: bool, change: dict[str, float], noise: float, verdict: str) -> None:
    reference = some_reference()
    scores = reference.scores + np.float32(noise * reference.spread)
    reason, note = parity.judge(PARITY.model_copy(update=change), scores, reference, bound_of(recipe, steps))
    if verdict in ("passes", "noted"):
        assert reason is None and (note is not None) == (verdict == "noted")
    else:
        assert reason is not None and (verdict == "refused" or verdict in reason) and "\n" not in reason


def test_every_recipe_has_a_bound_and_a_larger_file_a_tighter_one() -> None:
    assert set(bounds.BOUNDS) == {recipe.bound for recipe in RECIPES.values()}
    for name in ("auc_refused", "auc_noted"):
        fp16, int16, int8 = (getattr(bound, name) for bound in (bounds.FP16, bounds.INT16X8, bounds.INT8))
        assert 0 < fp16 < int16 < int8
    for bound in bounds.BOUNDS.values():
        assert bound.records is None or bound.records >= 64
    assert all(bound.records is None for recipe, bound in bounds.BOUNDS.items() if "fp32" in recipe)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 2), st.booleans())
def test_scores_that_have_nothing_to_do_with_the_source_never_pass(seed: int, shift: float, exclusive: bool) -> None:
    """Whatever their AUC: also of a model that is no better than chance, which has no AUC to lose."""
    source = some_reference(seed, exclusive=exclusive)
    chance = np.random.default_rng(seed).integers(0, 2, source.labels.shape).astype(np.uint8)
    source = replace(source, labels=chance)
    wrong = some_reference(seed + 1).scores + np.float32(shift)
    for bound in (bounds.FP32, bounds.STEPS, bounds.FP16, bounds.INT8, bounds.INT16X8):
        measured = parity.measure(wrong, source, bound, "onnxruntime")
        assert parity.judge(measured, wrong, source, bound)[0] is not None


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 4.0, 1e3, 1e6]))
def test_the_rounding_of_large_scores_is_no_difference(seed: int, scale: float) -> None:
    reference = some_reference(seed, scale)
    rounded = np.nextafter(reference.scores, np.float32(np.inf))
    measured = parity.measure(rounded, reference, bounds.FP32, "onnxruntime")
    assert parity.judge(measured, rounded, reference, bounds.FP32) == (None, None)
    wrong = reference.scores + np.float32(3e-4 * reference.spread)
    measured = parity.measure(wrong, reference, bounds.FP32, "onnxruntime")
    assert parity.judge(measured, wrong, reference, bounds.FP32)[0] is not None


@pytest.mark.parametrize("scale", [1e-4, 0.01, 0.3])
def test_small_scores_are_held_to_their_own_spread(scale: float) -> None:
    """An absolute 1e-4 would let a file pass whose small scores have nothing to do with its source's."""
    reference = some_reference(scale=scale)
    tolerance = parity.measure(reference.scores, reference, bounds.FP32, "onnxruntime").tolerance
    assert 0.8e-4 * scale < tolerance < 1.2e-4 * scale
    wrong = reference.scores + np.float32(3e-4 * scale)
    measured = parity.measure(wrong, reference, bounds.FP32, "onnxruntime")
    assert "differ from the torch module's by up to" in str(parity.judge(measured, wrong, reference, bounds.FP32)[0])


def test_scores_far_from_zero_are_held_to_their_rounding() -> None:
    """A hundred steps of float32 at -10, where the spread is a hundredth: never more than the absolute bound."""
    reference = some_reference(scale=0.01)
    reference = replace(reference, scores=reference.scores - np.float32(10))
    assert parity.measure(reference.scores, reference, bounds.FP32, "onnxruntime").tolerance == pytest.approx(1e-4)
    reference = replace(reference, scores=reference.scores - np.float32(1e5))
    assert parity.measure(reference.scores, reference, bounds.FP32, "onnxruntime").tolerance == pytest.approx(1e-4)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_decisions_ignore_what_does_not_change_them(seed: int, exclusive: bool) -> None:
    reference = some_reference(seed, exclusive=exclusive, n=20)
    scores = reference.scores
    assert np.array_equal(parity.decisions(scores, reference), parity.decisions(2 * scores, reference))
    assert not np.array_equal(parity.decisions(scores, reference), parity.decisions(-scores, reference))


@given(st.integers(1, 400), st.integers(64, 200))
def test_fewer_recordings_come_from_everywhere(n: int, records: int) -> None:
    reference = some_reference(n=n)
    thinned = reference.thinned(records)
    rows = thinned.signals.reshape(-1).astype(int)
    assert len(rows) == min(n, records) == len(set(rows))
    assert rows[0] == 0 and rows[-1] == n - 1
    assert np.array_equal(thinned.scores, reference.scores[rows])
    assert np.array_equal(thinned.labels, reference.labels[rows])
    assert np.array_equal(thinned.patients, reference.patients[rows])


def test_the_change_of_auc_has_its_interval() -> None:
    reference = some_reference()
    noise = np.random.default_rng(9).normal(0, 0.3, reference.scores.shape).astype(np.float32)
    measured = parity.measure(reference.scores + noise, reference, bounds.INT8, "onnxruntime")
    assert measured.auc_change_low is not None and measured.auc_change_high is not None
    assert measured.auc_change_low < measured.auc_change < measured.auc_change_high
    assert measured.auc_change == pytest.approx(measured.auc_file - measured.auc_source)
    one_label = replace(reference, labels=np.zeros_like(reference.labels))
    unknown = parity.measure(reference.scores, one_label, bounds.INT8, "onnxruntime")
    assert {name: getattr(unknown, name) for name in UNKNOWN} == UNKNOWN


@pytest.fixture(scope="module")
def reference(trained: dict[str, Trained], recordings: Recordings) -> parity.Reference:
    return parity.make_reference(trained["cnn"].module, recordings, recordings.indices("validation"), False)


@pytest.fixture(scope="module")
def float_onnx(trained: dict[str, Trained], recordings: Recordings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("onnx") / "cnn.onnx"
    onnx_files.write_float(job_for(trained["cnn"].module, recordings.shape, out))
    return out


def changed(path: Path, name: str, out: Path, change) -> Path:
    """The ONNX file with one of its tensors changed."""
    model = onnx.load(path)
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    values = change(onnx.numpy_helper.to_array(tensor).copy())
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, name))
    onnx.save(model, out)
    return out


def larger(values: NDArray[np.float32]) -> NDArray[np.float32]:
    values.flat[np.abs(values).argmax()] *= 1.1
    return values


@pytest.mark.slow
def test_a_good_file_passes_and_one_changed_weight_is_caught(
    trained: dict[str, Trained], reference: parity.Reference, float_onnx: Path, tmp_path: Path
) -> None:
    module = trained["cnn"].module
    good = parity.check(float_onnx, "onnx-fp32", reference, module, None)
    assert (good.reason, good.notes, len(good.parity)) == (None, (), 1)
    assert good.parity[0].engine == "onnxruntime" and good.parity[0].version == engines.here()["onnxruntime"]
    assert good.parity[0].max_difference <= 1e-5 and good.parity[0].label_agreement == 1 and good.parity[0].moved == 0
    assert good.parity[0].auc_change == pytest.approx(0, abs=1e-6)

    bad = changed(float_onnx, "body.2.0.weight", tmp_path / "bad.onnx", larger)
    verdict = parity.check(bad, "onnx-fp32", reference, module, None)
    assert verdict.parity[0].moved > 0 and verdict.reason == verdict.parity[0].reason
    assert "differ from the torch module's" in verdict.reason
    assert verdict.reason.endswith("; it first parts at body.2.0 (Conv1d)")


def test_scores_that_are_not_finite_are_refused(
    trained: dict[str, Trained], reference: parity.Reference, float_onnx: Path, tmp_path: Path
) -> None:
    bad = changed(float_onnx, "head.2.bias", tmp_path / "bad.onnx", lambda values: values * np.float32(np.nan))
    verdict = parity.check(bad, "onnx-fp32", reference, trained["cnn"].module, None)
    said = f"{len(reference.scores)} of {len(reference.scores)} validation recordings get a score that is not finite"
    assert verdict.reason == f"{said}; it first parts at head.2 (Linear)"
    assert verdict.parity[0].max_difference is None


def test_a_model_whose_own_scores_are_not_finite_has_no_reference(recordings: Recordings) -> None:
    module = nn.Sequential(nn.Conv1d(2, 3, 160), nn.Flatten()).eval()
    with torch.no_grad():
        module[0].bias[1] = torch.inf
    with pytest.raises(RefusedError, match="the model itself gives scores that are not finite for 20 of 20"):
        parity.make_reference(module, recordings, recordings.indices("validation")[:20], False)


class Shares(nn.Module):
    """Probabilities instead of logits."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(x.mean(dim=2).repeat(1, 2)[:, :3])


def test_the_reference_knows_probabilities_and_patients(recordings: Recordings, reference: parity.Reference) -> None:
    rows = recordings.indices("validation")
    assert reference.threshold == 0 and np.array_equal(reference.patients, recordings.patients[rows])
    assert parity.make_reference(Shares(), recordings, rows, False).threshold == 0.5


@pytest.mark.parametrize("name", ["damaged.onnx", "damaged.tflite"])
def test_a_file_that_no_engine_opens_is_refused(
    name: str, trained: dict[str, Trained], reference: parity.Reference, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(b"not a model")
    recipe = f"{name.partition('.')[2]}-fp32"
    verdict = parity.check(tmp_path / name, recipe, reference, trained["cnn"].module, None)
    assert verdict.reason is not None and "does not run it" in verdict.reason
    assert "\n" not in verdict.reason and str(tmp_path) not in verdict.reason
    assert len(verdict.parity) == 1 and verdict.parity[0].reason == verdict.reason


def test_a_file_of_other_classes_is_refused(
    trained: dict[str, Trained], reference: parity.Reference, float_onnx: Path
) -> None:
    fewer = replace(reference, scores=reference.scores[:, :2], labels=reference.labels[:, :2])
    verdict = parity.check(float_onnx, "onnx-fp32", fewer, trained["cnn"].module, None)
    assert verdict.reason == "it gives 3 scores a recording, not 2"
