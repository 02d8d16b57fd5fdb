"""Shared by all tests: in which order they come, where the real recordings are, if anywhere, and the one browser."""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def pytest_configure() -> None:
    """Started in the background, pytest ignores SIGINT, and under nohup SIGHUP; so would the processes that the tests
    tell to end."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


# A file of tests stays on one worker (the Makefile says why), and those that take minutes are begun first: who came to
# one of them at the end would be alone with it.
LONGEST = (
    *("hostile/test_stages.py", "bench/devices/test_ssh.py", "attacks/grid/test_faults.py"),
    *("bench/devices/emulated/test_emulated_run.py", "hostile/model/test_model_file.py", "docs/test_tutorial.py"),
    *("export/test_strangers.py", "bench/test_pipeline.py", "hostile/test_ssh.py", "export/test_table.py"),
    *("docs/test_site_browser.py", "hostile/test_two_at_once.py", "attacks/test_command.py", "adding/test_pages.py"),
    *("adding/test_stale.py", "models/test_strangers.py", "docs/test_own_model.py", "face/test_notebook.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order of the files: :data:`LONGEST`, then by their slow tests and by all that they have, most first."""
    home = Path(__file__).parent
    tests = Counter(item.path for item in items)
    slow = Counter(item.path for item in items if item.get_closest_marker("slow") is not None)
    listed = {home / name: len(LONGEST) - place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (-listed.get(item.path, 0), -slow[item.path], -tests[item.path], str(item.path)))


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real recordings (PhysioNet's layout) named by PULSEPROOF_DATA; skips where there is none."""
    named = os.environ.get("PULSEPROOF_DATA", "")
    if not named:
        pytest.skip("no real recordings here: set PULSEPROOF_DATA (make test DATA=folder)")
    root = Path(named)
    if not root.is_dir():
        pytest.fail(f"PULSEPROOF_DATA={named} is not a folder")
    return root.resolve()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A headless Chromium (Debian's), one a process: Playwright starts no second. Skips where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="no playwright here: make setup installs it")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    # Root has no sandbox to keep; nobody else gives it up.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=options)
        yield browser
        browser.close()
