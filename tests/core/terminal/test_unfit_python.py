"""A Python that cannot run Pulseproof is told so at once, by ``python -m pulseproof`` and by ``make setup``."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pulseproof import __main__

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("version", [(3, 9, 2), (3, 10, 14), (3, 14, 0)])
def test_an_unfit_python_is_refused_with_those_that_fit(
    version: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(SystemExit) as ended:
        __main__.run()
    shown = ".".join(map(str, version[:2]))
    assert f"needs Python 3.11 to 3.13, and {sys.executable} is {shown}" in str(ended.value)


def test_it_is_what_the_package_asks_for() -> None:
    asked = re.search(r'requires-python = ">=(\d+)\.(\d+),<(\d+)\.(\d+)"', (ROOT / "pyproject.toml").read_text())
    assert asked is not None
    first, last = (int(asked[1]), int(asked[2])), (int(asked[3]), int(asked[4]))
    assert (first, last) == __main__.FIT


def test_make_setup_refuses_one_that_is_named(tmp_path: Path) -> None:
    asked = ["make", "setup", "PYTHON=false", f"VENV={tmp_path / 'venv'}"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "false is no Python 3.11, 3.12 or 3.13 with venv" in done.stdout
    assert not (tmp_path / "venv").exists()
