"""The bracket in every row: attack above, proof below, and where a proof is stale or lost."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from pulseproof.core.errors import InputError
from pulseproof.report.answers.questions import answers
from pulseproof.report.charts.budget import budget_curves
from pulseproof.report.gate.bounds import Bounds, attacked_bound, gate
from pulseproof.report.numbers.evaluation import Evaluation, evaluate
from pulseproof.report.numbers.pivot import lines_of
from pulseproof.report.numbers.resampled import WORST
from pulseproof.report.numbers.rows import Row
from pulseproof.report.numbers.texts import auc_text
from pulseproof.report.page import write_report
from pulseproof.report.tables.defences import defences_markdown
from pulseproof.report.tables.table import as_csv, as_markdown
from pulseproof.runtime.files import read_json, write_json
from tests.report.making_answers import put, set_latency, study
from tests.report.making_proofs import RESAMPLES, certify, change_certified

FILE = "cnn/onnx-fp32"
OTHER = "cnn/onnx-int8-static"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    head = study(tmp_path, lambda artifact, signals: 3.0 - 50 * signals["budget_mv"], budgets=(0.01, 0.02), n=200)
    set_latency(tmp_path, onnx_fp32=0.5, onnx_int8_static=1.0)
    certify(tmp_path, head, [FILE])
    return tmp_path


def evaluated(folder: Path) -> Evaluation:
    return evaluate(folder, RESAMPLES)


def worst(evaluation: Evaluation, artifact: str = FILE, device: str = "host", budget: float = 0.02) -> Row:
    key = (device, artifact, WORST, budget)
    return next(row for row in evaluation.rows if (row.device, row.artifact, row.method, row.budget_mv) == key)


def test_the_rows_have_both_sides(made: Path) -> None:
    evaluation = evaluated(made)
    row = worst(evaluation)
    assert row.proof == "proved" and row.auc is not None and row.proved_auc is not None
    assert 0.5 < row.proved_auc < row.auc and row.proof_gap == row.auc - row.proved_auc
    assert row.proved_auc_low is not None and row.proved_auc_low < row.proved_auc
    assert row.proved_decided is not None and row.proved_sensitivity is not None
    assert worst(evaluation, OTHER).proof == "operator Erf is not covered"
    assert worst(evaluation, OTHER).proved_auc is None
    clean = [row for row in evaluation.rows if row.method == "clean"]
    assert [row.proof for row in clean] == ["proved", "operator Erf is not covered"]
    pgd = next(row for row in evaluation.rows if row.method == "pgd")
    assert pgd.proof is None and pgd.proved_auc is None

    table = as_markdown(evaluation)
    assert "attack/worst/noise/proved" in table and f"{row.proved_auc:.3f}"[1:] in table
    assert f"No proof of {OTHER}: operator Erf is not covered." in table
    read = list(csv.DictReader(io.StringIO(as_csv(evaluation.rows))))
    assert [float(each["proved_auc"]) for each in read if each["proved_auc"]] == [
        each.proved_auc for each in evaluation.rows if each.proved_auc is not None
    ]


def test_the_answers_and_the_page_say_it(made: Path) -> None:
    evaluation = evaluated(made)
    found = answers(evaluation)
    assert found.recommendation is not None
    row = worst(evaluation)
    said = {each.id: each.sentences for each in found.questions}["ship"]
    assert found.recommendation.artifact == FILE
    assert any("that is proved; attacks bring it to" in each.text and "a proof" in each.evidence for each in said)
    curves = budget_curves(lines_of(evaluation))
    assert curves is not None and "Dashed line: what is proved" in curves.caption
    assert f"{auc_text(row.proved_auc)} at 0.02 mV (gap {auc_text(row.proof_gap)})" in curves.panels[0].gist
    page = write_report(evaluation, made / "report", made, found).read_text()
    assert "between proof and attack" in page and "curve proved" in page and ", gap ." in page


def test_nothing_is_said_of_proofs_where_none_were_made(tmp_path: Path) -> None:
    study(tmp_path, lambda artifact, signals: 3.0, n=100)
    evaluation = evaluated(tmp_path)
    assert all(row.proof is None for row in evaluation.rows)
    assert "roved" not in as_markdown(evaluation)
    curves = budget_curves(lines_of(evaluation))
    assert curves is not None and all("proved" not in each.gist for each in curves.panels)


def _other_file(folder: Path) -> None:
    content = json.loads((folder / "certified.json").read_text())
    change_certified(folder, proofs=[each | {"sha256": "0" * 64} for each in content["proofs"]])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda folder: change_certified(folder, rules="1-other"), "bounds are made by other rules now"),
        (lambda folder: change_certified(folder, signals="0" * 64), "it is of other recordings"),
        (lambda folder: change_certified(folder, labels="0" * 64), "it is of other recordings"),
        (_other_file, "it is of other bytes of this file"),
        (lambda folder: (folder / "certified" / FILE / "0.02mV.npy").unlink(), "its bounds are not there any more"),
        (lambda folder: change_certified(folder, proofs=[]), "not certified"),
    ],
)
def test_a_proof_of_anything_else_is_stale(made: Path, change: object, reason: str) -> None:
    change(made)  # type: ignore[operator]
    evaluation = evaluated(made)
    row = worst(evaluation)
    assert row.proof is not None and reason in row.proof and row.proved_auc is None
    assert row.proof.startswith("stale, not used: ") or reason == "not certified"
    assert "certify" in row.proof
    (check,) = gate(evaluation, Bounds(min_certified_auc=((0.02, 0.1),)), [FILE])
    assert not check.held and reason in check.found


def test_a_device_whose_engine_departs_loses_the_proof(made: Path) -> None:
    """By its mark, or by any score outside of the bounds."""
    head = json.loads((made / "bundle" / "bundle.json").read_text())
    artifact = head["artifacts"][0]
    strength = {"clean": 3.0, "pgd-cnn-0.01mV": 2.5}
    for signals in head["signals"]:
        if signals["name"] in strength:
            device = {"evidence": "measured-on-device", "fingerprint": {"cpu": "other"}}
            for name in ("marked", "off", "well"):
                marks = ["engine-saturates"] if name == "marked" else []
                off = 1.5 if name == "off" and signals["name"] != "clean" else 0.0
                put(
                    *(made, head, artifact, signals, strength[signals["name"]] + off),
                    jitter=0.02, on=name, first=80, device=device | {"name": name}, marks=marks,
                )  # fmt: skip
    evaluation = evaluated(made)
    assert evaluation.proofs.lost("marked", FILE) == (
        "engine-saturates, its engine departs from the file's exact arithmetic"
    )
    lost = evaluation.proofs.lost("off", FILE)
    assert lost is not None and lost.endswith("of 80 recordings of pgd-cnn-0.01mV have scores outside the bounds")
    assert worst(evaluation, device="off", budget=0.01).proof == f"lost on this device: {lost}"
    assert evaluation.proofs.lost("host", FILE) is None
    # Of fewer recordings it is the proof of those.
    few, whole = (worst(evaluation, device=name, budget=0.01) for name in ("well", "host"))
    assert few.n == 80 and few.proved_auc is not None and few.proved_auc != whole.proved_auc
    doubts = {each.id: each.sentences for each in answers(evaluation).questions}["doubt"]
    assert sum("does not hold on" in each.text for each in doubts) == 2
    checks = gate(evaluation, Bounds(min_certified_auc=((0.01, 0.1),)), [FILE])
    assert {each.device: each.held for each in checks} == {"host": True, "marked": False, "off": False, "well": True}


def test_the_gate(made: Path) -> None:
    evaluation = evaluated(made)
    proved = worst(evaluation).proved_auc
    assert proved is not None

    def held(*bounds: tuple[float, float], strict: bool = False) -> list[bool]:
        return [each.held for each in gate(evaluation, Bounds(min_certified_auc=bounds, strict=strict), [FILE])]

    assert held((0.02, proved - 0.001), (0.02, proved + 0.001)) == [True, False]
    assert held((0.02, proved - 0.001), strict=True) == [False]
    assert held((0.5, 0.1)) == [False]  # no such budget
    with pytest.raises(InputError, match="--min-certified-auc 'x': not an AUC"):
        attacked_bound("x", "--min-certified-auc")


def test_a_damaged_file_is_refused(made: Path) -> None:
    np.save(made / "certified" / FILE / "0.02mV.npy", np.zeros((2, 7, 3)))
    with pytest.raises(InputError, match="not the bounds of 200 recordings"):
        evaluated(made)
    (made / "certified.json").write_text("{")
    with pytest.raises(InputError, match="proofs"):
        evaluated(made)


def test_the_table_of_defences_has_the_bracket(made: Path) -> None:
    """Both files of a model that was trained so; of one of them nothing is proved."""
    path = made / "bundle" / "bundle.json"
    head = read_json(path)
    for each in head["artifacts"]:
        each["defence"] = {"kind": "certified", "budget_mv": 0.01}
    write_json(path, head)
    evaluation = evaluated(made)
    table = defences_markdown(evaluation)
    assert "| worst / proved at 0.01 mV | worst / proved at 0.02 mV |" in table
    for budget in (0.01, 0.02):
        row, other = worst(evaluation, budget=budget), worst(evaluation, OTHER, budget=budget)
        assert f"| {auc_text(row.auc)} / {auc_text(row.proved_auc)} |" in table
        assert f"| {auc_text(other.auc)} / - |" in table
