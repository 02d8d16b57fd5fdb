"""A copy of the packages in which docs/ADDING.md is followed to the letter, and a process that runs there.

The first line of each example on the page says where the rest of it goes: a new file, the imports of a file, the end of
a table in it, or beside each line of a key.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent.parent
PACKAGE = HOME / "pulseproof"
PAGE = HOME / "docs" / "ADDING.md"


def copied(folder: Path) -> Path:
    """A copy of the packages as they are."""
    shutil.copytree(PACKAGE, folder / PACKAGE.name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for link in filter(Path.is_symlink, PACKAGE.iterdir()):
        shutil.copytree(link, folder / link.name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def follow(home: Path, section: str) -> None:
    """Do in the copy what the examples of one section of the page say."""
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    examples = re.findall(r"^```python\n# (\S+), (.*?)\n(.*?)^```", text, re.M | re.S)
    assert examples
    for name, where, code in examples:
        path = home / name
        if where == "a new file":
            assert not path.exists()
            path.write_text(code, encoding="utf-8")
        else:
            path.write_text(_with(path.read_text(encoding="utf-8"), where, code), encoding="utf-8")


def _with(source: str, where: str, code: str) -> str:
    if where == "imports":
        return source.replace("from __future__ import annotations\n", f"from __future__ import annotations\n{code}", 1)
    if where.startswith("beside each "):
        key = re.escape(where.removeprefix("beside each "))
        changed, count = re.subn(rf"^( +{key}: .*\n)", lambda line: line[1] + code, source, flags=re.M)
        assert count
        return changed
    table = re.escape(where.removeprefix("in "))
    pattern = re.compile(rf"(^{table}\b[^\n]*[\[({{]\n.*?)(^[\])}}])", re.M | re.S)
    changed, count = pattern.subn(lambda one: one[1] + code + one[2], source, count=1)
    assert count == 1, f"no table {where}"
    return changed


def run(home: Path, script: str, *arguments: str) -> str:
    """What a script prints that is run with the copy's packages. The tests' own helpers are those of this checkout."""
    environment = {**os.environ, "PYTHONPATH": f"{home}{os.pathsep}{HOME}", "OMP_NUM_THREADS": "1"}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    begun = f"import pulseproof, pathlib\nassert pathlib.Path(pulseproof.__file__).is_relative_to({str(home)!r})\n"
    done = subprocess.run(
        [sys.executable, "-c", begun + script, *arguments],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
