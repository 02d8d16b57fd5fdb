"""Where a file parts from its source: one layer's weights are turned round in the middle of a file, and it is named."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from pulseproof.ecg.recordings import Recordings
from pulseproof.export.fold import for_export
from pulseproof.export.gate.parting import first_parting, sqnr_db
from pulseproof.export.job import ExportJob
from pulseproof.export.onnx import files as onnx_files
from pulseproof.export.quiet import quiet
from pulseproof.export.tflite import files as tflite_files
from pulseproof.export.tflite import lstm as lstm_flatbuffer
from pulseproof.export.tflite.flatbuffer import Graph
from pulseproof.export.torch_layers import layers_of
from pulseproof.models.brought.model import FileModel
from pulseproof.models.run import Trained
from tests.export.making import job_for, random_signals

SHAPE = (2, 160)


@pytest.fixture(scope="module")
def signals(recordings: Recordings) -> NDArray[np.float32]:
    return recordings.signals(recordings.indices("validation"))


@pytest.fixture(scope="module")
def files(
    trained: dict[str, Trained], recordings: Recordings, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The ONNX files of two nets: {"cnn/onnx-fp32": path, ...}."""
    folder = tmp_path_factory.mktemp("onnx")
    calibration = recordings.signals(recordings.sample("train", 40, 1))
    made: dict[str, Path] = {}
    for name in ("cnn", "ecg-lens"):
        jobs = _jobs(trained[name].module, folder, name, "onnx", calibration)
        for recipe, write in (
            ("fp32", onnx_files.write_float),
            ("int8-static", onnx_files.write_static),
            ("int8-dynamic", onnx_files.write_dynamic),
        ):
            with quiet():
                write(jobs(recipe))
            made[f"{name}/onnx-{recipe}"] = jobs(recipe).out
    return made


@pytest.fixture(scope="module")
def tflite(
    trained: dict[str, Trained], recordings: Recordings, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The TFLite files of the CNN."""
    calibration = recordings.signals(recordings.sample("train", 40, 1))
    jobs = _jobs(trained["cnn"].module, tmp_path_factory.mktemp("tflite"), "cnn", "tflite", calibration)
    recipes = {
        "fp32": tflite_files.write_float,
        "int8-static": tflite_files.write_static,
        "int8-full": tflite_files.write_full,
        "int8-dynamic": tflite_files.write_dynamic,
    }
    with quiet():
        for recipe, write in recipes.items():
            write(jobs(recipe))
    return {recipe: jobs(recipe).out for recipe in recipes}


def _jobs(module: nn.Module, folder: Path, name: str, suffix: str, calibration: NDArray[np.float32]) -> Any:
    source = folder / f"{name}-fp32.{suffix}"

    def job(recipe: str) -> ExportJob:
        made = job_for(module, SHAPE, folder / f"{name}-{recipe}.{suffix}", source)
        return replace(made, calibration=calibration)

    return job


def turn_onnx(path: Path, layer: str, out: Path) -> Path:
    """The file with the weights of one layer in the reverse order of its outputs."""
    model = onnx.load(path)
    named = [tensor for tensor in model.graph.initializer if tensor.name.startswith(f"{layer}.weight")]
    tensor = next(tensor for tensor in named if len(tensor.dims) > 1)
    values = onnx.numpy_helper.to_array(tensor)
    tensor.CopyFrom(onnx.numpy_helper.from_array(values[::-1].copy(), tensor.name))
    onnx.save(model, out)
    return out


def turn_tflite(path: Path, operator: str, number: int, out: Path, place: int = 1) -> Path:
    """The file with one weight matrix of its ``number``th operator of a kind in the reverse order of its rows."""
    graph = Graph.open(path)
    found = [one for name, one in zip(graph.operators(), graph.graph.operators, strict=True) if name == operator]
    tensor = graph.graph.tensors[int(found[number].inputs[place])]
    buffer = graph.model.buffers[tensor.buffer]
    rows = np.asarray(buffer.data, np.uint8).reshape(int(tensor.shape[0]), -1)
    buffer.data = rows[::-1].reshape(-1).copy()
    graph.write(out)
    return out


@pytest.mark.parametrize(
    ("net", "layer", "names"),
    [
        ("cnn", "body.0.0", "body.0.0 (Conv1d)"),
        ("cnn", "body.2.0", "body.2.0 (Conv1d)"),
        ("cnn", "body.4.0", "body.4.0 (Conv1d)"),
        ("cnn", "head.2", "head.2 (Linear)"),
        # The shortcut of the same block runs after this one, and agrees.
        ("ecg-lens", "body.3.second.0", "body.3.second.0 (Conv1d)"),
        ("ecg-lens", "body.3.shortcut.0", "body.3.shortcut.0 (Conv1d)"),
    ],
)
@pytest.mark.parametrize("recipe", ["onnx-fp32", "onnx-int8-static", "onnx-int8-dynamic"])
def test_the_broken_layer_of_an_onnx_file_is_named(
    net: str,
    layer: str,
    names: str,
    recipe: str,
    files: dict[str, Path],
    trained: dict[str, Trained],
    signals: NDArray[np.float32],
    tmp_path: Path,
) -> None:
    source = None if recipe == "onnx-fp32" else files[f"{net}/onnx-fp32"]
    bad = turn_onnx(files[f"{net}/{recipe}"], layer, tmp_path / "bad.onnx")
    told = first_parting(bad, trained[net].module, source, signals)
    assert told is not None and told.startswith(f"it first parts at {names}"), told


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 2, 4])
@pytest.mark.parametrize("recipe", ["fp32", "int8-static", "int8-full", "int8-dynamic"])
def test_the_broken_layer_of_a_tflite_file_is_named(
    number: int,
    recipe: str,
    tflite: dict[str, Path],
    trained: dict[str, Trained],
    signals: NDArray[np.float32],
    tmp_path: Path,
) -> None:
    source = None if recipe == "fp32" else tflite["fp32"]
    bad = turn_tflite(tflite[recipe], "CONV_2D", number, tmp_path / "bad.tflite")
    told = first_parting(bad, trained["cnn"].module, source, signals)
    assert told is not None and told.startswith(f"it first parts at body.{number}.0 (Conv1d)"), told


@pytest.mark.parametrize(
    ("operator", "place", "names"),
    [("UNIDIRECTIONAL_SEQUENCE_LSTM", 2, "lstm (LSTM)"), ("FULLY_CONNECTED", 1, "head.1 (Linear)")],
)
def test_the_normalisation_inside_the_weights_of_an_lstm_is_not_blamed(
    operator: str,
    place: int,
    names: str,
    trained: dict[str, Trained],
    signals: NDArray[np.float32],
    tmp_path: Path,
) -> None:
    module, path = trained["lstm"].module, tmp_path / "lstm.tflite"
    lstm_flatbuffer.write_float(job_for(module, SHAPE, path))
    assert first_parting(path, module, None, signals) is None
    bad = turn_tflite(path, operator, 0, tmp_path / "bad.tflite", place)
    assert first_parting(bad, module, None, signals) == f"it first parts at {names}"


@pytest.mark.parametrize("net", ["cnn", "ecg-lens"])
def test_nothing_is_said_of_a_float_file_that_is_right(
    net: str, files: dict[str, Path], trained: dict[str, Trained], signals: NDArray[np.float32]
) -> None:
    assert first_parting(files[f"{net}/onnx-fp32"], trained[net].module, None, signals) is None


def test_a_quantized_file_without_a_broken_layer_has_a_least_exact_one(
    files: dict[str, Path], trained: dict[str, Trained], signals: NDArray[np.float32]
) -> None:
    module, source = trained["cnn"].module, files["cnn/onnx-fp32"]
    told = first_parting(files["cnn/onnx-int8-static"], module, source, signals)
    assert told is not None and told.startswith("its least exact layer is ")
    assert first_parting(source, module, source, signals) is None  # all of it is exact


def test_nothing_is_said_where_nothing_is_known(
    files: dict[str, Path], trained: dict[str, Trained], signals: NDArray[np.float32], tmp_path: Path
) -> None:
    given_file = FileModel(files["cnn/onnx-fp32"], SHAPE)
    bad = turn_onnx(files["cnn/onnx-fp32"], "body.2.0", tmp_path / "bad.onnx")
    assert first_parting(bad, given_file, None, signals) is None
    (tmp_path / "damaged.onnx").write_bytes(b"not a model")
    assert first_parting(tmp_path / "damaged.onnx", trained["cnn"].module, None, signals) is None


def test_a_brought_file_is_told_by_its_own_names(
    files: dict[str, Path], signals: NDArray[np.float32], tmp_path: Path
) -> None:
    source = files["cnn/onnx-fp32"]
    bad = turn_onnx(files["cnn/onnx-int8-static"], "body.2.0", tmp_path / "bad.onnx")
    told = first_parting(bad, FileModel(source, SHAPE), source, signals)
    assert told is not None and told.startswith("it first parts at /body.2.2/Relu")


def test_values_that_are_not_finite_are_told(
    files: dict[str, Path], trained: dict[str, Trained], signals: NDArray[np.float32], tmp_path: Path
) -> None:
    model = onnx.load(files["cnn/onnx-fp32"])
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "body.3.0.bias")
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(bias.dims, np.nan, np.float32), bias.name))
    onnx.save(model, tmp_path / "bad.onnx")
    module = trained["cnn"].module
    assert first_parting(tmp_path / "bad.onnx", module, None, signals) == "it first parts at body.3.0 (Conv1d)"


class Branches(nn.Module):
    """Functions between layers, a layer that works in place, one inside another, and one that gives a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU(inplace=True))
        self.side = nn.Conv1d(2, 4, 3)
        self.gru = nn.GRU(4, 5, batch_first=True)
        self.out = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        both = self.first(x) + torch.tanh(self.side(x))
        return self.out(self.gru(both.transpose(1, 2))[0].mean(dim=1))


def test_the_layers_of_a_module() -> None:
    torch.manual_seed(0)
    module, signals = Branches().eval(), random_signals(3, (2, 20))
    layers = layers_of(module, signals)
    assert [layer.name for layer in layers] == [
        "first.0 (Conv1d)",
        "first.1 (ReLU)",
        "side (Conv1d)",
        "gru (GRU)",
        "out (Linear)",
    ]
    assert [set(layer.behind) for layer in layers] == [set(), {0}, set(), {0, 1, 2}, {0, 1, 2, 3}]
    assert [layer.before for layer in layers] == [None, 0, None, None, None]
    assert [layer.plain for layer in layers] == [False, True, False, False, False]
    assert (layers[0].values < 0).any()  # as they were before the layer in place
    with torch.inference_mode():
        expected = module(torch.from_numpy(signals)).numpy()
    assert np.abs(layers[-1].values[:, 0] - expected).max() < 1e-6
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def test_the_layers_of_a_folded_net_are_those_that_have_weights(trained: dict[str, Trained]) -> None:
    names = [layer.name for layer in layers_of(for_export(trained["cnn"].module), random_signals(2, SHAPE))]
    assert "body.2.0 (Conv1d)" in names and not any("BatchNorm" in name for name in names)


class Moody(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(20, 3), nn.Linear(20, 3)

    def forward(self, x: Tensor) -> Tensor:
        return (self.up if x.sum() > 0 else self.down)(x[:, 0])


def test_layers_that_depend_on_the_recording_are_not_told() -> None:
    signals = random_signals(2, (1, 20))
    signals[0], signals[1] = 1, -1
    with pytest.raises(ValueError, match="depends on the recording"):
        layers_of(Moody().eval(), signals)


@given(st.integers(0, 2**32 - 1), st.floats(-20, 60))
def test_the_signal_to_noise_ratio(seed: int, decibels: float) -> None:
    rng = np.random.default_rng(seed)
    signal, noise = rng.normal(size=(2, 50))
    noise *= math.sqrt(np.square(signal).sum() / np.square(noise).sum()) * 10 ** (-decibels / 20)
    assert sqnr_db(signal, signal + noise) == pytest.approx(decibels, abs=1e-6)
    assert sqnr_db(signal, signal) == math.inf
    assert sqnr_db(signal, np.full(50, np.nan)) == sqnr_db(np.zeros(50), noise) == -math.inf
