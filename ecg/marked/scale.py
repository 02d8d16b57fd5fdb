"""All annotated records of a study as if one recorder had made them: one rate, one step, one range.

In come :class:`~ecg.wfdb.files.Record`, out come int16 steps. The step is the coarsest of all records and leads; where
samples need more than 16 bits at it, it is as fine as int16 reaches. Missing samples are bridged by a line before the
filter sees them; the beats near them are left out (:func:`touched`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.errors import InputError
from pulseproof.core.terminal.console import say
from pulseproof.ecg.resample import REACH, resample
from pulseproof.ecg.resample import ratio as ratio_of
from pulseproof.ecg.wfdb.files import Record
from pulseproof.runtime.words import one_line

LIMIT = 32767  # of a step in int16
LARGEST = 10**9  # of a ratio's terms: places of samples are computed in whole numbers of 64 bits


@dataclass(frozen=True)
class RecorderScale:
    """The one recorder that all records are brought to: ADC units a mV, and the range of its converter."""

    gain: float
    low: int
    high: int


def ratio(fs_hz: float, record: Record) -> tuple[int, int]:
    """(up, down) of the resampling. Raises InputError for rates that have no common multiple in whole numbers of 64
    bits, or are none."""
    try:
        found = ratio_of(record.fs_hz, fs_hz)
    except ValueError as error:
        raise InputError(f"{record.path}.hea: {one_line(error)}", "choose another fs_hz") from None
    if max(found.numerator, found.denominator) > LARGEST:
        raise InputError(
            f"{record.path}.hea: {record.fs_hz:g} Hz cannot be resampled to {fs_hz:g} Hz (ratio {found})",
            "choose an fs_hz that is a simple fraction of the record's own rate",
        )
    return found.numerator, found.denominator


def bridged(record: Record) -> Record:
    """The record with a straight line in the place of missing samples; the very same where none is missing."""
    if not record.missing.any():
        return record
    digital = record.digital.copy()
    place = np.arange(digital.shape[1])
    for row, gone in enumerate(record.missing):
        there = np.flatnonzero(~gone)
        if len(there):
            digital[row, gone] = np.rint(np.interp(place[gone], there, digital[row, there]))
        else:
            digital[row] = record.baselines[row]
    return replace(record, digital=digital)


def touched(record: Record, fs_hz: float, first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.bool_]:
    """bool (k,): windows from sample ``first`` to ``last`` (at ``fs_hz``, both inside) that a missing sample is in, or
    so near to that the resampling filter would bring it in."""
    if not record.missing.any():
        return np.zeros(len(first), bool)
    up, down = ratio(fs_hz, record)
    margin = 0 if up == down else -(-REACH * max(up, down) // up)
    end = record.missing.shape[1]
    before = np.concatenate([[0], np.cumsum(record.missing.any(axis=0))])
    low = np.clip(first * down // up - margin, 0, end)
    high = np.clip(-(-last * down // up) + margin + 1, 0, end)
    return np.asarray(before[high] > before[low], bool)


def resampled(record: Record, fs_hz: float, scale: RecorderScale) -> NDArray[np.int16]:
    """int16 (leads, samples at ``fs_hz``): the whole record in steps of ``scale``, clipped to its range."""
    steps = (record.digital - record.baselines) * (scale.gain / record.gains)
    steps = resample(steps, record.fs_hz, fs_hz)
    return np.clip(np.rint(steps), scale.low, scale.high).astype(np.int16)


def scale_of(record: Record) -> RecorderScale:
    """The record's own recorder, at its coarsest lead. Its range holds what its header says and its samples show.

    Where the samples need more than 16 bits at that step, the step is coarser: as fine as int16 reaches.
    """
    gain = float(record.gains.min())
    low = np.minimum(record.low, record.digital.min(axis=1, keepdims=True)) - record.baselines
    high = np.maximum(record.high, record.digital.max(axis=1, keepdims=True)) - record.baselines
    peak_mv = float((np.abs(record.digital - record.baselines) / record.gains).max())
    gain = min(gain, LIMIT / peak_mv) if peak_mv > 0 else gain
    lowest, highest = float((low / record.gains).min()) * gain, float((high / record.gains).max()) * gain
    return RecorderScale(gain, math.floor(round(lowest, 6)), math.ceil(round(highest, 6)))


def common(records: Sequence[tuple[str, RecorderScale, float]], name: str) -> RecorderScale:
    """The coarsest step of (record, scale, finest gain), and a range that holds every record's, within int16."""
    gain = min(scale.gain for _, scale, _ in records)
    finer = [record for record, _, finest in records if finest > gain]
    if finer:
        many = f"{len(finer)} record{'s' * (len(finer) > 1)} (the first is {finer[0]})"
        say(f"{name}: rounded to the coarsest step of all records, {1 / gain:g} mV: {many}")
    low = min(math.floor(round(scale.low * gain / scale.gain, 6)) for _, scale, _ in records)
    high = max(math.ceil(round(scale.high * gain / scale.gain, 6)) for _, scale, _ in records)
    return RecorderScale(gain, max(low, -LIMIT), min(high, LIMIT))
