"""Which code makes a signal set: its method's own, what all sets go through, and what opens its source.

In: a method as the table makes it, and its source. Out: the :class:`~core.code_digest.Code` that its steps keep: an
edited attack makes its own sets again and no others. The table of methods counts for none of them: a line more in it
changes no set.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from pulseproof.attacks.aim.sources import WITHOUT, Source
from pulseproof.attacks.method import Method
from pulseproof.core.code_digest import Code, code_of, module_of, ours

TABLE = "pulseproof.attacks.methods"
ENSEMBLES = "pulseproof.attacks.transfer"
# What measures a set and what writes its steps.
MEASURING = ("pulseproof.attacks.aim.plausibility", "pulseproof.attacks.aim.recorder")
# How recordings, opponents and models reach a method. An ensemble's members are joined by an attack's own module.
GRID = "pulseproof.attacks.grid.tasks"


def code_of_clean() -> tuple[Code, ...]:
    """The code behind the set of clean recordings."""
    return (code_of(MEASURING),)


def code_of_set(method: Method, source: Source | None, *, through_twin: bool, noise: bool) -> tuple[Code, ...]:
    """The code behind one set. ``through_twin``: gradients go through a file's own graph (:mod:`pulseproof.twins`).
    ``noise``: it takes recorded noise."""
    own = code_of(ours(_modules(method)), without=(TABLE,))
    shared = code_of((*MEASURING, GRID), without=(TABLE, ENSEMBLES))
    if source is None:
        return (own, shared, code_of(("pulseproof.ecg.noise_records",))) if noise else (own, shared)
    opening = [
        code_of(("pulseproof.models.fold", "pulseproof.twins.ends"))
    ]  # what folds a net, and what finds its scores before its end
    if source.name.startswith(WITHOUT):
        opening.append(code_of((ENSEMBLES,), without=(TABLE,)))
    if through_twin:
        opening.append(code_of(("pulseproof.twins",)))
    return own, shared, *opening


def _modules(part: Any) -> Iterator[str]:
    """Where the classes of a method, and of all that it is made of, are defined."""
    if isinstance(part, tuple):
        for each in part:
            yield from _modules(each)
        return
    yield module_of(type(part))
    if is_dataclass(part):
        for field in fields(part):
            yield from _modules(getattr(part, field.name))
