"""What a study's ``[data]`` may say: one model a source of recordings, told apart by ``source``.

In comes the table of a study file, out comes one of these, checked as far as it can be without looking at a recording.
What reads each of them is named in :data:`ecg.prepare.SOURCES`.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from pulseproof.core.data.base import Count, Seed, Strict
from pulseproof.core.data.table import ArrayData, TableData

__all__ = [
    "SOURCE_NAMES",
    "ArrayData",
    "BeatData",
    "Count",
    "Data",
    "PtbXlData",
    "Seed",
    "Strict",
    "SyntheticData",
    "TableData",
]


class SyntheticData(Strict):
    """Recordings drawn by :mod:`ecg.synthetic`: 12 leads, 100 Hz, five superclasses. Never a result about patients."""

    source: Literal["synthetic"]
    records: int = Field(1500, ge=50, le=100_000)
    seed: Seed = 1
    label_noise: float = Field(0.05, ge=0, lt=0.5)
    leads: tuple[str, ...] | None = None
    window_s: tuple[float, float] | None = None


class PtbXlData(Strict):
    """PTB-XL's 100 Hz part, or other recordings in its layout, under ``DATA/path``.

    ``missing = "skip"`` says that the folder is known to hold only some of the records its csv lists, ``bad_records =
    "skip"`` leaves out those that cannot be read, counted and named. ``default_gain``: ADC units a millivolt of leads
    whose header says gain 0 (None: such a record cannot be read).
    """

    source: Literal["ptb-xl"]
    path: str = "ptb-xl"
    leads: tuple[str, ...] | None = None
    window_s: tuple[float, float] | None = None
    missing: Literal["error", "skip"] = "error"
    bad_records: Literal["error", "skip"] = "error"
    default_gain: float | None = Field(None, gt=0)


class BeatData(Strict):
    """Annotated beats of any WFDB database under ``DATA/path``, one recording a beat.

    A recording is ``before_s`` to ``after_s`` seconds around the annotated beat, resampled to ``fs_hz``. Records are
    named for each side; those that share a patient (``same_patient``) with the test or the validation side are left
    out of training; None, unlike an empty list, says that nobody knows who is who. ``other_names``: what a lead may be
    called where a record has none of its name; ``default_gain``: ADC units a millivolt of leads whose header says gain
    0; ``bad_records = "skip"`` leaves out records that cannot be read, counted and named.
    """

    source: Literal["beats"]
    path: str = "mitdb"
    leads: tuple[str, ...] = ("MLII",)
    annotator: str = "atr"
    fs_hz: float = Field(100.0, gt=0)
    before_s: float = Field(2.4, gt=0)
    after_s: float = Field(1.6, gt=0)
    classes: tuple[Literal["N", "S", "V", "F", "Q"], ...] = ("N", "S", "V", "F")
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    same_patient: tuple[tuple[str, ...], ...] | None = None
    other_names: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    default_gain: float | None = Field(None, gt=0)
    bad_records: Literal["error", "skip"] = "error"

    @model_validator(mode="after")
    def _sides_differ(self) -> BeatData:
        sides = {"train": self.train, "validation": self.validation, "test": self.test}
        for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
            shared = sorted(set(sides[one]) & set(sides[other]))
            if shared:
                raise ValueError(f"records {', '.join(shared)} are named under both {one} and {other}")
        strange = sorted(set(self.other_names) - set(self.leads))
        if strange:
            raise ValueError(f"other_names: {', '.join(strange)} is not among leads")
        return self


Data = Annotated[SyntheticData | PtbXlData | BeatData | TableData | ArrayData, Field(discriminator="source")]
SOURCE_NAMES: tuple[str, ...] = tuple(
    get_args(each.model_fields["source"].annotation)[0] for each in get_args(get_args(Data)[0])
)
