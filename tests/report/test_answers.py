"""Each sentence is written when the statistics carry it and is not when they do not: small studies whose truth is
known, by what was put into their scores."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulseproof.report.answers.front import choose, pareto
from pulseproof.report.answers.questions import answers
from pulseproof.report.answers.types import Answers, FrontPoint
from tests.bench.making import audit, change_json, flag
from tests.report.making_answers import BUDGET, Strength, evaluated, put, set_latency, study

IDS = ["ship", "cure", "quantization", "transfer", "classical", "doubt"]


def said(found: Answers, question: str) -> str:
    """The sentences of one question, as one text."""
    (asked,) = [each for each in found.questions if each.id == question]
    return " ".join(each.text for each in asked.sentences)


def by(values: dict[str, float], attacked: dict[str, float] | None = None) -> Strength:
    """Clean strength by model or artifact, and under an attack on the model itself; noise and other attacks do
    nothing."""

    def strength(artifact: dict[str, Any], signals: dict[str, Any]) -> float:
        table = attacked if attacked is not None and signals["source"] is not None else values
        return table.get(artifact["name"], table.get(artifact["model"], 1.5))

    return strength


def test_the_questions_stand_in_their_order_and_every_sentence_has_its_evidence(tmp_path: Path) -> None:
    study(tmp_path, by({"cnn": 2.0}, {"cnn": 0.5}))
    found = answers(evaluated(tmp_path))
    assert [each.id for each in found.questions] == IDS
    assert all(one.text.endswith(".") and one.evidence for each in found.questions for one in each.sentences)


# --- which file to ship


def test_the_fastest_of_the_files_that_are_as_good_is_recommended(tmp_path: Path) -> None:
    study(tmp_path, by({"cnn": 2.0}, {"cnn": 1.5}), jitter=0.01)
    set_latency(tmp_path, onnx_fp32=2.0, onnx_int8_static=0.5)
    found = answers(evaluated(tmp_path))
    assert found.recommendation is not None
    assert (found.recommendation.artifact, found.recommendation.device) == ("cnn/onnx-int8-static", "host")
    assert (found.recommendation.budget_mv, found.recommendation.cost) == (BUDGET, "latency_p50_ms")
    assert "Ship cnn/onnx-int8-static" in said(found, "ship")
    assert "0.500 ms" in said(found, "ship")


@pytest.mark.parametrize("where", ["clean", "attacked"])
def test_a_fast_file_that_is_not_as_good_is_not_recommended(tmp_path: Path, where: str) -> None:
    good, bad = {"cnn": 2.0}, {"cnn": 2.0, "cnn/onnx-int8-static": 1.0}
    study(tmp_path, by(bad if where == "clean" else good, bad if where == "attacked" else good))
    set_latency(tmp_path, onnx_fp32=2.0, onnx_int8_static=0.5)
    found = answers(evaluated(tmp_path))
    assert found.recommendation is not None
    assert found.recommendation.artifact == "cnn/onnx-fp32"
    assert {point.artifact: point.on_front for point in found.recommendation.front} == {
        "cnn/onnx-fp32": True,
        "cnn/onnx-int8-static": True,  # it is faster and smaller
    }


@pytest.mark.parametrize(("attacked", "broken"), [(-1.0, True), (-0.1, False), (1.5, False)])
def test_that_a_budget_breaks_the_file_is_said_only_when_its_interval_lies_below_chance(
    tmp_path: Path, attacked: float, broken: bool
) -> None:
    study(tmp_path, by({"cnn": 2.0}, {"cnn": attacked}))
    found = answers(evaluated(tmp_path))
    assert ("worse than chance" in said(found, "ship")) == broken
    assert found.recommendation is not None
    assert ((found.recommendation.front[0].auc_attacked or 0) < 0.5) == (attacked < 0)  # which alone does not say it
    assert ("Nor does any other of the 2 files" in said(found, "ship")) == broken
    assert "The worst case at 0.02 mV changes its AUC by -." in said(found, "ship")  # broken or not


def test_what_attacks_take_is_not_said_where_it_is_not_decided(tmp_path: Path) -> None:
    study(tmp_path, by({"cnn": 2.0}, {"cnn": 1.95}), jitter=0.6, n=60, patients=60)
    found = answers(evaluated(tmp_path))
    lost = [each for each in found.comparisons if each.kind == "attacked-minus-clean"]
    assert found.recommendation is not None
    (own,) = [each for each in lost if each.a == found.recommendation.artifact]
    assert own.verdict == "undecided" and "changes its AUC" not in said(found, "ship")


@pytest.mark.parametrize(("forest", "better"), [(1.2, True), (0.2, False)])
def test_a_file_that_withstands_more_is_named_only_when_it_surely_does(
    tmp_path: Path, forest: float, better: bool
) -> None:
    models = ("cnn", "random-forest")
    clean, attacked = {"cnn": 2.0, "random-forest": 1.0}, {"cnn": 0.2, "random-forest": forest}
    study(tmp_path, by(clean, attacked), models=models, sources=models)
    found = answers(evaluated(tmp_path))
    assert found.recommendation is not None and found.recommendation.artifact.startswith("cnn/")
    text = said(found, "ship")
    assert ("random-forest/onnx-fp32 withstands attacks better than it" in text) == better
    assert ("random-forest/onnx-fp32 loses" in text) == better  # what that costs on clean recordings


def test_the_files_without_an_attack_are_chosen_among_by_clean_auc(tmp_path: Path) -> None:
    study(tmp_path, by({"cnn": 2.0}), budgets=(), controls=())
    found = answers(evaluated(tmp_path))
    assert found.recommendation is not None
    assert found.recommendation.budget_mv is None
    assert "worst" not in said(found, "ship")
    assert said(found, "transfer") == ""


def test_no_file_that_was_measured_is_no_recommendation(tmp_path: Path) -> None:
    study(tmp_path, by({"cnn": 2.0}))
    for path in (tmp_path / "results/host").glob("*/clean.json"):
        path.unlink()
    found = answers(evaluated(tmp_path))
    assert found.recommendation is None
    assert said(found, "ship") == ""


def test_a_worst_case_that_lacks_attacks_is_not_compared(tmp_path: Path) -> None:
    study(tmp_path, by({"cnn": 2.0}, {"cnn": 1.5}), sources=("cnn", "lstm"), jitter=0.01)
    set_latency(tmp_path, onnx_fp32=2.0, onnx_int8_static=0.5)
    (tmp_path / f"results/host/cnn__onnx-int8-static/pgd-cnn-{BUDGET:g}mV.json").unlink()
    found = answers(evaluated(tmp_path))
    assert found.recommendation is not None
    assert found.recommendation.artifact == "cnn/onnx-fp32"
    (point,) = [each for each in found.recommendation.front if "int8" in each.artifact]
    assert (point.auc_attacked, point.on_front) == (None, False)


def points(*numbers: tuple[float, int, float, float]) -> list[FrontPoint]:
    return [FrontPoint(f"m/{at}", *each, on_front=False) for at, each in enumerate(numbers)]


def test_the_front_by_hand() -> None:
    some = points((1.0, 10, 0.9, 0.5), (2.0, 20, 0.9, 0.5), (2.0, 20, 0.9, 0.6), (0.5, 30, 0.8, 0.5))
    assert [each.on_front for each in pareto(some, 0.02)] == [True, False, True, True]
    lacking = [*some, replace(some[0], artifact="m/x", cost=None), replace(some[0], artifact="m/y", auc_attacked=None)]
    assert [each.on_front for each in pareto(lacking, 0.02)][4:] == [False, False]


NUMBERS = st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(0, 4), st.integers(0, 4))


@given(st.lists(NUMBERS, min_size=1, max_size=12))
def test_what_is_chosen_lies_on_the_front(numbers: list[tuple[int, int, int, int]]) -> None:
    some = points(*((cost, size, clean / 50, attacked / 50) for cost, size, clean, attacked in numbers))
    chosen = choose(some, 0.021)
    front = {each.artifact for each in pareto(some, 0.02) if each.on_front}
    assert chosen is not None and chosen.artifact in front
    assert chosen.auc_clean is not None and chosen.auc_clean >= max(each.auc_clean or 0 for each in some) - 0.021


# --- quantization


@pytest.mark.parametrize(
    ("int8", "jitter", "n", "words"),
    [
        (2.0, 0.01, 600, "1 of 1 quantized files have no difference of AUC as large as 0.01"),
        (1.2, 0.02, 600, "worse than their float file is cnn/onnx-int8-static"),
        (3.0, 0.02, 600, "better than their float file is cnn/onnx-int8-static"),
        (1.9, 0.6, 60, None),
    ],
)
def test_quantization(tmp_path: Path, int8: float, jitter: float, n: int, words: str | None) -> None:
    values = {"cnn": 2.0, "cnn/onnx-int8-static": int8}
    study(tmp_path, by(values, values), jitter=jitter, n=n, patients=n)
    found = answers(evaluated(tmp_path))
    text = said(found, "quantization")
    assert (words in text) if words else (text == "")
    assert ("are undecided" in said(found, "doubt")) == (words is None)


def test_a_quantized_file_that_looks_robust_is_doubted_when_the_audit_doubts_its_attacks(tmp_path: Path) -> None:
    attacked = {"cnn": -3.0, "cnn/onnx-int8-static": -2.0}
    study(tmp_path, by({"cnn": 2.0}, attacked))
    doubt = "The attacked AUC of cnn/onnx-int8-static may be too high"
    assert doubt not in said(answers(evaluated(tmp_path)), "quantization")
    audit(tmp_path, flag("zero-gradient", "cnn/onnx-int8-static"))
    assert doubt in said(answers(evaluated(tmp_path)), "quantization")


@pytest.mark.parametrize("itself", [False, True])
def test_a_file_that_was_not_attacked_itself_is_said_to_be_so(tmp_path: Path, itself: bool) -> None:
    study(tmp_path, by({"cnn": 2.0}, {"cnn": 1.0}), sources=("cnn", *(["cnn/onnx-int8-static"] if itself else [])))
    text = said(answers(evaluated(tmp_path)), "quantization")
    assert "In the worst case at 0.02 mV, 1 of 1 quantized files have no difference" in text
    assert ("1 of 1 were not attacked through their own graph" in text) == (not itself)


# --- transfer


def transferring(effect: float) -> Strength:
    """Attacks on the CNN take ``effect`` from the LSTM's strength; its own take 1.5 and noise nothing."""

    def strength(artifact: dict[str, Any], signals: dict[str, Any]) -> float:
        if signals["source"] is None:
            return 2.0
        return 2.0 - (1.5 if artifact["model"] == signals["source"] else effect)

    return strength


@pytest.mark.parametrize(
    ("effect", "jitter", "n", "words"),
    [
        (0.8, 0.02, 600, "PGD attacks made on cnn at 0.02 mV transfer to lstm (-"),
        (0.0, 0.02, 600, "PGD attacks made on cnn at 0.02 mV harm lstm by less than 0.01 more than random signs do"),
        (0.05, 0.6, 60, None),
    ],
)
def test_transfer(tmp_path: Path, effect: float, jitter: float, n: int, words: str | None) -> None:
    study(tmp_path, transferring(effect), models=("cnn", "lstm"), n=n, patients=n, jitter=jitter)
    text = said(answers(evaluated(tmp_path)), "transfer")
    assert (words in text) if words else (text == "")


def test_without_the_control_nothing_is_said_of_transfer(tmp_path: Path) -> None:
    study(tmp_path, transferring(0.8), models=("cnn", "lstm"), controls=())
    assert said(answers(evaluated(tmp_path)), "transfer") == ""


# --- deep against classical


def test_deep_against_classical_clean_and_attacked(tmp_path: Path) -> None:
    clean, attacked = {"cnn": 2.5, "random-forest": 1.0}, {"cnn": 0.0, "random-forest": 0.8}
    study(tmp_path, by(clean, attacked), models=("cnn", "random-forest"))
    text = said(answers(evaluated(tmp_path)), "classical")
    assert "cnn on clean recordings has a higher AUC than random-forest (+" in text
    assert "cnn in the worst case at 0.02 mV has a lower AUC than random-forest (-" in text
    assert "random-forest was attacked by transfer and queries only" in text


def test_models_that_were_attacked_by_their_gradient_are_not_excused(tmp_path: Path) -> None:
    models = ("cnn", "random-forest")
    study(
        tmp_path,
        by({"cnn": 2.5, "random-forest": 1.0}, {"cnn": 2.0, "random-forest": 0.2}),
        models=models,
        sources=models,
    )
    assert "transfer and queries only" not in said(answers(evaluated(tmp_path)), "classical")


@pytest.mark.parametrize(
    ("models", "n", "jitter"),
    [(("cnn", "lstm"), 300, 0.02), (("cnn", "mine"), 300, 0.02), (("cnn", "random-forest"), 40, 1.0)],
)
def test_nothing_is_said_of_groups_that_are_not_there_or_not_decided(
    tmp_path: Path, models: tuple[str, ...], n: int, jitter: float
) -> None:
    study(tmp_path, by(dict.fromkeys(models, 1.0)), models=models, n=n, patients=n, jitter=jitter)
    assert said(answers(evaluated(tmp_path)), "classical") == ""


# --- doubt


def test_a_study_with_nothing_against_it_has_no_doubt(tmp_path: Path) -> None:
    study(tmp_path, by({"cnn": 2.0}, {"cnn": -2.5}), jitter=0.01)  # what breaks at last needs no flag
    found = answers(evaluated(tmp_path))
    assert {each.verdict for each in found.comparisons} <= {"worse", "no-difference"}
    assert said(found, "doubt") == ""


def _first_signals(folder: Path, name: str) -> Path:
    return folder / f"results/host/cnn__onnx-fp32/{name}.json"


DOUBTS: dict[str, tuple[dict[str, Any], Any, str]] = {
    "synthetic": ({"synthetic": True, "note": "SYNTHETIC"}, None, "recordings are synthetic"),
    "subset": ({"note": "subset of 600 records"}, None, "part of a database (subset of 600 records)"),
    "few patients": ({"patients": 20}, None, "only 20 patients"),
    "no audit": ({"audited": False}, None, "Attacked AUCs were not audited"),
    "a flag": ({}, lambda f: audit(f, flag("zero-gradient", "cnn")), "Attacked AUCs of cnn may show the weakness"),
    "a flag on a method": (
        {},
        lambda f: audit(f, flag("no-better-than-noise", "cnn", method="universal")),
        "Attacked AUCs of cnn under universal may show the weakness",
    ),
    "noisy": ({}, lambda f: change_json(_first_signals(f, "clean"), marks=["noisy"]), "restless"),
    "throttled": ({}, lambda f: change_json(_first_signals(f, "clean"), marks=["throttled"]), "held down"),
    "stale": (
        {},
        lambda f: change_json(_first_signals(f, "clean"), signals__sha256="0" * 64),
        "1 result left out: measured on another version of the signal set",
    ),
    "versions": (
        {},
        lambda f: change_json(_first_signals(f, "clean"), engine__version="1.0"),
        "1 result left out: measured with onnxruntime 1.0, most of this device with 1.31.1",
    ),
    "runners": (
        {},
        lambda f: [
            change_json(_first_signals(f, name), runner=letter * 64)
            for name, letter in (("clean", "a"), ("pgd-cnn-0.02mV", "b"))
        ],
        "Latencies on host were measured by different versions of the runner",
    ),
    "missing": ({}, lambda f: _first_signals(f, "clean").unlink(), "1 of 6 runs on host left no result"),
    "failed": (
        {},
        lambda f: change_json(_first_signals(f, "clean"), status="failed", scores=None),
        "1 of 6 runs on host failed",
    ),
}


@pytest.mark.parametrize("what", DOUBTS)
def test_each_reason_for_doubt_is_said(tmp_path: Path, what: str) -> None:
    options, damage, words = DOUBTS[what]
    study(tmp_path, by({"cnn": 2.0}, {"cnn": 0.5}), **{"jitter": 0.01} | options)
    if damage is not None:
        damage(tmp_path)
    assert words in said(answers(evaluated(tmp_path)), "doubt")


@pytest.mark.parametrize(
    ("positives", "words"),
    [(0, "says nothing about MI"), (6, "The AUC of MI, and with it"), (600, "no recording without")],
)
def test_empty_and_rare_classes_are_said(tmp_path: Path, positives: int, words: str) -> None:
    import numpy as np

    from pulseproof.runtime.files import write_array
    from tests.bench.making import entry

    head = study(tmp_path, by({"cnn": 2.0}))
    path = tmp_path / "bundle" / "labels.npy"
    labels = np.load(path)
    labels[:, 1] = np.arange(600) < positives
    write_array(path, labels)
    change_json(tmp_path / "bundle/bundle.json", files=head["files"] | {path.name: entry(path)})
    assert words in said(answers(evaluated(tmp_path)), "doubt")


def test_scores_that_another_processor_does_not_reproduce_are_said(tmp_path: Path) -> None:
    head = study(tmp_path, by({"cnn": 2.0}))
    device = {"name": "pi4", "evidence": "measured-on-device", "fingerprint": {"cpu": "A72"}}
    put(tmp_path, head, head["artifacts"][0], head["signals"][0], 1.0, on="pi4", device=device)
    assert "On pi4 cnn/onnx-fp32 give other scores" in said(answers(evaluated(tmp_path)), "doubt")


def test_a_strangers_words_stay_one_line_of_text(tmp_path: Path) -> None:
    """The texts may hold anything but control characters: whoever shows them escapes them."""
    study(tmp_path, by({"cnn": 2.0}), note="<script>\x1b[2J\n")
    text = said(answers(evaluated(tmp_path)), "doubt")
    assert "<script>" in text and text.isprintable()
    assert json.loads(json.dumps(text)) == text


# --- the card of the recommended file


def _on_card(folder: Path) -> dict[str, str]:
    found = answers(evaluated(folder))
    assert found.recommendation is not None
    words = {each.word: each.sentence for each in found.recommendation.doubts}
    assert all(word in said(found, "ship") for word in words)
    return words


def _both(folder: Path, **changed: Any) -> None:
    for path in (folder / "results/host").glob("*/clean.json"):
        change_json(path, **changed)


CARD: dict[str, tuple[dict[str, Any], Any, str]] = {
    "noisy latency": ({}, lambda f: _both(f, marks=["noisy"]), "restless"),
    "throttled": ({}, lambda f: _both(f, marks=["throttled"]), "clock was held down"),
    "not audited": ({"audited": False}, None, "The attacks were not repeated"),
    "flagged attacks": ({}, lambda f: audit(f, flag("zero-gradient", "cnn")), "zero-gradient"),
    "synthetic": ({"synthetic": True, "note": "SYNTHETIC"}, None, "nothing here is about patients"),
    "a part of the data": ({"note": "subset of 600 records"}, None, "subset of 600 records"),
    "few patients": ({"patients": 20}, None, "of 20 patients"),
}


# Attacked up to a budget that breaks the model: else a check of the attacks says that it was never seen to break.
TO_COLLAPSE = (0.02, 0.2)


def _broken_at_last(artifact: dict[str, Any], signals: dict[str, Any]) -> float:
    if signals["source"] is None:
        return 2.0
    return 1.2 if signals["budget_mv"] == TO_COLLAPSE[0] else -3.0


@pytest.mark.parametrize("word", CARD)
def test_the_card_carries_its_own_doubts(tmp_path: Path, word: str) -> None:
    options, damage, sentence = CARD[word]
    study(tmp_path, _broken_at_last, recipes=("onnx-fp32",), budgets=TO_COLLAPSE, **{"jitter": 0.01} | options)
    if damage is not None:
        damage(tmp_path)
    found = _on_card(tmp_path)
    assert list(found) == [word]
    assert sentence in found[word]


def test_a_card_against_which_nothing_speaks_has_no_doubt(tmp_path: Path) -> None:
    study(tmp_path, _broken_at_last, recipes=("onnx-fp32",), budgets=TO_COLLAPSE, jitter=0.01)
    assert _on_card(tmp_path) == {}
    assert "On its card" not in said(answers(evaluated(tmp_path)), "ship")


@pytest.mark.parametrize(
    ("clean", "attacked", "word"),
    [(2.0, -1.0, "worse than chance under attack"), (-1.0, -2.0, "worse than chance"), (0.02, -0.05, "near chance")],
)
def test_worse_than_chance_stands_on_the_card(tmp_path: Path, clean: float, attacked: float, word: str) -> None:
    study(tmp_path, by({"cnn": clean}, {"cnn": attacked}), recipes=("onnx-fp32",), jitter=0.01)
    assert word in _on_card(tmp_path)


def test_a_mark_of_the_engine_stands_on_the_card(tmp_path: Path) -> None:
    """Marks are read from the row, also one that this version has no sentence for."""
    study(tmp_path, _broken_at_last, recipes=("onnx-fp32",), budgets=TO_COLLAPSE, jitter=0.01)
    evaluation = evaluated(tmp_path)
    for mark, word in (("engine-saturates", "engine saturates"), ("something-new", "something new")):
        rows = tuple(
            row.model_copy(update={"marks": mark}) if row.method == "clean" else row for row in evaluation.rows
        )
        found = answers(replace(evaluation, rows=rows)).recommendation
        assert found is not None
        assert [each.word for each in found.doubts] == [word]


def test_among_files_below_chance_none_withstands_better(tmp_path: Path) -> None:
    models = ("cnn", "random-forest")
    clean, attacked = {"cnn": 2.0, "random-forest": 1.9}, {"cnn": -3.0, "random-forest": -1.0}
    study(tmp_path, by(clean, attacked), models=models, sources=models, recipes=("onnx-fp32",))
    found = answers(evaluated(tmp_path))
    against = [each for each in found.comparisons if each.kind == "other-minus-recommended"]
    assert any(each.verdict == "better" and each.signals.startswith("worst") for each in against)
    text = said(found, "ship")
    assert "withstands attacks better" not in text
    assert "none of these has a worst-case AUC above chance at 0.02 mV, so it decides nothing" in text


def test_the_budgets_at_which_auc_is_lost_are_said(tmp_path: Path) -> None:
    def strength(artifact: dict[str, Any], signals: dict[str, Any]) -> float:
        return 2.0 if signals["source"] is None else {0.01: 1.8, 0.1: -1.0}[signals["budget_mv"]]

    study(tmp_path, strength, recipes=("onnx-fp32",), budgets=(0.01, 0.1))
    found = answers(evaluated(tmp_path))
    assert found.recommendation is not None
    (point,) = found.recommendation.front
    assert point.losses is not None
    assert 0.01 < (point.losses.lost.estimate or 0) < (point.losses.chance.estimate or 0) < 0.1
    assert f"It loses 0.05 of AUC at {point.losses.lost.text} and crosses 0.5 at {point.losses.chance.text}." in said(
        found, "ship"
    )


def test_a_file_below_chance_has_no_such_budget_and_it_is_said_why(tmp_path: Path) -> None:
    study(tmp_path, by({"cnn": -1.0}, {"cnn": -2.0}), recipes=("onnx-fp32",))
    text = said(answers(evaluated(tmp_path)), "ship")
    assert "At which budget it loses AUC is not said: its clean AUC is below .5." in text
