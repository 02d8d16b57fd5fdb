"""A fresh small database for every test that asks for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ecg.making import write_mitbih, write_ptbxl


@pytest.fixture
def ptbxl_root(tmp_path: Path) -> Path:
    """A data folder with the small PTB-XL of :func:`tests.ecg.making.write_ptbxl`."""
    write_ptbxl(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def beats_root(tmp_path: Path) -> Path:
    """A data folder with the small beat database of :func:`tests.ecg.making.write_mitbih`."""
    write_mitbih(tmp_path / "data")
    return tmp_path / "data"
