"""One recording of a table, from its file to the steps of one recorder: leads, rate, length, rounding, and its doubts.

In comes a :class:`TableTask`, out comes a :class:`Made`, or the sentence that says why not. It runs in this process or
in another: what goes in and out is small and made of plain values.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.errors import InputError
from pulseproof.ecg.resample import resample
from pulseproof.ecg.tables.signals import ReadSignal, Wanted, read_signal

LIMIT = 32767  # of a step in int16; -32768 is WFDB's mark of a missing sample


@dataclass(frozen=True)
class Goal:
    """What every recording becomes: ``fs_hz`` (None: that of its file), steps of ``adc_step_mv``, ``samples`` (None: as
    long as it is), ``length``: what is done with those that last longer or shorter; for windows ``samples`` are
    those of one, of which one begins every ``step``. ``one_rate``: files of another rate are refused, not resampled."""

    wanted: Wanted
    fs_hz: float | None
    adc_step_mv: float
    samples: int | None
    length: str | None
    one_rate: bool = False
    step: int = 0


@dataclass(frozen=True)
class TableTask:
    """``row`` of the table, the ``root`` and the ``file`` under it, and the rate that its row says. ``leads``: where it
    has others than the study's (:class:`~ecg.tables.signals.Wanted`)."""

    row: int
    root: Path
    file: str
    kind: str
    rate_hz: float | None
    leads: tuple[tuple[str, ...], ...] | None = None

    def wanted(self, of_all: Wanted) -> Wanted:
        """What to take of this file, of what is taken of all."""
        rate_hz, leads = self.rate_hz or of_all.rate_hz, self.leads or of_all.leads
        return replace(of_all, rate_hz=rate_hz, leads=leads)


@dataclass(frozen=True)
class Made:
    """``steps``: int16 (leads, samples). ``fs_hz`` and ``seconds``: of the file; ``flat``: one of its leads never
    moves;
    ``padded``, ``cut``: what was done to its length; ``digest``: by which twins are known."""

    row: int
    steps: NDArray[np.int16]
    fs_hz: float
    seconds: float
    flat: bool
    assumed: bool
    padded: bool
    cut: bool
    digest: bytes


def make(task: TableTask, goal: Goal) -> Made | str:
    """The recording of one row, or what is wrong with it."""
    try:
        signal = read_signal(task.root / task.file, task.kind, task.wanted(goal.wanted))
        return _made(task, goal, signal)
    except InputError as error:
        return error.what.replace(f"{task.root}/", "")
    except (ValueError, OSError, OverflowError) as error:
        return str(error).replace(f"{task.root}/", "")
    except MemoryError:
        return "it needs more memory than there is"


def _made(task: TableTask, goal: Goal, signal: ReadSignal) -> Made:
    values = signal.millivolts
    if not values.shape[1]:
        raise ValueError("it holds no samples")
    for lead, row in zip(signal.leads, values, strict=True):
        strange = ~np.isfinite(row)
        if strange.any():
            raise ValueError(
                f"lead {lead!r}: {int(strange.sum()):,} samples are no number, the first at"
                f" {int(strange.argmax()) / signal.fs_hz:.2f} s"
            )
    flat = tuple(lead for lead, row in zip(signal.leads, values, strict=True) if row.min() == row.max())
    if len(flat) == len(signal.leads):
        raise ValueError("nothing moves in it: every lead is flat")
    fs_hz = goal.fs_hz or signal.fs_hz
    if goal.one_rate and signal.fs_hz != fs_hz:
        raise ValueError(f"{signal.fs_hz:g} Hz, where the first recording has {fs_hz:g} Hz (fs_hz brings all to one)")
    steps = np.rint(resample(values, signal.fs_hz, fs_hz) / goal.adc_step_mv)
    have, seconds = steps.shape[1], values.shape[1] / signal.fs_hz
    samples = have if goal.samples is None else goal.samples
    if goal.length == "windows":
        if have < samples - 1:
            raise ValueError(f"lasts {have / fs_hz:g} s, less than a window of {samples / fs_hz:g} s")
        whole = samples + max(0, have - samples) // goal.step * goal.step
        steps = np.pad(steps, ((0, 0), (0, max(0, samples - have))), mode="edge")[:, :whole]
    elif have != samples:
        long = have > samples
        if goal.length is None and abs(have - samples) > 1:
            raise ValueError(f'lasts {have / fs_hz:g} s and not {samples / fs_hz:g} s (length = "cut" or "pad")')
        if goal.length == "cut" and not long and samples - have > 1:
            raise ValueError(f'lasts {have / fs_hz:g} s, less than {samples / fs_hz:g} s (length = "pad" fills it)')
        steps = steps[:, :samples] if long else np.pad(steps, ((0, 0), (0, samples - have)), mode="edge")
    peak = float(np.abs(steps).max())
    if peak > LIMIT:
        raise ValueError(
            f"a sample of {peak * goal.adc_step_mv:.4g} mV, more than {LIMIT * goal.adc_step_mv:.4g} mV;"
            " is the unit right? Else set a larger adc_step_mv"
        )
    made = np.ascontiguousarray(steps.astype(np.int16))
    return Made(
        row=task.row,
        steps=made,
        fs_hz=signal.fs_hz,
        seconds=seconds,
        flat=bool(flat),
        assumed=bool(signal.assumed),
        padded=have < samples - 1,
        cut=goal.length != "windows" and have > samples + 1,
        digest=hashlib.sha256(made.tobytes()).digest()[:16],
    )
