"""A torch module behind ``[models.x.input]``: in its files and in its torch original, which attacks go through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn

import pulseproof as pp
from pulseproof.core.engines import score
from pulseproof.core.errors import InputError
from pulseproof.core.studies.model_input import InputSpec
from pulseproof.core.study import ModelSpec
from pulseproof.models.brought.model import load, take
from pulseproof.models.front.fronted import FrontedNet, front_of_net, fronted, own_net
from pulseproof.models.front.onnx_front import FRONT
from pulseproof.models.modules import build_net
from pulseproof.models.systems import Task, resolve
from pulseproof.twins import open_twin

FS, SAMPLES = 100.0, 200
HERE = f"{__name__}:"
SAID = {"normalise": "zscore", "fs_hz": 50.0, "layout": "n t c", "leads": ["II"], "unit": "uV"}
TASK = Task(("I", "II"), SAMPLES, FS, ("A", "B", "C"))


class HalfRate(nn.Module):
    """A net of one lead at half the rate, samples before leads, trained on z-scored signals."""

    def __init__(self, leads: int, samples: int, classes: int) -> None:
        super().__init__()
        assert (leads, samples) == (1, 100)
        self.body = nn.Sequential(nn.Conv1d(leads, 8, 7, stride=2), nn.ReLU(), nn.Conv1d(8, 8, 5), nn.ReLU())
        self.head = nn.Linear(8, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(self.body(x.transpose(1, 2)).mean(dim=2))
        return scores


def made(leads: int, samples: int, classes: int) -> nn.Module:
    torch.manual_seed(3)
    return HalfRate(leads, samples, classes)


def signals(n: int, seed: int = 5) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return (0.1 * rng.normal(0.1, 0.4, (n, 2, SAMPLES)).cumsum(axis=2)).astype(np.float32)


@pytest.fixture(scope="module")
def module() -> nn.Module:
    front = front_of_net(InputSpec.model_validate(SAID), (2, SAMPLES), FS, TASK.leads, "m")
    assert front is not None
    return fronted(front, made(*front.sees, 3)).eval().requires_grad_(False)


def test_it_sees_what_its_owner_computed(module: nn.Module) -> None:
    from scipy.signal import resample_poly

    x = signals(6)
    half = 1000 * resample_poly(x[:, 1].astype(np.float64), 1, 2, axis=1, padtype="mean")
    scaled = (half - half.mean(axis=1, keepdims=True)) / half.std(axis=1, keepdims=True)
    wanted = own_net(module)(torch.from_numpy(scaled.astype(np.float32))[:, :, None])
    assert module(torch.from_numpy(x)).numpy() == pytest.approx(wanted.numpy(), abs=1e-4)


RECIPES = ("onnx-fp32", "onnx-int8-static", "tflite-fp32", "tflite-int8-static", "tflite-int8-full")


@pytest.mark.slow
def test_its_files_hold_the_front_in_float(module: nn.Module, tmp_path: Path) -> None:
    files = {one.recipe: one for one in pp.export_model(module, calibration=signals(48), to=tmp_path, recipes=RECIPES)}
    assert [files[name].status for name in RECIPES] == ["ok"] * 4 + ["not-applicable"], files
    assert "stays so" in (files["tflite-int8-full"].reason or "")
    x = signals(8, 7)
    wanted = module(torch.from_numpy(x)).numpy()
    spread = float(wanted.std())
    for name, within in zip(RECIPES[:4], (1e-4, 0.05, 1e-4, 0.05), strict=True):
        path = files[name].path
        assert path is not None and "before the net, in float32: 1 of 2 leads" in (files[name].note or "")
        engine = "onnxruntime" if path.suffix == ".onnx" else "ai_edge_litert"
        found = score(path, x, engine)
        assert np.abs(found - wanted).max() < within * max(spread, 1.0), name
        # Attacks on the file go through its front as well.
        fed = torch.from_numpy(x).requires_grad_()
        open_twin(path)(fed).sum().backward()
        assert fed.grad is not None and (fed.grad[:, 1] != 0).any() and not fed.grad[:, 0].any()
    graph = onnx.load(files["onnx-int8-static"].path or "").graph
    assert [value.name for value in graph.input] == ["signal"]
    kinds = {node.op_type for node in graph.node if FRONT.match(node.name)}
    assert {"Conv", "Sqrt", "Div"} <= kinds and not {"QuantizeLinear", "DequantizeLinear"} & kinds


def test_a_study_takes_it_with_its_own_weights(tmp_path: Path) -> None:
    """The weights of the file are those of what the factory returns, by its own names."""
    weights = tmp_path / "w.safetensors"
    save_file(made(1, 100, 3).state_dict(), weights)
    about = {"factory": f"{HERE}made", "trained": True, "weights": str(weights), "input": SAID}
    spec = ModelSpec.model_validate(about)
    system = resolve("own", spec)
    (tmp_path / "kept").mkdir()
    _, head = take("own", spec, system, TASK, signals(6), tmp_path / "kept")
    again = load("own", spec, system, TASK, tmp_path / "kept", head)
    assert isinstance(again, FrontedNet)
    x = torch.from_numpy(signals(3)).requires_grad_()
    again(x).sum().backward()
    assert x.grad is not None and (x.grad[:, 1] != 0).any() and not x.grad[:, 0].any()


def test_an_input_goes_with_a_file_or_a_factory() -> None:
    with pytest.raises(ValueError, match="file or factory"):
        ModelSpec.model_validate({"system": "cnn", "input": SAID})
    spec = ModelSpec.model_validate({"factory": f"{HERE}made", "input": {"others": {"age": 61.0}}})
    with pytest.raises(InputError, match=r"input\.others is of files"):
        build_net("[models.own]", resolve("own", spec), spec, TASK)
    spec = ModelSpec.model_validate({"factory": f"{HERE}made", "input": {"leads": ["V9"]}})
    with pytest.raises(InputError, match="V9, which the study does not have"):
        build_net("[models.own]", resolve("own", spec), spec, TASK)


@pytest.mark.slow
def test_check_file_puts_an_input_before_the_graph(module: nn.Module, tmp_path: Path) -> None:
    net, x = own_net(module), signals(60)
    torch.onnx.export(net, (torch.zeros(1, 100, 1),), tmp_path / "own.onnx", opset_version=17, dynamo=False)
    scores = module(torch.from_numpy(x)).numpy()
    truth = (scores > np.median(scores, axis=0)).astype(int)
    said = {**SAID, "leads": ["lead 1"]}
    report = pp.check_file(
        tmp_path / "own.onnx", x, truth, fs_hz=FS, input=said, budgets_mv=[0.05], adc_step_mv=0.0002, steps=5
    )
    assert report.attack.clean_auc == pytest.approx(1.0) and report.attack.way == "twin"
    assert any("zscore" in note for note in report.notes)
    with pytest.raises(InputError, match=r"input: .*normalise"):
        pp.check_file(tmp_path / "own.onnx", x, truth, fs_hz=FS, input={"normalise": "z"})
