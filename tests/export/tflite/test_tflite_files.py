"""TFLite files of nets: the operators of each recipe, scores on every engine here, and what a microcontroller takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from pulseproof.core.engines import engines_of, score
from pulseproof.core.errors import InputError
from pulseproof.export import tree_files
from pulseproof.export.job import RefusedError
from pulseproof.export.mixed import score_error
from pulseproof.export.price.ethos import ethos
from pulseproof.export.quiet import quiet
from pulseproof.export.tflite import files as tflite_files
from pulseproof.export.tflite.flatbuffer import Graph, count_operators, input_step_mv, int8_share
from pulseproof.models.brought.model import FileModel
from pulseproof.models.classical import FeatureModel, Logistic
from pulseproof.models.features import Features
from pulseproof.twins.tflite.format import FLOATS, TYPES
from tests.export.making import job_for
from tests.export.test_tree_files import SHAPE as TREE_SHAPE
from tests.export.test_tree_files import make_model
from tests.export.tflite_making import NETS, FloatFile, float_file, linear_file, recordings

# recipe -> its function, and the largest error of the scores in units of their standard deviation.
RECIPES = {
    "fp16": (tflite_files.write_fp16, 1e-3),
    "int8-dynamic": (tflite_files.write_dynamic, 0.05),
    "int8-static": (tflite_files.write_static, 0.1),
    "int8-full": (tflite_files.write_full, 0.1),
    "int16x8": (tflite_files.write_int16x8, 0.03),
    "int8-mixed": (tflite_files.write_mixed, 0.1),
}
CNN = {"CONV_2D": 5, "FULLY_CONNECTED": 1, "MEAN": 1, "PAD": 3, "RESHAPE": 1, "SUB": 1, "TRANSPOSE": 1}
OWN_MEAN = {"CONV_2D": 4, "DEPTHWISE_CONV_2D": 1, "MEAN": 2, "PAD": 4, "RESHAPE": 3, "SLICE": 1}
OPERATORS = {
    "cnn": CNN,
    "ecg-lens": {**CNN, "CONV_2D": 20, "ADD": 8},
    "cnn-own-mean": {**CNN, **OWN_MEAN},
    "ecg-lens-own-mean": {**CNN, **OWN_MEAN, "CONV_2D": 19, "ADD": 8},
}
LAYERS = {"cnn": 6, "ecg-lens": 21, "cnn-own-mean": 6, "ecg-lens-own-mean": 21}


@pytest.fixture(scope="module", params=list(NETS))
def net(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FloatFile:
    return float_file(request.param, tmp_path_factory.mktemp("nets"))


@pytest.fixture(scope="module")
def made(net: FloatFile) -> dict[str, Path]:
    """The files of all recipes of a net."""
    paths = {recipe: net.path.with_name(f"{net.path.stem}-{recipe}.tflite") for recipe in RECIPES}
    with quiet():
        for recipe, (write, _) in RECIPES.items():
            write(net.job(paths[recipe]))
    return paths


@pytest.mark.slow
def test_operators_of_each_recipe(net: FloatFile, made: dict[str, Path]) -> None:
    name = net.path.stem
    ends = {"QUANTIZE": 1, "DEQUANTIZE": 1}
    assert count_operators(net.path) == OPERATORS[name]  # activations are fused, no TRANSPOSE but the first is left
    assert count_operators(made["fp16"]) == {**OPERATORS[name], "DEQUANTIZE": LAYERS[name]}
    assert count_operators(made["int8-dynamic"]) == OPERATORS[name]
    assert count_operators(made["int8-full"]) == OPERATORS[name]
    assert count_operators(made["int8-static"]) == {**OPERATORS[name], **ends}
    assert count_operators(made["int16x8"]) == {**OPERATORS[name], **ends}
    mixed = count_operators(made["int8-mixed"])
    assert {kind: count for kind, count in mixed.items() if kind not in ends} == OPERATORS[name]


@pytest.mark.slow
def test_scores_on_every_engine(net: FloatFile, made: dict[str, Path]) -> None:
    for engine in engines_of("tflite"):
        np.testing.assert_allclose(score(net.path, net.signals, engine), net.scores, atol=1e-4)
        for recipe, (_, limit) in RECIPES.items():
            error = score_error(score(made[recipe], net.signals, engine), net.scores)
            assert error < limit, (engine, recipe, error)


@pytest.mark.slow
def test_sizes_shares_and_steps(net: FloatFile, made: dict[str, Path]) -> None:
    weights = sum(part.numel() for name, part in net.module.named_parameters() if name.endswith("weight"))
    whole = net.path.stat().st_size
    assert whole - made["fp16"].stat().st_size > 0.95 * 2 * weights - 200 * LAYERS[net.path.stem]
    assert int8_share(made["fp16"]) == int8_share(net.path) == 0
    for recipe in ("int8-dynamic", "int8-static", "int8-full", "int16x8"):
        assert int8_share(made[recipe]) > 0.95
        assert made[recipe].stat().st_size < made["fp16"].stat().st_size
    centred = net.signals - (net.signals.mean(axis=2, keepdims=True) if "own" in net.path.stem else np.float32(0.1))
    width = {"int8-static": np.ptp(centred), "int8-full": max(np.ptp(centred), np.ptp(net.signals))}
    for recipe, range_mv in width.items():
        assert input_step_mv(made[recipe]) == pytest.approx(range_mv / 255, rel=1e-3)
    assert input_step_mv(made["int16x8"]) == pytest.approx(np.abs(centred).max() / 32767, rel=1e-3)
    assert input_step_mv(net.path) is input_step_mv(made["int8-dynamic"]) is None


@pytest.mark.slow
def test_full_is_integer_throughout(net: FloatFile, made: dict[str, Path]) -> None:
    graph = Graph.open(made["int8-full"]).graph
    assert not [tensor.name for tensor in graph.tensors if tensor.type in FLOATS]
    assert {graph.tensors[at].type for at in (*graph.inputs, *graph.outputs)} == {TYPES[np.dtype(np.int8)]}


@pytest.mark.slow
def test_a_microcontroller_takes_full(net: FloatFile, made: dict[str, Path]) -> None:
    assert ethos(made["int8-full"]).cpu_operators == ()
    assert score_error(micro_scores(made["int8-full"], net.signals), net.scores) < RECIPES["int8-full"][1]


def micro_scores(path: Path, signals: NDArray[np.float32]) -> NDArray[np.float32]:
    """The scores of an int8 file by TFLite Micro's interpreter."""
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_file(str(path), arena_size=1 << 20)
    graph, rows = Graph.open(path).graph, []
    ends = [graph.tensors[at].quantization for at in (graph.inputs[0], graph.outputs[0])]
    (step, zero), (scale, middle) = ((float(end.scale[0]), int(end.zeroPoint[0])) for end in ends)
    for signal in signals:
        interpreter.set_input(np.clip(np.rint(signal[None] / step) + zero, -128, 127).astype(np.int8), 0)
        interpreter.invoke()
        rows.append((interpreter.get_output(0).astype(np.float32) - middle) * np.float32(scale))
    return np.concatenate(rows)


@pytest.mark.slow
def test_the_mean_shifts_by_whole_steps(net: FloatFile, made: dict[str, Path]) -> None:
    graph = Graph.open(made["int8-full"])
    (inputs, outputs) = next((inputs, outputs) for name, _, inputs, outputs in graph.steps() if name == "SUB")
    one, other = (graph.graph.tensors[at].quantization.scale[0] for at in (inputs[0], outputs[0]))
    assert one == pytest.approx(other, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["int8-dynamic", "int8-static", "int8-full", "int16x8", "int8-mixed"])
def test_one_scale_a_matrix_and_one_a_channel(net: FloatFile, made: dict[str, Path], recipe: str) -> None:
    graph = Graph.open(made[recipe])
    for name, _, inputs, _ in graph.steps():
        weights = graph.graph.tensors[inputs[1]] if len(inputs) > 1 else None
        if weights is None or weights.type != TYPES[np.dtype(np.int8)]:
            continue
        if name == "FULLY_CONNECTED":  # tflite-runtime 2.14 computes wrong scores from more
            assert len(weights.quantization.scale) == 1
        if name == "CONV_2D":
            assert len(weights.quantization.scale) == weights.shape[0]


@pytest.mark.slow
def test_the_same_recordings_give_the_same_bytes(net: FloatFile, made: dict[str, Path], tmp_path: Path) -> None:
    for recipe in ("fp16", "int8-static", "int8-full"):
        with quiet():
            RECIPES[recipe][0](net.job(tmp_path / "again.tflite"))
        assert (tmp_path / "again.tflite").read_bytes() == made[recipe].read_bytes()


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
def test_calibration_methods(tmp_path: Path, method: str) -> None:
    source, signals = linear_file(tmp_path / "float.tflite"), recordings((2, 20), 40)
    signals[0, 0, 0] = 40.0  # one artefact of a lead that fell off
    job = job_for(torch.nn.Identity(), (2, 20), tmp_path / "static.tflite", source)
    with quiet():
        tflite_files.write_static(replace(job, calibration=signals, method=method))
    step = input_step_mv(job.out)
    assert step is not None
    assert step == pytest.approx(np.ptp(signals) / 255, rel=0.01) if method != "entropy" else step < 0.05


@pytest.mark.parametrize(("write", "types"), [("ABS", schema.AbsOptionsT()), ("FLOOR", None), ("LOG", None)])
def test_full_is_refused_where_an_operator_has_no_int8_form(tmp_path: Path, write: str, types: object) -> None:
    source = linear_file(tmp_path / "float.tflite", [(write, types)])
    job = job_for(torch.nn.Identity(), (2, 20), tmp_path / "full.tflite", source)
    with quiet(), pytest.raises(RefusedError, match=rf"would not be int8 throughout: .*{write}"):
        tflite_files.write_full(replace(job, calibration=np.abs(recordings((2, 20))) + np.float32(0.1)))
    assert not job.out.exists()


@pytest.mark.parametrize("recipe", ["int8-dynamic", "int8-static", "int8-full", "int16x8"])
def test_a_linear_net_needs_no_note(tmp_path: Path, recipe: str) -> None:
    source = linear_file(tmp_path / "float.tflite")
    job = job_for(torch.nn.Identity(), (2, 20), tmp_path / "int8.tflite", source)
    with quiet():
        assert RECIPES[recipe][0](replace(job, calibration=recordings((2, 20)))).note is None
    assert int8_share(tmp_path / "int8.tflite") > 0.9


@pytest.mark.slow
def test_trees_keep_their_thresholds_in_float(tmp_path: Path) -> None:
    model = make_model("forest")
    source = tmp_path / "float.tflite"
    signals = recordings(TREE_SHAPE)
    with quiet():
        tree_files.write_tflite(job_for(model, TREE_SHAPE, source))
        halved = tmp_path / "half.tflite"
        job = replace(job_for(model, TREE_SHAPE, halved, source), calibration=signals)
        note = tflite_files.write_fp16_products(job).note
    assert note == "only the constants of its matrix products are stored in half"
    graph = Graph.open(halved)
    halves = [t.name for t in graph.graph.tensors if t.type == TYPES[np.dtype(np.float16)]]
    assert len(halves) == count_operators(source)["FULLY_CONNECTED"] == count_operators(halved)["DEQUANTIZE"]
    for name, _, inputs, _ in graph.steps():
        if name == "GATHER":
            assert graph.graph.tensors[inputs[0]].type in (TYPES[np.dtype(np.float32)], TYPES[np.dtype(np.int32)])
    for write in (
        tflite_files.write_dynamic_products,
        tflite_files.write_static_products,
        tflite_files.write_int16x8_products,
    ):
        job = replace(job, out=tmp_path / f"{write.__name__}.tflite")
        with quiet():
            said = write(job).note
        share = int8_share(job.out)
        assert said == f"int8 in its matrix products only, {share:.0%} of its weights; all else stayed float"
        kinds = _kinds_with(job.out, np.int8)
        assert "FULLY_CONNECTED" in kinds and not kinds & {"GATHER", "LESS_EQUAL", "LOG", "MEAN"}
        for engine in engines_of("tflite"):
            assert np.isfinite(score(job.out, signals[:4], engine)).all()


@pytest.mark.slow
def test_last_layer_of_a_logistic_regression(tmp_path: Path) -> None:
    torch.manual_seed(0)
    features = Features(("I", "II"), 160, 100.0)
    model = FeatureModel(features, Logistic(len(features.names), 3)).eval()
    source, signals = tmp_path / "float.tflite", recordings((2, 160))
    with quiet():
        tflite_files.write_float(job_for(model, (2, 160), source))
    with torch.inference_mode():
        scores = model(torch.from_numpy(signals)).numpy()
    for write in (
        tflite_files.write_dynamic_last_layer,
        tflite_files.write_static_last_layer,
        tflite_files.write_int16x8_last_layer,
    ):
        job = replace(job_for(model, (2, 160), tmp_path / "last.tflite", source), calibration=signals)
        with quiet():
            note = write(job).note
        assert note is not None and note.startswith("int8 in its last layer only, ")
        graph = Graph.open(job.out)
        eight_bit = [t for t in graph.graph.tensors if t.type == TYPES[np.dtype(np.int8)] and len(t.shape) == 2]
        weights = [t for t in eight_bit if list(t.shape) == [3, len(features.names)]]
        assert len(weights) == 1
        for engine in engines_of("tflite"):
            assert score_error(score(job.out, signals, engine), scores) < 0.1


def _kinds_with(path: Path, dtype: type) -> set[str]:
    """The kinds of operators that read or write a tensor of a type, but for those that convert."""
    graph = Graph.open(path)
    kinds = {
        name
        for name, _, inputs, outputs in graph.steps()
        if any(graph.graph.tensors[at].type == TYPES[np.dtype(dtype)] for at in (*inputs, *outputs))
    }
    return kinds - {"QUANTIZE", "DEQUANTIZE"}


def test_given_is_byte_for_byte(tmp_path: Path) -> None:
    brought = linear_file(tmp_path / "brought.tflite")
    job = job_for(FileModel(brought, (2, 20)), (2, 20), tmp_path / "given.tflite")
    assert tflite_files.write_given(job).note is None
    assert job.out.read_bytes() == brought.read_bytes()


@pytest.mark.parametrize("damage", [lambda whole: b"", lambda whole: b"junk" * 50, lambda whole: whole[:300]])
def test_a_damaged_file_is_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = linear_file(tmp_path / "damaged.tflite")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=r"damaged\.tflite: not a readable TFLite file"):
        count_operators(path)
