"""What stands on the first screen and in the two sections behind it, held against the rows that it comes from."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pulseproof.bench.wire.results import read_bundle, read_results
from pulseproof.report.answers.questions import answers
from pulseproof.report.answers.screen import first_screen
from pulseproof.report.answers.types import Answers, Doubt, FrontPoint, Recommendation
from pulseproof.report.charts.cost import screen_picture
from pulseproof.report.charts.drawing import Path as Line
from pulseproof.report.charts.drawing import Words
from pulseproof.report.charts.file_curve import file_curve
from pulseproof.report.numbers.evaluation import Evaluation, evaluate
from pulseproof.report.numbers.resampled import WORST
from pulseproof.report.numbers.texts import auc_text
from pulseproof.report.page.screen import shipped_line
from pulseproof.report.page.tried import tried_section
from pulseproof.report.page.words import WORDS
from pulseproof.report.tables.per_class import as_csv, class_lines
from tests.report.making_answers import set_latency, study
from tests.report.making_proofs import RESAMPLES, certify

DOCS = Path(__file__).parents[3] / "docs"
FILE = "cnn/onnx-fp32"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("screen")
    head = study(folder, lambda _, signals: 3.0 - 50 * signals["budget_mv"], budgets=(0.01, 0.02), n=200, patients=90)
    set_latency(folder, onnx_fp32=0.5, onnx_int8_static=1.0)
    certify(folder, head, [FILE])
    return folder


@pytest.fixture(scope="module")
def evaluation(home: Path) -> Evaluation:
    return evaluate(home, RESAMPLES)


@pytest.fixture(scope="module")
def answered(evaluation: Evaluation) -> Answers:
    return answers(evaluation)


@pytest.fixture(scope="module")
def card(answered: Answers) -> Recommendation:
    assert answered.recommendation is not None and answered.recommendation.artifact == FILE
    return answered.recommendation


def test_four_numbers_with_their_doubts_and_three_sentences(evaluation: Evaluation, card: Recommendation) -> None:
    doubts = (
        Doubt("noisy latency", "The machine was restless.", "latency", "noisy"),
        Doubt("attacked through its float parent only", "It was.", "attacked", "through its parent only"),
        Doubt("worse than chance under attack", "It is.", "attacked", "below chance"),
        Doubt("few patients", "Of 9.", "clean"),
        Doubt("not all files", "1 of 2.", "study"),
        Doubt("synthetic", "Nobody's.", "study"),
    )
    screen = first_screen(evaluation, replace(card, doubts=doubts))
    assert screen is not None
    cost, size, clean, attacked = screen.numbers
    assert (cost.name, cost.text, [each.tag for each in cost.doubts]) == ("p50 on host", "0.500 ms", ["noisy"])
    assert size.doubts == () and size.text.endswith("B")
    row = next(row for row in evaluation.rows if row.artifact == FILE and row.method == "clean")
    assert (clean.text, [each.tag for each in clean.doubts]) == (auc_text(row.auc), ["few patients"])
    assert auc_text(row.auc_low) in clean.detail
    worst = next(
        row for row in evaluation.rows if row.artifact == FILE and row.method == WORST and row.budget_mv == 0.01
    )
    assert attacked.text == auc_text(worst.auc) and attacked.detail.endswith("at 0.01 mV")
    assert [each.tag for each in attacked.doubts] == ["through its parent only", "below chance"]
    assert [each.word for each in screen.doubts] == ["not all files"]  # that they are synthetic stands above it all
    why, withstands, trust = screen.sentences
    assert why == (
        "It is the fastest of all 2 files, whose clean AUC is within 0.01 of the best, and so is what attacks leave of "
        "it."
    )
    assert "Attacked, it loses 0.05 of AUC" in withstands and "proved: nothing within" in withstands
    assert trust == (
        "Trust its ms only roughly (noisy); doubt its clean AUC (few patients) and its attacked AUC (through its "
        "parent only)."
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"doubts": ()}, "Nothing was seen against its ms; nor against its AUCs."),
        ({"doubts": (), "cost": "instructions"}, "Its count of instructions is no time; nothing against its AUCs."),
        (
            {"doubts": (Doubt("flagged attacks", "x", "attacked", "flagged"),)},
            "Nothing was seen against its ms; doubt its attacked AUC (flagged).",
        ),
    ],
)
def test_what_can_be_trusted_is_said_first_of_the_latency(
    evaluation: Evaluation, card: Recommendation, changed: dict[str, object], said: str
) -> None:
    screen = first_screen(evaluation, replace(card, **changed))  # type: ignore[arg-type]
    assert screen is not None and screen.sentences[2] == said


def test_without_attacks_that_is_said_in_place_of_numbers(evaluation: Evaluation, card: Recommendation) -> None:
    screen = first_screen(evaluation, replace(card, budget_mv=None))
    assert screen is not None
    assert (screen.numbers[3].text, screen.numbers[3].detail) == ("-", "no attack was made")
    assert screen.sentences[1] == "What attacks leave of it is not known: none was made."


def points(*given: tuple[float, float]) -> Recommendation:
    front = tuple(FrontPoint(f"m{at}/onnx-fp32", cost, 100, 0.9, auc, True) for at, (cost, auc) in enumerate(given))
    return Recommendation("m0/onnx-fp32", "host", "", front, 0.02, "latency_p50_ms")


def test_the_front_of_the_first_screen_has_few_files() -> None:
    # Each dearer file keeps a hair more: all of them are on the Pareto front, and hardly one is worth its cost.
    picture = screen_picture(points(*((1.0 + at, 0.6 + 0.004 * at) for at in range(12))), delta=0.01)
    assert picture is not None
    ((_, front),) = picture.joined
    assert front == ("m0/onnx-fp32", "m3/onnx-fp32", "m6/onnx-fp32", "m9/onnx-fp32")
    assert [each.artifact for each in picture.points if not each.hollow] == list(front)
    below = screen_picture(points((1.0, 0.1), (2.0, 0.3), (3.0, 0.45)), delta=0.01)
    assert below is not None and below.joined[0][1] == ("m0/onnx-fp32",)  # below chance none keeps more than another


def test_the_curve_has_the_attacks_the_noise_and_the_proof(evaluation: Evaluation, card: Recommendation) -> None:
    line = shipped_line(evaluation, card)
    assert line is not None
    drawn = file_curve(line, {0.01: (0.5, 0.7)}, 358, 152)
    assert drawn is not None
    names = {part.text for part in drawn.parts if isinstance(part, Words)}
    assert {"attacks", "noise", "proved", "chance", "clean", ".01", ".02"} <= names
    assert {"curve proved onnx", "noise", "band", "gap"} <= {getattr(part, "classes", "") for part in drawn.parts}
    ends = sorted(
        part.point[1]
        for part in drawn.parts
        if isinstance(part, Words) and part.text in ("attacks", "noise", "proved", "chance")
    )
    assert min(np.diff(ends)) >= 12.9 and ends[-1] <= 152 - 36 + 4.1  # they do not touch, nor leave the picture
    (upright,) = [
        part
        for part in drawn.parts
        if isinstance(part, Line)
        and part.points[0][0] == part.points[1][0]
        and part.points[0][1] > part.points[1][1]
        and part.classes == "curve onnx"
        and len(part.points) == 2
        and part.points[0][0] > 100
        and part.points[0][0] < 250
    ]
    assert upright.points[0][1] - upright.points[1][1] == pytest.approx(0.2 * (152 - 36 - 10), abs=0.1)
    worst = next(
        row for row in evaluation.rows if row.artifact == FILE and row.method == WORST and row.budget_mv == 0.02
    )
    assert (
        f"0.02 mV: attacks {auc_text(worst.auc)}" in drawn.label
        and f"proved {auc_text(worst.proved_auc)}" in drawn.label
    )
    assert file_curve(replace(line, cells={}), {}, 358, 152) is None


def test_each_class_has_its_decisions_and_the_people_behind_them(home: Path, evaluation: Evaluation) -> None:
    bundle = read_bundle(home / "bundle")
    devices = read_results(bundle, home / "results")
    lines = class_lines(evaluation, bundle, devices, "host", FILE, 0.02)
    classes = list(bundle.head.task.classes)
    assert [each.name for each in lines] == classes * 2
    assert {each.signals for each in lines} == {"clean", "worst-case-0.02mV"}
    scores = np.load(home / "results" / "host" / "cnn__onnx-fp32" / "clean.npy")
    thresholds = next(each.thresholds for each in bundle.head.artifacts if each.name == FILE)
    for at, each in enumerate(lines[: len(classes)]):
        has = bundle.labels[:, at] == 1
        said = scores[:, at] >= np.float32(thresholds[at]) if thresholds else None
        assert (each.recordings, each.without) == (has.sum(), (~has).sum())
        assert each.patients == len(set(bundle.patients[has])) and each.patients_without == len(
            set(bundle.patients[~has])
        )
        assert said is not None
        assert each.sensitivity == pytest.approx(said[has].mean()) and each.specificity == pytest.approx(
            (~said)[~has].mean()
        )
    row = next(row for row in evaluation.rows if row.artifact == FILE and row.method == "clean")
    assert np.mean([each.calibration_error for each in lines[: len(classes)]]) == pytest.approx(row.calibration_error)
    assert np.mean([each.sensitivity for each in lines[len(classes) :]]) == pytest.approx(
        next(r for r in evaluation.rows if r.artifact == FILE and r.signals == "worst-case-0.02mV").recall
    )
    read = list(csv.DictReader(io.StringIO(as_csv(lines))))
    assert [float(each["auc"]) for each in read] == [each.auc for each in lines]
    alone = class_lines(evaluation, None, (), "host", FILE, 0.02)
    assert [each.auc for each in alone] == [each.auc for each in lines] and alone[0].sensitivity is None


def test_what_was_tried_stands_strongest_first_with_what_is_left(evaluation: Evaluation, card: Recommendation) -> None:
    found = tried_section(evaluation, card)
    assert found is not None
    names = re.findall(r'<th scope="row"[^>]*>(.*?)<small>(.*?)</small>', found.body)
    assert names[0] == ("pgd from cnn", "direct")
    assert [name for name, _ in names[-3:]] == ["all of them", "noise", "proved"]
    assert found.gist.startswith("1 attack of 0.01 mV was tried")
    assert tried_section(evaluation, None) is None
    assert tried_section(evaluation, replace(card, budget_mv=None)) is None


def test_the_glossary_of_the_page_is_that_of_the_docs() -> None:
    told = {}
    for line in (DOCS / "glossary.md").read_text().splitlines():
        word, bar, meaning = line.strip("| ").partition(" | ")
        if bar:
            meaning = re.sub(r"\s*\(\[[^\]]*\]\([^)]*\)\)", "", meaning)
            told[word] = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", meaning).replace("`", "")
    assert {word: told[word] for word, _ in WORDS} == dict(WORDS)
