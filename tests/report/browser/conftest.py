"""The page of a made study in a headless Chromium that has no network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pulseproof.report.page import write_report
from tests.report.making_report import evaluated, make_study

Open = Callable[..., Any]


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Open]:
    """Open a file: ``open_page(path, width=1440, dark=False)``, its sections unfolded unless ``folded``. At the end of
    the test, nothing was asked of a network and nothing was written to the console."""
    contexts, asked, said = [], [], []

    def opened(path: Path, width: int = 1440, dark: bool = False, folded: bool = False, **options: Any) -> Any:
        context = chromium.new_context(
            viewport={"width": width, "height": 844 if width < 500 else 900},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            offline=True,
            **options,
        )
        contexts.append(context)
        page = context.new_page()
        address = path.as_uri()
        page.on("request", lambda request: asked.append(request.url) if request.url != address else None)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(address)
        if page.locator("#viewer").count():
            page.locator("#viewer-paper svg").wait_for(state="attached")
        if not folded:
            page.evaluate("document.querySelectorAll('details.fold').forEach((each) => { each.open = true; })")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [each for each in asked if not each.startswith("data:")] == []
    assert said == []


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``build/<study>`` with its report."""
    folder = tmp_path_factory.mktemp("browser") / "made"
    make_study(folder)
    evaluation, answered = evaluated(folder)
    write_report(evaluation, folder / "report", folder, answered)
    return folder


@pytest.fixture(scope="session")
def page_file(home: Path) -> Path:
    return home / "report" / "index.html"
