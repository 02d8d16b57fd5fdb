"""One recording in, from any file that is read: its leads in millivolts, and what is known of its recorder.

In come a file's path and a :class:`Wanted`, out comes a :class:`ReadSignal`. A file that knows its unit, rate or lead
names is believed; what it does not know comes from the study. :func:`step_of` reads no sample. Problems are ValueErrors
in words, or InputErrors of the WFDB reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulseproof.ecg.resample import REACH
from pulseproof.ecg.tables import edf, numbers
from pulseproof.ecg.tables.listing import EDF, HEADED, NUMPY, PARQUET, TEXT, WFDB
from pulseproof.ecg.wfdb.files import read_record
from pulseproof.ecg.wfdb.header import MILLIVOLTS, read_header


@dataclass(frozen=True)
class Wanted:
    """``leads``: the names of each, the first that a file has is taken; None: all. ``seconds``: so much from the start
    is enough once it is resampled to ``to_hz``. The rest is what the study says for files that do not: see
    :class:`~core.data.table.TableData`."""

    leads: tuple[tuple[str, ...], ...] | None
    file_leads: tuple[str, ...] | None
    rate_hz: float | None
    unit: str | None
    adc_step_mv: float | None
    default_gain: float | None
    seconds: float | None = None
    to_hz: float | None = None


@dataclass(frozen=True)
class ReadSignal:
    """``millivolts``: float64 (leads, samples), ``leads`` as the file calls them; ``step_mv``: the coarsest step of
    their recorder, None where the file does not know it; ``assumed``: leads whose gain is a default."""

    leads: tuple[str, ...]
    fs_hz: float
    millivolts: NDArray[np.float64] = field(repr=False)
    step_mv: float | None = None
    assumed: tuple[str, ...] = ()


def read_signal(path: Path, kind: str, wanted: Wanted) -> ReadSignal:
    """Read the wanted leads of one recording."""
    if kind == WFDB:
        return _wfdb(path, wanted)
    if kind == EDF:
        header = edf.read_header(path)
        rows = _rows([signal.label for signal in header.signals], wanted.leads)
        signals = [header.signals[row] for row in rows]
        scales = [_millivolts(signal.unit, signal.label, wanted.unit) for signal in signals]
        rate = edf.one_rate(header, rows)
        samples = edf.read_samples(path, header, rows, _enough(wanted, rate))
        gains = np.array([[signal.gain * scale] for signal, scale in zip(signals, scales, strict=True)])
        offsets = np.array([[signal.offset * scale] for signal, scale in zip(signals, scales, strict=True)])
        return ReadSignal(
            tuple(signal.label for signal in signals), rate, samples * gains + offsets, float(np.abs(gains).max())
        )
    reader = {TEXT: numbers.read_text, NUMPY: numbers.read_numpy, PARQUET: numbers.read_parquet}[kind]
    known = wanted.file_leads or _by_name(wanted)
    read = reader(path, known)
    names = read.leads or _unnamed(read.values.shape[0], wanted)
    rows = _rows(names, wanted.leads)
    rate_hz = read.fs_hz or wanted.rate_hz
    if rate_hz is None:
        raise ValueError("the file does not say its sampling rate (rate_hz, or columns.rate_hz)")
    scale = MILLIVOLTS[wanted.unit.lower()] if wanted.unit else wanted.adc_step_mv
    if scale is None:
        raise ValueError("the file does not say its unit (unit, or adc_step_mv)")
    values = read.values[rows, : _enough(wanted, rate_hz)]
    return ReadSignal(tuple(names[row] for row in rows), rate_hz, values.astype(np.float64) * scale)


def step_of(path: Path, kind: str, wanted: Wanted) -> float | None:
    """The coarsest step in mV of the recorder of the wanted leads, read without samples; None where a file does not
    know it."""
    if kind == WFDB:
        header = read_header(path.with_name(path.name.removesuffix(".hea")))
        gains = [header.signals[row] for row in _rows(list(header.leads), wanted.leads)]
        steps = [1 / gain for signal in gains if (gain := _gain(signal.gain, signal.millivolts, wanted.default_gain))]
        return max(steps, default=None)
    if kind == EDF:
        about = edf.read_header(path)
        signals = [about.signals[row] for row in _rows([each.label for each in about.signals], wanted.leads)]
        return max(abs(each.gain) * _millivolts(each.unit, each.label, wanted.unit) for each in signals)
    return None


def _gain(gain: float, unit: float | None, default: float | None) -> float | None:
    return (gain / unit if gain else default) if unit else None


def _wfdb(path: Path, wanted: Wanted) -> ReadSignal:
    stem = path.with_name(path.name.removesuffix(".hea"))
    header = read_header(stem)
    rows = _rows(list(header.leads), wanted.leads)
    others = sorted({header.signals[row].file for row in rows} - {f"{stem.name}{suffix}" for suffix in HEADED})
    if others and any(stem.with_name(f"{stem.name}{suffix}").exists() for suffix in HEADED):
        raise ValueError(
            f"its header names the signal file {others[0]!r} beside one that is called as the record: call all of them"
            " as the record, or none"
        )  # of such a record the fingerprint looks at its own files only
    record = read_record(stem, [header.leads[row] for row in rows], header, default_gain=wanted.default_gain)
    for lead, gone in zip(record.taken, record.missing, strict=True):
        if gone.any():
            at = int(gone.argmax()) / record.fs_hz
            raise ValueError(f"lead {lead!r} has {int(gone.sum()):,} missing samples, the first at {at:.2f} s")
    enough = _enough(wanted, record.fs_hz)
    millivolts = (record.digital - record.baselines)[:, :enough] / record.gains
    return ReadSignal(record.taken, record.fs_hz, millivolts, 1 / float(record.gains.min()), record.assumed)


def _enough(wanted: Wanted, rate: float) -> int | None:
    """How many samples are enough: those of the filter's reach at the end included."""
    if wanted.seconds is None:
        return None
    return int((wanted.seconds + 2 * (REACH + 1) / min(rate, wanted.to_hz or rate)) * rate) + 2


def _plain(name: str) -> str:
    """A lead's name as it is compared: EDF+ writes ``ECG II`` for ``II``."""
    short = name.strip().upper()
    for kind in ("ECG ", "EKG ", "LEAD "):
        short = short.removeprefix(kind)
    return short


def _rows(names: Sequence[str], leads: Sequence[Sequence[str]] | None) -> list[int]:
    """Where the wanted leads stand among ``names``."""
    if not names:
        raise ValueError("the file has no leads")
    if leads is None:
        return list(range(len(names)))
    exact, plain = [name.upper() for name in names], [_plain(name) for name in names]
    rows = []
    for lead in leads:
        places = [place for name in lead if (place := _place(name, exact, plain)) is not None]
        if not places:
            raise ValueError(f"no lead {'|'.join(lead)!r}; leads there: {', '.join(names[:20])}")
        rows.append(places[0])
    return rows


def _place(name: str, exact: Sequence[str], plain: Sequence[str]) -> int | None:
    """Where a lead stands by its name, as it is or plain, or by its number (``#2``)."""
    for known, key in ((exact, name.upper()), (plain, _plain(name))):
        if key in known:
            return known.index(key)
    number = int(name[1:]) if name.startswith("#") and name[1:].isdecimal() and len(name) < 6 else 0
    return number - 1 if 0 < number <= len(exact) else None


def _by_name(wanted: Wanted) -> tuple[str, ...] | None:
    """The leads that the study reads, where it calls them by names and not by numbers."""
    names = tuple(each[0] for each in wanted.leads or ())
    return names if names and not any(name.startswith("#") for name in names) else None


def _unnamed(count: int, wanted: Wanted) -> tuple[str, ...]:
    """What the leads of a file without names are called, by the study."""
    names = wanted.file_leads or _by_name(wanted)
    if names is None and wanted.leads is not None:  # asked for by their numbers
        return tuple(f"lead {place + 1}" for place in range(count))
    if names is None:
        raise ValueError(f"the file does not say what its {count} leads are called (file_leads, or leads)")
    if len(names) != count:
        raise ValueError(f"the file has {count} leads, the study names {len(names)} ({', '.join(names[:12])})")
    return names


def _millivolts(unit: str, label: str, default: str | None) -> float:
    found = MILLIVOLTS.get((unit or default or "").lower())
    if found is None:
        raise ValueError(
            f"lead {label!r} is in {unit!r}, which is no voltage" if unit else f"lead {label!r} has no unit"
        )
    return found
