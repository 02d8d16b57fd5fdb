"""Classes that fail, means over classes, and attacks that look weak: each public case with the right value.

A mean hides the class that fails; a class that is not there makes a metric undefined, which is neither 0 nor a crash;
a gradient that is zero makes an attack fail in silence. Bundles and scores are made here, by code; nothing is copied.
"""

from __future__ import annotations

import csv
import io
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import f1_score, roc_auc_score
from typer.testing import CliRunner

from pulseproof.attacks.aim.saturation import at_the_ends, in_levels
from pulseproof.core.study import Study
from pulseproof.export.gate.parity import Reference
from pulseproof.export.gate.parity import check as export_gate
from pulseproof.main import app
from pulseproof.models import measured, run
from pulseproof.models.class_auc import class_warning
from pulseproof.report.answers.questions import answers
from pulseproof.report.answers.text import as_text
from pulseproof.report.gate.bounds import Bounds, gate
from pulseproof.report.numbers.class_aucs import as_csv as class_csv
from pulseproof.report.numbers.class_aucs import class_aucs
from pulseproof.report.numbers.evaluation import Evaluation, evaluate
from pulseproof.report.numbers.metrics import Rules, metrics
from pulseproof.report.numbers.rows import Row
from pulseproof.report.page import write_report
from pulseproof.report.tables.remarks import remarks
from pulseproof.report.tables.table import as_csv, as_json, as_markdown
from pulseproof.runtime.auc import macro_auc
from pulseproof.runtime.files import write_array
from tests.bench.making import change_json, entry, make_build, write_result
from tests.models.making import small_recordings

CLASSES = ("N", "V", "S")
FLOAT = "cnn/onnx-fp32"


def scores_of(labels: NDArray[np.uint8], shares: tuple[float, ...]) -> NDArray[np.float32]:
    """Scores whose AUC of each class is about its share: so many of its positives above all negatives, the rest below;
    none tied with another."""
    rng = np.random.default_rng(3)
    scores = rng.uniform(-0.4, 0.4, labels.shape)
    for k, share in enumerate(shares):
        rows = np.flatnonzero(labels[:, k])
        won = round(share * len(rows))
        scores[rows[:won], k] += 1
        scores[rows[won:], k] -= 1
    return scores.astype(np.float32)


def set_labels(build: Path, labels: NDArray[np.uint8]) -> None:
    """Give a made bundle other labels."""
    write_array(build / "bundle" / "labels.npy", labels)
    head = json.loads((build / "bundle" / "bundle.json").read_text())
    for path in (build / "bundle" / each["file"] for each in head["signals"]):
        write_array(path, np.load(path)[: len(labels)])
    patients = np.load(build / "bundle" / "patients.npy")[: len(labels)]
    write_array(build / "bundle" / "patients.npy", patients)
    changed = ("labels.npy", "patients.npy", *(each["file"] for each in head["signals"]))
    files = head["files"] | {name: entry(build / "bundle" / name) for name in changed}
    change_json(build / "bundle" / "bundle.json", files=files, task__classes=list(CLASSES))


def study(build: Path, labels: NDArray[np.uint8], shares: tuple[float, ...], attacked: tuple[float, ...]) -> Evaluation:
    """A study of one float file: AUCs of each class on clean recordings and under attack."""
    head = make_build(build, recipes=("onnx-fp32",), n=max(len(labels), 2), patients=30, budgets=(0.02,))
    set_labels(build, labels)
    head = json.loads((build / "bundle" / "bundle.json").read_text())
    for signals in head["signals"]:
        some = attacked if signals["source"] else shares
        write_result(build / "results" / "host", head, head["artifacts"][0], signals, scores_of(labels, some))
    return evaluate(build, 100)


def drawn(n: int = 200) -> NDArray[np.uint8]:
    labels = np.zeros((n, 3), np.uint8)
    labels[:, 0] = np.arange(n) % 2
    labels[:, 1] = 1 - labels[:, 0]
    labels[:40, 2] = 1
    return labels


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Evaluation]:
    """Macro .764, and class S at .425: what a study of beats showed as one number (strangers' models, case 6)."""
    build = tmp_path_factory.mktemp("failing") / "made"
    return build, study(build, drawn(), (0.93, 0.94, 0.425), (0.5, 0.6, 0.1))


def clean(evaluation: Evaluation) -> Row:
    return next(row for row in evaluation.rows if row.method == "clean")


def test_a_macro_auc_of_764_does_not_hide_a_class_at_425(failing: tuple[Path, Evaluation]) -> None:
    _, evaluation = failing
    row = clean(evaluation)
    assert row.auc == pytest.approx(0.764, abs=0.003)
    assert row.weakest_class == "S" and row.weakest_auc == pytest.approx(0.425)
    assert row.class_aucs is not None
    value = row.class_aucs["S"]
    assert value.auc_low is not None and value.auc_high is not None
    assert value.auc_low < 0.425 < value.auc_high and value.recordings == 40 and 1 < value.patients <= 30
    attacked = next(row for row in evaluation.rows if row.method == "worst-case")
    assert attacked.weakest_class == "S" and attacked.weakest_auc == pytest.approx(0.1)


def test_the_failing_class_stands_in_every_file(failing: tuple[Path, Evaluation]) -> None:
    _, evaluation = failing
    (first, *_) = csv.DictReader(io.StringIO(as_csv(evaluation.rows)))
    assert (first["weakest_class"], first["weakest_auc"]) == ("S", "0.425")
    assert json.loads(first["class_aucs"])["S"]["auc"] == pytest.approx(0.425)
    assert json.loads(as_json(evaluation.rows))[0]["class_aucs"]["S"]["auc"] == pytest.approx(0.425)
    lines = list(csv.DictReader(io.StringIO(class_csv(class_aucs(evaluation)))))
    assert [line["name"] for line in lines[:3]] == list(CLASSES) and float(lines[2]["auc"]) == pytest.approx(0.425)


@pytest.mark.parametrize("form", ["terminal", "markdown", "csv", "json"])
def test_the_failing_class_stands_in_the_table_on_request(failing: tuple[Path, Evaluation], form: str) -> None:
    build, _ = failing
    toml = build.parent / "study.toml"
    toml.write_text(
        'name = "made"\ntitle = "Made"\n[data]\nsource = "synthetic"\n[models.cnn]\n[bench]\nbootstrap = 100\n'
    )
    asked = ["table", "--study", str(toml), "--build", str(build.parent), "--classes", "--format", form]
    found = CliRunner().invoke(app, asked)
    assert found.exit_code == 0, found.output
    assert "S" in found.output and ("0.425" if form in ("csv", "json") else ".425!") in found.output


def test_the_failing_class_stands_in_the_report_and_in_the_answers(failing: tuple[Path, Evaluation]) -> None:
    build, evaluation = failing
    answered = answers(evaluation)
    said = as_text(answered)
    assert "Its weakest class is S: AUC .425 [" in said
    assert "in the worst case at 0.02 mV; 40 recordings of" in said
    assert f"Clean recordings of S are ranked worse than by chance by {FLOAT} (AUC .425" in said
    page = write_report(evaluation, build / "report", build, answered).read_text()
    assert "Each class" in page and "S<small>40 of 200</small>" in page and ".425" in page and "below .5" in page
    assert (build / "report" / "class-aucs.csv").read_text().count("\n") > 3


def test_a_class_below_chance_is_a_warning_where_a_model_is_trained() -> None:
    aucs: dict[str, dict[str, float | None]] = {"validation": {"N": 0.93, "S": 0.425, "F": None}, "test": {"N": 0.9}}
    said = class_warning("cnn", aucs)
    assert said is not None and "S (AUC 0.425) on validation recordings" in said
    assert class_warning("cnn", {"test": {"N": 0.5, "F": None}}) is None


def test_training_prints_the_warning_and_keeps_the_auc_of_each_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recordings = small_recordings(tmp_path / "recordings")
    asked = {"name": "small", "title": "small", "data": {"source": "synthetic"}, "models": {"logistic-regression": {}}}
    turned = np.array([1, 1, -1], np.float32)  # the third class is ranked the wrong way round
    right = measured.scores_of
    monkeypatch.setattr(measured, "scores_of", lambda *given: turned * right(*given))
    run.train_study(Study.model_validate(asked), recordings, tmp_path)
    said = capsys.readouterr().err
    assert "WARNING: logistic-regression ranks C (AUC 0." in said and "worse than by chance" in said
    (found,) = run.load_metrics(Study.model_validate(asked), tmp_path).values()
    assert found["class_aucs"]["test"]["C"] < 0.5 < found["class_aucs"]["test"]["A"]
    assert np.mean(list(found["class_aucs"]["test"].values())) == pytest.approx(found["test"]["auc"])


def test_a_class_below_chance_is_a_note_where_a_file_is_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = drawn()
    scores = scores_of(labels, (0.93, 0.94, 0.425))
    monkeypatch.setattr("pulseproof.export.gate.parity.score", lambda *_: scores)
    signals = np.zeros((len(labels), 1, 4), np.float32)
    reference = Reference(signals, labels, np.arange(len(labels)), scores, 0.0, False, False, classes=CLASSES)
    found = export_gate(Path("made.onnx"), "onnx-fp32", reference, None, None)  # type: ignore[arg-type]
    assert found.reason is None
    assert found.notes == ("on validation recordings it ranks S (AUC 0.425) worse than by chance",)


def test_macro_f1_is_over_the_classes_of_the_macro_auc() -> None:
    """scikit-learn #23130, #22625: a class without a recording counts as 0 in macro F1, while macro AUC leaves it out.
    Here both are over the same classes."""
    labels = drawn()
    scores = scores_of(labels, (0.9, 0.8, 0.7))
    absent = labels.copy()
    absent[:, 2] = 0
    found = metrics(scores, absent, Rules(False, (0.0, 0.0, 0.0), {}))
    decided = (scores >= 0).astype(int)
    assert found.f1 == pytest.approx(f1_score(labels[:, :2], decided[:, :2], average="macro"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert f1_score(absent, decided, average="macro", zero_division=0) < found.f1 - 0.1
    assert macro_auc(scores, absent) == pytest.approx(roc_auc_score(labels[:, :2], scores[:, :2], average="macro"))


def test_an_auc_of_one_class_is_undefined_and_neither_0_nor_an_error(tmp_path: Path) -> None:
    """scikit-learn #30079, #4230: with one label only, an AUC of 0 or an exception; here it is empty, with why."""
    labels = drawn()
    labels[:, 2] = 0
    evaluation = study(tmp_path / "made", labels, (0.9, 0.8, 0.7), (0.5, 0.5, 0.5))
    row = clean(evaluation)
    assert row.class_aucs is not None and row.class_aucs["S"].auc is None
    assert (row.classes, row.undefined) == (2, "S: no positive recording")
    assert row.auc == pytest.approx(0.85, abs=0.01) and row.weakest_class == "V"
    part = "over 2 of 3 classes"
    assert (
        evaluation.note == f"SYNTHETIC; means over classes are {part} (S: no positive recording)"
    )  # above every table
    assert part in as_markdown(evaluation) and part in as_text(answers(evaluation))
    (check,) = gate(evaluation, Bounds(min_auc=0.5))
    assert check.held and part in check.found
    page = write_report(evaluation, tmp_path / "report", tmp_path / "made", answers(evaluation)).read_text()
    assert part in page and "S: no positive recording: no AUC." in page
    assert any(f"the other means are {part} (S: no positive recording)" in each for each in remarks(evaluation, "host"))


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (np.ones((20, 3), np.uint8), "N: no negative recording; V: no negative recording; S: no negative recording"),
        (np.zeros((20, 3), np.uint8), "N: no positive recording; V: no positive recording; S: no positive recording"),
        (np.eye(3, dtype=np.uint8)[:1], "N: no negative recording; V: no positive recording; S: no positive recording"),
    ],
    ids=["every recording has every class", "no recording has any class", "a single recording"],
)
def test_where_no_class_is_defined_all_that_is_made_stays_empty(
    tmp_path: Path, labels: NDArray[np.uint8], reason: str
) -> None:
    evaluation = study(tmp_path / "made", labels, (0.9, 0.9, 0.9), (0.5, 0.5, 0.5))
    row = clean(evaluation)
    assert (row.auc, row.f1, row.recall, row.specificity, row.weakest_class, row.classes) == (*[None] * 5, 0)
    assert row.undefined == reason
    assert reason in as_markdown(evaluation)
    found = answers(evaluation)
    assert found.recommendation is None
    page = write_report(evaluation, tmp_path / "report", tmp_path / "made", found).read_text()
    assert ">nan" not in page and "[nan" not in page
    json.loads(as_json(evaluation.rows))


def test_scores_that_are_nan_are_counted_and_named(tmp_path: Path) -> None:
    """A flat lead divided by its own deviation: NaN scores of three recordings, of one file, on one set."""
    labels = drawn()
    build = tmp_path / "made"
    study(build, labels, (0.9, 0.8, 0.7), (0.5, 0.5, 0.5))
    head = json.loads((build / "bundle" / "bundle.json").read_text())
    scores = scores_of(labels, (0.9, 0.8, 0.7))
    scores[[4, 7, 9], 1] = np.nan
    write_result(build / "results" / "host", head, head["artifacts"][0], head["signals"][0], scores)
    evaluation = evaluate(build, 100)
    row = clean(evaluation)
    assert row.auc is None and row.failed
    assert row.not_applicable == "failed: its scores are NaN in 3 of 200 recordings (the first: 4)"
    assert f"{FLOAT}: failed: its scores are NaN in 3 of 200 recordings" in as_markdown(evaluation)


# What every run says of its attacks, without an audit.


def flags_of(build: Path) -> dict[str, set[str]]:
    """The names of the flags, and their targets."""
    found: dict[str, set[str]] = {}
    for each in evaluate(build, 100).flags.raised:
        found.setdefault(each.name, set()).add(each.target)
    return found


def set_facts(build: Path, method: str, **facts: float) -> None:
    head = json.loads((build / "bundle" / "bundle.json").read_text())
    signals = [each | ({"facts": facts} if each["method"] == method else {}) for each in head["signals"]]
    change_json(build / "bundle" / "bundle.json", signals=signals)


def put(build: Path, name: str, shares: tuple[float, ...], artifact: str = FLOAT) -> None:
    """One result with AUCs of its own."""
    head = json.loads((build / "bundle" / "bundle.json").read_text())
    labels = np.load(build / "bundle" / "labels.npy")
    tag: dict[str, Any] = next(each for each in head["artifacts"] if each["name"] == artifact)
    signals = next(each for each in head["signals"] if each["name"] == name)
    write_result(build / "results" / "host", head, tag, signals, scores_of(labels, shares))


def test_a_zero_gradient_is_said_without_an_audit(tmp_path: Path) -> None:
    """adversarial-robustness-toolbox #368: a gradient that is zero lets an attack fail in silence."""
    make_build(tmp_path, n=200, budgets=(0.05,))
    assert flags_of(tmp_path) == {}
    set_facts(tmp_path, "pgd", no_gradient=0.37)
    assert flags_of(tmp_path) == {"zero-gradient": {"cnn"}}
    rows = evaluate(tmp_path, 100).rows
    assert {row.method for row in rows if row.flags == "zero-gradient"} == {"pgd", "worst-case"}
    assert {row.unreliable for row in rows if row.method == "pgd"} == {True}


STRONG, HALF, WEAK = (0.05, 0.05, 0.05), (0.5, 0.5, 0.5), (0.9, 0.9, 0.9)
TWIN = "cnn/onnx-int8-static"


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ({("pgd-cnn-0.02mV", FLOAT): WEAK, ("random-sign-0.02mV", FLOAT): WEAK}, ("no-better-than-noise", "cnn")),
        (
            {("square-cnn.onnx-fp32-0.02mV", FLOAT): STRONG, ("pgd-cnn-0.02mV", FLOAT): HALF},
            ("black-box-stronger", "cnn"),
        ),
        ({("pgd-lstm-0.02mV", FLOAT): STRONG, ("pgd-cnn-0.02mV", FLOAT): HALF}, ("transfer-stronger", "cnn")),
        (
            {("twin-cnn.onnx-int8-static-0.02mV", TWIN): HALF, ("pgd-cnn-0.02mV", TWIN): STRONG},
            ("twin-weaker-than-transfer", TWIN),
        ),
        ({("pgd-cnn-0.005mV", FLOAT): STRONG, ("pgd-cnn-0.02mV", FLOAT): HALF}, ("not-monotone", "cnn")),
        ({("pgd-cnn-0.02mV", FLOAT): HALF}, ("not-at-collapse", "cnn")),
    ],
)
def test_what_was_measured_raises_its_flag(
    tmp_path: Path, results: dict[tuple[str, str], tuple[float, ...]], expected: tuple[str, str]
) -> None:
    further = (("square", FLOAT), ("twin", TWIN))
    make_build(tmp_path, models=("cnn", "lstm"), sources=("cnn", "lstm"), further=further, n=200)
    set_facts(tmp_path, "square", queries=500.0)
    name, target = expected
    for signals in ("pgd-cnn-0.005mV", "pgd-cnn-0.02mV"):
        for artifact in (FLOAT, TWIN):
            put(tmp_path, signals, STRONG if "0.02" in signals else HALF, artifact)
    for budget in ("0.005", "0.02"):
        put(tmp_path, f"twin-cnn.onnx-int8-static-{budget}mV", STRONG, TWIN)
    before = flags_of(tmp_path)
    assert target not in before.get(name, set())
    for (signals, artifact), shares in results.items():
        put(tmp_path, signals, shares, artifact)
    assert target in flags_of(tmp_path)[name]


def test_what_a_device_did_not_run_is_not_held_against_an_attack(tmp_path: Path) -> None:
    make_build(tmp_path, n=200)  # two budgets; .42 is left at the larger
    assert flags_of(tmp_path) == {"not-at-collapse": {"cnn"}}
    for path in (tmp_path / "results" / "host").glob("*/pgd-cnn-0.02mV.*"):
        path.unlink()
    assert flags_of(tmp_path) == {}  # neither that it ends at .005 mV, nor that nobody attacked it
    for path in (tmp_path / "results" / "host").glob("*/pgd-*"):
        path.unlink()
    assert flags_of(tmp_path) == {}


def test_a_bound_at_the_largest_budget_says_what_is_missing(tmp_path: Path) -> None:
    make_build(tmp_path, n=200)
    put(tmp_path, "pgd-cnn-0.02mV", (0.7, 0.7, 0.7))
    (check,) = gate(evaluate(tmp_path, 100), Bounds(min_attacked_auc=((0.02, 0.6),)), [FLOAT])
    assert not check.held
    assert "flagged: not-at-collapse (add a larger budget to the study" in check.found


def test_saturated_outputs_are_told_from_trees() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 12, (300, 2)).astype(np.float32)
    flat = (1 / (1 + np.exp(-np.clip(4 * logits, -80, 80)))).astype(
        np.float32
    )  # an overconfident sigmoid: exactly 1 for many
    assert at_the_ends(logits).max() == 0 and at_the_ends(flat).max() > 0.2
    assert not in_levels(logits) and not in_levels(flat)
    leaves = rng.choice(np.linspace(0, 1, 9).astype(np.float32), (300, 2))
    assert in_levels(leaves)


def test_saturated_outputs_are_said_without_an_audit(tmp_path: Path) -> None:
    head = make_build(tmp_path, n=200, budgets=(0.05,))
    scores = np.load(tmp_path / "results" / "host" / "cnn__onnx-fp32" / "clean.npy")
    cut = np.minimum(scores, np.quantile(scores, 0.8, axis=0)).astype(np.float32)
    int8 = next(each for each in head["artifacts"] if each["name"] == TWIN)
    write_result(tmp_path / "results" / "host", head, int8, head["signals"][0], cut)
    evaluation = evaluate(tmp_path, 100)
    (flag,) = evaluation.flags.raised
    assert (flag.name, flag.target) == ("saturated-outputs", TWIN)
    assert "20% of clean recordings have the very same extreme score" in flag.sentence
    assert {row.artifact for row in evaluation.rows if row.flags} == {TWIN}
