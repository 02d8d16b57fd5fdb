"""Classes of one's own: a study's ``[data.classes]``, from the labels that a database has to the classes of a task.

    [data.classes]
    AF = ["(AFIB", "(AFL"]    a class, and the labels that it holds
    rest = "*"                a class of every label that no other line names
    "(VFL" = "drop"           a label that is left out
    other = "drop"            every label that no line names is left out

In comes that table as TOML gives it, out comes a :class:`ClassMap`: the classes in the order in which they are written,
and the row of any label. A label for which there is no line is not guessed at: whoever reads it refuses, and lists all
such labels at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainSerializer

REST, DROP, OTHER = "*", "drop", "other"
LEFT_OUT = -1  # the row of a label that belongs to no class
LONGEST = 60  # characters of a class's name or a label
Rules = dict[str, tuple[str, ...] | str]


def _as_it_is(value: Any) -> Any:
    return value


AS_IT_IS = PlainSerializer(_as_it_is, return_type=Any)  # a preset, a list or a table: its type says how it is written


def _expect_label(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError(f"{text!r}: control characters, or spaces at an end")
    return text


Label = Annotated[str, Field(min_length=1, max_length=LONGEST), AfterValidator(_expect_label)]


def rules_of(given: Any) -> Rules:
    """The lines of a table as TOML gives it. Raises ValueError, in words, for what is no class map."""
    if not isinstance(given, dict):
        raise ValueError(f"{given!r} is no class map: write a table, a line a class")
    rules: Rules = {}
    for name, held in given.items():
        one_of_two = held in (REST, DROP) if isinstance(held, str) else isinstance(held, (list, tuple))
        labels = [] if isinstance(held, str) or not one_of_two else list(held)
        if not one_of_two or not all(isinstance(label, str) for label in labels):
            raise ValueError(f'{name} = {held!r}: write a list of labels (["A", "B"]), "{REST}" or "{DROP}"')
        for text in (name, *labels):
            if not 0 < len(text) <= LONGEST:
                raise ValueError(f"{text[:LONGEST]!r}: a class or a label has 1 to {LONGEST} characters")
            _expect_label(text)
        rules[name] = held if isinstance(held, str) else tuple(labels)
    return rules


@dataclass(frozen=True)
class ClassMap:
    """``names`` are the classes in their order; ``rows`` the row of each label that is named (:data:`LEFT_OUT`: left
    out); ``unnamed`` the row of all others, None where there is no rule for them."""

    names: tuple[str, ...]
    rows: Mapping[str, int]
    unnamed: int | None = None

    def row(self, label: str) -> int | None:
        """The row of a label in ``names``, :data:`LEFT_OUT`, or None where no line says what it is."""
        return self.rows.get(label, self.unnamed)

    @property
    def named(self) -> tuple[str, ...]:
        """The labels that stand in the map."""
        return tuple(self.rows)


def class_map(rules: Mapping[str, Sequence[str] | str], *, exclusive: bool = True) -> ClassMap:
    """The map that a table says. ``exclusive``: a recording has one class, so a label must not stand for two.

    Raises ValueError, in words, for a table that says two things or too few.
    """
    names = [name for name, held in rules.items() if held != DROP]
    rest = [name for name, held in rules.items() if held == REST]
    empty = [name for name, held in rules.items() if not held]
    if empty:
        raise ValueError(f"class {empty[0]} holds no label: name some, or write {empty[0]} = {REST!r} for all others")
    if len(rest) > 1:
        raise ValueError(f"{' and '.join(rest)} are both {REST!r}: one class can take what no other line names")
    if len(names) < 2:
        only = names[0] if names else "a class"
        raise ValueError(
            f"there is no question with one class: say what {only} is told from (rest = {REST!r}: all other labels)"
        )
    rows: dict[str, int] = {}
    times: Counter[str] = Counter()
    for name, held in rules.items():
        if held == DROP:
            if name != OTHER:
                rows[name] = LEFT_OUT
                times[name] += 1
        elif held != REST:
            for label in held:
                rows.setdefault(label, names.index(name))
            times.update(held if exclusive else set(held))
    twice = [label for label, many in times.items() if many > 1]
    if twice and exclusive:
        raise ValueError(f"label {twice[0]} stands in the map {times[twice[0]]} times: a recording has one class")
    unnamed = names.index(rest[0]) if rest else LEFT_OUT if rules.get(OTHER) == DROP else None
    return ClassMap(tuple(names), rows, unnamed)
