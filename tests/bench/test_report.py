"""The page: whole, self-contained, and nothing in it that a result file could smuggle in."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

from bench.evaluation import evaluate
from bench.report import write_report
from tests.bench.making import audit, change_json, flag, make_build

VOID = {"meta", "img", "br", "link"}


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

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def report(folder: Path, **options) -> str:  # type: ignore[no-untyped-def]
    make_build(folder / "made", **options)
    return write_report(evaluate(folder / "made", 100), folder / "made" / "report").read_text()


def test_the_page_stands_alone_and_is_well_formed(tmp_path: Path) -> None:
    page = report(tmp_path, models=("cnn", "decision-tree"))
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    for tag, attributes in parser.seen:
        assert tag != "script"
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith("data:")
        if tag == "img":
            assert attributes["alt"]
    assert not re.search(r"url\(|@import|https?:", page)
    assert "SYNTHETIC" in page
    assert "decision-tree/onnx-int8-static" in page
    pictures = ("auc-vs-budget-host.png", "latency-vs-auc-host.png", "matrix-host.png")
    for name in ("results.json", "results.csv", *pictures):
        assert (tmp_path / "made" / "report" / name).stat().st_size > 500


def test_text_from_files_is_text(tmp_path: Path) -> None:
    make_build(tmp_path / "made")
    change_json(tmp_path / "made" / "bundle" / "bundle.json", title="<script>alert(1)</script> & more")
    page = write_report(evaluate(tmp_path / "made", 100), tmp_path / "report").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_page_says_what_the_audit_says(tmp_path: Path) -> None:
    make_build(tmp_path / "made")
    page = tmp_path / "report" / "index.html"
    write_report(evaluate(tmp_path / "made", 100), page.parent)
    assert "No audit of these attacks was made" in page.read_text()
    audit(tmp_path / "made", flag("unsettled", "cnn", source="cnn", method="pgd", budget_mv=0.02))
    write_report(evaluate(tmp_path / "made", 100), page.parent)
    assert "! unsettled: cnn, pgd from cnn: about cnn." in page.read_text()
    assert "No audit" not in page.read_text()


def test_a_study_without_attacks_or_results_has_a_page(tmp_path: Path) -> None:
    assert "clean AUC" in report(tmp_path / "a", budgets=())
    make_build(tmp_path / "b" / "made")
    for path in (tmp_path / "b" / "made" / "results").rglob("*.json"):
        path.unlink()
    page = write_report(evaluate(tmp_path / "b" / "made", 100), tmp_path / "b" / "report").read_text()
    assert "make bench" in page
