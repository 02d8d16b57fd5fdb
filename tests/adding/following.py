"""A copy of the checkout in which a page of docs/adding is followed to the letter, and processes that run there.

A page is done from its first line to its last: a block of ``sh`` is run; the first line of any other block says where
the rest of it goes (``# attacks/sparse.py, FILL step``): a new file, the imports of a file, the end of a table in it,
beside each line of a key, before or after something in it, or in the place of a line of a template that is to be
filled. What a page says of how much is touched is counted in the copy.
"""

from __future__ import annotations

import difflib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.warm import run_warm

HOME = Path(__file__).resolve().parent.parent.parent
PACKAGE = HOME / "pulseproof"
PAGES = HOME / "docs" / "adding"
TRIED = "## Try it"  # from here on nothing is added any more
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
PLACE = re.compile(r"# (\S+), (.*?)\n(.*)", re.S)
# What would change what the commands do: recordings of this machine, a make around this test.
NOT_OURS = ("PULSEPROOF_DATA", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "GITHUB_STEP_SUMMARY")
OWN = {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"}
MADE = ("build", ".venv", "__pycache__", "recordings")  # by the commands that try what was added


def copied(folder: Path) -> Path:
    """A copy of the packages and the templates as they are, with the commands of an environment."""
    rest = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, folder / PACKAGE.name, symlinks=True, ignore=rest)
    for link in filter(Path.is_symlink, PACKAGE.iterdir()):
        shutil.copytree(link, folder / link.name, ignore=rest)
    shutil.copytree(PAGES, folder / PAGES.relative_to(HOME), ignore=rest)
    commands = folder / ".venv" / "bin"
    commands.mkdir(parents=True)
    for name, more in (("python", ""), ("pulseproof", "-m pulseproof ")):  # a link would lose its packages
        (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {more}"$@"\n')
        (commands / name).chmod(0o755)
    return folder


def add(home: Path, kind: str) -> None:
    """Do in the copy what the page of a kind says is to be added."""
    _do(home, _page(kind).partition(TRIED)[0])


def try_it(home: Path, kind: str) -> str:
    """Do what the page says shows that it works; what its commands said."""
    return _do(home, _page(kind).partition(TRIED)[2])


def follow(home: Path, kind: str) -> str:
    """Both, and in between what was touched is held against what the page says of it; what the commands said."""
    before = _files(home)
    add(home, kind)
    touched, said = _touched(before, _files(home)), re.findall(r"^\*\*Touched: (.*)\.\*\*$", _page(kind), re.M)
    assert said == [touched]
    return try_it(home, kind)


def _page(kind: str) -> str:
    return (PAGES / f"{kind}.md").read_text(encoding="utf-8")


def _do(home: Path, text: str) -> str:
    said = []
    for language, block in FENCE.findall(text):
        place = PLACE.fullmatch(block)
        if language == "sh":
            said.append(_command(home, block))
        elif place is not None:
            _put(home / place[1], place[2], place[3])
    assert FENCE.search(text)
    return "\n".join(said)


def _put(path: Path, where: str, code: str) -> None:
    if where == "a new file":
        assert not path.exists()
        path.write_text(code, encoding="utf-8")
    else:
        path.write_text(_with(path.read_text(encoding="utf-8"), where, code), encoding="utf-8")


def _with(source: str, where: str, code: str) -> str:
    """``source`` with ``code`` in the place that a page names: each way in turn, by its first word."""
    how, _, what = where.partition(" ")
    return _WAYS[how](source, what.removeprefix("each "), code)


def _import(source: str, _: str, code: str) -> str:
    return source.replace("from __future__ import annotations\n", f"from __future__ import annotations\n{code}", 1)


def _fill(source: str, word: str, code: str) -> str:
    """In the place of the one line that ends with this blank."""
    changed, count = re.subn(rf"^.*\bFILL {re.escape(word)}\b.*\n", lambda _: code, source, flags=re.M)
    assert count == 1, f"no blank {word}, or several"
    return changed


def _beside(source: str, key: str, code: str) -> str:
    changed, count = re.subn(rf"^( +{re.escape(key)}: .*\n)", lambda line: line[1] + code, source, flags=re.M)
    assert count
    return changed


def _in(source: str, table: str, code: str) -> str:
    pattern = re.compile(rf"(^{re.escape(table)}\b[^\n]*[\[({{]\n.*?)(^[\])}}])", re.M | re.S)
    changed, count = pattern.subn(lambda one: one[1] + code + one[2], source, count=1)
    assert count == 1, f"no table {table}"
    return changed


def _before(source: str, name: str, code: str) -> str:
    changed, count = re.subn(rf"^(?={re.escape(name)}\b)", lambda _: code, source, count=1, flags=re.M)
    assert count == 1, f"no {name}"
    return changed


def _after(source: str, text: str, code: str) -> str:
    assert source.count(text) == 1, f"{text} is there {source.count(text)} times"
    return source.replace(text, text + code.removesuffix("\n"))


_WAYS: dict[str, Callable[[str, str, str], str]] = {
    "imports": _import,
    "FILL": _fill,
    "beside": _beside,
    "in": _in,
    "before": _before,
    "after": _after,
}


def _files(home: Path) -> dict[str, list[str]]:
    """Every file of the copy that somebody wrote, by its place, line by line."""
    found = {}
    for path in home.rglob("*"):
        name = path.relative_to(home)
        if path.is_file() and not path.is_symlink() and not set(MADE) & set(name.parts):
            found[name.as_posix()] = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return found


def _touched(before: dict[str, list[str]], after: dict[str, list[str]]) -> str:
    """In the words of the pages: what is new, and how many lines are new or changed in how many files."""
    assert set(before) <= set(after)
    new = [name for name in after if name not in before]
    changed = [name for name in before if before[name] != after[name]]
    lines = sum(
        line.startswith("+ ") for name in changed for line in difflib.ndiff(before[name], after[name], charjunk=None)
    )
    said = _number(len(new), "new file")
    return f"{said}, and {_number(lines, 'line')} in {_number(len(changed), 'file')}" if changed else f"{said}, no more"


def _number(count: int, what: str) -> str:
    return f"{count} {what}" + ("s" if count != 1 else "")


def _command(home: Path, command: str) -> str:
    kept = {key: value for key, value in os.environ.items() if key not in NOT_OURS}
    return _output(["bash", "-euo", "pipefail", "-c", command], home, kept | {"PYTHONPATH": str(home)})


def run(home: Path, script: str, *arguments: str) -> str:
    """What a script prints that is run with the copy's packages. The tests' own helpers are those of this checkout."""
    begun = f"import pulseproof, pathlib\nassert pathlib.Path(pulseproof.__file__).is_relative_to({str(home)!r})\n"
    path = {"PYTHONPATH": f"{home}{os.pathsep}{HOME}"}
    done = run_warm(begun + script, *arguments, folder=home, environment=dict(os.environ) | OWN | path)
    assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def _output(command: list[str], home: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=home, env=environment | OWN, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr
