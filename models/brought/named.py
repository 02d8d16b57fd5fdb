"""A trained model by the name that a command was given.

In: a path, or ``package.module:name``. Out: what a study would say of it. A file needs no library for that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pulseproof.core.errors import InputError
from pulseproof.core.studies.faults import faults
from pulseproof.core.studies.hub_files import SCHEME
from pulseproof.core.study import ModelSpec
from pulseproof.models.brought.kinds import CONVERT, GIVEN


def spec_for(model: str, weights: str | None = None, options: Mapping[str, Any] | None = None) -> ModelSpec:
    """The specification of a trained model that a command names.

    ``model``: the path of a .onnx, .tflite or .skops file, such a file on a hub
    (``hf://owner/name/file.onnx@revision``), or ``package.module:name`` of what returns a trained torch module (with
    ``weights`` from a .safetensors file, if given) or a fitted estimator, called with ``options``. Raises InputError
    for anything else.
    """
    chosen = dict(options or {})
    for name in (model, weights or ""):
        if any("\ud800" <= letter <= "\udfff" for letter in name):  # no study can name it
            raise InputError(f"{name}: its name is not UTF-8", "give it another name")
    if model.startswith(SCHEME):
        try:
            return ModelSpec(file=model)
        except ValidationError as error:
            raise InputError(f"{model}: {faults(error, ModelSpec)[0]}", "docs/own-model.md shows one") from None
    if ":" in model and not Path(model).exists():
        if not re.fullmatch(r"[\w.]+:\w+", model):
            raise InputError(f"{model}: not the name of a callable", "give package.module:name")
        if weights is not None and Path(weights).suffix != ".safetensors":
            raise InputError(f"{weights}: weights come from a .safetensors file", CONVERT[".pt"])
        if weights is not None or _gives_module(model, chosen):
            return ModelSpec(factory=model, trained=True, weights=weights, options=chosen)
        return ModelSpec(estimator=model, trained=True, options=chosen)
    suffix = Path(model).suffix
    if suffix not in GIVEN:
        mend = f"give {', '.join(GIVEN)} (so spelt), or package.module:name of what returns a model"
        raise InputError(
            f"{model}: not a file of a trained model that is taken here", CONVERT.get(suffix.lower(), mend)
        )
    if weights is not None or chosen:
        raise InputError(f"{model}: a file takes neither weights nor options", "leave them out")
    return ModelSpec(file=model)


def _gives_module(path: str, options: Mapping[str, Any]) -> bool:
    from pulseproof.models.modules import gives_module  # late: it brings torch

    return gives_module(path, options)
