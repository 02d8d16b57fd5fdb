"""Static int8 files cannot saturate, and where a brought one does, that is no cost of quantization."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from torch import nn

from pulseproof.core import engines
from pulseproof.export.gate import parity
from pulseproof.export.gate.bounds import bound_of
from pulseproof.export.gate.saturation import LARGEST, saturating_layers
from pulseproof.export.job import ExportJob
from pulseproof.export.onnx import files as onnx_files
from pulseproof.export.onnx import graph as onnx_graph
from pulseproof.export.onnx import int8 as onnx_int8
from pulseproof.export.quiet import quiet
from pulseproof.runtime.exact import DIFFERS
from pulseproof.twins import exact
from tests.export.onnx_making import float_job, signals
from tests.twins.saturating import CLASSES, exact_scores, kernels_saturate, large_signals, write_saturating

RECORDINGS = 40
WRITERS = {
    "static": (onnx_files.write_static, "cnn"),
    "s8s8": (onnx_files.write_static_s8s8, "cnn"),
    "residual": (onnx_files.write_static, "ecg-lens"),
    "steps": (onnx_files.write_static, "clipped"),
    "products": (onnx_int8.write_static_products, "logistic"),
    "signed products": (onnx_int8.write_static_s8s8_products, "logistic"),
    "last layer": (onnx_int8.write_static_last_layer, "logistic"),
    "dynamic": (onnx_files.write_dynamic, "cnn"),
    "dynamic products": (onnx_int8.write_dynamic_products, "logistic"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_no_weight_is_large_enough_to_saturate_and_the_engine_is_exact(name: str, tmp_path: Path) -> None:
    write, net = WRITERS[name]
    job = replace(float_job(net, tmp_path), sensitive_layers=1)
    with quiet():
        write(job)
    assert onnx_files.int8_share(job.out) > 0 and saturating_layers(job.out) == {}
    recordings = signals(20, 4)
    found = exact.compare(job.out, recordings, engines.score(job.out, recordings, "onnxruntime"), "onnxruntime")
    assert found is not None and found.mark is None and found.largest <= 1.01


def test_a_float_layer_among_integers_is_no_saturation(tmp_path: Path) -> None:
    """A float sum in another order turns a rounding behind it: three steps were seen. That is told, by its own name."""
    job = replace(float_job("cnn", tmp_path), sensitive_layers=1)
    with quiet():
        onnx_files.write_mixed(job)
    assert onnx_files.int8_share(job.out) > 0 and saturating_layers(job.out) == {}
    recordings = signals(20, 4)
    found = exact.compare(job.out, recordings, engines.score(job.out, recordings, "onnxruntime"), "onnxruntime")
    assert found is not None and found.largest <= 10
    assert found.mark == (None if found.largest <= exact.STEPS + exact.SLACK else DIFFERS)


def test_eight_bits_are_found(tmp_path: Path) -> None:
    """The same files as before weights had seven bits: each of their layers is named."""
    job = float_job("cnn", tmp_path)
    with quiet():
        ready = onnx_int8.calibrated(job)
    for signed in (False, True):
        onnx_graph.save(ready.quantized(signed, reduce_range=False), job.out)
        found = saturating_layers(job.out)
        assert len(found) == len(onnx_graph.layers(onnx.load(job.source).graph)) and set(found.values()) == {127}
    assert saturating_layers(write_saturating(tmp_path / "wide.onnx")) != {}
    assert saturating_layers(write_saturating(tmp_path / "narrow.onnx", LARGEST)) == {}
    assert saturating_layers(job.source) == {}


def some_reference(largest: int = 127) -> parity.Reference:
    """Recordings whose source gives what the file does by its own arithmetic, and labels that follow it."""
    recordings = large_signals(RECORDINGS)
    scores = exact_scores(recordings, largest).astype(np.float32)
    labels = (scores > np.median(scores, axis=0)).astype(np.uint8)
    return parity.Reference(recordings, labels, np.arange(RECORDINGS), scores, 0.0, False, False)


def test_the_verdict_is_on_the_exact_scores_and_the_engine_is_told_apart(tmp_path: Path) -> None:
    """On a processor that saturates the engine's scores alone would be refused: they are not the file's."""
    path, reference = write_saturating(tmp_path / "wide.onnx"), some_reference()
    verdict = parity.check(path, "onnx-int8-static", reference, nn.Identity(), None)
    measured = verdict.parity[0]
    assert verdict.reason is None and measured.exact is not None
    assert measured.max_difference == pytest.approx(0, abs=1.01 * measured.exact.within)
    assert measured.auc_change == pytest.approx(0, abs=0.02)
    own = engines.score(path, reference.signals, "onnxruntime")
    alone = parity.judge(
        parity.measure(own, reference, bound_of("onnx-int8-static", False), "onnxruntime"),
        own,
        reference,
        bound_of("onnx-int8-static", False),
    )[0]
    if kernels_saturate():
        assert measured.exact.mark == "engine-saturates" and alone is not None
        assert measured.exact.auc_exact is not None and measured.exact.auc_engine is not None
        assert "no cost of quantization" in verdict.notes[-1] and "engine-saturates" in verdict.notes[-1]
    else:
        assert measured.exact.mark is None and alone is None and verdict.notes == ()
        assert measured.exact.auc_engine is None


@pytest.mark.parametrize("off", [0.0, 30.0])
def test_what_an_engine_elsewhere_adds_is_no_cost_of_quantization(
    off: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that is 30 steps off by default and exact in its other modes, on any processor."""
    path, reference = write_saturating(tmp_path / "wide.onnx"), some_reference()

    def score(path: Path, signals: np.ndarray, engine: str, mode: str = "default") -> np.ndarray:
        found = exact_scores(signals).astype(np.float32)
        return found - np.float32(off * 520 / 255) * (mode == "default") * np.linspace(0, 1, CLASSES, dtype=np.float32)

    monkeypatch.setattr(engines, "score", score)
    monkeypatch.setattr(parity, "score", score)
    verdict = parity.check(path, "onnx-int8-static", reference, nn.Identity(), None)
    measured = verdict.parity[0]
    assert verdict.reason is None and measured.exact is not None and measured.max_difference < 1e-4
    assert measured.exact.mark == ("engine-saturates" if off else None)
    assert measured.exact.largest == pytest.approx(off, abs=0.01)
    assert len(verdict.notes) == bool(off)


def test_a_file_that_quantization_wrecked_is_refused_whatever_the_engine_does(tmp_path: Path) -> None:
    path, reference = write_saturating(tmp_path / "wide.onnx"), some_reference()
    other = replace(reference, scores=-reference.scores)
    assert parity.check(path, "onnx-int8-static", other, nn.Identity(), None).reason is not None


def test_a_brought_file_that_can_saturate_says_so_everywhere(tmp_path: Path) -> None:
    wide, narrow = write_saturating(tmp_path / "wide.onnx"), write_saturating(tmp_path / "narrow.onnx", LARGEST)
    said = parity.check(wide, "onnx-as-given", some_reference(), nn.Identity(), None)
    assert said.reason is None and "signed weights of eight bits" in " ".join(said.notes)
    quiet_one = parity.check(narrow, "onnx-as-given", some_reference(LARGEST), nn.Identity(), None)
    assert quiet_one.reason is None and quiet_one.notes == ()


def test_a_float_file_has_no_exactness(tmp_path: Path) -> None:
    job: ExportJob = float_job("cnn", tmp_path)
    recordings = signals(20, 4)
    scores = engines.score(job.source, recordings, "onnxruntime")
    reference = replace(some_reference(), signals=recordings, scores=scores)
    assert parity.exactness(job.source, "onnx-fp32", reference, scores, "onnxruntime") is None
