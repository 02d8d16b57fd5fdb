"""The picture of a report for the docs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest

SCRIPT = Path(__file__).parents[3] / "docs" / "site" / "picture.py"


@pytest.mark.slow
def test_it_is_a_picture_of_the_page(page_file: Path, chromium: Any, tmp_path: Path) -> None:
    out = tmp_path / "report.png"
    subprocess.run([sys.executable, str(SCRIPT), str(page_file), str(out)], check=True, timeout=120)
    height, width = matplotlib.image.imread(out).shape[:2]
    assert width == 1240 and 700 < height < 4000
    assert [path.name for path in tmp_path.iterdir()] == ["report.png"]
