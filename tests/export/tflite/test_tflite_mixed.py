"""Mixed TFLite files: which layers there are, what each costs, and what stays float."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pulseproof.core.errors import InputError
from pulseproof.export.job import RefusedError
from pulseproof.export.mixed import score_error
from pulseproof.export.quiet import quiet
from pulseproof.export.tflite import files as tflite_files
from pulseproof.export.tflite.flatbuffer import Graph, input_step_mv, int8_share
from pulseproof.export.tflite.mixed import find_layers, short_name
from pulseproof.runtime.engines import open_engine
from pulseproof.twins.tflite.format import TYPES
from tests.export.making import job_for
from tests.export.tflite_making import FloatFile, float_file, linear_file, recordings

FLOAT32 = TYPES[np.dtype(np.float32)]


@pytest.fixture(scope="module")
def lens(tmp_path_factory: pytest.TempPathFactory) -> FloatFile:
    return float_file("ecg-lens", tmp_path_factory.mktemp("mixed"))


@pytest.mark.parametrize(
    ("tensor", "name"),
    [
        ("scores", "scores"),
        ("torch.nn.modules.container.Sequential_body/torch.nn.modules.conv.Conv1d_0;", "body.0"),
        (
            "torch.nn.modules.container.Sequential_body/models.nets.Residual_1/torch.nn.modules.container."
            "Sequential_first/torch.nn.modules.activation.ReLU_2;;torch.nn.modules.container.Sequential_body/models."
            "nets.Residual_1/torch.nn.modules.container.Sequential_first/torch.nn.modules.conv.Conv1d_0;",
            "body.1.first.0",
        ),
        ("torch.nn.modules.container.Sequential_second/torch.nn.modules.conv.Conv1d_0;2", "second.0"),
        ("package.nets.Conv1d_my_conv;", "my_conv"),
        ("package.nets.Own/package.nets.Conv1d_first;", "first"),
        ("package.Plain;", "Plain"),
        ("", ""),
        (";;", ";;"),
    ],
)
def test_short_names(tensor: str, name: str) -> None:
    assert short_name(tensor) == name


@pytest.mark.slow
def test_layers_are_the_paths_of_their_modules(lens: FloatFile) -> None:
    found = find_layers(lens.path)
    convolutions = {
        name: part.weight.numel() for name, part in lens.module.named_modules() if isinstance(part, torch.nn.Conv1d)
    }
    assert {name: place.weights for name, place in found.items() if name != "scores"} == convolutions
    assert found["scores"].weights == lens.module.head[2].weight.numel()
    assert [name for name, place in found.items() if place.before] == ["body.0.0"]


@pytest.mark.slow
def test_the_most_sensitive_stay_float(lens: FloatFile, tmp_path: Path) -> None:
    static, out = tmp_path / "static.tflite", tmp_path / "mixed.tflite"
    with quiet():
        tflite_files.write_static(lens.job(static))
        made = tflite_files.write_mixed(lens.job(out, sensitive_layers=3))
    errors = [layer.error for layer in made.layers]
    assert errors == sorted(errors, reverse=True) and min(errors) > 0
    assert [layer.kept for layer in made.layers] == [True] * 3 + [False] * 18
    assert made.note is not None and made.note.startswith(f"stay float: {made.layers[0].name} (+")
    assert _float_layers(out) == {layer.name for layer in made.layers if layer.kept}
    grown = out.stat().st_size - static.stat().st_size
    assert grown == pytest.approx(sum(layer.bytes_cost for layer in made.layers if layer.kept), abs=3000)
    assert score_error(_scores(out, lens), lens.scores) < score_error(_scores(static, lens), lens.scores)


@pytest.mark.slow
def test_named_layers_stay_float(lens: FloatFile, tmp_path: Path) -> None:
    out, kept = tmp_path / "mixed.tflite", ("body.0.0", "body.4.second.0", "body.7.shortcut.0")
    with quiet():
        made = tflite_files.write_mixed(lens.job(out, keep_float=kept))
    assert _float_layers(out) == set(kept) == {layer.name for layer in made.layers if layer.kept}
    assert input_step_mv(out) is None  # what only moves the signal to a float layer must not round it
    assert 0.9 < int8_share(out) < 1
    with quiet(), pytest.raises(InputError, match=r"no layer body\.9"):
        tflite_files.write_mixed(lens.job(out, keep_float=("body.9",)))


def test_refused_with_a_single_layer(tmp_path: Path) -> None:
    source = linear_file(tmp_path / "float.tflite")
    job = job_for(torch.nn.Identity(), (2, 20), tmp_path / "mixed.tflite", source)
    with quiet(), pytest.raises(RefusedError, match="nothing to choose among"):
        tflite_files.write_mixed(replace(job, calibration=recordings((2, 20))))
    assert not job.out.exists()


def _float_layers(path: Path) -> set[str]:
    """The layers of a mixed file whose weights are float. (An output that is converted has another name there.)"""
    graph = Graph.open(path)
    found = set()
    for kind, _, inputs, outputs in graph.steps():
        if kind in ("CONV_2D", "FULLY_CONNECTED") and graph.graph.tensors[inputs[1]].type == FLOAT32:
            assert graph.graph.tensors[inputs[0]].type == graph.graph.tensors[outputs[0]].type == FLOAT32
            found.add(short_name(graph.name(outputs[0])))
    return found


def _scores(path: Path, net: FloatFile) -> np.ndarray:
    engine = open_engine(path)
    return np.concatenate([engine.run(signal[None]) for signal in net.signals])
