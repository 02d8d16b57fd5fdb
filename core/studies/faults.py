"""What is wrong in a study file, in the words of who wrote it.

In: pydantic's errors about a model of values, and that model. Out: a sentence a fault, unknown keys first, since a
mistyped key often is the one that is said to be missing. Each names the key as the file spells it, and what it was
meant to be where that is near.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from pulseproof.core.known_names import meant

FIRST, LAST = "extra_forbidden", ("missing", "union_tag_not_found")


def faults(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """One sentence for each problem of ``error``, which ``model`` raised."""
    problems = sorted(error.errors(), key=lambda each: (each["type"] in LAST) - (each["type"] == FIRST))
    return [SENTENCES.get(each["type"], _other)(each, _where(each, model), model) for each in problems]


def _where(problem: Any, model: type[BaseModel]) -> str:
    return ".".join(str(part) for part in _as_written(problem["loc"], model))


def _unknown(problem: Any, where: str, model: type[BaseModel]) -> str:
    return f"unknown key {where!r}{meant(str(problem['loc'][-1]), _keys(problem['loc'][:-1], model))}"


def _missing(problem: Any, where: str, model: type[BaseModel]) -> str:
    return f"key {where!r} is missing"


def _no_tag(problem: Any, where: str, model: type[BaseModel]) -> str:
    """The key that says which of several tables this is, is missing, or mistyped."""
    key = problem["ctx"]["discriminator"].strip("'")
    typed = next((each for each in problem["input"] if meant(each, [key])), None)
    if typed is not None:
        return f"unknown key '{where}.{typed}'{meant(typed, [key])}"
    return f"key '{where}.{key}' is missing; there are {_tags(problem, model)}"


def _wrong_tag(problem: Any, where: str, model: type[BaseModel]) -> str:
    context = problem["ctx"]
    key, tag = context["discriminator"].strip("'"), str(context["tag"])
    return _not_among(f"{where}.{key}", tag, _words(context["expected_tags"]))


def _no_such_word(problem: Any, where: str, model: type[BaseModel]) -> str:
    return _not_among(where, problem["input"], _words(problem["ctx"]["expected"]))


def _no_list(problem: Any, where: str, model: type[BaseModel]) -> str:
    if not isinstance(problem["input"], str | int | float):
        return _other(problem, where, model)
    return f"{where}: a list stands here, with one entry too: write {_listed(problem['input'])}"


def _no_table(problem: Any, where: str, model: type[BaseModel]) -> str:
    return f"{where}: a table stands here, [{where}] and below it a line a key, not {problem['input']!r:.60}"


def _other(problem: Any, where: str, model: type[BaseModel]) -> str:
    message = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


SENTENCES = {
    "extra_forbidden": _unknown,
    "missing": _missing,
    "union_tag_not_found": _no_tag,
    "union_tag_invalid": _wrong_tag,
    "literal_error": _no_such_word,
    "tuple_type": _no_list,
    "list_type": _no_list,
    "model_type": _no_table,
    "dict_type": _no_table,
    "model_attributes_type": _no_table,
}


def _not_among(where: str, given: Any, words: list[str]) -> str:
    return f"{where}: no {given!r}; there are {', '.join(words)}{meant(str(given), words)}"


def _words(listed: str) -> list[str]:
    """pydantic's ``'a', 'b' or 'c'``."""
    return [each.strip().strip("'") for each in listed.replace(" or ", ", ").split(",")]


def _listed(value: str | float) -> str:
    """The list that was meant by its only entry: a number that stands in quotes is one."""
    try:
        number = str(value).strip()
        float(number)
    except ValueError:
        return f'["{value}"]'
    return f"[{number}]"


def _as_written(place: Iterable[Any], model: type[BaseModel]) -> Iterator[Any]:
    """The parts of a place without the tags that pydantic puts in for the members of a union."""
    now: list[Any] = [model]
    for part in place:
        now, tag = _below(now, part)
        if not tag:
            yield part


def _keys(place: Iterable[Any], model: type[BaseModel]) -> list[str]:
    """The keys that a table at this place can have."""
    return [key for each in _kinds(place, model) if _is_model(each) for key in each.model_fields]


def _kinds(place: Iterable[Any], model: type[BaseModel]) -> list[Any]:
    """The kinds of value that can stand at this place."""
    now: list[Any] = [model]
    for part in place:
        now, _ = _below(now, part)
    return now


def _tags(problem: Any, model: type[BaseModel]) -> str:
    """The values of the key that tells the members of a union at this place apart, in their order."""
    members = _kinds(problem["loc"], model)
    return ", ".join(tag for each in members if _is_model(each) for tag in _tags_of(each))


def _below(kinds: list[Any], part: Any) -> tuple[list[Any], bool]:
    """What stands one step below values of these kinds; and whether the step was no step of the file but the tag of a
    union's member."""
    tagged = [each for each in kinds if len(kinds) > 1 and _is_model(each) and part in _tags_of(each)]
    if tagged:
        return tagged, True
    found: list[Any] = []
    for each in kinds:
        if _is_model(each):
            if part in each.model_fields:
                found += _members(each.model_fields[part].annotation)
        elif get_origin(each) is dict:
            found += _members(get_args(each)[1])
        elif get_origin(each) in (tuple, list):
            found += _members(get_args(each)[0])
    return found, False


def _tags_of(model: type[BaseModel]) -> list[str]:
    """The values of the one key of a union's member that is required and can only be certain words."""
    tagged = (each for each in model.model_fields.values() if get_origin(each.annotation) is Literal)
    return [str(tag) for each in tagged if each.is_required() for tag in get_args(each.annotation)]


def _members(annotation: Any) -> list[Any]:
    """The kinds of value that an annotation allows: a union's members, an ``Annotated``'s inside."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [each for member in get_args(annotation) for each in _members(member)]
    return [annotation]


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
