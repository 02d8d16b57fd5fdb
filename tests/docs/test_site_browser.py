"""The docs in a browser, opened as files: a silent console, pages that anyone can read, clicks that work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.axe import faults, faults_of_colour, look_with_axe
from tests.docs.conftest import ROOT

Open = Callable[..., Any]
WRITTEN = sorted(path.relative_to(ROOT / "docs").with_suffix("") for path in ROOT.glob("docs/**/*.md"))
PAGES = (
    *("index", "CHANGELOG", "CONTRIBUTING", "SECURITY", "notebook"),
    *(path.as_posix() for path in WRITTEN if path.parts[0] != "results"),
)
NARROW, WIDE = 390, 1440


@pytest.fixture
def open_site(chromium: Any, site: Path) -> Iterator[Open]:
    """Open a page: ``open_site("ci.html")``. At the end nothing was asked of a network, and the console is empty."""
    contexts, asked, said = [], [], []

    def opened(name: str, dark: bool = False, width: int = WIDE) -> Any:
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            offline=True,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        path, _, place = name.partition("#")
        page.goto((site / path).as_uri() + (f"#{place}" if place else ""))
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [each for each in asked if not each.startswith(("file:", "data:"))] == []
    assert said == []


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_anyone_can_read_it(name: str, open_site: Open) -> None:
    """axe-core finds no fault, light and dark, wide and narrow; and a narrow page does not scroll sideways."""
    page = open_site(f"{name}.html")
    look_with_axe(page)
    assert faults(page) == []
    page.emulate_media(color_scheme="dark")
    page.locator("html[data-bs-theme=dark]").wait_for()  # the page is told with its next frame
    assert faults_of_colour(page) == []
    page.set_viewport_size({"width": NARROW, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW
    assert faults(page) == []


@pytest.mark.slow
def test_these_are_all_pages(site: Path) -> None:
    assert {path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")} == {*PAGES, "404"}


@pytest.mark.slow
def test_a_wide_table_is_scrolled_by_the_keyboard(open_site: Open) -> None:
    page = open_site("export.html", width=NARROW)
    scrolls = "(all) => all.findIndex((each) => each.scrollWidth > each.clientWidth)"
    place = page.locator(".wide").evaluate_all(scrolls)
    assert place >= 0, "no table is wide"
    wide = page.locator(".wide").nth(place)
    wide.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("(place) => document.querySelectorAll('.wide')[place].scrollLeft > 0", arg=place)


CELLS = "<tr style='background: #fff'><td>one</td><td>two</td></tr>" * 100
PAGE = "<!doctype html><html lang=en><title>t</title><main><h1>title</h1><p>text</p><table>{}</table></main></html>"
HARD_TO_READ = (
    "<tr style='background: #fff'><td style='color: #bbb'>one</td><td>two</td></tr>",
    "<tr style='background: #444'><td>one</td><td>two</td></tr>",
    "<tr style='background: #fff; opacity: .4'><td>one</td><td>two</td></tr>",
    "<tr style='background: #fff'><td><i style='background: #555'>one</i></td><td>two</td></tr>",
)


@pytest.mark.slow
def test_one_text_among_hundreds_that_is_hard_to_read_is_found(chromium: Any) -> None:
    page = chromium.new_page()
    for odd in ("", *HARD_TO_READ):
        page.set_content(PAGE.format(CELLS + odd + CELLS))
        look_with_axe(page)
        assert [each.partition(": <")[0] for each in faults_of_colour(page)] == ["color-contrast"] * bool(odd), odd
    page.close()


@pytest.mark.slow
def test_the_theme_is_chosen_and_kept(open_site: Open) -> None:
    page = open_site("tutorial.html")
    code = page.locator(".codehilite").first
    light = code.evaluate("(each) => getComputedStyle(each).backgroundColor")
    page.locator("#theme-menu").click()
    page.locator("[data-bs-theme-value=dark]").click()
    page.locator("html[data-bs-theme=dark]").wait_for()
    assert code.evaluate("(each) => getComputedStyle(each).backgroundColor") != light
    page.locator("a[rel=next]").click()
    page.wait_for_function("!location.pathname.endsWith('tutorial.html')")
    page.locator("html[data-bs-theme=dark]").wait_for()
    page.locator("#theme-menu").click()
    page.locator("[data-bs-theme-value=light]").click()
    page.locator("html[data-bs-theme=light]").wait_for()


@pytest.mark.slow
def test_a_search_finds_a_section_without_a_server(open_site: Open) -> None:
    page = open_site("index.html")
    page.keyboard.press("s")
    field, found = page.locator("#mkdocs-search-query"), page.locator("#mkdocs-search-results")
    field.fill("saturating vnni")
    found.locator("article a").first.wait_for()
    places = [each.get_attribute("href") for each in found.locator("article a").all()]
    assert any("export.html#exact-on-any-processor" in str(each) for each in places), places
    field.fill("budg")  # the beginning of a word
    found.locator("a", has_text="budget").first.wait_for()
    field.fill("xylophone")
    found.get_by_text("No results found").wait_for()
    field.fill("twin weaker")
    found.locator("a[href*='attacks.html']").first.click()
    page.wait_for_url("**/attacks.html#*")


@pytest.mark.slow
def test_a_command_is_copied_without_its_prompt(open_site: Open) -> None:
    page = open_site("tutorial.html#step-7-on-the-device")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    assert page.locator("#step-7-on-the-device").bounding_box()["y"] < 900, "the place was scrolled to"
    block = page.locator(".codehilite", has_text="emulated:cortex-a72").first
    block.hover()
    block.get_by_role("button", name="Copy").click()
    block.get_by_role("button", name="Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.splitlines()[-1] == "make report STUDY=mine.toml"
    assert page.locator(".codehilite span").count() > 50, "code has colours"
