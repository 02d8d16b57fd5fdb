"""A study file with one model more: the defended variant of a model that is there, and every comment where it was.

In: the text of a study, the name of a model, a defence. Out: the text with ``[models.<name>-hard]`` below the model,
whose settings are those of the model; named among the attacks' sources where the study lists them, for a defence is
attacked through itself. What comes out is read again and held against what was meant, so that no odd way to write TOML
leads to another study.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pulseproof.core.errors import InputError
from pulseproof.core.study import NAME, DefenceSpec, ModelSpec, Study
from pulseproof.core.toml_files import toml_value
from pulseproof.models.hardened.defence import EPOCHS
from pulseproof.models.systems import resolve

SUFFIX = "-hard"
HEADER = re.compile(r"^[ \t]*\[[^\]\n]*\][ \t]*(?:#[^\n]*)?$", re.MULTILINE)
SOURCES = re.compile(r"^([ \t]*sources[ \t]*=[ \t]*\[)([^\]]*)\]", re.MULTILINE)


def hardened_text(path: Path, text: str, study: Study, model: str, name: str, defence: DefenceSpec) -> str:
    """The text of the study at ``path`` with the defended variant ``name`` of ``model``; ``text`` itself where that is
    in it already.

    Raises InputError for a model that is not there or cannot be trained so, for a ``name`` that another model has, and
    where the block cannot be put in.
    """
    if not re.fullmatch(NAME, name):
        raise InputError(f"--name: {name!r} names no model", "give small letters, digits, points and dashes: cnn-hard")
    spec = study.models.get(model)
    if spec is None:
        raise InputError(f"{path}: no [models.{model}]", f"models there: {', '.join(study.models)}")
    _refuse_untrainable(path, model, spec, defence)
    given = tomllib.loads(text.removeprefix("\ufeff"))
    settings = _settings(model, spec, given["models"][model], defence)
    there = study.models.get(name)
    if there is not None:
        if there == ModelSpec.model_validate(settings):
            return text
        raise InputError(
            f"{path}: [models.{name}] is there already, with other settings", "take it out, or give another --name"
        )
    wanted = {**given, "models": {**given["models"], name: settings}}
    sources = given.get("attacks", {}).get("sources")
    if sources is not None:
        wanted["attacks"] = {**given["attacks"], "sources": [*sources, name]}
    block = _block(name, settings)
    for made in (_below(text, model, block), _at_the_end(text, block)):
        added = made if sources is None else _with_source(made, name)
        if _means(added, wanted):
            return added
    raise InputError(
        f"{path}: the block of {name} cannot be put in, as it is written",
        f"add it by hand, and {name} to the sources of [attacks] where they are listed: " + " ".join(block.split()),
    )


def _refuse_untrainable(path: Path, model: str, spec: ModelSpec, defence: DefenceSpec) -> None:
    if spec.brought:
        raise InputError(
            f"{path}: [models.{model}] came trained, and a defence is a way to train",
            "name a net that the study trains: a built-in system, or a factory of yours without trained = true",
        )
    if spec.defence is not None:
        raise InputError(f"{path}: [models.{model}] has a defence already", "name a model without one")
    if spec.estimator is not None:
        raise InputError(
            f"{path}: [models.{model}] is an estimator of yours",
            "a defence goes with a built-in system, or with a factory",
        )
    if resolve(model, spec).net is None and defence.kind != "adversarial":
        raise InputError(
            f"{path}: [models.{model}] is no net, and {defence.kind} is a way to train one", "take --kind adversarial"
        )


def _settings(model: str, spec: ModelSpec, given: Mapping[str, Any], defence: DefenceSpec) -> dict[str, Any]:
    """The model's own settings with the defence: as many more epochs as that takes beside a system's default."""
    found: dict[str, Any] = {} if spec.factory or spec.system else {"system": model}
    found |= given
    if spec.epochs is not None:
        usual = asdict(resolve(model, spec).training)["epochs"]
        found["epochs"] = math.ceil(spec.epochs * max(1.0, EPOCHS.get(defence.kind, usual) / usual))
    # The whole defence, defaults too: a later version's defaults train another net.
    kept = defence.model_dump(mode="json", include={"kind", "budget_mv", "steps", "weight"})
    kept |= defence.model_dump(mode="json", exclude_defaults=True)
    return found | {"defence": kept}


def _block(name: str, settings: Mapping[str, Any]) -> str:
    lines = [f"[models.{_key(name)}]", *(f"{_key(key)} = {_value(value)}" for key, value in settings.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    """As :func:`toml_value`, keys without quotes where they need none, as people write them."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_value(one)}" for key, one in value.items()) + "}"
    return toml_value(value)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else toml_value(name)


def _below(text: str, model: str, block: str) -> str:
    """The text with the block after the last table of the model, before the comment of the next one."""
    own = re.compile(rf"^[ \t]*\[[ \t]*models[ \t]*\.[ \t]*[\"']?{re.escape(model)}[\"']?[ \t]*[.\]]")
    heads = list(HEADER.finditer(text))
    last = max((at for at, head in enumerate(heads) if own.match(head[0])), default=None)
    if last is None or last + 1 == len(heads):
        return _at_the_end(text, block)
    lines = text[: heads[last + 1].start()].splitlines(keepends=True)
    tail: list[str] = []
    while lines and (not lines[-1].strip() or lines[-1].lstrip().startswith("#")):
        tail.insert(0, lines.pop())
    while tail and not tail[0].strip():
        tail.pop(0)
    newline = "\r\n" if "\r\n" in text else "\n"
    body = block.replace("\n", newline)
    return "".join(lines) + newline + body + newline + "".join(tail) + text[heads[last + 1].start() :]


def _at_the_end(text: str, block: str) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    return text.rstrip() + newline * 2 + block.replace("\n", newline)


def _with_source(text: str, name: str) -> str:
    def more(found: re.Match[str]) -> str:
        inner = found[2].rstrip()
        end = found[2][len(inner) :]
        own_lines = re.search(r"\n([ \t]*)\S[^\n]*$", inner)  # each source has a line
        between = f"{'' if inner.endswith(',') or not inner else ','}" + (f"\n{own_lines[1]}" if own_lines else " ")
        return f"{found[1]}{inner}{between}{toml_value(name)}{',' * inner.endswith(',')}{end}]"

    return SOURCES.sub(more, text, count=1)


def _means(text: str, wanted: Mapping[str, Any]) -> bool:
    try:
        return tomllib.loads(text.removeprefix("\ufeff")) == wanted
    except ValueError:
        return False
