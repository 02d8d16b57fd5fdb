"""A brought ONNX file keeps its scores to the bit, whatever its tensors were called."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from pulseproof.core.errors import InputError
from pulseproof.export.job import ExportJob
from pulseproof.export.onnx import files as onnx_files
from pulseproof.export.quiet import quiet
from pulseproof.models.brought.files import FileModel
from pulseproof.runtime.engines import open_engine
from tests.export.making import job_for, random_signals
from tests.export.onnx_making import float_job, run, signals

SHAPE = (2, 12)


def given_job(path: Path, shape: tuple[int, int] = SHAPE, quantized: bool = False) -> ExportJob:
    return job_for(FileModel(path, shape, quantized), shape, path.with_name("given.onnx"))


def direct(path: Path, recordings: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: one[None]})[0] for one in recordings])


def value(name: str, shape: object) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def save(path: Path, nodes: list, ends: tuple, constants: dict[str, np.ndarray], opset: int = 20, **model) -> None:
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "given", [ends[0]], [ends[1]], tensors)
    sets = [helper.make_opsetid("", opset), *model.pop("sets", [])]
    onnx.save(helper.make_model(graph, opset_imports=sets, **{"ir_version": 8, **model}), path)


NAMES = st.lists(
    st.sampled_from(["signal", "scores", "x", "y", "inner_signal", "inner_scores", "a", "b", "c", "d", "e"]),
    min_size=11,
    max_size=11,
    unique=True,
)


@settings(max_examples=40, deadline=None)
@given(
    names=NAMES,
    operators=st.lists(st.sampled_from(["Relu", "Tanh", "Mul", "Add", "Conv", "MatMul"]), min_size=0, max_size=5),
    batch=st.sampled_from([1, "n", None]),
    opset=st.sampled_from([11, 13, 17, 20]),
    named=st.booleans(),
    seed=st.integers(0, 99),
)
def test_random_graphs_keep_their_scores_to_the_bit(
    names: list[str], operators: list[str], batch: object, opset: int, named: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    names = list(names)
    last = signal = names.pop()
    nodes, constants = [], {}
    for at, operator in enumerate(operators):
        size = {"Conv": (2, 2, 3), "MatMul": (12, 12)}.get(operator, (2, 1))
        inputs = [last]
        if operator not in ("Relu", "Tanh"):
            constants[names.pop()] = rng.normal(size=size).astype(np.float32)
            inputs.append(list(constants)[-1])
        last = names.pop()
        attributes = {"pads": [1, 1]} if operator == "Conv" else {}
        nodes.append(helper.make_node(operator, inputs, [last], name=f"node{at}" if named else "", **attributes))
    if operators:
        nodes.append(helper.make_node("Flatten", [last], ["flat"]))
        last = "flat"
    ends = value(signal, [batch, *SHAPE]), value(last, [batch, 24] if operators else [batch, *SHAPE])
    recordings = random_signals(3, SHAPE, seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "brought.onnx"
        save(path, nodes, ends, constants, opset)
        expected = direct(path, recordings) if operators else recordings  # nothing in it: the signal itself
        job = given_job(path)
        onnx_files.write_given(job)
        model = onnx.load(job.out)
        onnx.checker.check_model(model)
        assert model.graph.input[0].name == "signal" and model.graph.output[0].name == "scores"
        assert model.opset_import[0].version == opset
        ids = [node.name for node in model.graph.node]
        assert all(ids) and len(set(ids)) == len(ids)
        assert open_engine(job.out, shape=SHAPE).input_shape == (1, *SHAPE)
        assert np.array_equal(run(job.out, recordings), expected)


@pytest.mark.parametrize("name", ["cnn", "ecg-lens", "lstm", "tree", "clipped"])
def test_exported_files_keep_their_scores(name: str, tmp_path: Path) -> None:
    """ai.onnx.ml's trees and LSTMs among them."""
    source = float_job(name, tmp_path).source
    job = given_job(source, (2, 160))
    assert onnx_files.write_given(job).note is None
    assert np.array_equal(run(job.out, signals(8, 2)), run(source, signals(8, 2)))
    assert onnx_files.count_operators(job.out) == onnx_files.count_operators(source)


def test_weights_beside_the_file_come_into_it(tmp_path: Path) -> None:
    source = float_job("cnn", tmp_path).source
    folder = tmp_path / "apart"
    folder.mkdir()
    onnx.save(onnx.load(source), folder / "net.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    job = replace(given_job(folder / "net.onnx", (2, 160)), out=tmp_path / "whole.onnx")
    onnx_files.write_given(job)
    expected = run(source, signals(4, 2))
    (folder / "w.bin").unlink()
    assert np.array_equal(run(job.out, signals(4, 2)), expected)
    with pytest.raises(InputError, match=r"net\.onnx"):
        onnx_files.write_given(replace(job, out=tmp_path / "second.onnx"))
    assert not (tmp_path / "second.onnx").exists()


def test_names_inside_branches_are_changed_too(tmp_path: Path) -> None:
    """The branches of an If read outer tensors, and have one of their own that is called as the output is to be."""
    branches = {
        f"{side}_branch": helper.make_graph(
            [
                helper.make_node(operator, ["recording"], ["scores"]),
                helper.make_node("Flatten", ["scores"], [f"{side}_end"]),
            ],
            side,
            [],
            [value(f"{side}_end", None)],
        )
        for side, operator in (("then", "Relu"), ("else", "Abs"))
    }
    nodes = [
        helper.make_node("ReduceMean", ["recording"], ["signal"], keepdims=0),
        helper.make_node("Greater", ["signal", "zero"], ["above"]),
        helper.make_node("If", ["above"], ["logits"], **branches),
    ]
    path = tmp_path / "branches.onnx"
    save(path, nodes, (value("recording", [1, *SHAPE]), value("logits", [1, 24])), {"zero": np.float32(0).reshape(())})
    recordings = random_signals(12, SHAPE)
    expected = direct(path, recordings)
    above = recordings.mean(axis=(1, 2)) > 0
    assert above.any() and not above.all()
    job = given_job(path)
    onnx_files.write_given(job)
    onnx.checker.check_model(onnx.load(job.out), full_check=True)
    assert np.array_equal(run(job.out, recordings), expected)


def test_a_fused_quantized_file_is_taken_as_it_is(tmp_path: Path) -> None:
    """com.microsoft operators, and what is said of a file that is mostly float."""
    made = float_job("gru", tmp_path)
    with quiet():
        onnx_files.write_dynamic(replace(made, out=tmp_path / "dynamic.onnx"))
    job = given_job(tmp_path / "dynamic.onnx", (2, 160), quantized=True)
    assert "of its weights are 8-bit" in onnx_files.write_given(job).note
    assert np.array_equal(run(job.out, signals(4, 2)), run(tmp_path / "dynamic.onnx", signals(4, 2)))
    lstm = float_job("lstm", tmp_path)
    with quiet():
        onnx_files.write_dynamic(replace(lstm, out=tmp_path / "lstm-int8.onnx"))
    job = given_job(tmp_path / "lstm-int8.onnx", (2, 160), quantized=True)
    assert onnx_files.write_given(job).note is None
    assert np.array_equal(run(job.out, signals(4, 2)), run(tmp_path / "lstm-int8.onnx", signals(4, 2)))


def test_files_of_before_2019_list_their_weights_as_inputs(tmp_path: Path) -> None:
    path, weights = tmp_path / "old.onnx", np.random.default_rng(0).normal(size=(2, 2, 3)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1]), helper.make_node("Flatten", ["c"], ["y"])]
    save(path, nodes, (value("x", ["n", *SHAPE]), value("y", ["n", 24])), {"w": weights}, opset=8, ir_version=3)
    model = onnx.load(path)
    model.graph.input.insert(0, value("w", weights.shape))
    onnx.save(model, path)
    recordings = random_signals(6, SHAPE)
    expected = direct_named(path, "x", recordings)
    job = given_job(path)
    onnx_files.write_given(job)
    assert np.array_equal(direct_named(job.out, "signal", recordings), expected)
    smaller = replace(job, source=job.out, calibration=recordings)
    for write in (onnx_files.write_fp16, onnx_files.write_static, onnx_files.write_dynamic):
        out = tmp_path / f"{write.__name__}.onnx"
        with quiet():
            write(replace(smaller, out=out))
        assert 0 < np.abs(run(out, recordings) - expected).max() < 0.1 * np.abs(expected).max()


def direct_named(path: Path, name: str, recordings: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {name: one[None]})[0] for one in recordings])


@pytest.mark.parametrize("write", [onnx_files.write_static, onnx_files.write_mixed])
def test_a_batch_norm_of_a_brought_file_goes_into_its_convolution(write, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    constants = {"w": rng.normal(size=(3, 2, 3)), "v": rng.normal(size=(36, 4))}
    constants |= {name: rng.uniform(0.5, 2, 3) for name in ("scale", "shift", "mean", "variance")}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1]),
        helper.make_node("BatchNormalization", ["c", "scale", "shift", "mean", "variance"], ["n"]),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("Flatten", ["r"], ["f"]),
        helper.make_node("MatMul", ["f", "v"], ["y"]),
    ]
    path = tmp_path / "norm.onnx"
    arrays = {name: array.astype(np.float32) for name, array in constants.items()}
    save(path, nodes, (value("x", ["n", *SHAPE]), value("y", ["n", 4])), arrays, opset=17)
    recordings = random_signals(20, SHAPE)
    job = given_job(path)
    onnx_files.write_given(job)
    out = tmp_path / "int8.onnx"
    with quiet():
        made = write(replace(job, source=job.out, out=out, calibration=recordings, sensitive_layers=1))
    counts = onnx_files.count_operators(out)
    assert "BatchNormalization" not in counts and counts["Conv"] == 1
    exact = direct(path, recordings)
    assert 0 < np.abs(run(out, recordings) - exact).max() < 0.1 * np.abs(exact).max()
    if write is onnx_files.write_mixed:  # by the names of the float file
        assert {layer.name for layer in made.layers} == {"Conv_0", "MatMul_4"}


@pytest.mark.parametrize("write", [onnx_files.write_fp16, onnx_files.write_static, onnx_files.write_dynamic])
def test_functions_of_a_brought_file_are_made_smaller_too(write, tmp_path: Path) -> None:
    """Some exporters put a layer into a function, with a "scores" of its own inside."""
    inside = [helper.make_node("MatMul", ["a", "b"], ["scores"]), helper.make_node("Tanh", ["scores"], ["out"])]
    layer = helper.make_function("own", "Layer", ["a", "b"], ["out"], inside, [helper.make_opsetid("", 20)])
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("Layer", ["f", "w"], ["y"], domain="own")]
    weights = {"w": np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32)}
    path = tmp_path / "functions.onnx"
    ends = value("x", ["n", *SHAPE]), value("y", ["n", 3])
    save(path, nodes, ends, weights, sets=[helper.make_opsetid("own", 1)], functions=[layer])
    recordings = random_signals(12, SHAPE)
    exact, job = direct(path, recordings), given_job(path)
    onnx_files.write_given(job)
    assert np.array_equal(run(job.out, recordings), exact)
    out = tmp_path / "smaller.onnx"
    with quiet():
        write(replace(job, source=job.out, out=out, calibration=recordings))
    assert "Layer" not in onnx_files.count_operators(out)
    assert 0 < np.abs(run(out, recordings) - exact).max() < 0.05
