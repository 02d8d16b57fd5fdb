"""One WFDB record in, its samples as the recorder stored them out, with every doubt about them raised as an error.

In comes the path of a record without suffix, out come integer samples of the named leads, their gains and their legal
ranges, and which of them the recorder marked as missing. What a header means is decided in :mod:`ecg.wfdb.header`, the
bytes of a signal file are read in :mod:`ecg.wfdb.signals`; here a lead is found by its name, brought to its place in
time (samples a frame, skew) and to millivolts, and held against length and checksum of the header.

The format of the header is header(5), of the signal files signal(5) of the WFDB Applications Guide (PhysioNet).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.errors import InputError
from pulseproof.ecg.wfdb.header import AGAIN, FORMATS, OUT, Header, Signal, is_beside, read_header, size_of_plain
from pulseproof.ecg.wfdb.signals import TooLongError, bytes_of, read_samples
from pulseproof.runtime.words import one_line

GAINS = (1e-9, 1e12)  # ADC units a millivolt: beyond, no sample would be a finite number of millivolts, or not 0


@dataclass(frozen=True)
class Record:
    """Some leads of one record, as stored.

    ``digital`` is int64 (leads, samples) in ADC units; a sample is ``(digital - baselines) / gains`` mV, ``gains``
    float64 (leads, 1) ADC units a mV, ``baselines`` int64 (leads, 1). ``low`` and ``high``, int64 (leads, 1), are
    the lowest and the highest value that the recorder's converter can give. ``missing`` is bool (leads, samples),
    True where the recorder has no sample. ``fs_hz`` is the rate of these samples, ``frame`` of which make a frame of
    the record. ``files``: the signal file of each lead; ``taken``: the leads as the header calls them; ``assumed``:
    those whose gain is a default; ``shared``: those whose name several signals of the record have.
    """

    path: Path
    files: tuple[Path, ...]
    fs_hz: float
    frame: int
    digital: NDArray[np.int64]
    gains: NDArray[np.float64]
    baselines: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    missing: NDArray[np.bool_]
    taken: tuple[str, ...]
    assumed: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()


def read_record(
    stem: Path,
    leads: Sequence[str],
    header: Header | None = None,
    other_names: Mapping[str, Sequence[str]] | None = None,
    default_gain: float | None = None,
) -> Record:
    """Read the named leads (any case, in the order asked for, wherever the record has them) of the record ``stem``.

    ``other_names``: what a lead may be called as well, the first that the record has is taken. ``default_gain``: ADC
    units a mV of leads that were never calibrated; None refuses them. Raises InputError when a file is missing,
    damaged or too short, a lead is not there, not a voltage, or does not add up to the checksum in the header, and
    for what is not supported.
    """
    header = header or read_header(stem)
    if not leads:
        raise InputError(f"{header.path}: the record has no signals, or none was asked for", OUT)
    rows = [_row_of(header, lead, (other_names or {}).get(lead, ())) for lead in leads]
    signals = [header.signals[row] for row in rows]
    gains = [_gain(header.path, signal, default_gain) for signal in signals]
    for signal in signals:
        _check_supported(header.path, signal)
    frames_of = {signal.lead: signal.frame for signal in signals}
    if len(set(frames_of.values())) > 1:
        rates = ", ".join(f"{lead} {header.fs_hz * frame:g} Hz" for lead, frame in frames_of.items())
        raise InputError(
            f"{header.path}: leads of different rates ({rates}) are not supported together",
            f"name leads of one rate, or {OUT}",
        )
    frame = next(iter(frames_of.values()), 1)
    frames = _frames(header, signals)
    stored = {name: _stored(header, name, frames) for name in dict.fromkeys(signal.file for signal in signals)}
    placed = []
    for signal in signals:
        samples = stored[signal.file][signal.lead]
        _check_sum(header, signal, samples)
        placed.append(_in_place(signal, samples))
    return Record(
        path=stem,
        files=tuple(header.path.parent / signal.file for signal in signals),
        fs_hz=float(Fraction(str(header.fs_hz)) * frame),
        frame=frame,
        digital=np.stack([samples for samples, _ in placed]),
        gains=np.array(gains, np.float64).reshape(-1, 1),
        baselines=np.array([[signal.baseline] for signal in signals], np.int64),
        low=np.array([[signal.zero - 2 ** (signal.bits - 1)] for signal in signals], np.int64),
        high=np.array([[signal.zero + 2 ** (signal.bits - 1) - 1] for signal in signals], np.int64),
        missing=np.stack([gone for _, gone in placed]),
        taken=tuple(signal.lead for signal in signals),
        assumed=tuple(signal.lead for signal in signals if signal.gain == 0),
        shared=tuple(signal.lead for signal in signals if _alike(header, signal) > 1),
    )


def check_whole(record: Record) -> None:
    """Raises InputError when a sample of the record is missing."""
    for path, lead, gone in zip(record.files, record.taken, record.missing, strict=True):
        if gone.any():
            raise InputError(
                f"{path}: lead {lead!r} has {int(gone.sum()):,} missing samples, the first at"
                f" {int(gone.argmax()) / record.fs_hz:.2f} s",
                f"a gap cannot be evaluated: {OUT}",
            )


def _alike(header: Header, signal: Signal) -> int:
    return sum(other.described.upper() == signal.described.upper() for other in header.signals)


def _row_of(header: Header, lead: str, others: Sequence[str]) -> int:
    names = [name.upper() for name in header.leads]
    for name in (lead, *others):
        if name.upper() in names:
            return names.index(name.upper())
    called = f" (nor {', '.join(map(repr, others))})" if others else ""
    raise InputError(
        f"{header.path}: the record has no lead {lead!r}{called}",
        f"leads there: {', '.join(header.leads) or 'none'}; name one of them in leads, or in other_names what it is"
        " called there, or leave the record out",
    )


def _gain(path: Path, signal: Signal, default: float | None) -> float:
    """ADC units a millivolt. Raises InputError for a lead that cannot be brought to millivolts."""
    unit = signal.millivolts
    if unit is None:
        raise InputError(
            f"{path}: lead {signal.lead!r} is in {signal.units}, which is no voltage (mV, uV, V)",
            f"name another lead, or {OUT}",
        )
    if signal.gain < 0:
        raise InputError(f"{path}: lead {signal.lead!r}: a negative gain ({signal.gain:g}) is not supported", OUT)
    if signal.gain == 0 and default is None:
        raise InputError(
            f"{path}: lead {signal.lead!r} is not calibrated (gain 0), so its millivolts are unknown",
            "set default_gain in the study's [data] to the ADC units a millivolt if you know them (header(5) lets 200"
            f" be assumed), or {OUT}",
        )
    gain = signal.gain / unit if signal.gain else float(default or 0)
    if not GAINS[0] <= gain <= GAINS[1]:
        raise InputError(f"{path}: lead {signal.lead!r}: a gain of {gain:g} a millivolt is no recorder's", AGAIN)
    return gain


def _check_supported(path: Path, signal: Signal) -> None:
    if not is_beside(signal.file):
        raise InputError(
            f"{path}: lead {signal.lead!r} is in {signal.file!r}; only signal files beside the header are read", OUT
        )
    if signal.format not in FORMATS:
        raise InputError(
            f"{path}: format {signal.format} of lead {signal.lead!r} is not supported, only {', '.join(FORMATS)}",
            f"convert the record to format 16 (WFDB's xform), or {OUT}",
        )


def _frames(header: Header, signals: Sequence[Signal]) -> int:
    """The frames of the record: as its header says, or as many as its signal files hold. Raises InputError for a signal
    file that is missing or too short."""
    held = []
    for name in dict.fromkeys(signal.file for signal in signals):
        path = header.path.parent / name
        inside = [signal for signal in header.signals if signal.file == name]
        together = sum(signal.frame for signal in inside)
        try:
            size = size_of_plain(path)
        except FileNotFoundError:
            raise InputError(
                f"{path}: no such signal file, and {header.path.name} says that it holds {inside[0].lead!r}", AGAIN
            ) from None
        size_of_sample = FORMATS[inside[0].format][1]
        if size_of_sample is None:
            if header.samples is None:
                held.append(len(_read(header, inside, None)) // together)
            continue
        held.append(int((size - inside[0].byte_offset) / size_of_sample) // together)
        needed = inside[0].byte_offset + bytes_of(inside[0].format, (header.samples or 0) * together)
        if size < needed:
            raise InputError(
                f"{path}: too short, {size:,} bytes where {header.path.name} needs {needed:,}"
                f" ({header.samples or 0:,} samples of {len(inside)} signals)",
                AGAIN,
            )
    frames = min(held, default=0) if header.samples is None else header.samples
    if frames < 1 and signals:
        raise InputError(f"{header.path}: the record has no samples", AGAIN)
    return frames


def _read(header: Header, inside: Sequence[Signal], count: int | None) -> NDArray[np.int64]:
    path = header.path.parent / inside[0].file
    try:
        return read_samples(path, inside[0].format, inside[0].byte_offset, count, len(inside))
    except TooLongError as error:
        raise InputError(f"{path}: {one_line(error)}", f"cut the record into parts (WFDB's snip), or {OUT}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: the signals cannot be decoded ({one_line(error)})", AGAIN) from None


def _stored(header: Header, name: str, frames: int) -> dict[str, NDArray[np.int64]]:
    """{lead: int64 (its samples,)} of one signal file, in the order of the file."""
    inside = [signal for signal in header.signals if signal.file == name]
    together = sum(signal.frame for signal in inside)
    if FORMATS[inside[0].format][1] is None and len({signal.frame for signal in inside}) > 1:
        raise InputError(f"{header.path}: signals of several rates in the FLAC file {name} are not supported", OUT)
    samples = _read(header, inside, frames * together)
    if len(samples) != frames * together:
        raise InputError(
            f"{header.path.parent / name}: {len(samples):,} samples were read, {header.path.name} says"
            f" {frames * together:,}",
            AGAIN,
        )
    if FORMATS[inside[0].format][1] is None:  # FLAC knows no frames: one sample of each signal, then the next
        return {signal.lead: column for signal, column in zip(inside, samples.reshape(-1, len(inside)).T, strict=True)}
    found, first = {}, 0
    table = samples.reshape(frames, together)
    for signal in inside:
        found[signal.lead] = table[:, first : first + signal.frame].ravel()
        first += signal.frame
    return found


def _check_sum(header: Header, signal: Signal, samples: NDArray[np.int64]) -> None:
    """The sum of all stored samples is the header's checksum (16 bits); without a length there is none (header(5))."""
    if header.samples is None or signal.checksum is None:
        return
    if (int(samples.sum()) - signal.checksum) % 65536:
        raise InputError(
            f"{header.path.parent / signal.file}: damaged, the samples of lead {signal.lead!r} do not match the"
            f" checksum in {header.path.name}",
            AGAIN,
        )


def _in_place(signal: Signal, samples: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """A signal's samples from sample 0 of the record on, and which of them are missing: those that carry its format's
    mark, and at the end so many as its skew brings forward. The library's skew is in whole frames."""
    early = int(signal.skew / signal.frame + 0.5) * signal.frame
    mark = -(2 ** (FORMATS[signal.format][0] - 1))
    placed = np.full(samples.shape, mark, np.int64)
    placed[: max(len(samples) - early, 0)] = samples[early:]
    return placed, placed == mark
