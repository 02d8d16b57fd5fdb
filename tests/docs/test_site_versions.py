"""The site of each version is kept beside those before it, and a reader goes from one to another."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.docs.conftest import ROOT

FILE = ROOT / "docs" / "site" / "publish.py"


@pytest.fixture(scope="module")
def publishing() -> Any:
    spec = importlib.util.spec_from_file_location("site_publish", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made(folder: Path, text: str) -> Path:
    (folder / "site").mkdir(parents=True)
    (folder / "index.html").write_text(text)
    (folder / "site" / "versions.js").write_text("window.siteVersions = [];\n")
    return folder


def test_versions_are_listed_the_newest_first_and_keep_their_pages(publishing: Any, tmp_path: Path) -> None:
    public = tmp_path / "public"
    for number, name in enumerate(("0.9.1", "0.10.0", "0.9.2")):
        found = publishing.publish(made(tmp_path / name, f"page {number}"), public, name)
    assert found == ["0.10.0", "0.9.2", "0.9.1"]
    for name in found:
        assert (public / name / "site" / "versions.js").read_text() == f"window.siteVersions = {found};\n".replace(
            "'", '"'
        )
    assert 'url=0.10.0/index.html"' in (public / "index.html").read_text()
    again = publishing.publish(made(tmp_path / "mended", "mended"), public, "0.9.1")
    assert again == found and (public / "0.9.1" / "index.html").read_text() == "mended"
    assert (public / "0.10.0" / "index.html").read_text() == "page 1"


@pytest.mark.slow
def test_a_reader_goes_to_the_same_page_of_another_version(
    publishing: Any, site: Path, chromium: Any, tmp_path: Path
) -> None:
    other = shutil.copytree(site, tmp_path / "other")
    publishing.publish(other, tmp_path / "public", "0.0.9")
    assert publishing.publish(site, tmp_path / "public", publishing.version())[-1] == "0.0.9"
    page = chromium.new_page()
    page.goto((tmp_path / "public" / publishing.version() / "adding" / "model.html").as_uri())
    page.get_by_label("Version of these docs").select_option("0.0.9")
    page.wait_for_url("**/public/0.0.9/adding/model.html")
    page.close()
