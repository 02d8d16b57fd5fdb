"""What the recordings of a study will be, as far as its file says it, before any of them is read.

In: the ``[data]`` of a study. Out: :class:`Expected`. Whoever brings a file that does not fit learns it at once, and
not after a database was read; what is read is what counts, and is checked again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pulseproof.core.data.classes import class_map
from pulseproof.core.data.marked import names_of
from pulseproof.core.studies.sources import BeatData, PtbXlData, SyntheticData, TableData, WindowData
from pulseproof.core.study import Study
from pulseproof.ecg.marked.sources import leads_of
from pulseproof.ecg.synthetic import CLASSES, LEADS

RATE_HZ, SECONDS = 100.0, 10.0  # of PTB-XL's 100 Hz part, and of synthetic recordings


@dataclass(frozen=True)
class Expected:
    """``shape`` (leads, samples) of one recording, and the number of ``classes``; as far as the study says them, the
    rate ``fs_hz`` and the names of the ``leads`` and of the classes."""

    shape: tuple[int, int]
    classes: int
    fs_hz: float | None = field(default=None, compare=False)
    leads: tuple[str, ...] = field(default=(), compare=False)
    names: tuple[str, ...] = field(default=(), compare=False)


def expected(study: Study) -> Expected | None:
    """What a study's recordings will be; None where only the recordings can tell."""
    data = study.data
    if isinstance(data, BeatData):
        samples = round(data.before_s * data.fs_hz) + round(data.after_s * data.fs_hz)
        return _of_marked(data, samples)
    if isinstance(data, WindowData):
        return _of_marked(data, round(data.window.length_s * data.fs_hz))
    if isinstance(data, PtbXlData) and (data.classes != "ptb-xl-superclass" or data.fewest):
        return None  # which classes enough records have, the records say
    if isinstance(data, (PtbXlData, SyntheticData)):
        first, last = data.window_s or (0.0, SECONDS)
        leads = tuple(data.leads or LEADS)
        rate_hz = float(data.fs_hz if isinstance(data, PtbXlData) else RATE_HZ)
        samples = round(last * rate_hz) - round(first * rate_hz)
        return Expected((len(leads), samples), len(CLASSES), rate_hz, leads, CLASSES)
    return _of_table(data) if isinstance(data, TableData) else None


def _of_marked(data: BeatData | WindowData, samples: int) -> Expected:
    leads, names = leads_of(data), names_of(data.classes)
    return Expected((len(leads), samples), len(names), float(data.fs_hz), leads, names)


def _of_table(data: TableData) -> Expected | None:
    """Of a table whose study says leads, rate, length and classes; with ``fewest`` a class may be left out."""
    if not (data.leads and data.fs_hz and data.window_s) or data.fewest or not isinstance(data.classes, dict):
        return None
    names = class_map(data.classes).names
    shape = (len(data.leads), round(data.window_s * data.fs_hz))
    return Expected(shape, len(names), float(data.fs_hz), tuple(data.leads), names)
