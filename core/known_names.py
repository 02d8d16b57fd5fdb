"""The names that a study can give of attack methods and systems, read from the one table that has each: ``METHODS`` in
``attacks/methods.py``, ``SYSTEMS`` in ``models/systems.py``; and what a mistyped name was meant to be.

In: nothing, or a name. Out: the keys of that table, in its order, or a word of doubt. A study is checked by them before
any work starts, and often where no attack will ever run; so a table is parsed as text, and torch, which its lines need,
is not imported.
"""

from __future__ import annotations

import ast
import difflib
import functools
from collections.abc import Iterable

from pulseproof.core.code_digest import HOME, PACKAGE


@functools.cache
def _keys(file: str, name: str) -> tuple[str, ...]:
    """The keys of the table ``name`` in a module of the package: ``name: type = {"key": ...}``."""
    tables = [
        node.value
        for node in ast.parse((HOME / PACKAGE / file).read_bytes()).body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name
    ]
    (table,) = tables
    assert isinstance(table, ast.Dict)
    return tuple(str(ast.literal_eval(key)) for key in table.keys if key is not None)


def method_names() -> tuple[str, ...]:
    """Every method that a study can name."""
    return _keys("attacks/methods.py", "METHODS")


def system_names() -> tuple[str, ...]:
    """Every system that is built in."""
    return _keys("models/systems.py", "SYSTEMS")


def meant(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'band'?``, or nothing where no known name is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def expect_method(name: str) -> str:
    """The name. Raises ValueError, with all that there are, where the table has none like it."""
    if name not in method_names():
        raise ValueError(f"no method {name!r}; there are {', '.join(method_names())}{meant(name, method_names())}")
    return name


def expect_system(name: str) -> str:
    """The name. Raises ValueError, with all that there are and how one brings another, where the table has none."""
    if name not in system_names():
        raise ValueError(
            f"no system named {name!r}; built in are {', '.join(system_names())}; your own: factory or estimator = "
            f"'package.module:name'{meant(name, system_names())}"
        )
    return name
