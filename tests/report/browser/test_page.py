"""The page in a browser: it sorts, filters and is readable by everyone, at every width, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pulseproof.report.page import write_report
from tests.axe import faults, look_with_axe
from tests.bench.making import change_json
from tests.report.making_report import evaluated, make_study

pytestmark = pytest.mark.slow  # together; test_viewer_page.py opens the page in make check
NARROW, WIDE = 390, 1440


def texts(page: Any, selector: str) -> list[str]:
    return [each.strip() for each in page.locator(selector).all_inner_texts()]


def column(page: Any, table: str, at: int) -> list[str]:
    """The visible texts of a column, first lines alone."""
    rows = page.locator(f"{table} tbody tr:visible")
    return [rows.nth(row).locator("th, td").nth(at).inner_text().split("\n")[0] for row in range(rows.count())]


def head(page: Any, table: str, name: str) -> Any:
    return page.locator(f"{table} thead th").filter(has_text=name).first


def number(text: str) -> float:
    return float(text.split(maxsplit=1)[0].replace("\u2264", ""))


def test_a_header_sorts_the_best_to_the_top_and_says_so(page_file: Path, open_page: Any) -> None:
    page = open_page(page_file)
    table = "table.results >> nth=0"
    cell = page.locator(table).locator("thead th").filter(has_text="clean AUC")
    assert cell.get_attribute("aria-sort") is None
    cell.locator("button").click()
    assert cell.get_attribute("aria-sort") == "descending"
    at = [each.split("\n")[0].strip() for each in page.locator(table).locator("thead th").all_inner_texts()]
    index = at.index("clean AUC")
    rows = page.locator(table).locator("tbody tr")
    values = [number(rows.nth(row).locator("th, td").nth(index).inner_text()) for row in range(rows.count())]
    assert len(values) > 3
    assert values == sorted(values, reverse=True)
    cell.locator("button").focus()
    page.keyboard.press("Enter")
    assert cell.get_attribute("aria-sort") == "ascending"
    values = [number(rows.nth(row).locator("th, td").nth(index).inner_text()) for row in range(rows.count())]
    assert values == sorted(values)
    page.locator(table).locator("thead th button").first.click()
    assert cell.get_attribute("aria-sort") is None
    assert page.locator("[aria-sort]").count() == 1


def test_all_rows_are_filtered_by_text_and_by_select(page_file: Path, open_page: Any) -> None:
    page = open_page(page_file)
    count = page.locator("#rows-count")
    total = int(count.inner_text().split(" of ")[1].split()[0].replace(",", ""))
    assert total > 100
    assert page.locator("#rows tbody tr").count() == 100
    page.locator("#rows-more").click()
    assert page.locator("#rows tbody tr").count() == min(total, 200)
    page.select_option("#filters [name=model]", "lstm")
    page.select_option("#filters [name=method]", "pgd")
    page.select_option("#filters [name=budget_mv]", "0.02")
    assert {name.partition("/")[0] for name in column(page, "#rows", 0)} == {"lstm"}
    assert set(column(page, "#rows", 2)) == {"pgd"}
    assert set(column(page, "#rows", 4)) == {"0.02"}
    assert count.inner_text().startswith(f"{page.locator('#rows tbody tr').count()} of ")
    page.fill("#filters [name=text]", "INT8 lstm")
    assert set(column(page, "#rows", 0)) == {"lstm/onnx-int8-static"}
    page.fill("#filters [name=text]", "nothing is called so")
    assert page.locator("#rows tbody tr").count() == 0
    assert count.inner_text().startswith("0 of ")
    page.get_by_role("button", name="show all").click()
    page.locator("#rows tbody tr").nth(99).wait_for()
    # The text means the artifact: what was made on an LSTM and tried on others is not asked for.
    page.fill("#filters [name=text]", "lstm")
    assert {name.partition("/")[0] for name in column(page, "#rows", 0)} == {"lstm"}
    assert page.locator("table.results tbody tr:visible").count() > 0
    assert all("lstm" in name for name in texts(page, "table.results tbody tr:visible th"))


def test_the_filters_hold_for_the_artifacts_too(page_file: Path, open_page: Any) -> None:
    page = open_page(page_file)
    page.select_option("#filters [name=model]", "cnn")
    page.select_option("#filters [name=budget_mv]", "0.005")
    rows = page.locator("table.results tbody tr:visible")
    assert rows.count() > 0
    assert all("cnn" in rows.nth(at).inner_text() for at in range(rows.count()))
    heads = page.locator("table.results >> nth=0").locator("thead th:visible").all_inner_texts()
    assert any("0.005 mV" in each for each in heads)
    assert not any("0.02 mV" in each for each in heads)
    assert page.locator("table.results >> nth=0").locator("tbody tr:visible").first.locator(
        "th:visible, td:visible"
    ).count() == len(heads)


def test_all_rows_sort_by_number_with_the_unmeasured_last(page_file: Path, open_page: Any) -> None:
    page = open_page(page_file)
    for click in range(2):
        head(page, "#rows", "AUC").locator("button").click()
        values = column(page, "#rows", 6)
        measured = [float(text) for text in values if text != "-"]
        assert len(measured) > 50
        assert measured == sorted(measured, reverse=click == 0)
        assert "-" not in values[: len(measured)]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_anyone_can_read_it(page_file: Path, open_page: Any, width: int, dark: bool) -> None:
    """axe-core finds no fault: names, roles, outline, contrast, landmarks."""
    page = open_page(page_file, width, dark)
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    look_with_axe(page)
    assert faults(page) == []


@pytest.mark.parametrize("width", [320, NARROW, 768, WIDE])
def test_the_page_never_scrolls_sideways(page_file: Path, open_page: Any, width: int) -> None:
    page = open_page(page_file, width)
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    cut = page.evaluate(
        """() => [...document.querySelectorAll('main p, main li, main dd, main h2, main h3, main figcaption, caption')]
        .filter((each) => !each.closest('details') && each.getBoundingClientRect().right > innerWidth + 1
          && !each.closest('table.rows')).map((each) => each.textContent.slice(0, 60))"""
    )
    assert cut == []


def test_the_keyboard_reaches_everything(page_file: Path, open_page: Any) -> None:
    page = open_page(page_file)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")
    page.locator("#results .folded summary").first.focus()  # the legend of words and signs
    page.keyboard.press("Enter")
    page.locator("#results .words-list dt", has_text="parent").first.wait_for()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    unreachable = page.evaluate(
        "[...document.querySelectorAll('.scroll')].filter((each) => each.tabIndex !== 0 || !each.ariaLabel).length"
    )
    assert unreachable == 0


def test_on_paper_there_is_no_control_and_no_section_folded(page_file: Path, open_page: Any) -> None:
    page = open_page(page_file, dark=True, folded=True)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("nav").is_hidden()
    assert page.locator("#filters").is_hidden()
    assert page.locator("section:not(.off-paper) > .fold:not([open])").count() == 0
    assert page.locator("section:not(.off-paper) > .fold[open]").count() > 8
    assert page.locator("section.off-paper").first.is_hidden()
    assert page.locator("table.results thead th").nth(4).inner_text() == "clean AUC"  # heads are buttons, and stay
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") != "rgb(236, 232, 224)"  # not the dark mode's


def test_without_a_script_the_answers_and_the_tables_are_there(page_file: Path, open_page: Any, chromium: Any) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_file.as_uri())
    assert page.locator("#answer .chosen").is_visible()
    page.locator("#results summary").first.click()  # the browser's own
    assert page.locator("table.results tbody tr").first.is_visible()
    assert page.locator("#filters").is_hidden()
    page.locator("#recordings summary").first.click()
    assert page.locator("#results .without-script").is_visible()
    assert page.locator("#recordings .without-script").is_visible()
    context.close()


def test_a_stranger_s_text_does_not_run(tmp_path: Path, open_page: Any) -> None:
    make_study(tmp_path)
    bad = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"
    task = {"task__classes": [bad, "MI", "STTC"], "task__leads": [bad, "II", "V1"]}
    change_json(tmp_path / "bundle" / "bundle.json", note=bad, **task)
    evaluation, answered = evaluated(tmp_path)
    page = open_page(write_report(evaluation, tmp_path / "report", tmp_path, answered))
    assert page.title() == "Pulseproof: A made study"
    assert bad in page.locator("#viewer-scores tbody th").first.inner_text()
    assert bad in page.locator("header .note").inner_text()
