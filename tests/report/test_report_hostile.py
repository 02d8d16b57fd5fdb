"""A stranger's text in the page: whatever a name, a title, a note or an engine's message holds, it is text."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

import pulseproof.report.page
from pulseproof.bench.wire.results import read_bundle, read_results
from pulseproof.report.answers.types import Answers, Question, Sentence
from pulseproof.report.page import write_report
from pulseproof.report.page.latency import latency_section, read_latencies
from pulseproof.report.page.markup import (
    HeadCell,
    HtmlCell,
    HtmlTable,
    artifact_cell,
    data_block,
    render,
    section,
    text_cell,
)
from tests.bench.making import change_json
from tests.report.making_report import evaluated, make_study
from tests.report.page.test_report import comparison, parsed, recommendation

NAME = "\"'><img src=x onerror=alert(1)>&amp;\x1b\u202e"  # of a model: a slash would end it
TEXT = f"</title></script><script>alert(1)</script>{NAME}{{{{ 7 * 7 }}}}"
SHOWN = "&#34;&#39;&gt;&lt;img src=x onerror=alert(1)&gt;&amp;amp;  "
PAGE = Path(pulseproof.report.page.__file__).parent


def elements(page: str) -> set[tuple[str, str]]:
    """Which attributes which elements have."""
    return {(tag, name) for tag, attributes in parsed(page) for name in ("", *attributes)}


def test_no_text_of_a_result_becomes_an_element_or_an_attribute(tmp_path: Path) -> None:
    home = tmp_path / "made"
    make_study(home)
    evaluation, answered = evaluated(home)
    honest = write_report(evaluation, tmp_path / "honest", home, answered).read_text()
    rows = []
    for row in evaluation.rows:
        told = {name: TEXT for name in ("note", "not_applicable", "weakest_class") if getattr(row, name)}
        rows.append(row.model_copy(update={"model": NAME, "flags": TEXT, **told}))
    bad = replace(evaluation, rows=tuple(rows), note=TEXT)
    bad = replace(bad, head=bad.head.model_copy(update={"title": TEXT, "study": TEXT, "note": TEXT}))
    sentence = Sentence(TEXT, TEXT)
    base = recommendation(TEXT)
    point = replace(base.front[0], artifact=f"{NAME}/onnx-fp32")
    card = replace(base, artifact=point.artifact, device=TEXT, front=(point, *base.front[1:]))
    differs = comparison(0.1, 0.0, 0.2, "better", a=f"{NAME}/onnx-fp32", b=TEXT, signals=TEXT, device=TEXT)
    given = Answers(card, (Question("ship", TEXT, (sentence,)),), (differs, replace(differs, kind=TEXT)))
    page = write_report(bad, tmp_path / "bad", None, given).read_text()
    assert elements(page) <= elements(honest)
    assert page.count("<script") == page.count("</script>") == 6  # two blocks of data, four scripts
    assert page.count("onerror=alert(1)") > 20
    assert "<img" not in page and "\x1b" not in page and "\u202e" not in page
    for part in ("results", "budgets", "cost", "transfer", "differences"):
        start = page.index(f'<section id="{part}"')
        assert SHOWN in page[start : page.index("</section>", start)], part
    assert "{{ 7 * 7 }}" in page and "49}" not in page  # nor is it a template


def test_a_device_s_own_words_are_text(tmp_path: Path) -> None:
    """Its name, its fingerprint, the version and the message of its engine, its marks."""
    home = tmp_path / "made"
    make_study(home, models=("cnn",), sources=("cnn",), further=())
    for path in (home / "results" / "host").rglob("[a-z]*.json"):
        change_json(path, device__fingerprint={TEXT: TEXT}, engine__version=TEXT[:60])
    evaluation, answered = evaluated(home)
    page = write_report(evaluation, tmp_path / "report", home, answered).read_text()
    parsed(page)
    assert "onerror=alert(1)" in page
    assert "<img" not in page and "<script>alert" not in page
    bundle = read_bundle(home / "bundle")
    timed = read_latencies(bundle, read_results(bundle, home / "results"), home / "results")
    told = latency_section([replace(timed[0], device=TEXT, artifact=f"{NAME}/onnx-fp32", marks=(TEXT,))])
    assert told is not None and SHOWN in told.body and "<img" not in told.body


def test_every_piece_of_a_table_is_text() -> None:
    cells = [
        artifact_cell(f"{NAME}/{NAME}", tag=TEXT),
        text_cell(TEXT),
        HtmlCell(TEXT, small=(TEXT,), hint=TEXT, unseen=TEXT, star=True),
        HtmlCell(TEXT, kind="code"),
        HtmlCell(TEXT, kind="dim"),
        HtmlCell(TEXT, TEXT, kind="verdict"),
    ]
    heads = [HeadCell(TEXT, small=(TEXT,)), HeadCell(TEXT, tall=True), HeadCell(TEXT, budget=TEXT), "", TEXT, "a"]
    drawn = render("table.html", table=HtmlTable(TEXT, heads, [cells], TEXT, data=[{"model": TEXT}]))
    known = "div table caption thead tbody tr th td span wbr small strong code"
    assert {tag for tag, _ in parsed(drawn)} <= set(known.split())
    assert not any(name.startswith("on") for _, attributes in parsed(drawn) for name in attributes)
    assert drawn.count("alert(1)") >= 2 * 16


def test_a_text_is_cleaned_and_a_missing_one_is_an_error() -> None:
    assert render("said.html", said=[Markup("<b>ours</b>"), "<b>\x07theirs"]).strip() == (
        '<ul class="measure"><li><b>ours</b></li><li>&lt;b&gt; theirs</li></ul>'
    )
    with pytest.raises(UndefinedError):
        section("audit", "Checks", template="said")
    block = data_block('"><b', {TEXT: TEXT})
    assert block.count("<") == 2 and 'id="&#34;&gt;&lt;b"' in block


def test_html_stands_in_the_templates_alone_and_none_of_them_turns_escaping_off() -> None:
    modules = [path for path in PAGE.glob("*.py") if path.name != "page.py"]  # which has the mark's drawing
    assert len(modules) > 10
    for path in modules:
        assert not re.search(r"""[f"'>]</?[a-z]+\d?[ >/]""", path.read_text(encoding="utf-8")), path.name
    templates = list((PAGE / "templates").glob("*.html"))
    assert len(templates) > 10
    for path in templates:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\|\s*safe|autoescape|style=|\bon\w+=", text), path.name
