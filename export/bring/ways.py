"""What a brought model may have been trained on, as far as its input's shape allows: leads, rates, windows, scalings.

In: the shape that a file declares and a study's task. Out: specifications to try (:mod:`core.studies.model_input`), the
likeliest first. Which of them is right only recordings can tell (:mod:`export.bring.trials`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from pulseproof.core.errors import InputError
from pulseproof.core.studies.model_input import InputSpec
from pulseproof.models.front.fitting import Fitting
from pulseproof.models.front.layouts import Declared

RATES_HZ = (100.0, 125.0, 128.0, 180.0, 200.0, 250.0, 256.0, 257.0, 300.0, 360.0, 400.0, 500.0)  # of public databases
# What people do to a recording outside their file, the simplest first: of two that rank alike it is taken.
SCALINGS: tuple[dict[str, Any], ...] = (
    {},
    {"normalise": "zscore"},
    {"normalise": "zscore-lead"},
    {"normalise": "minmax"},
    {"normalise": "minmax", "scale": 2.0, "offset": -1.0},
    {"normalise": "robust"},
    {"unit": "uV"},
    {"unit": "V"},
)


def ways_in(declared: Declared | None, fitting: Fitting, what: str) -> list[InputSpec]:
    """Which leads, which rate and which window of the study's recordings fit the file, without a scaling. Raises
    InputError, the one of the study's recordings as they are, where none does."""
    refused: InputError | None = None
    found = []
    for changes in ({}, *_others(declared, fitting)):
        spec = fitting.spec.model_copy(update=changes)
        try:
            replace(fitting, spec=spec).front(declared, what)
        except InputError as error:
            refused = refused or error
            continue
        if not changes:
            return [spec]
        found.append(spec)
    if not found:
        assert refused is not None
        raise refused
    return found


def _others(declared: Declared | None, fitting: Fitting) -> Iterator[dict[str, Any]]:
    """Other leads, and other lengths: the whole window at another rate, or a part of it."""
    sizes = {size for size in (declared or ())[1:] if size is not None and size > 1}
    leads, samples = fitting.shape
    one_lead: list[dict[str, Any]] = [{"leads": (name,)} for name in fitting.leads] if leads > 1 else []
    yield from one_lead
    rate = fitting.fs_hz
    if rate is None:
        return
    for size in sorted(sizes - {leads, samples}):
        for chosen in ({}, *one_lead):
            yield chosen | {"fs_hz": rate * size / samples}
            for other in RATES_HZ:
                if size / other < samples / rate:
                    yield chosen | {"window_s": size / other} | ({} if other == rate else {"fs_hz": other})


def scaled(ways: Sequence[InputSpec], leads: int) -> Iterator[InputSpec]:
    """Every way in with every usual scaling; of one lead, what is done to each is done to all."""
    for way in ways:
        for scaling in SCALINGS:
            if leads > 1 or scaling.get("normalise") != "zscore-lead":
                yield way.model_copy(update=scaling)


def said(spec: InputSpec) -> str:
    """A specification in a few words, for a table."""
    shown = spec.model_dump(exclude_defaults=True, exclude={"others"})  # they are the same in all trials
    parts = [f"{key} = {_shown(value)}" for key, value in shown.items()]
    return ", ".join(parts) or "millivolts as they are"


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return " ".join(value) if isinstance(value, tuple) else str(value)
