"""Where gradients are computed: on processors, or on an accelerator that torch sees.

In: what a study, an option or the environment asks for. Out: torch's name of the device. Nothing else is meant by it:
what a board computes is said by ``--device``, and files are judged by their engines on processors, wherever an attack
on them was made.
"""

from __future__ import annotations

import os
import re
from typing import Annotated

from pydantic import Field

from pulseproof.core.errors import InputError

VARIABLE = "PULSEPROOF_COMPUTE"
PATTERN = r"^(auto|cpu|mps|cuda(:\d{1,3})?)$"
CPU = "cpu"
Compute = Annotated[str, Field(pattern=PATTERN)]


def asked(option: str | None, study: str) -> str:
    """What counts: the option, else the environment's :data:`VARIABLE`, else what the study says.

    Raises InputError for a word that is none.
    """
    for where, word in (("--compute", option), (VARIABLE, os.environ.get(VARIABLE))):
        if word:
            if not re.match(PATTERN, word):
                raise InputError(f"{where} {word}: no such device", "give auto, cpu, cuda, cuda:1 or mps")
            return word
    return study


def resolved(word: str) -> str:
    """``cpu``, ``cuda:0`` or ``mps``: of ``auto`` the first accelerator that torch sees, else the processors.

    Raises InputError where torch sees no such device here.
    """
    if word == CPU:
        return word
    import torch

    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    has_mps = torch.backends.mps.is_available()
    if word == "auto":
        return "cuda:0" if cards else "mps" if has_mps else CPU
    if word == "mps" and has_mps:
        return word
    kind, _, number = word.partition(":")
    if kind == "cuda" and int(number or 0) < cards:
        return f"cuda:{int(number or 0)}"
    raise InputError(
        f'compute = "{word}": torch sees no such device here',
        f'give "auto" or "cpu"; of cuda torch {torch.__version__} sees {cards}',
    )


def kind_of(device: str) -> str:
    """``cpu``, ``cuda`` or ``mps``: the same seeds give the same bytes on devices of one kind."""
    return device.partition(":")[0]
