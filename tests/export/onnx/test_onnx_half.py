"""Half-float ONNX files: they load and run, at half the size, and their constants are what numpy rounds to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pulseproof.export.job import ExportJob, RefusedError
from pulseproof.export.onnx import files as onnx_files
from pulseproof.export.onnx import half as onnx_half
from pulseproof.twins.onnx.format import constants
from tests.export.onnx_making import NETS, executed, float_job, run, signals

FLOATS = st.floats(width=32, allow_nan=False)


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ExportJob]:
    return {name: float_job(name, tmp_path_factory.mktemp("float")) for name in (*NETS, "tree", "logistic")}


@pytest.mark.parametrize("name", NETS)
def test_a_net_runs_in_half_floats(name: str, jobs: dict[str, ExportJob], tmp_path: Path) -> None:
    job, out, recordings = jobs[name], tmp_path / "half.onnx", signals(8, 2)
    onnx_files.write_fp16(replace(job, out=out))
    model = onnx.load(out)
    onnx.checker.check_model(model)
    assert {tensor.data_type for tensor in model.graph.initializer} <= {
        onnx.TensorProto.FLOAT16,
        onnx.TensorProto.INT64,
    }
    exact, scores = run(job.source, recordings), run(out, recordings)
    assert 0 < np.abs(scores - exact).max() < 0.02 * max(1.0, np.abs(exact).max())
    before = constants(onnx.load(job.source).graph).values()
    after = constants(model.graph).values()
    floats = sum(array.nbytes for array in before if array.dtype == np.float32)
    assert floats == 2 * sum(array.nbytes for array in after if array.dtype == np.float16) > 0
    if name in ("cnn", "ecg-lens", "lstm"):
        assert out.stat().st_size < 0.75 * job.source.stat().st_size  # half, and names: these nets are small


@pytest.mark.parametrize("name", ["cnn", "ecg-lens"])
def test_operators_stay(name: str, jobs: dict[str, ExportJob], tmp_path: Path) -> None:
    onnx_files.write_fp16(replace(jobs[name], out=tmp_path / "half.onnx"))
    assert onnx_files.count_operators(tmp_path / "half.onnx") == {
        **onnx_files.count_operators(jobs[name].source),
        "Cast": 2,
    }


@pytest.mark.parametrize("name", ["tree", "logistic"])
def test_only_the_weights_of_products_are_half_floats(name: str, jobs: dict[str, ExportJob], tmp_path: Path) -> None:
    job, out, recordings = jobs[name], tmp_path / "half.onnx", signals(40, 2)
    made = onnx_files.write_fp16_products(replace(job, out=out))
    assert "stay float32" in made.note
    onnx.checker.check_model(onnx.load(out))
    before = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(job.source).graph.initializer}
    halves = {
        tensor.name.removesuffix("_half"): onnx.numpy_helper.to_array(tensor)
        for tensor in onnx.load(out).graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT16
    }
    assert len(halves) == (3 if name == "tree" else 4)
    for weights, values in halves.items():
        assert np.array_equal(values, before[weights].astype(np.float16))
    # The conversion is done when the file is loaded: what runs is the float graph.
    assert executed(out, tmp_path) == executed(job.source, tmp_path)
    exact, scores = run(job.source, recordings), run(out, recordings)
    if name == "logistic":
        assert 0 < np.abs(scores - exact).max() < 0.01
    else:
        assert (np.abs(scores - exact).max(axis=1) < 1e-6).mean() > 0.9
    # A signal of nothing: its powers of 1e-8 mV^2 are still there.
    nothing = np.zeros_like(recordings[:1])
    assert run(out, nothing) == pytest.approx(run(job.source, nothing), rel=1e-3, abs=1e-3)


@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=2, max_side=5), elements=FLOATS))
def test_constants_round_as_numpy_does(values: np.ndarray) -> None:
    if (np.isfinite(values) & (np.abs(values) > onnx_half.LARGEST)).any():
        with pytest.raises(RefusedError, match="largest half float"):
            onnx_half.round_to_half(values, {"Conv"}, "weights")
        return
    rounded = onnx_half.round_to_half(values, {"Conv"}, "weights")
    expected = values.astype(np.float16)
    if values.size == 1 and values.item() != 0 and expected.item() == 0:
        expected = np.copysign(np.full_like(expected, onnx_half.SMALLEST), values)
    assert rounded.dtype == np.float32 and np.array_equal(rounded.astype(np.float16), expected)


@pytest.mark.parametrize(
    ("values", "used_by", "expected"),
    [
        ([1e9], {"Clip"}, [65504]),
        ([-3e38, 0], {"Where"}, [-65504, 0]),
        ([0, -1e9], {"Add"}, [0, -65504]),  # an attention mask
        ([0, 1e9], {"Add"}, None),
        ([1e9], {"Clip", "Mul"}, None),
        ([1e9], set(), None),
        ([1e5, 1], {"Gemm"}, None),
        ([np.inf, -np.inf], {"Add"}, [np.inf, -np.inf]),
        ([1e-12], {"Add"}, [onnx_half.SMALLEST]),
        ([-1e-12], {"Add"}, [-onnx_half.SMALLEST]),
        ([1e-12, 1e-12], {"Conv"}, [0, 0]),
    ],
)
def test_what_half_floats_cannot_hold(values: list[float], used_by: set[str], expected: list[float] | None) -> None:
    array = np.array(values, np.float32)
    if expected is None:
        with pytest.raises(RefusedError):
            onnx_half.round_to_half(array, used_by, "x")
    else:
        assert np.array_equal(onnx_half.round_to_half(array, used_by, "x"), np.array(expected, np.float32))


def test_a_weight_that_is_too_large_is_refused_and_leaves_no_file(jobs: dict[str, ExportJob], tmp_path: Path) -> None:
    model = onnx.load(jobs["cnn"].source)
    weights = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 3)
    values = onnx.numpy_helper.to_array(weights).copy()
    values.flat[3] = 1e5
    weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))
    onnx.save(model, tmp_path / "large.onnx")
    with pytest.raises(RefusedError, match="holds 1e\\+05"):
        onnx_files.write_fp16(replace(jobs["cnn"], source=tmp_path / "large.onnx", out=tmp_path / "half.onnx"))
    assert not (tmp_path / "half.onnx").exists()
