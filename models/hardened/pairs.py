"""Which model of a study is the plain one of a defended one, which is a further training, and what a training took.

In: a study, its build folder. Out: what a bundle says of each model beside its files, so that a report can hold a
defended file against the one it would replace.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pulseproof.core.studies.seeds import first_of
from pulseproof.core.study import ModelSpec, Study
from pulseproof.runtime.files import read_json


def described(study: Study, name: str, folder: Path) -> dict[str, Any]:
    """What a bundle's head says of the training of the model ``name``, kept in ``folder``; only what there is."""
    found: dict[str, Any] = {}
    defence, training, first = study.models[name].defence, training_of(folder), seed_of(study, name)
    if defence is not None:
        found["defence"] = {"kind": defence.kind, "budget_mv": defence.budget_mv, "plain": plain_of(study, name)}
    if training is not None:
        found["training"] = training
    if first is not None:
        found["seed_of"] = first
    return found


def seed_of(study: Study, name: str) -> str | None:
    """The model that ``name`` is a further training of; None for a model of its own."""
    return first_of({one: spec.seeds for one, spec in study.models.items()}, name)


def plain_of(study: Study, name: str) -> str | None:
    """The first model of the same net, options and all, that is trained without a defence; None without one."""
    own = _net(name, study.models[name])
    for other, spec in study.models.items():
        if spec.defence is None and _net(other, spec) == own and seed_of(study, other) is None:
            return other
    return None


def _net(name: str, spec: ModelSpec) -> tuple[Any, ...]:
    named = None if spec.factory or spec.estimator or spec.file else spec.system or name
    return named, spec.factory, spec.estimator, spec.file, spec.options, spec.segments, spec.trained


def training_of(folder: Path) -> Mapping[str, float] | None:
    """Epochs, seconds on the clock and seconds of processors that a net's training took; None where its history does
    not say."""
    try:
        history = read_json(folder / "history.json")
        kept = [(float(line["seconds"]), float(line["processor_seconds"])) for line in history]
    except (OSError, ValueError, KeyError, TypeError):  # of an older version, of a model that came trained
        return None
    if not kept:
        return None
    return {"epochs": len(kept), "seconds": sum(a for a, _ in kept), "processor_seconds": sum(b for _, b in kept)}
