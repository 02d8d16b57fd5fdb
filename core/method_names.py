"""The names of all attack methods, read from the one table that has them, ``METHODS`` in ``attacks/methods.py``.

In: nothing. Out: the keys of that table, in its order. A study is checked by them before any work starts, and often
where no attack will ever run; so the table is parsed as text, and torch, which its lines need, is not imported.
"""

from __future__ import annotations

import ast
import functools

from pulseproof.core.code_digest import HOME, PACKAGE

TABLE = HOME / PACKAGE / "attacks" / "methods.py"


@functools.cache
def method_names() -> tuple[str, ...]:
    """Every method that a study can name."""
    tables = [
        node.value
        for node in ast.parse(TABLE.read_bytes()).body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "METHODS"
    ]
    (table,) = tables
    assert isinstance(table, ast.Dict)
    return tuple(str(ast.literal_eval(key)) for key in table.keys if key is not None)


def expect_method(name: str) -> str:
    """The name. Raises ValueError, with all that there are, where the table has none like it."""
    if name not in method_names():
        raise ValueError(f"no method {name!r}; there are {', '.join(method_names())}")
    return name
