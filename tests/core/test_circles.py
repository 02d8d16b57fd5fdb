"""No import circle: between modules, wherever in them they import, nor between rooms; and no folder is crowded."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

HOME = Path(__file__).parents[2]
MOST = 20  # Python files in a folder
# Each room may import from those before it. The face and the commands stand above all of them.
ROOMS = ("runtime", "core", "ecg", "models", "twins", "export", "firmware", "certify", "attacks", "bench", "report")
FRONT = "face"  # the front of the package itself, beside its commands: above all rooms
PACKAGE = "pulseproof"


def modules(home: Path) -> dict[str, Path]:
    """Every module of the package, by its name."""
    found = {}
    for top in sorted((home / PACKAGE).iterdir()):
        for path in [top] if top.suffix == ".py" else sorted(top.resolve().rglob("*.py")) if top.is_dir() else []:
            parts = (top.name, *path.relative_to(top.resolve()).parts) if top.is_dir() else (top.name,)
            name = ".".join((PACKAGE, *parts)).removesuffix(".py").removesuffix(".__init__")
            found[name] = path
    return found


def imported(tree: ast.AST, package: str) -> Iterator[str]:
    """The names that a source imports, wherever in it but under TYPE_CHECKING."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from imported(other, package)
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            # A name of a package is the module of that name, where there is one.
            yield from (f"{base}.{each.name}" for each in node.names)
        else:
            yield from imported(node, package)


def graph(files: Mapping[str, Path]) -> dict[str, set[str]]:
    """{module: those that it imports}. A package's own ``__init__`` counts where it is asked for a name of its own."""
    arrows: dict[str, set[str]] = {}
    for name, path in files.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        asked = imported(ast.parse(path.read_text(encoding="utf-8")), package)
        arrows[name] = {one for one in (_module(each, files) for each in asked) if one is not None and one != name}
    return arrows


def _module(name: str, files: Mapping[str, Path]) -> str | None:
    while name and name not in files:
        name = name.rpartition(".")[0]
    return name or None


def circles(arrows: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The sets of modules of which each reaches every other (Tarjan 1972), largest first, those of one left out."""
    found: list[list[str]] = []
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(arrows.get(name, ())):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            at = stack.index(name)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    for name in sorted(arrows):
        if name not in index:
            visit(name)
    return sorted(found, key=len, reverse=True)


def against(arrows: Mapping[str, Iterable[str]], rooms: tuple[str, ...]) -> list[str]:
    """The imports that go against the order of the rooms."""
    places = {room: place for place, room in enumerate(rooms)}
    found = []
    for name, others in arrows.items():
        for other in sorted(others):
            ours, theirs = (one.split(".")[1] if "." in one else "" for one in (name, other))
            if ours in places and places[ours] < places.get(theirs, len(rooms)):
                found.append(f"{name} imports {other}")
    return found


def crowded(home: Path, folders: Iterable[str], most: int = MOST) -> dict[str, int]:
    """{folder: its Python files} of those with more than ``most``."""
    counts: dict[str, int] = {}
    for folder in folders:
        for path in (home / folder).rglob("*.py"):
            place = path.parent.relative_to(home).as_posix()
            counts[place] = counts.get(place, 0) + 1
    return {place: count for place, count in sorted(counts.items()) if count > most}


def test_no_circle_between_modules() -> None:
    assert circles(graph(modules(HOME))) == []


def test_every_room_imports_from_those_below_alone() -> None:
    files = modules(HOME)
    rooms = {name.split(".")[1] for name, path in files.items() if name.count(".") >= 1 and path.parent.name != PACKAGE}
    assert rooms == {*ROOMS, FRONT}
    assert against(graph(files), ROOMS) == []


def test_no_folder_is_crowded() -> None:
    assert crowded(HOME, (*ROOMS, PACKAGE, "perf", "tests")) == {}


SOURCES = {
    "a/__init__.py": "",
    "a/one.py": "from pulseproof.b.two import x",
    "b/__init__.py": "",
    "b/two.py": "def late():\n    from ..a import one",
    "b/three.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import pulseproof.b.four",
    "b/four.py": "from pulseproof.b import three",
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name, text in SOURCES.items():
        path = tmp_path / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def test_a_circle_is_found(home: Path) -> None:
    """Also one of imports inside functions, and of relative ones; what is imported for a type checker is none."""
    arrows = graph(modules(home))
    assert circles(arrows) == [["pulseproof.a.one", "pulseproof.b.two"]]
    assert against(arrows, ("a", "b")) == ["pulseproof.a.one imports pulseproof.b.two"]
    assert against(arrows, ("b", "a")) == ["pulseproof.b.two imports pulseproof.a.one"]


def test_a_crowd_is_found(home: Path) -> None:
    assert crowded(home, [PACKAGE], 2) == {"pulseproof/b": 4}
