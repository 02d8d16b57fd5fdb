"""The fields of which the JSON between host and device is made: names, bounded numbers, and a stranger's words.

In comes one value of a JSON, out comes the same or pydantic's error. Names and paths are plain and relative, hashes are
SHA-256, numbers are finite and none is beyond what can be.
"""

from __future__ import annotations

import itertools
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

PART = "[A-Za-z0-9][A-Za-z0-9._+-]*"
Name = Annotated[str, Field(pattern=f"^{PART}$", max_length=120)]
ArtifactName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+-]*/[A-Za-z0-9][A-Za-z0-9.+-]*$", max_length=200)]
# A model, an ensemble of models, or an artifact.
SourceName = Annotated[str, Field(pattern=f"^{PART}(/{PART})?$", max_length=200)]
# Relative, no "..", no backslash, nothing hidden.
FileName = Annotated[str, Field(pattern=f"^{PART}(/{PART})*$", max_length=300)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def plain(text: str) -> str:
    """A stranger's text without control characters (a terminal would obey them), on one line, at most 500 long."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:500]


Words = Annotated[str, AfterValidator(plain)]
# No number is beyond what can be: the axis of a picture or the column of a table is lost to a single 1e300.
Number = Annotated[float, Field(ge=-1e15, le=1e15)]
Positive = Annotated[float, Field(ge=0, le=1e15)]
Above = Annotated[float, Field(gt=0, le=1e15)]
Milliseconds = Annotated[float, Field(ge=0, le=1e9)]  # the runner kills a step that takes 1e6 s
Count = Annotated[int, Field(ge=1, le=10**12)]
Bytes = Annotated[int, Field(ge=0, le=2**50)]
Threads = Annotated[int, Field(ge=1, le=4096)]
EngineMode = Literal["unoptimized", "precise", "reference"]  # of an engine that computes exactly
Evidence = Literal["measured-on-device", "measured-on-host", "emulated-count", "compiler-estimate"]


class Wire(BaseModel):
    """Read from JSON with JSON's own types. Unknown keys are passed over: ``format`` says what is incompatible."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, allow_inf_nan=False)


W = TypeVar("W", bound=Wire)


def in_order(held: W, *names: str) -> W:
    """``held``, whose numbers of these names do not fall from one to the next; those that are null are passed over."""
    known = [(name, value) for name in names if (value := getattr(held, name)) is not None]
    for (name, value), (following, more) in itertools.pairwise(known):
        if value > more:
            raise ValueError(f"{name} is {value:g}, above {following}, which is {more:g}")
    return held
