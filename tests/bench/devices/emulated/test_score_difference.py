"""Scores of a device beside this machine's: the verdict, the table, the note in the rows, and the expected time."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from rich.console import Console

from pulseproof.bench.devices.emulated.probes import SCORE_STEP, write_probes
from pulseproof.bench.wire.results import read_bundle, read_results
from pulseproof.bench.wire.schema import BundleHead
from pulseproof.core.errors import InputError
from pulseproof.report.numbers.evaluation import evaluate
from pulseproof.report.numbers.expected import counts_of, expected_seconds, expected_text
from pulseproof.report.numbers.machines import as_csv, as_markdown, cells, header, machine_lines, print_terminal
from pulseproof.report.numbers.score_difference import ScoreDifference
from pulseproof.runtime.auc import macro_auc
from pulseproof.twins.output_step import output_step
from tests.bench.making import make_build, make_scores, write_result

DEVICE = {"name": "emulated-cortex-a72", "evidence": "emulated-count", "fingerprint": {"cpu": "Cortex-A72"}}
UNTIMED: dict[str, Any] = {"device": DEVICE, "latency_ms": None, "load_ms": None, "first_ms": None}
FP32, INT8 = "cnn/onnx-fp32", "cnn/onnx-int8-static"
N = 20


def make_arm(build: Path, off: float = 0.0, n: int = N, device: dict[str, Any] = DEVICE) -> dict[str, Any]:
    """A host that ran all, and an emulated core that ran two sets of the first ``n`` recordings; its int8 scores are
    off by ``off`` in the second recording."""
    head = make_build(build)
    labels = np.load(build / "bundle" / "labels.npy")
    for artifact in head["artifacts"]:
        int8 = artifact["name"] == INT8
        for signals in head["signals"][:2]:
            scores = make_scores(labels, artifact, signals)[:n]
            scores[1, 0] += off if int8 else 0.0
            counts = {"count": n, "p50": 3_000_000 if int8 else 4_000_000, "min": 2_900_000, "max": 5_000_000}
            changed = {**UNTIMED, "device": device, "instructions": counts}
            write_result(build / "results" / device["name"], head, artifact, signals, scores, **changed)
    return head


@pytest.mark.parametrize(
    ("largest", "step", "verdict", "text", "noted"),
    [
        (0.0, None, "exact", "exact", False),
        (0.0, 0.1, "exact", "exact", False),
        (9e-6, None, "within 1e-5", "9.0e-06", False),
        (9e-6, 0.1, "within 1e-5", "9.0e-06", False),
        (0.1, 0.1, "within one step", "1 step, 5 %", False),
        (0.10002, 0.1, "within one step", "1 step, 5 %", False),
        (0.2, 0.1, "LARGER", "2 steps, 5 %", True),
        (0.15, 0.1, "LARGER", "1.5 steps, 5 %", True),
        (2e-5, None, "LARGER", "2.0e-05", True),
    ],
)
def test_the_verdict(largest: float, step: float | None, verdict: str, text: str, noted: bool) -> None:
    found = ScoreDifference(64, largest, 0.05, step)
    assert (found.verdict, found.text, found.note is not None) == (verdict, text, noted)


@pytest.mark.parametrize(("file", "step"), [("int8", SCORE_STEP), ("float", None)])
@pytest.mark.parametrize("kind", ["onnx", "tflite"])
def test_the_step_is_that_of_the_output_quantizer(tmp_path: Path, file: str, kind: str, step: float | None) -> None:
    write_probes(tmp_path, (kind,))
    found = output_step(tmp_path / f"{file}.{kind}")
    assert found is None if step is None else found == pytest.approx(step, rel=1e-6)


def test_scores_that_are_computed_on_after_the_quantizer_have_no_step(tmp_path: Path) -> None:
    write_probes(tmp_path, ("onnx",))
    model = onnx.load(tmp_path / "int8.onnx")
    model.graph.node.append(helper.make_node("Sigmoid", ["scores"], ["shares"]))
    model.graph.output.pop()
    model.graph.output.append(helper.make_tensor_value_info("shares", TensorProto.FLOAT, None))
    (tmp_path / "shares.onnx").write_bytes(model.SerializeToString())
    assert output_step(tmp_path / "shares.onnx") is None


@pytest.mark.parametrize("name", ["damaged.onnx", "damaged.tflite", "missing.onnx"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    if "missing" not in name:
        (tmp_path / name).write_bytes(b"\xff" * 100)
    with pytest.raises(InputError, match=name):
        output_step(tmp_path / name)


def test_the_lines_compare_the_same_recordings(tmp_path: Path) -> None:
    head = make_arm(tmp_path, off=0.25)
    labels = np.load(tmp_path / "bundle" / "labels.npy")
    lines = machine_lines(tmp_path)
    assert [(line.recipe, line.signals, line.n) for line in lines] == [
        (recipe, signals["name"], N) for recipe in ("onnx-fp32", "onnx-int8-static") for signals in head["signals"][:2]
    ]
    first, int8 = lines[0], lines[2]
    host = make_scores(labels, head["artifacts"][0], head["signals"][0])[:N]
    assert first.auc == first.auc_host == macro_auc(host, labels[:N])
    assert (first.verdict, first.instructions, first.ratio) == ("exact", 4_000_000, 1.0)
    assert (int8.verdict, int8.instructions, int8.ratio) == ("LARGER", 3_000_000, 0.75)
    assert int8.largest == pytest.approx(0.25, rel=1e-5)
    assert int8.share == 1 / N


def test_the_table_in_every_form(tmp_path: Path) -> None:
    make_arm(tmp_path, off=0.25)
    lines = machine_lines(tmp_path)
    assert {len(row) for row in cells(lines)} == {len(header(lines))}
    read = list(csv.DictReader(io.StringIO(as_csv(lines))))
    assert [float(row["instructions"]) for row in read] == [4e6, 4e6, 3e6, 3e6]
    console = Console(file=io.StringIO(), width=80)
    print_terminal(lines, console)
    terminal = console.file.getvalue()  # type: ignore[attr-defined]
    for text in (as_markdown(lines), terminal):
        assert "LARGER" in text
        assert "0.75" in text


def test_arm_and_x86_cores_stand_side_by_side(tmp_path: Path) -> None:
    """A file that saturates on an x86 core without VNNI, and on no other: its own columns, and what "here" is."""
    make_arm(tmp_path)
    haswell = {"name": "emulated-x86-haswell", "evidence": "emulated-count", "fingerprint": {"cpu": "x86-haswell"}}
    (tmp_path / "other").mkdir()
    make_arm(tmp_path / "other", off=0.25, device=haswell)
    (tmp_path / "other" / "results" / haswell["name"]).rename(tmp_path / "results" / haswell["name"])
    lines = machine_lines(tmp_path)
    names = ["cortex-a72", "x86-haswell"]
    assert header(lines)[4:] == [f"{name} {what}" for name in names for what in ("AUC", "apart", "M instr", "/ fp32")]
    int8 = next(row for row in cells(lines) if row[:2] == [INT8, "clean"])
    assert (int8[5], int8[9].endswith(" LARGER")) == ("exact", True)
    assert {(line.cpu, line.cpu_host) for line in lines} == {("Cortex-A72", "Test CPU"), ("x86-haswell", "Test CPU")}
    assert as_markdown(lines).endswith(" Here: Test CPU.\n")


def test_without_a_device_the_command_says_what_to_do(tmp_path: Path) -> None:
    make_build(tmp_path)
    with pytest.raises(InputError) as refused:
        machine_lines(tmp_path)
    assert "emulated:cortex-a72" in refused.value.mend


def test_a_larger_difference_is_said_in_its_row(tmp_path: Path) -> None:
    make_arm(tmp_path, off=0.25)
    rows = {(row.artifact, row.signals): row for row in evaluate(tmp_path, 100).rows if row.device == DEVICE["name"]}
    assert set(rows) == {(name, each) for name in (FP32, INT8) for each in ("clean", "pgd-cnn-0.005mV")} | {
        (name, "worst-case-0.005mV") for name in (FP32, INT8)
    }, "what an emulated core was not asked for is not missing"
    row = rows[INT8, "clean"]
    assert (row.n, row.instructions, row.latency_p50_ms) == (N, 3_000_000, None)
    assert row.score_difference == pytest.approx(0.25, rel=1e-5)
    assert "differ from this machine's by up to 0.25, in 1 of 20 recordings" in str(row.note)
    assert (rows[FP32, "clean"].score_difference, rows[FP32, "clean"].note) == (0.0, "SYNTHETIC")
    assert {row.n for row in rows.values()} == {N}
    host = [row for row in evaluate(tmp_path, 100).rows if row.device == "host"]
    assert {row.score_difference for row in host} == {None}


def test_recordings_of_different_numbers_are_no_pair(tmp_path: Path) -> None:
    head = make_arm(tmp_path)
    labels = np.load(tmp_path / "bundle" / "labels.npy")
    artifact, signals = head["artifacts"][1], head["signals"][0]
    scores = make_scores(labels, artifact, signals)[:12]
    write_result(tmp_path / "results" / DEVICE["name"], head, artifact, signals, scores, **UNTIMED)
    found = evaluate(tmp_path, 100)
    assert [each.device for each in found.differences] == ["host"]
    row = next(
        row for row in found.rows if (row.device, row.artifact) == (DEVICE["name"], INT8) and row.method == "clean"
    )
    assert (row.n, row.disagreement) == (12, None)


def test_the_expected_time_is_counts_over_a_rate(tmp_path: Path) -> None:
    make_arm(tmp_path)
    bundle = read_bundle(tmp_path / "bundle")
    counts = counts_of(bundle.head, read_results(bundle, tmp_path / "results"))
    assert counts == {FP32: 4_000_000, INT8: 3_000_000}
    head, sets = bundle.head, len(bundle.head.signals)
    # 1e9 a second: 4 ms an inference; 500 recordings take 2 s a set; the warm-up is .2 s.
    assert expected_seconds(head, 500, {FP32: 4e6}, 1e9, start_s=1.0) == pytest.approx(1.2 + 2 * sets)
    # Few recordings: the clean set takes its 2 s all the same.
    assert expected_seconds(head, 5, {FP32: 4e6}, 1e9, start_s=0.0) == pytest.approx(0.2 + 2.0 + 0.02 * (sets - 1))
    assert expected_seconds(head, 500, {}, 1e9) == 0
    assert "1 artifacts without a count" in str(expected_text(head, 500, {FP32: 4e6}))
    assert expected_text(head, 500, {}) is None


def test_the_bundle_holds_what_an_emulated_core_gets(tmp_path: Path) -> None:
    make_build(tmp_path)
    head = read_bundle(tmp_path / "bundle").head
    assert (head.emulated.records, head.emulated.sets, head.emulated.only) == (64, None, ())
    given = head.model_dump(mode="json") | {"emulated": {"sets": ["clean"], "records": 16, "only": ["cnn/*"]}}
    import json

    assert BundleHead.model_validate_json(json.dumps(given)).emulated.records == 16
