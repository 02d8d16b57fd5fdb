"""The docs as a site: it builds strictly, its links lead somewhere, and its pages ask no network for anything."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pulseproof
from tests.docs.conftest import ROOT


class Addresses(HTMLParser):
    """What a page loads, what it links to, and the places in it that a link can name."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.linked: list[str] = []
        self.places: set[str] = set()
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        self.places |= {given[key] for key in ("id", "name") if key in given}
        if tag == "a" and "href" in given:
            self.linked.append(given["href"])
        elif tag == "link" and given.get("rel") == "canonical":
            pass
        else:
            self.loaded += [given[key] for key in ("src", "href", "srcset", "poster", "data") if given.get(key)]


def test_every_page_of_the_docs_is_on_it(site: Path) -> None:
    written = {path.stem for end in ("md", "ipynb") for path in (ROOT / "docs").glob(f"*.{end}")}
    expected = written | {"index", "CHANGELOG", "CONTRIBUTING", "SECURITY"}
    assert {path.stem for path in site.glob("*.html")} - {"404"} == expected


def test_nothing_comes_from_a_network_and_every_link_leads_somewhere(site: Path) -> None:
    pages = {path: Addresses(path) for path in site.rglob("*.html") if path.name != "404.html"}
    for page, found in pages.items():
        for address in found.loaded + found.linked:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                assert address not in found.loaded, f"{page.name} loads {address}"
                continue
            target = page.parent / unquote(parts.path) if parts.path else page
            assert target.exists(), f"{page.name} links to {address}"
            if parts.fragment and target in pages:
                assert parts.fragment in pages[target].places, f"{page.name} links to {address}"
    linked = [address for found in pages.values() for address in found.linked if "#" in address]
    assert len(linked) > 100
    for sheet in site.rglob("*.css"):
        assert "url(http" not in sheet.read_text("utf-8") and "@import" not in sheet.read_text("utf-8"), sheet


def test_a_place_is_called_as_in_the_repository_but_where_it_begins_with_a_figure(site: Path) -> None:
    """A link from outside finds it; and the theme's script looks up places by names that a style sheet could have."""
    named = re.compile(r"[A-Za-z_][\w.-]*")
    for path in set(site.rglob("*.html")) - {site / "404.html"}:
        places = Addresses(path).places
        assert [each for each in places if each and not named.fullmatch(each)] == [], path.name
    places = Addresses(site / "tutorial.html").places
    assert {"step-1-the-model", "step-7-on-the-device", "your-recordings-your-weights"} <= places


def test_the_index_of_the_search_has_every_page(site: Path) -> None:
    text = (site / "search" / "search_index.js").read_text("utf-8")
    found = json.loads(text.removeprefix("window.searchIndex = ").removesuffix(";\n"))["docs"]
    pages = {path.relative_to(site).as_posix() for path in site.rglob("*.html")} - {"404.html"}
    assert {each["location"].partition("#")[0] for each in found} == pages
    assert any(each["location"] == "attacks.html#the-deployed-file-itself" for each in found)


def test_the_functions_for_python_are_told_by_their_docstrings(site: Path) -> None:
    page = Addresses(site / "python.html")
    assert {f"pulseproof.{name}" for name in pulseproof.__all__} <= page.places
    text = (site / "python.html").read_text("utf-8")
    assert "float (n, leads, samples) in millivolts" in text and ":class:" not in text


def test_a_notebook_is_a_page_with_what_its_cells_gave(site: Path) -> None:
    text = (site / "notebook.html").read_text("utf-8")
    assert "white box through the file's own graph" in html.unescape(text)
    assert (site / "notebook-1.png").read_bytes().startswith(b"\x89PNG") and 'src="notebook-1.png"' in text
