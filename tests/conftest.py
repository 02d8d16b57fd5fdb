"""Shared by all tests: where the real recordings are, if anywhere."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest


def pytest_configure() -> None:
    """Started in the background, pytest ignores SIGINT, and under nohup SIGHUP; so would the processes that the tests
    tell to end."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


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
