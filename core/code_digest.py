"""Which source code made a file: the SHA-256 of a module and of what it imports from its own room, transitively.

In: names of modules (``pulseproof.attacks.apgd``). Out: a :class:`Code`, which a step keeps beside its inputs
(:class:`core.steps.Step`): when the code is edited the step is stale. Imports are found by parsing, and nothing is
executed; those inside functions count, those by a computed name cannot be seen. What counts are the bytes of the
sources with their line ends made alike, so that a checkout and an installed wheel, and every machine and Python, give
one digest: an edited comment makes work, and editing nothing makes none.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pulseproof.core.errors import InputError

HOME = Path(__file__).absolute().parents[2]  # where the package lies, in a checkout or among other people's
PACKAGE = "pulseproof"


@dataclass(frozen=True)
class Code:
    """``modules``: those that something is made by; ``rooms``: the packages inside which imports are followed;
    ``without``: modules that are neither read nor followed, such as a table that lists what else there is. ``digest``:
    of the sources when this was made."""

    modules: tuple[str, ...]
    rooms: tuple[str, ...]
    without: tuple[str, ...]
    digest: str

    def check(self, what: str) -> None:
        """Raises InputError, which begins with ``what``, where another process has other sources than the one that made
        this."""
        if code_of(self.modules, self.rooms, self.without).digest != self.digest:
            raise InputError(
                f"{what}: its code here ({', '.join(self.modules)}) is not that of the process that asks for it",
                "install the same Pulseproof on every machine, and start workers again after an edit",
            )


@functools.cache
def code_of(modules: tuple[str, ...], rooms: tuple[str, ...] = (), without: tuple[str, ...] = ()) -> Code:
    """The code of these modules and of all that they import inside ``rooms`` (default: the modules' own).

    Raises ValueError for a module that is no file of ours.
    """
    followed = rooms or tuple(sorted({_room(name) for name in modules}))
    seen: dict[str, str] = {}
    waiting = [(name, "asked for") for name in modules]
    while waiting:
        name, importer = waiting.pop()
        if name in seen or name in without:
            continue
        found = _read(name)
        if found is None:
            raise ValueError(f"{name} ({importer}) is no module under {HOME}")
        seen[name] = found.sha256
        waiting += [(each, name) for each in found.imports if _room(each) in followed]
    text = "\n".join(f"{name} {sha256}" for name, sha256 in sorted(seen.items()))
    return Code(modules, rooms, without, hashlib.sha256(text.encode()).hexdigest())


def module_of(function: Callable[..., object]) -> str:
    """The module in which a function or class is defined."""
    return function.__module__


def ours(names: Iterable[str]) -> tuple[str, ...]:
    """Those of the modules that are of our package, each once, in order of their names: a user's own has a digest of
    its own."""
    return tuple(sorted({name for name in names if _path(name) is not None}))


@dataclass(frozen=True)
class _Module:
    sha256: str
    imports: tuple[str, ...]


@functools.cache
def _read(name: str) -> _Module | None:
    path = _path(name)
    if path is None:
        return None
    source = path.read_bytes().replace(b"\r\n", b"\n")
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return _Module(hashlib.sha256(source).hexdigest(), tuple(_imports(ast.parse(source), package)))


def _room(name: str) -> str:
    """The room that a module lies in: ``pulseproof.attacks`` of ``pulseproof.attacks.apgd``."""
    return ".".join(name.split(".")[:2])


def _path(name: str) -> Path | None:
    """The file of a module of ours, None for any other."""
    if name.partition(".")[0] != PACKAGE:
        return None
    base = HOME.joinpath(*name.split("."))
    return next((path for path in (base / "__init__.py", base.with_name(f"{base.name}.py")) if path.is_file()), None)


def _imports(tree: ast.Module, package: str) -> Iterable[str]:
    """The modules of ours that a source imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if _path(each.name) is not None)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            base = ".".join(part for part in (above, node.module) if part)
            inner = [f"{base}.{each.name}" for each in node.names]
            yield from (name for name in (base, *inner) if _path(name) is not None)
