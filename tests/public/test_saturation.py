"""Public reports of int8 scores that depend on the processor: what they saw, and what Pulseproof says there.

Each case is a small model made here, with scores known in whole numbers. On a processor whose kernels do not saturate
the engine's scores are the right ones; on one whose kernels do, the same tests ask that they are marked, so that they
pass and can fail on both.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pulseproof.core import engines
from pulseproof.export.gate.parity import exactness
from pulseproof.export.gate.saturation import saturating_layers
from pulseproof.export.onnx import files as onnx_files
from pulseproof.export.onnx import graph as onnx_graph
from pulseproof.export.onnx import int8 as onnx_int8
from pulseproof.export.quiet import quiet
from pulseproof.runtime.exact import Exact, hold
from pulseproof.twins import exact, open_twin
from pulseproof.twins.program import scores_of
from tests.export.making import job_for
from tests.twins.saturating import LEADS, SAMPLES, exact_scores, kernels_saturate, large_signals, write_saturating

ENGINE = "onnxruntime"


def test_u8s8_gives_other_scores_without_vnni(tmp_path: Path) -> None:
    """onnxruntime #6004: a quantized model is accurate on a machine with VNNI and not on one without. The right scores
    are those of whole numbers; an engine that gives others is marked, and its unoptimized graph gives them."""
    path, signals = write_saturating(tmp_path / "u8s8.onnx"), large_signals(16)
    truth, scores = exact_scores(signals), engines.score(path, signals, ENGINE)
    found = exact.compare(path, signals, scores, ENGINE)
    assert found is not None
    right = bool(np.abs(scores - truth).max() <= 1.01 * found.within)
    assert right == (found.mark is None) == (not kernels_saturate())
    unoptimized = engines.score(path, signals, ENGINE, "unoptimized")
    assert np.abs(unoptimized - truth).max() <= 1.01 * found.within


def test_the_same_file_gives_other_scores_after_graph_optimization(tmp_path: Path) -> None:
    """onnxruntime #5849: scores with and without graph optimization differ. The runner measures it on the board,
    with numpy and the engine alone, and names the cause."""
    path, signals = write_saturating(tmp_path / "u8s8.onnx"), large_signals(16)
    asked = Exact("unoptimized", 520 / 255)
    found = hold(path, ENGINE, (LEADS, SAMPLES), asked, lambda at: signals[at : at + 1], 16, lambda done: None)
    apart = np.abs(engines.score(path, signals, ENGINE) - engines.score(path, signals, ENGINE, "unoptimized")).max()
    assert found["largest"] == pytest.approx(apart / asked.within, abs=1e-3)
    assert found["mark"] == ("engine-saturates" if apart > 1.01 * asked.within else None)
    assert (found["mark"] is not None) == kernels_saturate()


@pytest.mark.slow
@pytest.mark.parametrize("signed", [False, True])
def test_reduce_range_is_what_avoids_it(signed: bool, tmp_path: Path) -> None:
    """onnxruntime #14642: S8S8 and U8S8 are both off on AVX2, seven bits (``reduce_range``) are right. Our recipes have
    them: a net of large weights on large signals is within a step of its whole numbers on every processor."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(LEADS, 8, 9), nn.ReLU(), nn.Flatten(), nn.Linear(8 * (SAMPLES - 8), 3)).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.abs_()
    signals = large_signals(24, 3)
    job = replace(job_for(net, (LEADS, SAMPLES), tmp_path / "float.onnx"), calibration=signals)
    with quiet():
        onnx_files.write_float(job)
        job = replace(job, out=tmp_path / "int8.onnx")
        (onnx_files.write_static_s8s8 if signed else onnx_files.write_static)(job)
    scores = engines.score(job.out, signals, ENGINE)
    step = open_twin(job.out).output_step
    assert step is not None and saturating_layers(job.out) == {}
    assert np.abs(scores - scores_of(open_twin(job.out), signals)).max() <= 1.01 * step
    # With eight bits the same net is off where the kernels saturate, and found by its file everywhere.
    with quiet():
        ready = onnx_int8.calibrated(job)
    wide = tmp_path / "wide.onnx"
    onnx_graph.save(ready.quantized(signed, reduce_range=False), wide)
    assert len(saturating_layers(wide)) == 2
    found = exact.compare(wide, signals, engines.score(wide, signals, ENGINE), ENGINE)
    assert found is not None and (found.mark is not None) <= kernels_saturate()
    if not signed:  # signed ones around a convolution stay float operators in some versions
        assert (found.mark == "engine-saturates") == kernels_saturate()


def test_a_backend_that_saturates_is_not_what_quantization_costs(tmp_path: Path) -> None:
    """PyTorch #103646: accuracy falls on CPUs without VNNI and is blamed on quantization (x86 backend,
    ``reduce_range``). The exact scores say what quantization costs: here nothing, whatever the processor."""
    from tests.export.test_exactness import some_reference

    path, reference = write_saturating(tmp_path / "u8s8.onnx"), some_reference()
    scores = engines.score(path, reference.signals, ENGINE)
    found = exactness(path, "onnx-int8-static", reference, scores, ENGINE)
    assert found is not None and (found.mark is not None) == kernels_saturate()
    judged = scores if found.scores is None else found.scores
    assert np.abs(judged - reference.scores).max() <= 1.01 * found.within
