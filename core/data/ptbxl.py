"""``source = "ptb-xl"``: PTB-XL, or other recordings in its layout, with one of its tasks or one of a user's own.

In comes ``[data]`` of a study, out comes a :class:`PtbXlData`. Read by :mod:`ecg.ptbxl`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator

from pulseproof.core.data.base import Strict
from pulseproof.core.data.classes import AS_IT_IS, Rules, class_map, rules_of

TASKS = ("ptb-xl-superclass", "ptb-xl-subclass", "ptb-xl-form", "ptb-xl-rhythm")


def _classes(given: Any) -> str | Rules:
    if isinstance(given, str) and given in TASKS:
        return given
    if isinstance(given, dict):
        rules = rules_of(given)
        class_map(rules, exclusive=False)
        return rules
    raise ValueError(f"{given!r} is neither a task of PTB-XL ({', '.join(TASKS)}), nor a table of SCP codes")


class PtbXlData(Strict):
    """PTB-XL's records at 100 or 500 Hz, or others in its layout, under ``DATA/path``.

    ``classes``: one of PTB-XL's tasks, or a map from SCP codes, of which a record may have several classes. Of
    diagnostic codes, those of at least ``likelihood`` per cent count. ``fewest``: a class is left out that has fewer
    records than that on a side; None is 5, and 0 for the superclasses and a map. ``missing = "skip"`` says that the
    folder is known to hold only some of the records its csv lists, ``bad_records = "skip"`` leaves out those that
    cannot be read, counted and named. ``default_gain``: ADC units a millivolt of leads whose header says gain 0 (None:
    such a record cannot be read).
    """

    source: Literal["ptb-xl"]
    path: str = "ptb-xl"
    fs_hz: Literal[100, 500] = 100
    classes: Annotated[str | Rules, PlainValidator(_classes), AS_IT_IS] = "ptb-xl-superclass"
    likelihood: float = Field(0.0, ge=0, le=100)
    fewest: int | None = Field(None, ge=0, le=1_000_000)
    leads: tuple[str, ...] | None = None
    window_s: tuple[float, float] | None = None
    missing: Literal["error", "skip"] = "error"
    bad_records: Literal["error", "skip"] = "error"
    default_gain: float | None = Field(None, gt=0)
