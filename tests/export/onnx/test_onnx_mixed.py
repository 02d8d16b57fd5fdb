"""Mixed precision: the layers that lose most stay float, in the file too, and the bytes are those of the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulseproof.core.errors import InputError
from pulseproof.export import mixed
from pulseproof.export.job import ExportJob, MadeFile, RefusedError
from pulseproof.export.onnx import files as onnx_files
from pulseproof.export.onnx import graph as onnx_graph
from pulseproof.export.quiet import quiet
from tests.export.onnx_making import executed, float_job, run, signals


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ExportJob]:
    return {name: float_job(name, tmp_path_factory.mktemp("float")) for name in ("cnn", "ecg-lens", "clipped", "lstm")}


def write(job: ExportJob, out: Path, **changes) -> MadeFile:
    with quiet():
        return onnx_files.write_mixed(replace(job, out=out, **changes))


def layers_of(job: ExportJob) -> list[str]:
    return list(onnx_graph.layers(onnx.load(job.source).graph))


@pytest.mark.parametrize("name", ["cnn", "ecg-lens", "clipped"])
def test_the_most_sensitive_layers_stay_float(name: str, jobs: dict[str, ExportJob], tmp_path: Path) -> None:
    job, out = jobs[name], tmp_path / "mixed.onnx"
    made = write(job, out, sensitive_layers=2)
    assert {layer.name for layer in made.layers} == set(layers_of(job))
    errors = [layer.error for layer in made.layers]
    assert errors == sorted(errors, reverse=True) and errors[-1] >= 0 and errors[0] > 0
    assert [layer.kept for layer in made.layers] == [True, True] + [False] * (len(errors) - 2)
    for layer in made.layers[:2]:
        assert f"{layer.name} ({layer.bytes_cost:+,} bytes)" in made.note
    exact, recordings = run(job.source, signals(20, 4)), signals(20, 4)
    assert mixed.score_error(run(out, recordings), exact) > 0


def test_all_but_one_layer(jobs: dict[str, ExportJob], tmp_path: Path) -> None:
    """Each layer of the CNN alone in int8: as the kept ones say, and with the error that was measured for it."""
    job, out = jobs["cnn"], tmp_path / "mixed.onnx"
    names = layers_of(job)
    for name in names:
        kept = tuple(other for other in names if other != name)
        made = write(job, out, keep_float=kept)
        assert {layer.name for layer in made.layers if layer.kept} == set(kept)
        counts = executed(out, tmp_path)
        convolutions = counts.get("Conv", 0) + counts.get("FusedConv", 0)
        if name.endswith("Conv"):
            assert counts["QLinearConv"] == 1 and counts["Gemm"] == 1 and convolutions == 4
        else:
            assert counts["QGemm"] == 1 and "QLinearConv" not in counts and convolutions == 5
        recordings = job.calibration[:32]
        measured = next(layer.error for layer in made.layers if layer.name == name)
        assert mixed.score_error(run(out, recordings), run(job.source, recordings)) == pytest.approx(measured, rel=1e-3)


def test_bytes_are_those_of_the_file(jobs: dict[str, ExportJob], tmp_path: Path) -> None:
    job, name = jobs["cnn"], layers_of(jobs["cnn"])[2]
    with quiet():
        onnx_files.write_static(replace(job, out=tmp_path / "int8.onnx"))
    made = write(job, tmp_path / "mixed.onnx", keep_float=(name,))
    grown = (tmp_path / "mixed.onnx").stat().st_size - (tmp_path / "int8.onnx").stat().st_size
    cost = next(layer.bytes_cost for layer in made.layers if layer.name == name)
    assert cost == pytest.approx(grown, abs=4)  # a length takes one byte more from 128 of its kind on


def test_what_cannot_be_mixed(jobs: dict[str, ExportJob], tmp_path: Path) -> None:
    out, names = tmp_path / "mixed.onnx", layers_of(jobs["cnn"])
    with pytest.raises(InputError, match="no layer /nowhere") as caught:
        write(jobs["cnn"], out, keep_float=("/nowhere",))
    assert names[0] in caught.value.mend
    for job, changes in (
        (jobs["cnn"], {"keep_float": tuple(names)}),
        (jobs["cnn"], {"sensitive_layers": 99}),
        (jobs["lstm"], {}),
    ):
        with pytest.raises(RefusedError, match="would stay float"):
            write(job, out, **changes)
    assert not out.exists()


@given(
    errors=st.dictionaries(st.text("abc", min_size=1, max_size=4), st.floats(0, 10), min_size=2, max_size=9),
    count=st.integers(1, 8),
    data=st.data(),
)
def test_pick_keeps_what_is_asked_for(errors: dict[str, float], count: int, data: st.DataObject) -> None:
    nothing = np.zeros((0, 1, 1), np.float32)
    named = tuple(data.draw(st.lists(st.sampled_from(sorted(errors)), unique=True)))
    job = ExportJob(None, (1, 1), Path("out"), Path("out"), nothing, "minmax", named, count)  # type: ignore[arg-type]
    wanted = len(named) or min(count, len(errors))
    if wanted == len(errors):
        with pytest.raises(RefusedError):
            mixed.pick(job, list(errors), errors.__getitem__, len)
        return
    layers = mixed.pick(job, list(errors), errors.__getitem__, len)
    assert sorted(layer.name for layer in layers) == sorted(errors)
    kept, others = ([layer for layer in layers if layer.kept is side] for side in (True, False))
    assert len(kept) == wanted and (not named or {layer.name for layer in kept} == set(named))
    if not named:
        assert min(layer.error for layer in kept) >= max(layer.error for layer in others)
    assert [layer.error for layer in layers] == sorted(errors.values(), reverse=True)


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100))
def test_the_error_is_in_units_of_the_scores_own_spread(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    reference = rng.normal(size=(9, 3)).astype(np.float32)
    scores = (reference + rng.normal(size=(9, 3)) * 0.1).astype(np.float32)
    error = mixed.score_error(scores, reference)
    assert error > 0 and mixed.score_error(reference, reference) == 0
    scaled = mixed.score_error((scores * factor).astype(np.float32), (reference * factor).astype(np.float32))
    assert scaled == pytest.approx(error, rel=1e-3)
