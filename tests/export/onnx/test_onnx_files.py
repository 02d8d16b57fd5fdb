"""Float and int8 ONNX files: the operators that are run, scores near those of the float file, honest notes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from pulseproof.export.job import ExportJob, RefusedError
from pulseproof.export.onnx import files as onnx_files
from pulseproof.export.onnx import graph as onnx_graph
from pulseproof.export.onnx import int8 as onnx_int8
from pulseproof.export.quiet import quiet
from pulseproof.runtime.engines import open_engine
from tests.export.onnx_making import NETS, SHAPE, executed, float_job, run, signals

CONVOLUTIONS = {"cnn": 5, "ecg-lens": 20}
SUMS = {"cnn": 0, "ecg-lens": 8}
INT8 = [
    onnx_files.write_static,
    onnx_files.write_static_s8s8,
    onnx_files.write_dynamic,
    onnx_files.write_mixed,
]
PRODUCTS = [
    onnx_files.write_static_products,
    onnx_files.write_static_s8s8_products,
    onnx_files.write_dynamic_products,
]


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ExportJob]:
    return {name: float_job(name, tmp_path_factory.mktemp("float")) for name in (*NETS, "tree", "logistic")}


def made(write, job: ExportJob, out: Path):
    job = replace(job, out=out)
    with quiet():
        said = write(job)
    onnx.checker.check_model(onnx.load(out))
    return said


@pytest.mark.parametrize("name", NETS)
def test_float_scores_are_those_of_torch(name: str, jobs: dict[str, ExportJob]) -> None:
    job, recordings = jobs[name], signals(8, 2)
    with torch.inference_mode():
        expected = job.module(torch.from_numpy(recordings)).numpy()
    assert np.abs(run(job.source, recordings) - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_float_file_holds_nothing_but_what_it_computes(name: str, jobs: dict[str, ExportJob]) -> None:
    counts = onnx_files.count_operators(jobs[name].source)
    sums = {"Add": SUMS[name]} if SUMS[name] else {}
    relus = 5 if name == "cnn" else 17
    assert counts == {"Sub": 1, "Conv": CONVOLUTIONS[name], "Relu": relus, "ReduceMean": 1, "Gemm": 1} | sums


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("signed", [False, True])
def test_a_static_file_runs_in_int8_from_the_signal_to_the_mean(
    name: str, signed: bool, jobs: dict[str, ExportJob], tmp_path: Path
) -> None:
    out = tmp_path / "int8.onnx"
    made(onnx_files.write_static_s8s8 if signed else onnx_files.write_static, jobs[name], out)
    sums = {"QLinearAdd": SUMS[name]} if SUMS[name] else {}
    assert executed(out, tmp_path, as_on_arm=signed) == {
        "Sub": 1,
        "QuantizeLinear": 2,
        "QLinearConv": CONVOLUTIONS[name],
        "DequantizeLinear": 2,
        "ReduceMean": 1,
        "QGemm": 1,
        **sums,
    }


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_dynamic_file_runs_integer_convolutions(name: str, jobs: dict[str, ExportJob], tmp_path: Path) -> None:
    out = tmp_path / "int8.onnx"
    made(onnx_files.write_dynamic, jobs[name], out)
    counts = executed(out, tmp_path)
    assert counts["ConvInteger"] == CONVOLUTIONS[name] and counts["DynamicQuantizeMatMul"] == 1
    assert "Conv" not in counts and "FusedConv" not in counts and "Gemm" not in counts


@pytest.mark.parametrize("name", ["cnn", "ecg-lens", "cnn in pieces", "transformer", "clipped"])
@pytest.mark.parametrize("write", INT8)
def test_int8_scores_are_near_and_the_file_is_smaller(
    write, name: str, jobs: dict[str, ExportJob], tmp_path: Path
) -> None:
    job, out, recordings = jobs[name], tmp_path / "int8.onnx", signals(20, 3)
    said = made(write, job, out)
    exact = run(job.source, recordings)
    error = float(np.sqrt(np.square(run(out, recordings) - exact).mean())) / float(exact.std())
    assert 0 < error < 0.25
    share = onnx_files.int8_share(out)
    assert (share > 0.5 and "8-bit" not in (said.note or "")) or f"only {share:.0%} of its weights" in said.note


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_signed_and_unsigned_activations_give_the_same_scores(
    name: str, jobs: dict[str, ExportJob], tmp_path: Path
) -> None:
    scores, steps = [], []
    for write in (onnx_files.write_static, onnx_files.write_static_s8s8):
        out = tmp_path / f"{write.__name__}.onnx"
        made(write, jobs[name], out)
        scores.append(run(out, signals(20, 3)))
        steps.append(onnx_files.input_step_mv(out))
        kinds = {tensor.name: tensor.data_type for tensor in onnx.load(out).graph.initializer}
        signed = write is onnx_files.write_static_s8s8
        points = {kind for name, kind in kinds.items() if name.endswith("output_0_zero_point")}
        assert points == {onnx.TensorProto.INT8 if signed else onnx.TensorProto.UINT8}
    # One step of the scores' own grid, where float32 rounds a tie another way.
    assert np.abs(scores[0] - scores[1]).max() <= 2 * (scores[0].max() - scores[0].min()) / 255
    assert np.abs(scores[0] - scores[1]).mean() < 1e-3 * scores[0].std()
    assert steps[0] == steps[1]


@pytest.mark.parametrize("method", ["minmax", "percentile", pytest.param("entropy", marks=pytest.mark.slow)])
def test_the_method_sets_the_ranges(method: str, jobs: dict[str, ExportJob], tmp_path: Path) -> None:
    job, out = replace(jobs["cnn"], method=method), tmp_path / "int8.onnx"
    made(onnx_files.write_static, job, out)
    centred = job.calibration - float(job.module.normalise.mean)
    widest = float(centred.max() - centred.min()) / 255
    step = onnx_files.input_step_mv(out)
    assert step is not None
    if method == "minmax":
        assert step == pytest.approx(widest, rel=1e-5)
    else:
        assert 0.3 * widest < step < widest


@pytest.mark.parametrize("name", ["tree", "logistic"])
@pytest.mark.parametrize("write", PRODUCTS)
def test_only_the_products_are_int8(write, name: str, jobs: dict[str, ExportJob], tmp_path: Path) -> None:
    job, out = jobs[name], tmp_path / "int8.onnx"
    said = made(write, job, out)
    assert said.note == onnx_int8.PRODUCTS
    before, after = onnx_files.count_operators(job.source), onnx_files.count_operators(out)
    for operator in ("Log", "Sqrt", "ReduceMin", "ReduceMax", "TreeEnsembleRegressor"):
        assert after.get(operator) == before.get(operator)
    integer = executed(out, tmp_path, as_on_arm=True)
    fused = {"MatMulIntegerToFloat", "QGemm", "DynamicQuantizeMatMul"}
    # Cosines, sines, segments and the logistic layer; the sums over bands stay a product of floats.
    assert sum(integer.get(operator, 0) for operator in fused) == (3 if name == "tree" else 4)
    assert integer["MatMul"] == 1
    assert 0.9 < onnx_files.int8_share(out) < 1 and onnx_files.input_step_mv(out) is None


@pytest.mark.parametrize("write", PRODUCTS)
def test_integer_products_keep_the_scores(write, jobs: dict[str, ExportJob], tmp_path: Path) -> None:
    job, out, recordings = jobs["logistic"], tmp_path / "int8.onnx", signals(40, 3)
    made(write, job, out)
    exact, scores = run(job.source, recordings), run(out, recordings)
    assert scores.shape == exact.shape and np.abs(scores - exact).max() > 0
    assert np.corrcoef(exact.ravel(), scores.ravel())[0, 1] > 0.98


@pytest.mark.parametrize(
    "write",
    [
        onnx_files.write_static_last_layer,
        onnx_files.write_static_s8s8_last_layer,
        onnx_files.write_dynamic_last_layer,
    ],
)
def test_only_the_last_layer_is_int8(write, jobs: dict[str, ExportJob], tmp_path: Path) -> None:
    out = tmp_path / "int8.onnx"
    said = made(write, jobs["logistic"], out)
    share = onnx_files.int8_share(out)
    assert 0 < share < 0.1
    assert said.note == (
        "features stay float; only the logistic layer is int8; "
        f"only {share:.0%} of its weights are 8-bit, the others stay float"
    )
    counts = executed(out, tmp_path, as_on_arm=True)
    assert counts["MatMul"] == 4 and "Gemm" not in counts


def test_what_has_no_products_is_refused(jobs: dict[str, ExportJob], tmp_path: Path) -> None:
    path = tmp_path / "none.onnx"
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, (1, 2, 3)) for name in ("signal", "scores")
    ]
    relu = onnx.helper.make_node("Relu", ["signal"], ["scores"])
    graph = onnx.helper.make_graph([relu], "none", ends[:1], ends[1:])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9), path)
    job = replace(jobs["cnn"], source=path, shape=(2, 3), calibration=np.ones((8, 2, 3), np.float32))
    for write in (*PRODUCTS, onnx_files.write_mixed, onnx_files.write_fp16_products):
        with pytest.raises(RefusedError):
            made(write, job, tmp_path / "out.onnx")
        assert not (tmp_path / "out.onnx").exists()


def test_a_recurrent_layer_that_stays_float_is_said(jobs: dict[str, ExportJob], tmp_path: Path) -> None:
    said = made(onnx_files.write_dynamic, jobs["gru"], tmp_path / "gru.onnx")
    assert "the others stay float" in said.note
    assert made(onnx_files.write_dynamic, jobs["lstm"], tmp_path / "lstm.onnx").note is None
    assert onnx_files.count_operators(tmp_path / "lstm.onnx")["DynamicQuantizeLSTM"] == 1


def test_two_layers_with_one_matrix_are_transposed_once_each(jobs: dict[str, ExportJob], tmp_path: Path) -> None:
    """The quantizer transposes the matrix of a Gemm in place; for the second one it would be the wrong way round."""
    rng = np.random.default_rng(0)
    weights = onnx.numpy_helper.from_array(rng.normal(size=(6, 6)).astype(np.float32), "weights")
    nodes = [
        onnx.helper.make_node("Flatten", ["signal"], ["flat"], name="flat"),
        onnx.helper.make_node("Gemm", ["flat", "weights"], ["inner"], name="one", transB=1),
        onnx.helper.make_node("Gemm", ["inner", "weights"], ["scores"], name="two", transB=1),
    ]
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, size)
        for name, size in (("signal", (1, 2, 3)), ("scores", (1, 6)))
    ]
    graph = onnx.helper.make_graph(nodes, "shared", ends[:1], ends[1:], [weights])
    path, out = tmp_path / "shared.onnx", tmp_path / "int8.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9), path)
    made(onnx_files.write_dynamic, replace(jobs["cnn"], source=path, shape=(2, 3)), out)
    recordings = rng.normal(size=(20, 2, 3)).astype(np.float32)
    exact = run(path, recordings)
    assert np.abs(run(out, recordings) - exact).max() < 0.1 * np.abs(exact).max()


@pytest.mark.filterwarnings("ignore")
def test_an_old_operator_set_is_raised_for_int8(jobs: dict[str, ExportJob], tmp_path: Path) -> None:
    job, one = replace(jobs["clipped"], source=tmp_path / "old.onnx"), torch.zeros(1, *SHAPE)
    names = {"input_names": ["signal"], "output_names": ["scores"]}
    torch.onnx.export(job.module, (one,), job.source, **names, opset_version=11, dynamo=False)
    exact = run(job.source, signals(8, 3))
    for write in (onnx_files.write_static, onnx_files.write_dynamic, onnx_files.write_mixed):
        made(write, job, tmp_path / "out.onnx")
        assert np.abs(run(tmp_path / "out.onnx", signals(8, 3)) - exact).max() < 0.2 * exact.std()


def test_no_operator_set_is_named_that_no_node_is_of(jobs: dict[str, ExportJob], tmp_path: Path) -> None:
    made(onnx_files.write_static, jobs["cnn"], tmp_path / "out.onnx")
    assert [one.domain for one in onnx.load(tmp_path / "out.onnx").opset_import] == [""]


CHAINS = {  # what stands between the signal and a rounding to steps of 0.5, and the step in mV
    "nothing": ([], 0.5),
    "moved": ([("Transpose", [], {"perm": [0, 2, 1]}), ("Identity", [], {})], 0.5),
    "less a constant": ([("Sub", ["shift"], {})], 0.5),
    "scaled": ([("Sub", ["shift"], {}), ("Mul", ["four"], {})], 0.125),
    "divided": ([("Div", ["four"], {})], 2.0),
    "scaled by lead": ([("Mul", ["shift"], {})], None),
    "squared": ([("Mul", ["signal"], {})], None),
    "after a layer": ([("Abs", [], {})], None),
}


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("constants", ["initializers", "nodes"])
def test_the_step_of_a_strangers_file(chain: str, constants: str, tmp_path: Path) -> None:
    links, expected = CHAINS[chain]
    values = {
        "shift": np.array([[0.1], [0.2]], np.float32),
        "four": np.float32(4),
        "step": np.float32(0.5),
        "zero": np.uint8(3),
    }
    tensors = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()]
    nodes, last = [], "signal"
    for at, (operator, others, attributes) in enumerate(links):
        nodes.append(onnx.helper.make_node(operator, [last, *others], [f"t{at}"], **attributes))
        last = f"t{at}"
    nodes.append(onnx.helper.make_node("QuantizeLinear", [last, "step", "zero"], ["q"]))
    nodes.append(onnx.helper.make_node("DequantizeLinear", ["q", "step", "zero"], ["scores"]))
    if constants == "nodes":
        nodes = [onnx.helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in tensors] + nodes
    ends = [
        onnx.helper.make_tensor_value_info("signal", onnx.TensorProto.FLOAT, (1, 2, 4)),
        onnx.helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, None),
    ]
    graph = onnx.helper.make_graph(nodes, chain, ends[:1], ends[1:], tensors if constants == "initializers" else [])
    path = tmp_path / "chain.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9), path)
    assert open_engine(path).run(np.ones((1, 2, 4), np.float32)).size == 8
    assert onnx_files.input_step_mv(path) == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("kind", "share"),
    [(np.int8, 1.0), (np.uint8, 1.0), (np.float32, 0.0), (np.float16, 0.0), (np.float64, 0.0), (np.int64, 0.0)],
)
@pytest.mark.parametrize("place", ["initializer", "node"])
def test_what_counts_as_8_bit(kind, share: float, place: str, tmp_path: Path) -> None:
    tensor = onnx.numpy_helper.from_array(np.ones((3, 4), kind), "weights")
    node = onnx.helper.make_node("Constant", [], ["weights"], value=tensor)
    graph = onnx.helper.make_graph(
        [node] if place == "node" else [], "share", [], [], [tensor] if place == "initializer" else []
    )
    onnx.save(onnx.helper.make_model(graph), tmp_path / "share.onnx")
    assert onnx_files.int8_share(tmp_path / "share.onnx") == share
    assert (onnx_graph.share_note(tmp_path / "share.onnx") is None) == (share == 1)


def test_thresholds_of_trees_are_weights_too(jobs: dict[str, ExportJob], tmp_path: Path) -> None:
    made(onnx_files.write_dynamic_products, jobs["tree"], tmp_path / "out.onnx")
    model = onnx.load(tmp_path / "out.onnx")
    before = onnx_files.int8_share(tmp_path / "out.onnx")
    ensemble = next(node for node in model.graph.node if node.op_type == "TreeEnsembleRegressor")
    next(one for one in ensemble.attribute if one.name == "nodes_values").floats.extend([0.5] * 10_000)
    onnx.save(model, tmp_path / "more.onnx")
    assert onnx_files.int8_share(tmp_path / "more.onnx") < 0.9 * before
