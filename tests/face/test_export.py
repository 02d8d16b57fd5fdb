"""``export_model``: files that compute what the module does, whole or not at all, and why there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

import pulseproof as pp
from pulseproof.runtime.files import sha256_file
from tests.face.making import Made


def test_each_file_computes_what_the_module_does(made: Made, exported: dict[str, pp.ExportedFile]) -> None:
    with torch.no_grad():
        wanted = made.module(torch.from_numpy(made.signals_mv)).numpy()
    for recipe, near in (("onnx-fp32", 1e-4), ("onnx-int8-static", 0.3)):
        one = exported[recipe]
        assert one.status == "ok" and one.path is not None and one.path.name == f"{recipe}.onnx"
        assert (one.sha256, one.size_bytes) == (sha256_file(one.path), one.path.stat().st_size)
        session = onnxruntime.InferenceSession(one.path)
        scores = np.concatenate([session.run(None, {"signal": each[None]})[0] for each in made.signals_mv])
        assert np.abs(scores - wanted).max() < near * wanted.std()
        (parity,) = one.parity
        assert parity.engine == "onnxruntime" and parity.records == len(wanted)
        assert parity.max_difference == pytest.approx(np.abs(scores - wanted).max(), abs=1e-5)
        assert repr(one).startswith(f"{recipe}: {one.path}, ") and f"AUC {parity.auc_file:.3f}" in repr(one)
    folder = exported["onnx-fp32"].path.parent
    assert sorted(path.name for path in folder.iterdir()) == ["onnx-fp32.onnx", "onnx-int8-static.onnx"]


def test_without_labels_the_modules_own_scores_stand_for_them(made: Made, tmp_path: Path) -> None:
    (one,) = pp.export_model(made.module, calibration=made.training_mv, recipes=["onnx-int8-static"], to=str(tmp_path))
    assert one.status == "ok" and one.parity[0].auc_source == 1.0
    assert one.note is not None and "no labels were given" in one.note


def test_what_is_refused_leaves_no_file_not_even_an_older_one(made: Made, tmp_path: Path) -> None:
    """A recurrent net has no static ONNX file, and none of TFLite."""

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.last = nn.GRU(2, 4, batch_first=True), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.layer(x.transpose(1, 2))[0][:, -1])

    old = tmp_path / "onnx-int8-static.onnx"
    old.write_bytes(b"old")
    files = pp.export_model(
        Recurrent(), calibration=made.training_mv[:, :, :40], recipes=["onnx-int8-static", "tflite-fp32"], to=tmp_path
    )
    assert [one.status for one in files] == ["not-applicable"] * 2 and not list(tmp_path.iterdir())
    assert files[0].path is None and "no recurrent kernel" in repr(files[0])


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ({"recipes": ["onnx-int4"]}, "no recipe 'onnx-int4'"),
        ({"recipes": "onnx-int4"}, "no recipe 'onnx-int4'"),
        ({"recipes": []}, "recipes: none"),
        ({"recipes": ["onnx-int8-static+seed2"]}, "no recipe 'onnx-int8-static.seed2' here"),
        ({"seed": -1}, "seed is -1"),
        ({"recipes": ["onnx-as-given"]}, "for a model that came as a file"),
        ({"calibration": np.full((7, 2, 250), 0.5, np.float32)}, "flat"),
        ({"calibration": np.random.default_rng(1).normal(0, 0.3, (7, 2, 250))}, "calibration: 7 recordings"),
        ({"calibration": np.random.default_rng(1).normal(0, 300, (20, 2, 250))}, "calibration: .* microvolts"),
        ({"signals_mv": np.random.default_rng(1).normal(0, 0.3, (20, 2, 99))}, r"signals_mv are \(2, 99\)"),
        ({"labels": np.arange(200) % 3}, "labels hold 0, 1, 2"),
        ({"labels": np.eye(3)[np.arange(200) % 3]}, r"not \(24, 3\), as labels have columns"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_refused(made: Made, tmp_path: Path, asked: dict[str, object], what: str) -> None:
    with pytest.raises(pp.InputError, match=what):
        pp.export_model(made.module, **{"calibration": made.training_mv, "to": tmp_path / "out"} | asked)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_folder_that_is_a_file_is_refused(made: Made, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(pp.InputError, match="file: "):
        pp.export_model(made.module, calibration=made.training_mv, recipes=["onnx-fp32"], to=tmp_path / "file")


@pytest.mark.slow
def test_a_tflite_file_is_made_and_checked_on_every_engine_here(made: Made, tmp_path: Path) -> None:
    from pulseproof.core.engines import engines_of

    (one,) = pp.export_model(
        made.module,
        calibration=made.training_mv,
        recipes=["tflite-int8-full"],
        signals_mv=made.signals_mv,
        labels=made.labels,
        to=tmp_path,
    )
    assert one.path is not None, one
    report = pp.check_file(one.path, made.signals_mv, made.labels, fs_hz=100, budgets_mv=[0.05], steps=4)
    assert tuple(each.engine for each in report.parity) == engines_of("tflite")
    assert report.attack.way == "twin" and report.quantized
    assert report.at(0.05).auc < report.clean_auc - 0.1
