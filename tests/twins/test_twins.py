"""Twins of exported files: the scores of their engine within one step, and gradients of the right module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from pulseproof.core.errors import InputError
from pulseproof.export.job import ExportJob, MadeFile
from pulseproof.export.onnx import half as onnx_half
from pulseproof.export.onnx import int8 as onnx_int8
from pulseproof.export.tflite import files as tflite_files
from pulseproof.export.tflite import int8 as tflite_int8
from pulseproof.export.tflite import lstm as lstm_flatbuffer
from pulseproof.export.tflite import lstm_int8
from pulseproof.models.nets import Lstm
from pulseproof.runtime.score import score
from pulseproof.twins import NotCoveredError, open_twin
from pulseproof.twins.gate import check
from pulseproof.twins.program import scores_of
from tests.export import onnx_making, tflite_making
from tests.export.making import job_for, random_signals
from tests.export.onnx_making import SHAPE, float_job, make_classical, make_net
from tests.twins import strangers

LABELS = np.arange(60).reshape(20, 3) % 2
Write = Callable[[ExportJob], MadeFile]


@pytest.mark.parametrize("name", ["cnn", "cnn in pieces", "ecg-lens", "lstm", "logistic", "clipped"])
def test_a_float_onnx_file(name: str, tmp_path: Path) -> None:
    path = float_job(name, tmp_path).source
    found = check(open_twin(path), path, onnx_making.signals(20, 4), LABELS)
    assert found.reason is None and found.equal == 1 and found.output_step is None


@pytest.mark.parametrize("write", [onnx_int8.write_static, onnx_int8.write_static_s8s8])
@pytest.mark.parametrize("name", ["cnn", "cnn in pieces", "ecg-lens", "clipped"])
def test_an_int8_onnx_file(name: str, write: Write, tmp_path: Path) -> None:
    job = float_job(name, tmp_path)
    write(job)
    twin = open_twin(job.out)
    found = check(twin, job.out, onnx_making.signals(20, 4), LABELS)
    assert found.largest <= 1.01 and found.equal > 0.7
    assert found.mark is None  # of seven-bit weights: the engine is exact on every processor
    assert twin.output_step is not None and found.output_step == twin.output_step


@pytest.mark.parametrize("write", [onnx_int8.write_static_products, onnx_int8.write_static_last_layer])
def test_an_int8_onnx_file_of_features(write: Write, tmp_path: Path) -> None:
    job = float_job("logistic", tmp_path)
    write(job)
    assert check(open_twin(job.out), job.out, onnx_making.signals(20, 4), LABELS).reason is None


LSTM_FILES = [lstm_flatbuffer.write_float, lstm_flatbuffer.write_fp16, lstm_int8.write_static, lstm_int8.write_full]


@pytest.mark.parametrize("own_mean", [False, True])
@pytest.mark.parametrize("write", LSTM_FILES)
def test_a_tflite_lstm(write: Write, own_mean: bool, tmp_path: Path) -> None:
    torch.manual_seed(1)
    net, path, signals = Lstm(*SHAPE, 3, hidden=12, patch=7, own_mean=own_mean), tmp_path / "lstm.tflite", _signals()
    write(replace(job_for(net, SHAPE, path), calibration=signals))
    assert check(open_twin(path), path, signals[:20], LABELS).largest <= 1.01


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(tflite_making.NETS))
def test_tflite_files_of_nets(name: str, tmp_path: Path) -> None:
    made = tflite_making.float_file(name, tmp_path)
    labels = np.arange(len(made.signals) * 4).reshape(-1, 4) % 2
    for write, most in [
        (tflite_int8.write_static, 1.01),
        (tflite_int8.write_full, 1.01),
        (tflite_files.write_fp16, 1.01),
        (tflite_int8.write_int16x8, 4),  # of 65,536 steps
    ]:
        out = tmp_path / f"{write.__name__}.tflite"
        write(made.job(out))
        found = check(open_twin(out), out, made.signals, labels)
        assert found.largest <= most, write.__name__
        assert most > 2 or found.reason is None or "AUC" in found.reason
    assert check(open_twin(made.path), made.path, made.signals, labels).equal == 1


@pytest.mark.parametrize("name", ["cnn", "ecg-lens", "lstm", "logistic"])
def test_where_nothing_rounds_the_gradient_is_the_modules_own(name: str, tmp_path: Path) -> None:
    module = make_classical(name) if name == "logistic" else make_net(name)
    twin = open_twin(float_job(name, tmp_path).source)
    signals = torch.from_numpy(onnx_making.signals(5, 4))
    weights = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    gradients = []
    for each in (module, twin):
        place = signals.clone().requires_grad_(True)
        gradients.append(torch.autograd.grad((each(place) * weights).sum(), place)[0])
    own, twins = gradients
    assert float(own.abs().max()) > 0
    torch.testing.assert_close(twins, own, rtol=1e-3, atol=1e-4 * float(own.abs().max()))


def test_a_tflite_lstms_gradient_is_the_modules_own(tmp_path: Path) -> None:
    torch.manual_seed(1)
    net, path = Lstm(*SHAPE, 3, hidden=12, patch=7), tmp_path / "lstm.tflite"
    lstm_flatbuffer.write_float(job_for(net, SHAPE, path))
    gradients = []
    for each in (net, open_twin(path)):
        place = torch.from_numpy(_signals()[:4]).requires_grad_(True)
        gradients.append(torch.autograd.grad(each(place).square().sum(), place)[0])
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-3, atol=1e-4 * float(gradients[0].abs().max()))


def test_a_twin_is_frozen_and_takes_any_batch(tmp_path: Path) -> None:
    job = float_job("cnn", tmp_path)
    onnx_int8.write_static(job)
    twin, signals = open_twin(job.out), torch.from_numpy(onnx_making.signals(7, 4))
    assert not list(twin.parameters()) and not twin.training and twin.shape == SHAPE
    together, alone = twin(signals), torch.cat([twin(one[None]) for one in signals])
    assert twin.output_step is not None and float((together - alone).abs().max()) <= 1.01 * twin.output_step
    assert torch.equal(together, twin(signals))
    with pytest.raises(ValueError, match=r"takes recordings \(2, 160\)"):
        twin(signals[:, :, :100])


def test_an_onnx_file_that_is_not_covered(tmp_path: Path) -> None:
    job = float_job("cnn", tmp_path)
    onnx_half.write_fp16(job)
    with pytest.raises(NotCoveredError, match="float16"):
        open_twin(job.out)


def test_an_onnx_file_with_steps_of_its_own(tmp_path: Path) -> None:
    """They are read off each recording, so the gradient takes them for constants and passes the rounding."""
    job = float_job("cnn", tmp_path)
    onnx_int8.write_dynamic(job)
    twin, signals = open_twin(job.out), onnx_making.signals(20, 4)
    assert twin.own_steps and check(twin, job.out, signals, LABELS).reason is None
    some = torch.from_numpy(signals[:4]).requires_grad_(True)
    (gradient,) = torch.autograd.grad(twin(some).sum(), some)
    assert torch.isfinite(gradient).all() and (gradient.abs().sum(dim=(1, 2)) > 0).all()


def test_a_tflite_lstm_with_steps_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "lstm.tflite"
    lstm_flatbuffer.write_dynamic(job_for(Lstm(*SHAPE, 3, hidden=12, patch=7), SHAPE, path))
    twin = open_twin(path)
    found = check(twin, path, _signals()[:20], LABELS)
    # A last digit of a tanh decides a step of the state now and then, which the gate refuses where it is more often.
    assert twin.own_steps and found.equal >= 0.8 and found.largest < 100


def test_a_file_with_steps_of_its_own_is_known_no_better_than_the_last_digit_of_a_float() -> None:
    """What the gate's rule for them rests on: the engine's own scores move as far as a step is worth, and the twin's
    with them, when each sample moves to the next float32."""
    path, (signals, _) = strangers.FOLDER / "torch-xresnet-dynamic.onnx", strangers.drawn("torch-", 80)
    again = np.nextafter(signals, np.float32(10))
    before, after = (score(path, x, "onnxruntime") for x in (signals, again))
    unit = 1e-4 * float(before.std())
    moved = np.abs(after - before).max(axis=1) / unit
    assert 0.01 < (moved > 1).mean() < 0.2 and moved.max() > 20
    assert np.abs(scores_of(open_twin(path), again) - after).max() < unit


def test_a_tflite_file_that_is_not_covered(tmp_path: Path) -> None:
    path = tmp_path / "one.tflite"
    tflite_making.linear_file(path, [("HASHTABLE_LOOKUP", None)])
    with pytest.raises(NotCoveredError, match="operator HASHTABLE_LOOKUP"):
        open_twin(path)


@pytest.mark.parametrize(
    "name", ["gone.onnx", "damaged.onnx", "damaged.tflite", "scores.csv", "cut.onnx", "cut.tflite"]
)
def test_a_file_that_is_none(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name.startswith("cut"):
        whole = (
            float_job("cnn", tmp_path).source
            if name == "cut.onnx"
            else tflite_making.linear_file(tmp_path / "a.tflite")
        )
        path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    elif name != "gone.onnx":
        path.write_bytes(b"\x08nothing of the kind" * 20)
    with pytest.raises(InputError, match=name):
        open_twin(path)


def test_a_graph_that_cannot_run_is_damaged(tmp_path: Path) -> None:
    path = float_job("cnn", tmp_path).source
    model = onnx.load(path)
    next(node for node in model.graph.node if node.op_type == "Conv").input[0] = "nowhere"
    onnx.save(model, path)
    with pytest.raises(InputError, match="does not run"):
        open_twin(path)


def _signals() -> np.ndarray:
    return random_signals(40, SHAPE, 1)
