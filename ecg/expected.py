"""What the recordings of a study will be, as far as its file says it, before any of them is read.

In: the ``[data]`` of a study. Out: :class:`Expected`. Whoever brings a file that does not fit learns it at once, and
not after a database was read; what is read is what counts, and is checked again.
"""

from __future__ import annotations

from dataclasses import dataclass

from pulseproof.core.data.classes import class_map
from pulseproof.core.data.marked import names_of
from pulseproof.core.study import Study
from pulseproof.core.study_data import BeatData, PtbXlData, SyntheticData, TableData, WindowData
from pulseproof.ecg.marked.sources import leads_of

RATE_HZ, SECONDS, LEADS, CLASSES = 100.0, 10.0, 12, 5  # of PTB-XL's 100 Hz part, and of synthetic recordings


@dataclass(frozen=True)
class Expected:
    """``shape`` (leads, samples) of one recording, and the number of ``classes``."""

    shape: tuple[int, int]
    classes: int


def expected(study: Study) -> Expected | None:
    """What a study's recordings will be; None where only the recordings can tell."""
    data = study.data
    if isinstance(data, BeatData):
        samples = round(data.before_s * data.fs_hz) + round(data.after_s * data.fs_hz)
        return Expected((len(leads_of(data)), samples), len(names_of(data.classes)))
    if isinstance(data, WindowData):
        return Expected((len(leads_of(data)), round(data.window.length_s * data.fs_hz)), len(names_of(data.classes)))
    if isinstance(data, PtbXlData) and (data.classes != "ptb-xl-superclass" or data.fewest):
        return None  # which classes enough records have, the records say
    if isinstance(data, (PtbXlData, SyntheticData)):
        first, last = data.window_s or (0.0, SECONDS)
        leads = LEADS if data.leads is None else len(data.leads)
        rate_hz = data.fs_hz if isinstance(data, PtbXlData) else RATE_HZ
        return Expected((leads, round(last * rate_hz) - round(first * rate_hz)), CLASSES)
    return _of_table(data) if isinstance(data, TableData) else None


def _of_table(data: TableData) -> Expected | None:
    """Of a table whose study says leads, rate, length and classes; with ``fewest`` a class may be left out."""
    if not (data.leads and data.fs_hz and data.window_s) or data.fewest or not isinstance(data.classes, dict):
        return None
    return Expected((len(data.leads), round(data.window_s * data.fs_hz)), len(class_map(data.classes).names))
