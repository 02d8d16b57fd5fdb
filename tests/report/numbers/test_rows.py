"""Rows: the contract of their keys, one row of each kind, what is kept between two looks, and paired differences."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pulseproof.report.numbers.resampled
from pulseproof.attacks.audit.file import FlagEntry
from pulseproof.attacks.worst import worst_case
from pulseproof.core.errors import InputError
from pulseproof.core.statistics import difference, interval, resampled_aucs
from pulseproof.report.numbers.class_aucs import as_csv, class_aucs
from pulseproof.report.numbers.evaluation import Evaluation, evaluate
from pulseproof.report.numbers.flagged import NONE, OTHER
from pulseproof.report.numbers.loss_budgets import loss_budgets
from pulseproof.report.numbers.metrics import Rules, metrics
from pulseproof.report.numbers.rows import Row, is_quantized
from pulseproof.runtime.auc import macro_auc
from pulseproof.runtime.files import write_array
from tests.bench.making import CLASSES, audit, change_json, entry, flag, make_build, make_scores, write_result

KEYS = [  # tools outside read these: the names and their order stay
    *("device", "evidence", "model", "recipe", "source", "method", "budget_mv"),
    *("n", "auc", "auc_low", "auc_high", "latency_p50_ms", "latency_p99_ms", "load_ms", "peak_rss_mb"),
    *("size_bytes", "runtime", "not_applicable", "note", "signals", "linf_mv", "l2_mv", "rms_mv", "snr_db", "sigma"),
    *("outside_band", "second_difference", "queries", "input_step_uv", "disagreement", "sets", "unreliable", "flags"),
    *("instructions", "score_difference", "marks", "accuracy", "label_accuracy", "f1", "precision", "recall"),
    *("specificity", "sensitivity_90", "sensitivity_95", "calibration_error", "flipped", "auc_lost"),
    *("engine_difference", "processor_features"),
    "attack_precision",
    *("classes", "weakest_class", "weakest_auc", "undefined", "class_aucs"),
    *("attacked_through", "auc_counted", "auc_counted_low", "auc_counted_high"),
    *("loss_budget_mv", "loss_budget_low_mv", "loss_budget_high_mv", "loss_budget"),
    *("chance_budget_mv", "chance_budget_low_mv", "chance_budget_high_mv", "chance_budget"),
    *("proof", "proved_auc", "proved_auc_low", "proved_auc_high", "proof_gap"),
    *("proved_decided", "proved_sensitivity", "proved_specificity"),
]
# What depends on a file's other budgets, and on the file that it is held to.
COUNTED = KEYS[KEYS.index("attacked_through") : KEYS.index("proof")]
MEASURED = ("n", "auc", "auc_low", "auc_high", "latency_p50_ms", "latency_p99_ms", "load_ms", "peak_rss_mb")


def row_of(evaluation: Evaluation, artifact: str, method: str | None, epsilon: float | None, device: str) -> Row:
    found = [
        row
        for row in evaluation.rows
        if (row.artifact, row.method, row.budget_mv, row.device) == (artifact, method, epsilon, device)
    ]
    assert len(found) == 1
    return found[0]


def clean_row(evaluation: Evaluation, artifact: str = "cnn/onnx-fp32", device: str = "host") -> Row:
    return row_of(evaluation, artifact, "clean", 0.0, device)


def result_of(build: Path, artifact: str = "cnn/onnx-fp32", signals: str = "clean", device: str = "host") -> Path:
    return build / "results" / device / artifact.replace("/", "__") / f"{signals}.json"


def parts(build: Path, head: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, dict[str, Any], dict[str, Any]]:
    """Labels, patients, and artifacts and signal sets by name."""
    artifacts = {each["name"]: each for each in head["artifacts"]}
    signals = {each["name"]: each for each in head["signals"]}
    return np.load(build / "bundle/labels.npy"), np.load(build / "bundle/patients.npy"), artifacts, signals


def add_device(build: Path, head: dict[str, Any], name: str, evidence: str) -> None:
    """Every result on one more device, with scores of its own."""
    labels, _, artifacts, signals = parts(build, head)
    device = {"name": name, "evidence": evidence, "fingerprint": {"cpu": "Cortex-A72"}}
    for artifact in artifacts.values():
        for each in signals.values():
            scores = make_scores(labels, artifact, each, strength=1.5)
            write_result(build / "results" / name, head, artifact, each, scores, device=device)


def test_the_keys_are_the_contract(tmp_path: Path) -> None:
    assert list(Row.model_fields) == KEYS
    make_build(tmp_path)
    for row in evaluate(tmp_path, 100).rows:
        assert list(row.model_dump()) == KEYS
        json.dumps(row.model_dump(), allow_nan=False)


def _lost(evaluation: Evaluation) -> dict[str, Any]:
    """What a clean row says of its file's loss budgets, from the AUCs of its rows."""
    names = ("clean", "worst-case-0.005mV", "worst-case-0.02mV")
    clean, *curve = (evaluation.resampled["host", "cnn/onnx-fp32", name] for name in names)
    found = loss_budgets((0.005, 0.02), np.stack(curve), clean)
    return {
        "attacked_through": "itself",
        **dict.fromkeys(("auc_counted", "auc_counted_low", "auc_counted_high")),
        **dict(zip(COUNTED[4:8], (*found.lost.numbers, found.lost.text), strict=True)),
        **dict(zip(COUNTED[8:], (*found.chance.numbers, found.chance.text), strict=True)),
        **dict.fromkeys(KEYS[KEYS.index("proof") :]),  # nothing was certified
    }


def test_the_clean_row(tmp_path: Path) -> None:
    head = make_build(tmp_path)
    labels, patients, artifacts, signals = parts(tmp_path, head)
    evaluation = evaluate(tmp_path, 200, seed=3)
    scores = make_scores(labels, artifacts["cnn/onnx-fp32"], signals["clean"])
    expected = interval(scores, labels, patients, count=200, seed=3)
    result = json.loads(result_of(tmp_path).read_text())
    by_class = {}
    for k, name in enumerate(CLASSES):
        own = interval(scores[:, [k]], labels[:, [k]], patients, count=200, seed=3)
        by_class[name] = {"auc": own.estimate, "auc_low": own.low, "auc_high": own.high}
        by_class[name] |= {
            "recordings": int(labels[:, k].sum()),
            "patients": len(set(patients[labels[:, k] == 1])),
        }
    assert clean_row(evaluation).model_dump() == {
        "device": "host",
        "evidence": "measured-on-host",
        "model": "cnn",
        "recipe": "onnx-fp32",
        "source": None,
        "method": "clean",
        "budget_mv": 0.0,
        "n": 60,
        "auc": expected.estimate,
        "auc_low": expected.low,
        "auc_high": expected.high,
        "latency_p50_ms": result["latency_ms"]["p50"],
        "latency_p99_ms": result["latency_ms"]["p99"],
        "load_ms": 12.0,
        "peak_rss_mb": 80.5,
        "size_bytes": 1300,
        "runtime": "onnxruntime 1.31.1",
        "not_applicable": None,
        "note": "SYNTHETIC",
        "signals": "clean",
        "linf_mv": 0.0,
        "l2_mv": 0.0,
        "rms_mv": 0.0,
        "snr_db": None,
        "sigma": 0.0,
        "outside_band": 0.75,
        "second_difference": 0.0,
        "queries": None,
        "input_step_uv": None,
        "disagreement": None,
        "sets": None,
        "unreliable": None,
        "flags": None,
        "instructions": None,
        "score_difference": None,
        "marks": None,
        **asdict(metrics(scores, labels, Rules(False, (0.5, 0.6, 0.7), {}), scores)),
        "sensitivity_90": None,  # no thresholds of that specificity are in this bundle
        "sensitivity_95": None,
        "flipped": 0.0,
        "auc_lost": None,
        "engine_difference": None,
        "processor_features": None,
        "attack_precision": None,
        "classes": 3,
        "weakest_class": min(by_class, key=lambda name: by_class[name]["auc"]),
        "weakest_auc": min(each["auc"] for each in by_class.values()),
        "undefined": None,
        "class_aucs": by_class,
        **_lost(evaluation),
    }
    assert expected.low < expected.estimate < expected.high
    assert (evaluation.resamples, evaluation.patients) == (200, len(np.unique(patients)))


@pytest.mark.parametrize(
    ("signals", "source", "method"),
    [("pgd-cnn-0.02mV", "cnn", "pgd"), ("random-sign-0.02mV", None, "random-sign")],
)
def test_attacked_and_control_rows(tmp_path: Path, signals: str, source: str | None, method: str) -> None:
    head = make_build(tmp_path)
    labels, _, artifacts, by_name = parts(tmp_path, head)
    row = row_of(evaluate(tmp_path, 100), "cnn/onnx-fp32", method, 0.02, "host")
    assert row.source == source
    assert row.auc == macro_auc(make_scores(labels, artifacts["cnn/onnx-fp32"], by_name[signals]), labels)
    assert all(getattr(row, key) is not None for key in MEASURED)


def test_one_row_an_artifact_signal_set_and_device_and_one_for_what_is_no_file(tmp_path: Path) -> None:
    head = make_build(tmp_path, models=("cnn", "decision-tree"), sources=("cnn", "lstm"))
    rows = [row for row in evaluate(tmp_path, 100).rows if row.method != "worst-case"]
    assert len(rows) == len(head["artifacts"]) * len(head["signals"]) + 1 == 3 * 7 + 1
    left_out = {
        "model": "decision-tree",
        "recipe": "onnx-int8-static",
        "not_applicable": "no int8 tree",
        "note": "SYNTHETIC",
    }
    assert rows[-1].model_dump() == dict.fromkeys(KEYS) | left_out
    assert not rows[-1].failed


def test_a_failed_run_has_its_reason_and_no_number(tmp_path: Path) -> None:
    head = make_build(tmp_path)
    _, _, artifacts, signals = parts(tmp_path, head)
    write_result(tmp_path / "results" / "host", head, artifacts["cnn/onnx-fp32"], signals["clean"], None)
    evaluation = evaluate(tmp_path, 100)
    row = clean_row(evaluation)
    assert row.failed
    assert row.not_applicable == "failed: engine: operator not known"
    assert [getattr(row, key) for key in MEASURED] == [None] * len(MEASURED)
    assert (row.evidence, row.size_bytes, row.runtime) == ("measured-on-host", 1300, "onnxruntime 1.31.1")
    assert evaluation.differences == ()  # nothing left to compare the quantized one with


def test_an_engine_that_is_not_installed_has_a_name_and_no_version(tmp_path: Path) -> None:
    head = make_build(tmp_path)
    _, _, artifacts, signals = parts(tmp_path, head)
    engine = {"name": "tflite", "version": None, "threads": None}
    write_result(tmp_path / "results" / "host", head, artifacts["cnn/onnx-fp32"], signals["clean"], None, engine=engine)
    assert clean_row(evaluate(tmp_path, 100)).runtime == "tflite"


def test_missing_and_stale_results_are_rows_with_nothing_measured(tmp_path: Path) -> None:
    make_build(tmp_path)
    result_of(tmp_path).unlink()
    change_json(result_of(tmp_path, signals="pgd-cnn-0.02mV"), artifact__sha256="0" * 64)
    evaluation = evaluate(tmp_path, 100)
    missing = clean_row(evaluation)
    stale = row_of(evaluation, "cnn/onnx-fp32", "pgd", 0.02, "host")
    for row in (missing, stale):
        assert [getattr(row, key) for key in ("evidence", *MEASURED, "not_applicable")] == [None] * 10
        assert row.device == "host"
        assert not row.failed
    assert missing.note == "SYNTHETIC"
    assert stale.note == "SYNTHETIC; stale, not used: measured on another version of the artifact"
    assert [each.key for each in evaluation.stale] == [("cnn/onnx-fp32", "pgd-cnn-0.02mV")]


def test_no_results_at_all_leaves_rows_with_nothing_measured(tmp_path: Path) -> None:
    make_build(tmp_path, models=("decision-tree",))
    for path in tmp_path.glob("results/host/*/*"):
        path.unlink()
    evaluation = evaluate(tmp_path, 100)
    assert evaluation.devices == ()
    assert [row.device for row in evaluation.rows] == ["host"] * 5 + [None]
    assert not (tmp_path / "rows").exists()


def test_a_damaged_result_stops_the_evaluation(tmp_path: Path) -> None:
    make_build(tmp_path)
    result_of(tmp_path).with_suffix(".npy").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"onnx-fp32/clean\.npy"):
        evaluate(tmp_path, 100)
    assert not (tmp_path / "rows").exists()


def test_one_patient_has_no_interval_and_labels_of_one_side_no_auc(tmp_path: Path) -> None:
    head = make_build(tmp_path, patients=1)
    row = clean_row(evaluate(tmp_path, 100))
    assert row.auc is not None
    assert (row.auc_low, row.auc_high) == (None, None)
    bundle = tmp_path / "bundle"
    write_array(bundle / "labels.npy", np.zeros((60, 3), np.uint8))
    change_json(bundle / "bundle.json", files=head["files"] | {"labels.npy": entry(bundle / "labels.npy")})
    evaluation = evaluate(tmp_path, 100)
    row = clean_row(evaluation)
    assert (row.auc, row.auc_low, row.auc_high) == (None, None, None)
    assert row.latency_p50_ms is not None
    assert evaluation.differences == ()


@pytest.mark.parametrize(
    ("synthetic", "note", "said"),
    [
        (True, "SYNTHETIC", "SYNTHETIC"),
        (True, None, "SYNTHETIC"),
        (True, "  ", "SYNTHETIC"),
        (True, "12 records", "SYNTHETIC; 12 records"),
        (False, "subset of 2,943 records", "subset of 2,943 records"),
        (False, None, None),
        (False, "", None),
    ],
)
def test_the_note_stands_in_every_row(tmp_path: Path, synthetic: bool, note: str | None, said: str | None) -> None:
    make_build(tmp_path, models=("cnn", "decision-tree"), synthetic=synthetic, note=note)
    evaluation = evaluate(tmp_path, 100)
    assert evaluation.note == said
    assert {row.note for row in evaluation.rows} == {said}


def test_the_note_of_an_artifact_stands_in_its_rows(tmp_path: Path) -> None:
    head = make_build(tmp_path)
    artifacts = [each | {"note": f"odd: {each['recipe']}"} for each in head["artifacts"]]
    change_json(tmp_path / "bundle" / "bundle.json", artifacts=artifacts)
    for row in evaluate(tmp_path, 100).rows:
        assert row.note == f"SYNTHETIC; odd: {row.recipe}"


def fail(*_: object) -> None:
    raise AssertionError("intervals were computed again")


def test_a_second_look_computes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_build(tmp_path)
    first = evaluate(tmp_path, 100)
    monkeypatch.setattr(pulseproof.report.numbers.resampled, "resampled_aucs", fail)
    assert evaluate(tmp_path, 100) == first


@pytest.mark.parametrize("change", ["resamples", "seed", "statistics", "kept file", "labels", "patients"])
def test_intervals_are_made_again_when_what_they_depend_on_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    head = make_build(tmp_path)
    first = evaluate(tmp_path, 100)
    resamples, seed = 100, 1
    if change == "resamples":
        resamples = 101
    elif change == "seed":
        seed = 2
    elif change == "statistics":
        monkeypatch.setattr(
            pulseproof.report.numbers.resampled, "STATISTICS", pulseproof.report.numbers.resampled.STATISTICS + 1
        )
    elif change == "kept file":
        path = tmp_path / "rows" / "host" / "cnn__onnx-fp32.aucs.npy"
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    else:
        path = tmp_path / "bundle" / f"{change}.npy"
        write_array(path, np.roll(np.load(path), 1, axis=0))
        change_json(tmp_path / "bundle" / "bundle.json", files=head["files"] | {path.name: entry(path)})
    calls = []
    monkeypatch.setattr(
        pulseproof.report.numbers.resampled, "resampled_aucs", lambda *a: calls.append(1) or resampled_aucs(*a)
    )
    again = evaluate(tmp_path, resamples, seed)
    lines = 5 + 2  # signal sets, and a worst case a budget
    assert len(calls) == (lines if change == "kept file" else 2 * lines)
    assert (again.rows == first.rows) == (change in ("kept file", "statistics"))


def test_kept_numbers_of_another_evaluation_are_not_mixed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two evaluations of one study at a time, with another number of resamples: the later one's files are refused."""
    make_build(tmp_path)
    evaluate(tmp_path, 100)
    monkeypatch.setattr(
        pulseproof.report.numbers.resampled.Step, "fresh", lambda _: True
    )  # as if they were written after this look
    with pytest.raises(InputError, match=r"onnx-fp32\.aucs\.npy: written by another evaluation"):
        evaluate(tmp_path, 200)


def test_decisions_are_counted_again_when_a_threshold_changed(tmp_path: Path) -> None:
    head = make_build(tmp_path)
    first = clean_row(evaluate(tmp_path, 100))
    artifacts = [each | {"thresholds": [9.0, 9.0, 9.0]} for each in head["artifacts"]]
    change_json(tmp_path / "bundle" / "bundle.json", artifacts=artifacts)
    again = clean_row(evaluate(tmp_path, 100))
    assert (again.recall, again.specificity) == (0.0, 1.0)
    assert first.recall is not None and first.recall > 0
    assert (again.auc, again.auc_low) == (first.auc, first.auc_low)


def test_sensitivity_is_given_where_the_bundle_has_its_thresholds(tmp_path: Path) -> None:
    head = make_build(tmp_path)
    fixed = {"0.90": [1.5, 1.5, 1.5]}
    artifacts = [each | {"specificity_thresholds": fixed} for each in head["artifacts"]]
    change_json(tmp_path / "bundle" / "bundle.json", artifacts=artifacts)
    labels, _, by_name, signals = parts(tmp_path, head)
    scores = make_scores(labels, by_name["cnn/onnx-fp32"], signals["clean"])
    row = clean_row(evaluate(tmp_path, 100))
    assert row.sensitivity_90 == pytest.approx(
        np.mean([(scores[labels[:, k] == 1, k] >= 1.5).mean() for k in range(3)])
    )
    assert row.sensitivity_95 is None


def test_attacked_rows_say_what_was_lost_and_how_many_recordings_flipped(tmp_path: Path) -> None:
    head = make_build(tmp_path, further=(("apgd", "cnn"),))
    labels, _, artifacts, signals = parts(tmp_path, head)
    artifact = artifacts["cnn/onnx-fp32"]
    evaluation = evaluate(tmp_path, 100)
    before = make_scores(labels, artifact, signals["clean"])
    attacked = [make_scores(labels, artifact, signals[f"{method}-cnn-0.02mV"]) for method in ("pgd", "apgd")]
    worst = worst_case(np.stack(attacked), labels).scores
    rules = Rules(False, (0.5, 0.6, 0.7), {})
    for method, after in (("pgd", attacked[0]), ("worst-case", worst)):
        row = row_of(evaluation, "cnn/onnx-fp32", method, 0.02, "host")
        flips = ((before >= (0.5, 0.6, 0.7)) != (after >= (0.5, 0.6, 0.7))).any(axis=1).mean()
        assert row.flipped == pytest.approx(flips)
        assert row.flipped > 0
        assert row.auc_lost == pytest.approx(macro_auc(before, labels) - macro_auc(after, labels))
        assert row.f1 == pytest.approx(metrics(after, labels, rules).f1)
    assert clean_row(evaluation).flipped == 0.0


def test_each_class_has_its_auc_and_interval(tmp_path: Path) -> None:
    head = make_build(tmp_path)
    labels, patients, artifacts, signals = parts(tmp_path, head)
    evaluation = evaluate(tmp_path, 150, seed=2)
    found = class_aucs(evaluation, [clean_row(evaluation)])
    scores = make_scores(labels, artifacts["cnn/onnx-fp32"], signals["clean"])
    assert [each.name for each in found] == list(head["task"]["classes"])
    for k, each in enumerate(found):
        expected = interval(scores[:, [k]], labels[:, [k]], patients, count=150, seed=2)
        assert (each.auc, each.auc_low, each.auc_high) == (expected.estimate, expected.low, expected.high)
        assert each.recordings == labels[:, k].sum()
        assert each.patients == len(np.unique(patients[labels[:, k] == 1]))
    assert len(class_aucs(evaluation)) == 3 * sum(row.auc is not None for row in evaluation.rows)
    assert as_csv(found).count("\n") == 4


def test_a_new_result_makes_only_its_own_artifact_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = make_build(tmp_path)
    labels, patients, artifacts, signals = parts(tmp_path, head)
    first = evaluate(tmp_path, 100)
    kept = {path: path.read_bytes() for path in (tmp_path / "rows").rglob("*fp32*")}
    scores = make_scores(labels, artifacts["cnn/onnx-int8-static"], signals["clean"], strength=0.5)
    write_result(tmp_path / "results" / "host", head, artifacts["cnn/onnx-int8-static"], signals["clean"], scores)
    calls = []
    monkeypatch.setattr(
        pulseproof.report.numbers.resampled, "resampled_aucs", lambda *a: calls.append(1) or resampled_aucs(*a)
    )
    again = evaluate(tmp_path, 100)
    assert len(calls) == 5 + 2
    assert {path: path.read_bytes() for path in kept} == kept
    assert clean_row(again) == clean_row(first)
    row, expected = clean_row(again, "cnn/onnx-int8-static"), interval(scores, labels, patients, count=100)
    assert (row.auc, row.auc_low, row.auc_high) == (expected.estimate, expected.low, expected.high)


def test_kept_rows_stay_in_step_with_the_results_that_are_there(tmp_path: Path) -> None:
    """A result that vanishes must not shift its neighbours' numbers into its place."""
    make_build(tmp_path)
    first = evaluate(tmp_path, 100)
    result_of(tmp_path, signals="pgd-cnn-0.005mV").unlink()
    again = {(row.artifact, row.signals): row for row in evaluate(tmp_path, 100).rows}
    for old in first.rows:
        new = again.pop((old.artifact, old.signals), None)
        if (old.artifact, old.signals) == ("cnn/onnx-fp32", "worst-case-0.005mV"):
            assert new is None  # of the only attack at that budget
        elif (old.artifact, old.signals) == ("cnn/onnx-fp32", "pgd-cnn-0.005mV"):
            assert new is not None and new.auc is None
        elif (old.artifact, old.signals) == ("cnn/onnx-int8-static", "pgd-cnn-0.005mV"):
            assert new == old.model_copy(update={"disagreement": None})  # nothing left to compare it with
        elif old.signals in ("clean", "worst-case-0.005mV"):  # fewer budgets; nothing left to be held to
            assert new is not None and new.model_copy(update=dict.fromkeys(COUNTED)) == old.model_copy(
                update=dict.fromkeys(COUNTED)
            )
        else:
            assert new == old
    assert again == {}


def test_a_difference_is_int_minus_float_of_one_format_in_pairs(tmp_path: Path) -> None:
    recipes = ("onnx-fp32", "onnx-int8-static", "tflite-fp32", "tflite-int8-dynamic")
    head = make_build(tmp_path, models=("cnn", "lstm"), recipes=recipes)
    labels, patients, artifacts, signals = parts(tmp_path, head)
    found = evaluate(tmp_path, 150, seed=4).differences
    assert [(each.artifact, each.parent) for each in found] == [
        (f"{model}/{child}", f"{model}/{parent}")
        for model in ("cnn", "lstm")
        for child, parent in (("onnx-int8-static", "onnx-fp32"), ("tflite-int8-dynamic", "tflite-fp32"))
    ]
    for each in found:
        scores = [make_scores(labels, artifacts[name], signals["clean"]) for name in (each.artifact, each.parent)]
        expected = difference(*scores, labels, patients, count=150, seed=4)
        assert (each.estimate, each.low, each.high) == (expected.estimate, expected.low, expected.high)
        assert math.isfinite(expected.low)


def test_without_its_float_parent_nothing_is_compared(tmp_path: Path) -> None:
    make_build(tmp_path / "a", recipes=("onnx-int8-static", "tflite-fp32"))
    assert evaluate(tmp_path / "a", 100).differences == ()
    make_build(tmp_path / "b")
    change_json(result_of(tmp_path / "b"), artifact__sha256="0" * 64)
    assert evaluate(tmp_path / "b", 100).differences == ()


def test_two_devices_have_rows_intervals_and_differences_of_their_own(tmp_path: Path) -> None:
    head = make_build(tmp_path)
    alone = evaluate(tmp_path, 100)
    add_device(tmp_path, head, "pi4", "measured-on-device")
    both = evaluate(tmp_path, 100)
    assert [(each.name, each.evidence) for each in both.devices] == [
        ("host", "measured-on-host"),
        ("pi4", "measured-on-device"),
    ]
    assert tuple(row for row in both.rows if row.device == "host") == alone.rows
    pi4 = [row for row in both.rows if row.device == "pi4"]
    assert len(pi4) == len(alone.rows)
    assert {row.evidence for row in pi4} == {"measured-on-device"}
    assert clean_row(both, device="pi4").auc != clean_row(both).auc
    assert [each.device for each in both.differences] == ["host", "pi4"]
    labels, patients, artifacts, signals = parts(tmp_path, head)
    scores = make_scores(labels, artifacts["cnn/onnx-fp32"], signals["clean"], strength=1.5)
    expected = interval(scores, labels, patients, count=100)
    row = clean_row(both, device="pi4")
    assert (row.auc, row.auc_low, row.auc_high) == (expected.estimate, expected.low, expected.high)


def test_a_row_refuses_what_json_cannot_hold() -> None:
    with pytest.raises(ValueError, match="finite"):
        Row(model="cnn", recipe="onnx-fp32", auc=math.nan)


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ("onnx-fp32", False),
        ("onnx-fp16", True),
        ("tflite-fp32", False),
        ("onnx-int8-static", True),
        ("onnx-int8-dynamic", True),
        ("tflite-int8-dynamic", True),
        ("tflite-int16x8", True),
    ],
)
def test_what_counts_as_quantized(recipe: str, expected: bool) -> None:
    assert is_quantized(recipe) is expected


def worst_rows(evaluation: Evaluation, artifact: str) -> list[Row]:
    return [row for row in evaluation.rows if row.artifact == artifact and row.method == "worst-case"]


def test_the_worst_case_of_one_attack_is_that_attack(tmp_path: Path) -> None:
    make_build(tmp_path)
    evaluation = evaluate(tmp_path, 100)
    for row, budget in zip(worst_rows(evaluation, "cnn/onnx-fp32"), (0.005, 0.02), strict=True):
        alone = row_of(evaluation, "cnn/onnx-fp32", "pgd", budget, "host")
        assert (row.auc, row.auc_low, row.auc_high) == (alone.auc, alone.auc_low, alone.auc_high)
        assert (row.budget_mv, row.source, row.sets, row.n) == (budget, None, 1, 60)
        assert (row.evidence, row.size_bytes, row.runtime) == (alone.evidence, alone.size_bytes, alone.runtime)
        assert row.latency_p50_ms is None  # nobody ran it


def test_the_worst_case_takes_each_recording_as_what_hurts_most_and_no_control(tmp_path: Path) -> None:
    further = [("ensemble", "without-cnn"), ("square", "cnn/onnx-fp32"), ("pgd-l2", "cnn")]
    head = make_build(tmp_path, sources=("cnn", "lstm"), further=further, budgets=(0.02,))
    labels, patients, artifacts, signals = parts(tmp_path, head)
    rng = np.random.default_rng(5)
    scores = {}
    for name, each in signals.items():
        scores[name] = (
            labels * rng.normal(1, 1, labels.shape) - (9 if each["method"] in ("random-sign", "pgd-l2") else 0) * labels
        ).astype(np.float32)
        write_result(tmp_path / "results" / "host", head, artifacts["cnn/onnx-fp32"], each, scores[name])
    evaluation = evaluate(tmp_path, 100, seed=2)
    (row,) = worst_rows(evaluation, "cnn/onnx-fp32")
    counted = ["pgd-cnn-0.02mV", "pgd-lstm-0.02mV", "ensemble-without-cnn-0.02mV", "square-cnn.onnx-fp32-0.02mV"]
    expected = worst_case(np.stack([scores[name] for name in counted]), labels)
    assert row.sets == 4
    assert row.auc == expected.auc < min(macro_auc(scores[name], labels) for name in counted)
    assert row.auc > macro_auc(scores["random-sign-0.02mV"], labels)  # noise and another ball are no part of it
    found = interval(expected.scores, labels, patients, count=100, seed=2)
    assert (row.auc_low, row.auc_high) == (found.low, found.high)


def test_a_worst_case_with_an_attack_missing_says_so(tmp_path: Path) -> None:
    make_build(tmp_path, sources=("cnn", "lstm"), budgets=(0.02,))
    result_of(tmp_path, signals="pgd-lstm-0.02mV").unlink()
    (row,) = worst_rows(evaluate(tmp_path, 100), "cnn/onnx-fp32")
    assert (row.sets, row.note) == (1, "SYNTHETIC; over 1 of 2 attacks")
    result_of(tmp_path, signals="pgd-cnn-0.02mV").unlink()
    assert worst_rows(evaluate(tmp_path, 100), "cnn/onnx-fp32") == []


def test_what_was_made_on_a_file_is_a_row_of_the_files_of_that_model_alone(tmp_path: Path) -> None:
    make_build(tmp_path, models=("cnn", "lstm"), further=[("twin", "cnn/onnx-int8-static")], budgets=(0.02,))
    evaluation = evaluate(tmp_path, 100)
    twins = [row for row in evaluation.rows if row.method == "twin"]
    assert [row.artifact for row in twins] == ["cnn/onnx-fp32", "cnn/onnx-int8-static"]
    assert all(row.auc is not None for row in twins)
    assert {row.artifact: row.sets for row in evaluation.rows if row.sets} == {
        "cnn/onnx-fp32": 2,
        "cnn/onnx-int8-static": 2,
        "lstm/onnx-fp32": 1,
        "lstm/onnx-int8-static": 1,
    }


def test_a_row_describes_its_signal_set_and_the_step_of_its_file(tmp_path: Path) -> None:
    make_build(tmp_path, further=[("square", "cnn/onnx-int8-static")], budgets=(0.02,))
    evaluation = evaluate(tmp_path, 100)
    row = row_of(evaluation, "cnn/onnx-int8-static", "square", 0.02, "host")
    assert (row.signals, row.queries) == ("square-cnn.onnx-int8-static-0.02mV", 480.5)
    assert (row.linf_mv, row.l2_mv, row.rms_mv, row.snr_db, row.sigma) == (0.02, 0.04, 0.02, 20.5, 0.08)
    assert row.input_step_uv == pytest.approx(52)
    assert row_of(evaluation, "cnn/onnx-fp32", "square", 0.02, "host").input_step_uv is None


@pytest.mark.parametrize("exclusive", [False, True])
def test_where_a_quantized_file_decides_otherwise_than_its_float_parent(tmp_path: Path, exclusive: bool) -> None:
    head = make_build(tmp_path, budgets=(0.02,))
    change_json(tmp_path / "bundle" / "bundle.json", task__exclusive=exclusive)
    _, _, artifacts, signals = parts(tmp_path, head)
    scores = np.tile(np.array([[0.4, 0.9, 0.1]], np.float32), (60, 1))  # no, yes, no; the second class is the highest
    changed = scores.copy()
    changed[:6, 0] = 0.5  # at its threshold: yes
    changed[6:9, 2] = 2.0  # yes, and the highest
    changed[9:12, 1] = 0.7  # moved, decided alike
    for name, each in (("cnn/onnx-fp32", scores), ("cnn/onnx-int8-static", changed)):
        write_result(tmp_path / "results" / "host", head, artifacts[name], signals["clean"], each)
    evaluation = evaluate(tmp_path, 100)
    assert clean_row(evaluation, "cnn/onnx-int8-static").disagreement == pytest.approx(3 / 60 if exclusive else 9 / 60)
    assert clean_row(evaluation, "cnn/onnx-fp32").disagreement is None
    result_of(tmp_path).unlink()
    assert clean_row(evaluate(tmp_path, 100), "cnn/onnx-int8-static").disagreement is None


def test_differences_of_rows_are_paired(tmp_path: Path) -> None:
    head = make_build(tmp_path, budgets=(0.02,))
    labels, patients, artifacts, signals = parts(tmp_path, head)
    evaluation = evaluate(tmp_path, 100, seed=6)
    attacked = row_of(evaluation, "cnn/onnx-fp32", "pgd", 0.02, "host")
    scores = [make_scores(labels, artifacts["cnn/onnx-fp32"], signals[name]) for name in ("pgd-cnn-0.02mV", "clean")]
    expected = difference(*scores, labels, patients, count=100, seed=6)
    assert evaluation.difference(attacked, clean_row(evaluation)) == expected
    assert evaluation.difference(attacked, None) is None
    assert evaluation.difference(attacked, Row(model="cnn", recipe="onnx-fp32")) is None


FLAGS = {
    # the flag, and the rows (artifact, method, budget) that it makes unreliable
    "one attack": (
        flag("unsettled", "cnn", source="cnn", method="pgd", budget_mv=0.02),
        {
            (name, method, 0.02)
            for name in ("cnn/onnx-fp32", "cnn/onnx-int8-static")
            for method in ("pgd", "worst-case")
        },
    ),
    "one file": (
        flag("twin-differs", "cnn/onnx-int8-static", source="cnn", method="pgd", budget_mv=0.005),
        {("cnn/onnx-int8-static", method, 0.005) for method in ("pgd", "worst-case")},
    ),
    "any attack": (
        flag("no-white-box", "lstm"),
        {
            (f"lstm/{recipe}", method, budget)
            for recipe in ("onnx-fp32", "onnx-int8-static")
            for method in ("pgd", "worst-case")
            for budget in (0.005, 0.02)
        },
    ),
    "a weak attack": (  # the worst case goes by others: it is as reliable as before
        flag("no-better-than-noise", "cnn", source="cnn", method="pgd", budget_mv=0.02),
        {(name, "pgd", 0.02) for name in ("cnn/onnx-fp32", "cnn/onnx-int8-static")},
    ),
    "nobody here": (flag("unsettled", "resnet"), set()),
    "another source": (
        flag("unsettled", "cnn", source="lstm", method="pgd", budget_mv=0.02),
        {(name, "worst-case", 0.02) for name in ("cnn/onnx-fp32", "cnn/onnx-int8-static")},
    ),
}


@pytest.mark.parametrize("what", FLAGS)
def test_a_flag_makes_the_rows_that_it_concerns_unreliable(tmp_path: Path, what: str) -> None:
    raised, expected = FLAGS[what]
    make_build(tmp_path, models=("cnn", "lstm"))
    audit(tmp_path, raised)
    evaluation = evaluate(tmp_path, 100)
    rows = evaluation.rows
    found = {(row.artifact, row.method, row.budget_mv) for row in rows if raised.name in (row.flags or "").split(", ")}
    others = [each for each in evaluation.flags.raised if each.name == raised.name and each != raised]
    assert found == expected | {  # what was measured raises the same of the model that nobody attacked
        (row.artifact, row.method, row.budget_mv) for row in rows for each in others if concerned(each, row)
    }
    assert all((row.flags is not None) == bool(row.unreliable) for row in rows)
    for row in rows:  # clean recordings and noise are no attacks
        assert (row.unreliable is None) == (row.method in ("clean", "random-sign"))


def concerned(each: FlagEntry, row: Row) -> bool:
    attack = row.source is not None or row.method == "worst-case"
    return attack and each.target in (row.model, row.artifact) and each.budget_mv in (None, row.budget_mv)


def test_without_an_audit_nothing_is_called_reliable(tmp_path: Path) -> None:
    make_build(tmp_path)
    evaluation = evaluate(tmp_path, 100)
    assert {row.unreliable for row in evaluation.rows} == {None, True}  # never False
    assert {row.flags for row in evaluation.rows if row.unreliable} == {"not-at-collapse"}
    assert evaluation.no_audit == NONE
    make_build(tmp_path / "calm", budgets=())
    assert evaluate(tmp_path / "calm", 100).no_audit is None  # there is nothing to audit


@pytest.mark.parametrize("other", [{"study": "another"}, {"lost": "pgd-cnn-0.02mV"}])
def test_an_audit_of_other_attacks_is_not_believed(tmp_path: Path, other: dict[str, str]) -> None:
    make_build(tmp_path)
    audit(tmp_path, flag("unsettled", "cnn"), **other)
    evaluation = evaluate(tmp_path, 100)
    assert evaluation.audit is None
    assert {row.unreliable for row in evaluation.rows} == {None, True}
    assert not any("unsettled" in (row.flags or "") for row in evaluation.rows)
    assert evaluation.no_audit == OTHER


def test_a_damaged_audit_is_refused(tmp_path: Path) -> None:
    make_build(tmp_path)
    (tmp_path / "audit.json").write_text('{"format": 1, "flags": 3}')
    with pytest.raises(InputError, match=r"audit\.json"):
        evaluate(tmp_path, 100)
