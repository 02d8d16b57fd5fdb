"""``check_file``: the very file is run, timed, compared and attacked; one that is bad costs a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from sklearn.metrics import roc_auc_score

import pulseproof as pp
from pulseproof.runtime.files import sha256_file
from tests.face.making import Made


def checked(path: Path, made: Made, **asked: Any) -> pp.FileReport:
    settings = {"fs_hz": 100, "budgets_mv": [0.05], "steps": 4} | asked
    return pp.check_file(path, made.signals_mv, made.labels, **settings)


@pytest.mark.parametrize("recipe", ["onnx-fp32", "onnx-int8-static"])
def test_a_file_is_run_timed_and_attacked_through_its_own_graph(
    made: Made, exported: dict[str, pp.ExportedFile], recipe: str
) -> None:
    """Its AUCs by scikit-learn, of ONNX Runtime's own scores on the recordings that are handed back."""
    path = exported[recipe].path
    assert path is not None
    report = checked(path, made, patients=made.patients)
    assert (report.path, report.sha256, report.size_bytes) == (path, sha256_file(path), path.stat().st_size)
    assert report.quantized == ("int8" in recipe) and report.engine == "onnxruntime"
    assert [one.engine for one in report.parity] == ["onnxruntime"] and report.parity[0].reason is None
    assert 0 < report.latency.p50_ms <= report.latency.p99_ms and report.latency.count >= 200
    session = onnxruntime.InferenceSession(path)

    def auc(signals: Any) -> float:
        scores = np.concatenate([session.run(None, {"signal": one[None]})[0] for one in signals])
        return float(roc_auc_score(made.labels, scores))

    assert report.attack.way == "twin" and report.clean_auc == pytest.approx(auc(made.signals_mv))
    one = report.at(0.05)
    assert one.auc == pytest.approx(auc(one.signals_mv)) and one.method == "twin"
    assert one.auc < one.control_auc - 0.1 and one.auc_low is not None
    lines = str(report).splitlines()
    assert lines[0] == (
        f"{path.name}: {'quantized' if report.quantized else 'float'}, {report.size_bytes / 1000:.1f} kB, onnxruntime"
    )
    assert lines[1].startswith("latency p50 ") and "white box through the file's own graph" in str(report)


def test_a_graph_that_no_twin_covers_is_attacked_by_queries(
    made: Made, exported: dict[str, pp.ExportedFile], tmp_path: Path
) -> None:
    model = onnx.load(str(exported["onnx-fp32"].path))
    model.graph.node.append(onnx.helper.make_node("Atan", [model.graph.output[0].name], ["turned"]))
    model.graph.output[0].name = "turned"
    path = tmp_path / "turned.onnx"
    onnx.save(model, path)
    some = Made(made.module, made.signals_mv[:30], made.labels[:30], made.patients[:30], made.training_mv)
    report = checked(path, some, queries=60)
    assert report.attack.way == "queries"
    assert report.at(0.05).method == "square" and report.at(0.05).auc < report.clean_auc
    assert "no-white-box" in {flag.name for flag in report.attack.flags}
    (note,) = report.attack.notes
    assert "Atan" in note and "60 queries" in note and str(tmp_path) not in str(report)


def test_a_file_that_is_none_is_refused(made: Made, exported: dict[str, pp.ExportedFile], tmp_path: Path) -> None:
    whole = exported["onnx-fp32"].path
    assert whole is not None
    half, named = tmp_path / "half.onnx", tmp_path / "net.pt"
    half.write_bytes(whole.read_bytes()[:1000])
    named.write_bytes(whole.read_bytes())
    for path, what in (
        (half, r"half\.onnx: "),
        (named, r"net\.pt: not a file that an engine here opens\n.*pickle"),
        (tmp_path / "none.onnx", r"none\.onnx: no such file"),
        (tmp_path / "none.tflite", r"none\.tflite: no such file"),
    ):
        with pytest.raises(pp.InputError, match=what):
            checked(path, made)
    short = Made(made.module, made.signals_mv[:, :, 1:], made.labels, made.patients, made.training_mv)
    with pytest.raises(pp.InputError, match=r"its input is \(1, 2, 250\), the recordings are \(1, 2, 249\)"):
        checked(whole, short)
    three = Made(
        made.module, made.signals_mv, np.eye(3, dtype=np.uint8)[np.arange(80) % 3], made.patients, made.training_mv
    )
    with pytest.raises(pp.InputError, match=r"it gives 2 scores: \(1, 2\), the study has 3 classes"):
        checked(whole, three)


@pytest.mark.parametrize(
    ("operator", "what"), [("Log", "not finite"), ("Div", "not finite")], ids=["logarithm", "division"]
)
def test_a_file_whose_scores_are_no_numbers_is_refused(
    made: Made, exported: dict[str, pp.ExportedFile], tmp_path: Path, operator: str, what: str
) -> None:
    model = onnx.load(str(exported["onnx-fp32"].path))
    name = model.graph.output[0].name
    if operator == "Log":
        nodes = [onnx.helper.make_node("Log", [name], ["strange"])]
    else:
        nodes = [
            onnx.helper.make_node("Sub", [name, name], ["zero"]),
            onnx.helper.make_node("Div", [name, "zero"], ["strange"]),
        ]
    model.graph.node.extend(nodes)
    model.graph.output[0].name = "strange"
    onnx.save(model, tmp_path / "strange.onnx")
    with pytest.raises(pp.InputError, match=what):
        checked(tmp_path / "strange.onnx", made)
