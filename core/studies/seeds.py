"""The further trainings of a model whose study asks for several seeds: models of their own, made of its settings.

In comes a study as its file has it, before anything is checked; out comes the same with a model more for each further
seed: ``cnn-seed-2`` and ``cnn-seed-3`` beside ``cnn``, whose ``seeds`` are 3. Each has the next seed, one file (a
float one: what is asked of them is how far trainings differ, not formats), and is attacked by what is made on it. A
study that was written out whole and read again stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pulseproof.core.recipes import FLOAT, STANDARD, base_of

MOST = 10


def further_names(name: str, seeds: int) -> list[str]:
    """The names of the trainings beside the first."""
    return [f"{name}-seed-{number}" for number in range(2, seeds + 1)]


def first_of(seeds: Mapping[str, int], name: str) -> str | None:
    """The model that ``name`` is a further training of; None for a model of its own. ``seeds``: of every model."""
    return next((one for one, count in seeds.items() if name in further_names(one, count)), None)


def with_further_seeds(asked: Any) -> Any:
    """``asked`` with the further trainings; what is no study is left to the checks."""
    models = asked.get("models") if isinstance(asked, dict) else None
    if not isinstance(models, dict):
        return asked
    attacks = asked.get("attacks")
    given = attacks.get("sources") if isinstance(attacks, dict) else None
    sources = list(given) if isinstance(given, list | tuple) else []
    found: dict[str, Any] = {}
    more: list[str] = []
    for name, spec in models.items():
        found[name] = spec
        seeds = spec.get("seeds", 1) if isinstance(spec, dict) else 1
        if type(seeds) is not int or not 1 < seeds <= MOST:
            continue
        for number, further in enumerate(further_names(name, seeds), 1):
            made = _further(asked, name, spec, number)
            if further not in models:
                found[further] = made
            elif not isinstance(models[further], dict) or models[further].get("seed") != made.get("seed"):
                raise ValueError(f"models.{further} has the name of a further seed of {name}: give it another")
            if name in sources and further not in sources:
                more.append(further)
    if len(found) == len(models) and not more:
        return asked
    whole = {**asked, "models": found}
    return {**whole, "attacks": {**asked["attacks"], "sources": [*sources, *more]}} if more else whole


def _further(asked: Mapping[str, Any], name: str, spec: Mapping[str, Any], number: int) -> dict[str, Any]:
    """The settings of the training ``number`` after the first."""
    first = asked.get("seed", 1) if spec.get("seed") is None else spec["seed"]
    own = {key: value for key, value in spec.items() if key not in ("seeds", "recipes")}
    if not spec.get("factory") and not spec.get("estimator"):
        own["system"] = spec.get("system") or name
    if type(first) is int:
        own["seed"] = first + number
    return own | {"recipes": [_float_recipe(asked, spec)]}


def _float_recipe(asked: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
    """The first float file that the bundle holds of the model."""
    made = _names(spec.get("recipes")) or _names(_under(asked, "export")) or list(STANDARD)
    measured = _names(_under(asked, "bench")) or made
    both = [each for each in made if each in measured] or made
    return next((each for each in both if each in FLOAT.values()), base_of(both[0]))


def _under(asked: Mapping[str, Any], table: str) -> Any:
    given = asked.get(table)
    return given.get("recipes") if isinstance(given, Mapping) else None


def _names(given: Any) -> list[str]:
    """A list of names; of anything else none: the checks refuse it."""
    return [str(each) for each in given] if isinstance(given, list | tuple) else []
