"""A study with ``split = {folds = 5}`` as the five studies that it is: in each another fold tests.

In comes a study, out come its folds, each a whole study of its own: ``NAME.fold-1`` with a build folder of that name.
Whatever runs one study runs a fold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pulseproof.core.errors import InputError
from pulseproof.core.terminal.hints import command

if TYPE_CHECKING:  # the commands say what there is without it: it brings pydantic
    from pulseproof.core.study import Study


def folds_of(study: Study) -> int | None:
    """How many folds a study has of which none is chosen; None for one that is run as it is."""
    split = getattr(study.data, "split", None)
    return None if split is None or split.fold is not None else split.folds


def fold_of(study: Study, number: int) -> Study:
    """The study in which fold ``number``, from 1 on, tests."""
    count = folds_of(study)
    assert count is not None and 1 <= number <= count, "a fold of a study that has some"
    data = study.data
    split = data.split.model_copy(update={"fold": number})  # type: ignore[union-attr]
    return study.model_copy(
        update={
            "name": f"{study.name}.fold-{number}",
            "title": f"{study.title}, fold {number} of {count}",
            "data": data.model_copy(update={"split": split}),
        }
    )


def expect_one(study: Study) -> None:
    """Raises InputError for a study of which no fold is chosen."""
    count = folds_of(study)
    if count is not None:
        raise InputError(
            f"study {study.name}: split has {count} folds, and a run is of one of them",
            f"`{command('folds', study='FILE')}` runs all and answers over all; fold = 1 in split runs one",
        )
