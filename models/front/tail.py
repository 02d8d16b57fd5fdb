"""What stands behind a model that somebody brings: from the output that it has to one score a class of the study.

In: the names of the study's classes, those of the file's outputs if the study says them, and how many scores the file
gives. Out: a :class:`Tail`, which the writers of this room put behind the file's own graph.
"""

from __future__ import annotations

from dataclasses import dataclass

from pulseproof.core.errors import InputError


@dataclass(frozen=True)
class Tail:
    """``given``: scores of the file; ``classes``: of the study. ``columns``: which of them is each class's, None where
    they are the same. ``complement``: the place, of two classes, of the one that a single score speaks for; the other
    gets one minus it (``probability``) or its negative. ``difference``: the second of two logits less the first."""

    given: int
    classes: int
    columns: tuple[int, ...] | None = None
    complement: int | None = None
    difference: bool = False
    probability: bool = False

    @property
    def nothing(self) -> bool:
        """True where the file's own scores are the study's, but perhaps for their shape."""
        return self.columns is None and self.complement is None and not self.difference

    def says(self) -> str:
        """What stands behind, in words; empty for nothing."""
        if self.complement is not None:
            other = "one minus the score" if self.probability else "the negative of the score"
            return f"the other class gets {other}"
        if self.difference:
            return "the score is the second logit less the first"
        return f"the scores {', '.join(str(at + 1) for at in self.columns)}" if self.columns else ""


def make_tail(
    given: int, classes: int, probability: bool, what: str, names: tuple[str, ...] = (), order: tuple[str, ...] = ()
) -> Tail:
    """The tail of a file that gives ``given`` scores for a study of ``classes`` classes, called ``names``; ``order``:
    the file's outputs by the study's names (others: of no class of the study), empty where they are in its order.
    ``probability``: they are from 0 to 1. ``what`` begins the message. Raises InputError where they do not fit."""
    if order:
        return _ordered(given, classes, probability, what, names, order)
    if given == classes:
        return Tail(given, classes)
    if (given, classes) == (1, 2):
        return Tail(given, classes, complement=1, probability=probability)
    if (given, classes) == (2, 1):
        return Tail(given, classes, (1,)) if probability else Tail(given, classes, difference=True)
    raise InputError(
        f"{what}: it gives {given} scores: (1, {given}), the study has {classes} classes: (1, {classes})",
        "give the study the classes that it was trained on, or say with classes = ['...'] under [models.x] which of "
        "them each of its scores is",
    )


def _ordered(
    given: int, classes: int, probability: bool, what: str, names: tuple[str, ...], order: tuple[str, ...]
) -> Tail:
    if len(order) != given:
        raise InputError(f"{what}: classes names {len(order)} and it gives {given} scores", "name one a score")
    missing = [name for name in names if name not in order]
    if given == 1 and classes == 2 and len(missing) == 1:
        return Tail(given, classes, complement=names.index(order[0]), probability=probability)
    if missing or len(set(order)) < len(order):
        raise InputError(
            f"{what}: classes names {', '.join(order)}, the study's classes are {', '.join(names)}",
            "name each of them once; what the study does not have may have any other name",
        )
    columns = tuple(order.index(name) for name in names)
    return Tail(given, classes, None if columns == tuple(range(given)) else columns)
