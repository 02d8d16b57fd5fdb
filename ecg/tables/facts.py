"""What is said of a table's recordings: what was left out, counted; what was done to them; what was taken for granted.

In comes what the reader saw of every recording, out come sentences for the terminal, the report and the answers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pulseproof.ecg.recordings import SPLITS, Split
from pulseproof.ecg.tables.listing import KNOW_UNITS
from pulseproof.ecg.tables.one import Made
from pulseproof.ecg.tables.problems import Problems
from pulseproof.ecg.tables.rows import TableSurvey

TOLD = 40  # bad rows that go with the results one by one
NAMED = 5


@dataclass
class Seen:
    """Counted while the recordings are read. ``counts``: of every side, recordings of each class."""

    classes: tuple[str, ...]
    counts: dict[Split, NDArray[np.int64]] = field(default_factory=dict)
    rates: Counter[float] = field(default_factory=Counter)
    padded: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    flat: list[str] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)
    twins: list[str] = field(default_factory=list)
    total: int = 0
    windows: int = 0

    def add(self, made: Made, name: str, labels: NDArray[np.uint8], side: Split) -> None:
        self.total += 1
        self.rates[made.fs_hz] += 1
        self.counts.setdefault(side, np.zeros(len(self.classes), np.int64))
        self.counts[side] += labels
        for happened, names in (
            (made.padded, self.padded),
            (made.cut, self.cut),
            (made.flat, self.flat),
            (made.assumed, self.assumed),
        ):
            if happened:
                names.append(name)

    def lacking(self) -> list[tuple[str, Split]]:
        """(class, side) of every class that a side has no recording of."""
        return [
            (name, side)
            for side in SPLITS
            for place, name in enumerate(self.classes)
            if side not in self.counts or not self.counts[side][place]
        ]


def told(found: TableSurvey, seen: Seen, bad: Problems, step_mv: float) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(facts, doubts) of what was read."""
    spec, facts, doubts = found.told, [], []
    to_hz = spec.fs_hz or next(iter(seen.rates))
    others = {rate: many for rate, many in seen.rates.items() if rate != to_hz}
    if others:
        rates = ", ".join(f"{many:,} of {rate:g} Hz" for rate, many in sorted(others.items())[:10])
        facts.append(f"Resampled to {to_hz:g} Hz: {rates}.")
    for what, names in ((f"Cut to {spec.window_s or 0:g} s", seen.cut), ("Of a lead that never moves", seen.flat)):
        if names:
            facts.append(f"{what}: {_some(names, seen.total)}.")
    if seen.twins:
        facts.append(f"Holding the very samples of another recording, and left out: {_some(seen.twins, found.total)}.")
    if spec.join:
        facts.append(
            f"Windows of {spec.window_s or 0:g} s: {seen.windows:,} of {seen.total:,} recordings, whose scores are"
            f" joined by {'their mean' if spec.join == 'mean' else 'the largest'}."
        )
    if seen.padded:
        doubts.append(
            f"Shorter than {spec.window_s or 0:g} s, filled with the last sample: {_some(seen.padded, seen.total)}."
        )
    if seen.assumed:
        gain = f"{spec.default_gain or 0:g} ADC units a mV assumed"
        doubts.append(f"Not calibrated (gain 0), {gain}: {_some(seen.assumed, seen.total)}.")
    if nobody_known(found):
        doubts.append(f"Of nobody known, each taken as its own patient: {seen.total:,} of {seen.total:,} recordings.")
    if spec.adc_step_mv is None and any(row.found.kind not in KNOW_UNITS for row in found.rows.values()):
        doubts.append(
            f"Files that do not say the step of their recorder: rounded to {step_mv:g} mV (adc_step_mv sets it)."
        )
    lines = bad.sentences()
    facts += [f"Left out as bad: {line}." for line in lines[:TOLD]]
    if len(lines) > TOLD:
        facts.append(f"Left out as bad: {len(lines) - TOLD:,} more rows.")
    return tuple(facts), tuple(doubts)


def note_on(found: TableSurvey, seen: Seen, bad: Problems) -> tuple[str, str]:
    """(note, the part of it that says that not all is here)."""
    rows = bad.rows()
    left = ", ".join(f"row {row}" for row in rows[:NAMED]) + (", ..." if len(rows) > NAMED else "")
    bad_note = f"{len(rows):,} of {found.total:,} rows left out as bad ({left})" if rows else ""
    part = "; ".join(each for each in (found.spec.note or "", bad_note) if each)
    said = [
        part,
        "each recording taken as its own patient" if nobody_known(found) else "",
        f"{len(seen.assumed):,} recordings uncalibrated" if seen.assumed else "",
        _joined(spec.join) if (spec := found.told).join else "",
        f"{len(seen.padded):,} recordings filled up to {found.told.window_s or 0:g} s" if seen.padded else "",
    ]
    return "; ".join(each for each in said if each), part


def _joined(how: str | None) -> str:
    what = "their mean" if how == "mean" else "the largest of them"
    return f"scores of windows, {what} is that of a recording; latency is of one window"


def nobody_known(found: TableSurvey) -> bool:
    """True where the study says of no recording whose it is."""
    return found.told.columns.patient is None and found.told.patient_pattern is None


def _some(names: list[str], total: int) -> str:
    shown = ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
    return f"{len(names):,} of {total:,} recordings ({shown})"
