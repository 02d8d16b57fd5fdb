"""The page as a file: whole, self-contained, its outline in order, and nothing in it that a result could smuggle in."""

from __future__ import annotations

import itertools
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pulseproof.core.errors import InputError
from pulseproof.report.answers.types import Answers, Comparison, Doubt, FrontPoint, Question, Recommendation, Sentence
from pulseproof.report.numbers.evaluation import evaluate
from pulseproof.report.numbers.loss_budgets import Crossing, LossBudgets
from pulseproof.report.page import write_report
from pulseproof.report.page.answered import NONE, SILENT
from tests.bench.making import audit, change_json, flag, make_build
from tests.report.making_report import OTHER, evaluated, make_study

VOID = {"meta", "img", "br", "link", "wbr", "input"}
QUESTIONS = ("ship", "cure", "quantization", "transfer", "classical", "doubt")


class Balance(HTMLParser):
    """Every tag that is opened is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    return parser.seen


def data(page: str, anchor: str) -> dict:  # type: ignore[type-arg]
    """A block of data as the page's script reads it."""
    found = re.search(rf'<script type="application/json" id="{anchor}">(.*?)</script>', page, re.S)
    assert found is not None
    return dict(json.loads(found[1]))


def comparison(estimate: float, low: float, high: float, verdict: str, **changed: object) -> Comparison:
    facts: dict[str, object] = {
        "kind": "quantized-minus-float",
        "device": "host",
        "a": "cnn/onnx-int8-static",
        "b": "cnn/onnx-fp32",
        "signals": "clean",
        "p": 0.01,
        "p_adjusted": 0.02,
        "low90": low,
        "high90": high,
        "p_equivalence": 0.5,
        "n": 60,
        "patients": 40,
    }
    return Comparison(estimate=estimate, low=low, high=high, verdict=verdict, **(facts | changed))  # type: ignore[arg-type]


def recommendation(reason: str = "It is the fastest of those.") -> Recommendation:
    points = (
        FrontPoint("cnn/onnx-int8-static", 0.5, 400, 0.9, 0.6, True),
        FrontPoint("cnn/onnx-fp32", 0.9, 1300, 0.91, 0.58, True),
        FrontPoint("lstm/onnx-fp32", 2.0, 1300, 0.8, None, False),
    )
    return Recommendation("cnn/onnx-int8-static", "host", reason, points, 0.02, "latency_p50_ms")


def questions(**sentences: Sentence) -> tuple[Question, ...]:
    return tuple(
        Question(name, f"About {name}?", (sentences[name],) if name in sentences else ())  # type: ignore[arg-type]
        for name in QUESTIONS
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "made"
    make_study(folder)
    return folder


@pytest.fixture(scope="module")
def page(home: Path) -> str:
    evaluation, answered = evaluated(home)
    return write_report(evaluation, home / "report", home, answered).read_text()


@pytest.mark.slow
def test_the_page_stands_alone_and_is_well_formed(page: str, home: Path) -> None:
    seen = parsed(page)
    for tag, attributes in seen:
        assert not (set(attributes) & {"style", "onclick", "onload", "srcset"}), tag
        for name in ("src", "href"):
            value = attributes.get(name) or "data:"
            beside = re.fullmatch(r"[\w.-]+\.(csv|json|png)", value) and (home / "report" / value).is_file()
            assert value.startswith(("data:", "#")) or beside, value
            if value.startswith("#"):
                assert f'id="{value[1:]}"' in page
    assert not re.search(r"url\(|@import|https?:(?!//www\.w3\.org/2000/svg)", page)
    assert "default-src 'none'" in page
    ids = [attributes["id"] for _, attributes in seen if "id" in attributes]
    assert len(ids) == len(set(ids))
    pictures = ("auc-vs-budget-host.png", "latency-vs-auc-host.png", "matrix-host.png")
    for name in ("results.json", "results.csv", *pictures):
        assert (home / "report" / name).stat().st_size > 500


def test_the_outline_is_in_order(page: str) -> None:
    levels = [int(tag[1]) for tag, _ in parsed(page) if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    anchors = re.findall(r'<section id="(\w+)"', page)
    assert anchors == (
        [
            "answer",
            "answers",
            "classes",
            "tried",
            "results",
            "budgets",
            "cost",
            "transfer",
            "differences",
            "latency",
            "devices",
            "recordings",
            "audit",
            "missing",
            "files",
            "words",
            "origin",
        ]
    )


def test_everything_that_is_drawn_is_said(page: str) -> None:
    for tag, attributes in parsed(page):
        if tag == "svg":
            assert attributes.get("aria-hidden") == "true" or attributes.get("aria-label")
        if tag == "table":
            assert "<caption" in page
    assert page.count("<table") == page.count("<caption>")
    assert re.search(r'aria-label="cnn: clean \.\d{3}', page)
    assert "SYNTHETIC recordings: nothing here is about patients" in page
    assert "! unsettled: cnn, pgd from cnn: about cnn." in page
    assert OTHER in page


def test_text_from_files_is_text(tmp_path: Path) -> None:
    make_build(tmp_path / "made")
    bad = "</script><script>alert(1)</script> & more"
    change_json(tmp_path / "made" / "bundle" / "bundle.json", title=bad, note=bad, task__classes=[bad, "MI", "STTC"])
    evaluation = evaluate(tmp_path / "made", 100)
    said = Sentence(bad, bad)
    answered = Answers(recommendation(bad), questions(doubt=said), (comparison(0.1, 0.0, 0.2, "better", a=bad, b=bad),))
    page = write_report(evaluation, tmp_path / "report", tmp_path / "made", answered).read_text()
    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert page.count("<script") == page.count("</script>") == 7  # three blocks of data, four scripts
    assert data(page, "viewer-data")["classes"][0] == bad


def test_the_page_says_what_the_audit_says(tmp_path: Path) -> None:
    make_build(tmp_path / "made")
    page = tmp_path / "report" / "index.html"
    write_report(evaluate(tmp_path / "made", 100), page.parent)
    assert "The attacks were not repeated" in page.read_text()
    audit(tmp_path / "made", flag("unsettled", "cnn", source="cnn", method="pgd", budget_mv=0.02))
    write_report(evaluate(tmp_path / "made", 100), page.parent)
    assert "! unsettled: cnn, pgd from cnn: about cnn." in page.read_text()
    assert "The attacks were not repeated" not in page.read_text()


def test_a_study_without_attacks_or_results_has_a_page(tmp_path: Path) -> None:
    make_build(tmp_path / "a", budgets=())
    evaluation, answered = evaluated(tmp_path / "a")
    page = write_report(evaluation, tmp_path / "a" / "report", tmp_path / "a", answered).read_text()
    assert "clean AUC" in page
    assert 'id="transfer"' not in page
    parsed(page)
    make_build(tmp_path / "b")
    for path in (tmp_path / "b" / "results").rglob("*.json"):
        path.unlink()
    evaluation, answered = evaluated(tmp_path / "b")
    page = write_report(evaluation, tmp_path / "b" / "report", tmp_path / "b", answered).read_text()
    assert "make bench" in page
    assert NONE in page
    parsed(page)


def test_the_answers_stand_on_top_and_say_no_more_than_they_were_given(tmp_path: Path) -> None:
    make_build(tmp_path / "made")
    evaluation = evaluate(tmp_path / "made", 100)
    shared = Sentence("Ship it. It is the fastest of those.", "60 recordings")
    answered = Answers(recommendation(), questions(ship=shared, quantization=Sentence("No.", "p = .5")), ())
    page = write_report(evaluation, tmp_path / "report", answers=answered).read_text()
    assert page.index('id="answers"') < page.index('id="results"')
    assert page.count("It is the fastest of those.") == 1  # the sentence that repeats the reason is not repeated
    assert "Ship it." not in page
    assert "60 recordings" in page
    assert page.count(SILENT) == 5
    assert [page.index(f"About {name}?") for name in QUESTIONS] == sorted(
        page.index(f"About {name}?") for name in QUESTIONS
    )


def test_the_card_says_where_its_numbers_come_from_and_what_speaks_against_them(tmp_path: Path) -> None:
    make_build(tmp_path / "made")
    lost = LossBudgets(Crossing(0.0, 0.0, 0.0123, 0.005, 0.05), Crossing(math.inf, 0.04, math.inf, 0.005, 0.05))
    whole = recommendation()
    first = replace(whole.front[0], auc_measured=0.65, through="parent", held_to="cnn/onnx-fp32", losses=lost)
    chosen = replace(
        whole,
        front=(first, *whole.front[1:]),
        device="pi4",
        auc_device="host",
        recordings=1108,
        doubts=(Doubt("noisy <latency>", "The machine was restless."), Doubt("not audited", "No audit was made.")),
    )
    told = Sentence("On its card: noisy <latency> and not audited.", "The machine was restless.")
    answered = Answers(chosen, questions(ship=told), ())
    page = write_report(evaluate(tmp_path / "made", 100), tmp_path / "report", answers=answered).read_text()
    card = page[page.index('class="answer"') : page.index('class="question"')]
    assert "latency on pi4; AUC on host, 1,108 recordings" in card
    assert ".600 (.650 measured on it)" in card
    assert "&lt; 0.005 mV <small>[&lt; 0.005, 0.0123]</small>" in card
    assert "&gt; 0.05 mV <small>[0.0400, &gt; 0.05]</small>" in card
    assert '<strong class="tag doubt">noisy &lt;latency&gt;</strong> The machine was restless.' in card
    assert "No audit was made." in card
    assert "On its card" not in page  # it stands there
    cost = page[page.index('id="cost"') : page.index("</section>", page.index('id="cost"'))]
    assert "attacked through its float parent only (.650 measured on it)" in cost


def test_a_file_that_is_held_to_another_is_marked_in_the_results(page: str) -> None:
    results = page[page.index('id="results"') : page.index('id="budgets"')]
    assert "-.05 at, mV" in results and ".5 at, mV" in results
    row = next(each for each in results.split("<tr") if 'data-model="lstm" data-recipe="onnx-int8-static"' in each)
    own = next(each for each in results.split("<tr") if 'data-model="lstm" data-recipe="onnx-fp32"' in each)
    assert row.count("^") == 2 and "^" not in own
    (said,) = re.findall(r"<li>\^ (.*?): attacked through its float parent only", results)
    assert "lstm/onnx-int8-static" in said


def test_the_front_is_drawn_with_what_was_measured_alone(tmp_path: Path) -> None:
    make_build(tmp_path / "made")
    answered = Answers(recommendation(), questions(), ())
    page = write_report(evaluate(tmp_path / "made", 100), tmp_path / "report", answers=answered).read_text()
    cost = page[page.index('id="cost"') : page.index("</section>", page.index('id="cost"'))]
    assert "2 files, 2 on the front" in cost
    assert "lstm" not in cost  # its attacked AUC is not known
    assert cost.count('class="ring"') == 2  # once for a wide, once for a narrow screen


VERDICTS = [
    (0.03, 0.01, 0.05, "better", "better"),
    (-0.03, -0.05, -0.01, "worse", "worse"),
    (0.001, -0.002, 0.004, "no-difference", "no difference"),
    (0.02, -0.02, 0.06, "undecided", "undecided"),
]


@pytest.mark.parametrize(("estimate", "low", "high", "verdict", "word"), VERDICTS)
def test_a_difference_is_drawn_where_it_lies(
    tmp_path: Path, estimate: float, low: float, high: float, verdict: str, word: str
) -> None:
    make_build(tmp_path / "made", budgets=())
    answered = Answers(None, questions(), (comparison(estimate, low, high, verdict),))
    page = write_report(evaluate(tmp_path / "made", 100), tmp_path / "report", answers=answered).read_text()
    drawn = page[page.index('id="differences"') :]
    row = re.search(r"<tbody>(.*?)</tbody>", drawn, re.S)
    assert row is not None
    band = re.search(r'class="band" x="([\d.]+)" y="0.0" width="([\d.]+)"', row[1])
    zero = re.search(r'class="zero" d="M([\d.]+),', row[1])
    bar = re.search(r'class="interval" d="M([\d.]+),[\d.]+L([\d.]+),', row[1])
    dot = re.search(r'cx="([\d.]+)"', row[1])
    assert band and zero and bar and dot
    origin = float(zero[1])
    unit = (float(band[1]) + float(band[2]) - origin) / 0.01  # px of one, as the band is plus and minus .01
    for value, at in ((estimate, dot[1]), (low, bar[1]), (high, bar[2])):
        assert float(at) == pytest.approx(origin + unit * value, abs=0.3)
    assert ("hollow" in row[1]) == (low <= 0 <= high)
    assert f">{word}</span>" in row[1]
    assert "1 comparisons" in drawn


def test_the_rows_of_the_page_are_the_rows_of_the_file(page: str, home: Path) -> None:
    given = data(page, "rows-data")
    rows = [row for row in json.loads((home / "report" / "results.json").read_text()) if row["device"] is not None]
    assert given["count"] == len(rows)
    assert given["columns"]["device"]["texts"] == ["host", OTHER]  # what weighs most is shown first
    rows.sort(key=lambda row: row["device"] != "host")
    for key, column in given["columns"].items():
        for at, row in enumerate(rows):
            value = column[at] if isinstance(column, list) else None
            if isinstance(column, dict):
                value = None if column["at"][at] < 0 else column["texts"][column["at"][at]]
            expected = row[key]
            if isinstance(expected, float):
                assert value == pytest.approx(expected, rel=1e-5, abs=1e-12)
            else:
                assert value == expected
    assert all(key in given["columns"] for key, *_ in given["show"])


def test_a_damaged_file_is_a_sentence(home: Path, tmp_path: Path) -> None:
    head = make_study(tmp_path / "made", models=("cnn",), sources=("cnn",), further=())
    evaluation, answered = evaluated(tmp_path / "made")
    attacked = next(each for each in head["signals"] if each["method"] == "pgd")
    path = tmp_path / "made" / "bundle" / attacked["file"]
    path.write_bytes(path.read_bytes()[:-2] + b"\x01\x02")
    with pytest.raises(InputError, match=r"not the bytes that bundle\.json lists"):
        write_report(evaluation, tmp_path / "report", tmp_path / "made", answered)
