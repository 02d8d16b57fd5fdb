"""What a study's ``[data]`` may say: one model a source of recordings, told apart by ``source``.

In comes the table of a study file, out comes one of these, checked as far as it can be without looking at a recording.
What reads each of them is named in :data:`ecg.prepare.SOURCES`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pulseproof.core.data.base import Count, Seed, Strict
from pulseproof.core.data.marked import BeatData, WindowData
from pulseproof.core.data.ptbxl import PtbXlData
from pulseproof.core.data.table import ArrayData, TableData

__all__ = [
    "ArrayData",
    "BeatData",
    "Count",
    "Data",
    "PtbXlData",
    "Seed",
    "Strict",
    "SyntheticData",
    "TableData",
    "WindowData",
]


class SyntheticData(Strict):
    """Recordings drawn by :mod:`ecg.synthetic`: 12 leads, 100 Hz, five superclasses. Never a result about patients."""

    source: Literal["synthetic"]
    records: int = Field(1500, ge=50, le=100_000)
    seed: Seed = 1
    label_noise: float = Field(0.05, ge=0, lt=0.5)
    leads: tuple[str, ...] | None = None
    window_s: tuple[float, float] | None = None


Data = Annotated[
    SyntheticData | PtbXlData | BeatData | WindowData | TableData | ArrayData, Field(discriminator="source")
]
