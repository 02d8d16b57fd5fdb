"""The tasks of PTB-XL: which classes a record has by its SCP codes. Its four label sets, or a map of a user's own.

In come ``classes`` of a study and the statements of ``scp_statements.csv``, out comes a :class:`PtbXlTask`. The label
sets are those of Strodthoff et al. 2020 (arXiv 2004.13701): superclasses and subclasses of diagnostic statements, form
statements, rhythm statements. A record may have several classes; one that has none is left out. PTB-XL writes
likelihood 0 both for "unlikely" and for "not said", and gives form and rhythm statements none; a threshold therefore
holds for diagnostic statements alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pulseproof.core.data.classes import DROP, REST, Rules
from pulseproof.core.errors import InputError

CLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
SUPERCLASS = "ptb-xl-superclass"
FEWEST = 5  # records of a class on each side, where a study does not say how many


@dataclass(frozen=True)
class Statement:
    """One line of ``scp_statements.csv``: a code, its classes where it is diagnostic, and what else it is."""

    code: str
    superclass: str | None
    subclass: str | None
    form: bool
    rhythm: bool


@dataclass(frozen=True)
class PtbXlTask:
    """``held``: the classes of each code; ``rest``: the class of a record that has no other; ``dropped``: codes whose
    records are left out; ``diagnostic``: codes that count from ``likelihood`` per cent on. ``what``: what a record
    without a class lacks."""

    classes: tuple[str, ...]
    held: Mapping[str, tuple[str, ...]]
    codes: frozenset[str]
    diagnostic: frozenset[str]
    what: str
    rest: str | None = None
    dropped: frozenset[str] = frozenset()
    likelihood: float = 0.0

    @property
    def exclusive(self) -> bool:
        """Whether every record has exactly one class: one of two."""
        return self.rest is not None and len(self.classes) == 2

    def labels(self, codes: Mapping[str, object]) -> tuple[int, ...]:
        """0 or 1 a class; all 0 for a record that is left out. Raises ValueError for a likelihood that is none."""
        counted = [code for code, said in codes.items() if code not in self.diagnostic or self._likely(code, said)]
        has = {name for code in counted for name in self.held.get(code, ())}
        if self.dropped.intersection(counted):
            has = set()
        elif not has and self.rest is not None:
            has = {self.rest}
        return tuple(int(name in has) for name in self.classes)

    def _likely(self, code: str, said: object) -> bool:
        if not self.likelihood:
            return True
        if isinstance(said, bool) or not isinstance(said, (int, float)) or not 0 <= said <= 100:
            raise ValueError(f"the likelihood of {code} is {said!r}, not 0 to 100")
        return said >= self.likelihood

    def without(self, classes: Sequence[str]) -> PtbXlTask:
        """The task without some of its classes."""
        return replace(self, classes=tuple(name for name in self.classes if name not in classes))


def columns_of(classes: str | Rules) -> tuple[str, ...]:
    """The columns of ``scp_statements.csv`` that a task needs."""
    further = {"ptb-xl-subclass": "diagnostic_subclass", "ptb-xl-form": "form", "ptb-xl-rhythm": "rhythm"}
    named = further.get(classes) if isinstance(classes, str) else None
    return ("", "diagnostic", "diagnostic_class", *([named] if named else []))


def task_of(classes: str | Rules, statements: Sequence[Statement], likelihood: float, where: str) -> PtbXlTask:
    """The task that a study asks for. Raises InputError for codes of a map that ``where``, the table, does not know."""
    codes = frozenset(each.code for each in statements)
    diagnostic = frozenset(each.code for each in statements if each.superclass is not None)
    if isinstance(classes, str):
        named = {each.code: (name,) for each in statements if (name := _named(classes, each)) is not None}
        order = tuple(dict.fromkeys(name for (name,) in named.values()))
        what = {"form": "form statement", "rhythm": "rhythm statement"}.get(
            classes.removeprefix("ptb-xl-"), f"diagnostic {classes.removeprefix('ptb-xl-')}"
        )
        if classes == SUPERCLASS:
            order = CLASSES
        return PtbXlTask(order, named, codes, diagnostic, what, likelihood=likelihood)
    own = {name: held for name, held in classes.items() if not isinstance(held, str)}
    dropped = {name for name, held in classes.items() if held == DROP and name != "other"}
    unknown = sorted({code for held in own.values() for code in held if code not in codes} | (dropped - codes))
    if unknown:
        raise InputError(
            f"data.classes: {where} has no SCP code {', '.join(unknown)}", f"codes there: {', '.join(sorted(codes))}"
        )
    return PtbXlTask(
        classes=tuple(name for name, held in classes.items() if held != DROP),
        held={code: tuple(name for name, held in own.items() if code in held) for code in codes},
        codes=codes,
        diagnostic=diagnostic,
        what="class",
        rest=next((name for name, held in classes.items() if held == REST), None),
        dropped=frozenset(dropped),
        likelihood=likelihood,
    )


def _named(task: str, statement: Statement) -> str | None:
    if task == SUPERCLASS:
        return statement.superclass
    if task == "ptb-xl-subclass":
        return statement.subclass
    return statement.code if (statement.form if task == "ptb-xl-form" else statement.rhythm) else None
