"""Bounds of scores hold for what engines give: at random points, corners and attacked points of the ball."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper
from torch import nn

from pulseproof.certify.bounds import ball, score_bounds
from pulseproof.core.engines import score
from pulseproof.export.job import ExportJob, MadeFile
from pulseproof.export.onnx import int8 as onnx_int8
from pulseproof.export.tflite import files as tflite_files
from pulseproof.export.tflite import int8 as tflite_int8
from pulseproof.export.tflite import lstm as lstm_flatbuffer
from pulseproof.export.tflite import lstm_int8
from pulseproof.models.hardened.defence import interval_scores
from pulseproof.models.hardened.ends import NoBoundsError
from pulseproof.models.hardened.interval import Bounded
from pulseproof.models.hardened.rules import APPROXIMATION, RULES
from pulseproof.models.nets import Cnn, EcgLens, Lstm
from pulseproof.twins import open_twin
from pulseproof.twins.program import Twin
from tests.export import onnx_making, tflite_making
from tests.export.making import job_for, random_signals
from tests.export.onnx_making import float_job
from tests.twins.test_operators import ONNX, SHAPE, onnx_file

Floats = NDArray[np.float32]
BUDGETS = [0.0, 0.001, 0.02, 0.3]


def inside(signals: Floats, budget: float, twin: Twin | None, seed: int = 0) -> list[Floats]:
    """Signals within ``budget`` of ``signals``: themselves, random ones, corners, and those that a gradient points
    to."""
    rng = np.random.default_rng(seed)
    moves = [np.zeros_like(signals), rng.uniform(-budget, budget, signals.shape)]
    moves += [
        budget * rng.choice([-1.0, 1.0], signals.shape),
        np.full_like(signals, budget),
        np.full_like(signals, -budget),
    ]
    if twin is not None:
        x = torch.from_numpy(signals).requires_grad_()
        scores = twin(x)
        for column in range(min(3, scores.shape[1])):
            (gradient,) = torch.autograd.grad(scores[:, column].sum(), x, retain_graph=True)
            moves += [budget * gradient.sign().numpy(), -budget * gradient.sign().numpy()]
    return [(signals + move).astype(np.float32) for move in moves]


def expect_sound(path: Path, signals: Floats, budget: float, engine: str) -> NDArray[np.float64]:
    """The bounds of a file hold for an engine; returns their widths (n, classes)."""
    twin = open_twin(path)
    bounds = score_bounds(twin, signals, budget, batch=3)
    low, high = (end.numpy() for end in ball(signals, budget))
    points = np.stack(inside(signals, budget, twin))
    assert ((points >= low) & (points <= high)).all()
    scores = score(path, points.reshape(-1, *signals.shape[1:]), engine).astype(np.float64)
    scores = scores.reshape(len(points), len(signals), -1)
    assert (scores >= bounds.lower).all() and (scores <= bounds.upper).all()
    return np.asarray(bounds.upper - bounds.lower)


@pytest.mark.parametrize("name", sorted(ONNX))
def test_an_operator(name: str, tmp_path: Path) -> None:
    operator, inputs, attributes = ONNX[name]
    names = ["" if one is None else f"c{at}" for at, one in enumerate(inputs)]
    constants = {f"c{at}": one for at, one in enumerate(inputs) if one is not None}
    node = helper.make_node(operator, ["signal", *names], ["y"], **attributes)
    path = onnx_file(tmp_path / "one.onnx", [node], constants)
    for budget in (0.0, 0.02):
        widths = expect_sound(path, random_signals(3, SHAPE, 7), budget, "onnxruntime")
        assert np.isfinite(widths).all() and (widths >= 0).all()


INT8 = [onnx_int8.write_static, onnx_int8.write_static_s8s8]


@pytest.mark.parametrize("name", ["cnn", "cnn in pieces", "ecg-lens", "lstm", "clipped"])
def test_a_float_onnx_file(name: str, tmp_path: Path) -> None:
    path = float_job(name, tmp_path).source
    signals = onnx_making.signals(5, 4)
    widths, *_ = [expect_sound(path, signals, budget, "onnxruntime") for budget in BUDGETS]
    if name in ("cnn", "cnn in pieces", "clipped"):  # rounding alone; 17 layers multiply it by millions
        assert widths.max() < 0.1 * score(path, signals, "onnxruntime").std()


@pytest.mark.parametrize("write", INT8)
@pytest.mark.parametrize("name", ["cnn", "cnn in pieces", "ecg-lens", "clipped"])
def test_an_int8_onnx_file(name: str, write: Callable[[ExportJob], MadeFile], tmp_path: Path) -> None:
    job = float_job(name, tmp_path)
    write(job)
    for budget in BUDGETS:
        expect_sound(job.out, onnx_making.signals(5, 4), budget, "onnxruntime")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(tflite_making.NETS))
def test_tflite_files(name: str, tmp_path: Path) -> None:
    made = tflite_making.float_file(name, tmp_path)
    for write in (tflite_int8.write_static, tflite_int8.write_full, tflite_files.write_fp16, tflite_int8.write_int16x8):
        out = tmp_path / f"{write.__name__}.tflite"
        write(made.job(out))
        for budget in BUDGETS:
            expect_sound(out, made.signals[:5], budget, "ai_edge_litert")


def test_a_float_tflite_lstm(tmp_path: Path) -> None:
    torch.manual_seed(1)
    path = tmp_path / "lstm.tflite"
    net = Lstm(2, 160, 3, hidden=12, patch=7)
    lstm_flatbuffer.write_float(replace(job_for(net, (2, 160), path), calibration=random_signals(20, (2, 160))))
    for budget in BUDGETS:
        expect_sound(path, random_signals(4, (2, 160), 3), budget, "ai_edge_litert")


def test_an_integer_lstm_is_refused(tmp_path: Path) -> None:
    """Its kernel's sigmoid is an approximation of which nobody says how far it is off."""
    path, net = tmp_path / "lstm.tflite", Lstm(2, 160, 3, hidden=12, patch=7)
    lstm_int8.write_full(replace(job_for(net, (2, 160), path), calibration=random_signals(20, (2, 160))))
    with pytest.raises(NoBoundsError, match="double"):  # with which its twin computes what is in fixed point
        score_bounds(open_twin(path), random_signals(2, (2, 160)), 0.01)


@pytest.mark.parametrize("engine", ["onnxruntime"])
@pytest.mark.parametrize(("name", "function"), [("Sigmoid", torch.sigmoid), ("Tanh", torch.tanh), ("Exp", torch.exp)])
def test_how_far_an_engine_is_off(
    name: str, function: Callable[..., torch.Tensor], engine: str, tmp_path: Path
) -> None:
    """Of the functions that it approximates: the margin is at least twice what is seen."""
    path = onnx_file(tmp_path / "one.onnx", [helper.make_node(name, ["signal"], ["y"])], {})
    rng = np.random.default_rng(0)
    spans = [8.0] if name == "Exp" else [1e-3, 1.0, 8.0, 30.0]
    for span in spans:
        signals = rng.uniform(-span, span, (2000, *SHAPE)).astype(np.float32)
        real = function(torch.from_numpy(signals).double()).numpy().reshape(len(signals), -1)
        off = np.abs(score(path, signals, engine) - real)
        assert (off <= APPROXIMATION * (1 + np.abs(real)) / 2).all(), (span, off.max())


def test_a_linear_score_has_exact_bounds(tmp_path: Path) -> None:
    """Nothing is lost where nothing can be: a sum of |w| times the budget."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(SHAPE[0] * SHAPE[1], 3)).astype(np.float32)
    nodes = [helper.make_node("Flatten", ["signal"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"])]
    path = onnx_file(tmp_path / "one.onnx", nodes, {"w": weights})
    bounds = score_bounds(open_twin(path), random_signals(3, SHAPE), 0.02)
    np.testing.assert_allclose(
        bounds.upper - bounds.lower, 0.04 * np.abs(weights).sum(axis=0)[None].repeat(3, 0), rtol=1e-3
    )


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**30), budget=st.sampled_from([1, 2]), relu=st.booleans())
def test_every_point_of_a_small_lattice_is_inside(seed: int, budget: int, relu: bool) -> None:
    """All recordings that a recorder can write within the budget, of a net small enough to try them all."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = [nn.Conv1d(1, 3, 3, padding=1), nn.ReLU() if relu else nn.Sigmoid(), nn.MaxPool1d(2)]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(6, 2), nn.Softmax(dim=1)).double()
    start = torch.randn(1, 1, 4, dtype=torch.float64)
    moves = torch.tensor(list(itertools.product(range(-budget, budget + 1), repeat=4)), dtype=torch.float64)
    found = net(Bounded(start - 0.1 * budget, start + 0.1 * budget, unit=0.0))  # type: ignore[arg-type]
    scores = net(start + 0.1 * moves[:, None])
    assert (scores >= found.lower - 1e-12).all() and (scores <= found.upper + 1e-12).all()


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**30),
    name=st.sampled_from(["gelu", "softplus", "log_softmax", "abs", "square", "corners", "div"]),
)
def test_rules_of_single_functions(seed: int, name: str) -> None:
    generator = torch.Generator().manual_seed(seed)
    ends = torch.randn(2, 5, dtype=torch.float64, generator=generator).sort(dim=0).values * 3
    points = ends[0] + (ends[1] - ends[0]) * torch.rand(50, 5, dtype=torch.float64, generator=generator)
    functions: dict[str, Callable[..., torch.Tensor]] = {
        "gelu": nn.functional.gelu,
        "softplus": nn.functional.softplus,
        "log_softmax": lambda x: torch.log_softmax(x, -1),
        "abs": torch.abs,
        "square": lambda x: x * x,
        "corners": lambda x: x * x[..., [1, 2, 3, 4, 0]],
        "div": lambda x: x / (x[..., [1, 2, 3, 4, 0]] - 20),
    }
    found = functions[name](Bounded(ends[0], ends[1]))  # type: ignore[arg-type]
    values = functions[name](points)
    assert (values >= found.lower).all() and (values <= found.upper).all()  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [Cnn, EcgLens])
def test_a_module_has_the_bounds_of_its_file(kind: type[nn.Module], tmp_path: Path) -> None:
    """What is trained on is what is proved, up to rounding."""
    torch.manual_seed(0)
    net = kind(*onnx_making.SHAPE, 3, width=8).eval()
    from pulseproof.export.onnx.files import write_float

    write_float(job_for(net, onnx_making.SHAPE, tmp_path / "one.onnx"))
    signals = onnx_making.signals(4, 4)
    with torch.no_grad():
        own = interval_scores(net, torch.from_numpy(signals), 0.01)
    files = score_bounds(open_twin(tmp_path / "one.onnx"), signals, 0.01)
    width = files.upper - files.lower
    np.testing.assert_allclose((own.upper - own.lower).numpy(), width, rtol=0.01)


def test_what_has_no_rule_is_refused_by_name() -> None:
    x = Bounded(torch.zeros(2), torch.ones(2))
    with pytest.raises(NoBoundsError, match="cumsum"):
        torch.cumsum(x, 0)  # type: ignore[call-overload]
    with pytest.raises(NoBoundsError, match="two signals"):
        x @ x
    for compared in (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge):
        with pytest.raises(NoBoundsError, match=compared.__name__):  # an answer would be that of neither end
            compared(x, 0.5)
    with pytest.raises(NoBoundsError, match="whole numbers"):
        x.to(torch.int64)
    assert "cumsum" not in RULES
