"""One WFDB record in, its samples as the recorder stored them out, with every doubt about them raised as an error.

:mod:`wfdb` decodes the signal files; this module checks what ``wfdb`` lets pass: a gain of 0 (read as 200), a signal
file shorter or other than its header says, a checksum that does not match, samples marked as missing. In comes the
path of a record without suffix, out come integer samples of the named leads, their gains and their legal ranges, or
its annotations.

The format of the header is header(5), of the signal files signal(5) of the WFDB Applications Guide (PhysioNet).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import wfdb
from numpy.typing import NDArray
from wfdb.io.header import parse_header_content, rx_record, rx_signal

from core.errors import InputError

AGAIN = "fetch the record again and compare it with the database's own SHA256SUMS.txt, or leave it out of the study"
RECORD_NAME = re.compile(r"[\w-]+(/[\w-]+)*")  # a relative path that cannot climb out of its folder

# Format: bits of one sample, bytes it takes in the file (None where the file is FLAC and its size says nothing).
FORMATS: dict[str, tuple[int, Fraction | None]] = {
    "16": (16, Fraction(2)),
    "24": (24, Fraction(3)),
    "32": (32, Fraction(4)),
    "61": (16, Fraction(2)),
    "80": (8, Fraction(1)),
    "160": (16, Fraction(2)),
    "212": (12, Fraction(3, 2)),
    "310": (10, Fraction(4, 3)),
    "311": (10, Fraction(4, 3)),
    "508": (8, None),
    "516": (16, None),
    "524": (24, None),
}


@dataclass(frozen=True)
class Signal:
    """One signal line of a header. ``gain`` is ADC units a ``units``, 0 when the signal was never calibrated."""

    lead: str
    file: str
    format: str
    gain: float
    baseline: int
    units: str
    bits: int
    zero: int
    checksum: int | None
    byte_offset: int


@dataclass(frozen=True)
class Header:
    """A header file. ``samples`` is None where it leaves the length to the signal file."""

    path: Path
    fs_hz: float
    samples: int | None
    signals: tuple[Signal, ...]

    @property
    def leads(self) -> tuple[str, ...]:
        return tuple(signal.lead for signal in self.signals)


@dataclass(frozen=True)
class Record:
    """Some leads of one record, as stored.

    ``digital`` is int64 (leads, samples) in ADC units; a sample is ``(digital - baselines) / gains`` mV, ``gains``
    float64 (leads, 1) ADC units a mV, ``baselines`` int64 (leads, 1). ``low`` and ``high``, int64 (leads, 1), are
    the lowest and the highest value that the recorder's converter can give.
    """

    path: Path
    fs_hz: float
    digital: NDArray[np.int64]
    gains: NDArray[np.float64]
    baselines: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]


def read_header(stem: Path) -> Header:
    """Read ``stem.hea``. Raises InputError when it is missing, unreadable, or not one record's own header."""
    path = stem.with_name(stem.name + ".hea")
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        raise InputError(f"{path}: no such header file", AGAIN) from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})", AGAIN) from None
    lines, _ = parse_header_content(text)
    record = rx_record.match(lines[0]) if lines else None
    if record is None:
        raise InputError(f"{path}: damaged header, its first line is not a WFDB record line", AGAIN)
    if record["n_seg"]:
        raise InputError(
            f"{path}: a record of several segments is not read", "join them (WFDB's xform), or leave it out"
        )
    announced = int(record["n_sig"])
    if announced != len(lines) - 1:
        raise InputError(
            f"{path}: damaged header, it announces {announced} signals and describes {len(lines) - 1}", AGAIN
        )
    signals = []
    for number, line in enumerate(lines[1:], start=2):
        matched = rx_signal.match(line)
        try:
            if matched is None:
                raise ValueError("not a WFDB signal line")
            signals.append(_signal(matched))
        except ValueError as error:
            raise InputError(f"{path}: damaged header, line {number} {line[:60]!r}: {error}", AGAIN) from None
    fs_hz = float(record["fs"] or 250)  # header(5): 250 Hz when left out
    if not fs_hz > 0:
        raise InputError(f"{path}: damaged header, its sampling rate is {record['fs']}", AGAIN)
    return Header(path, fs_hz, int(record["sig_len"]) if record["sig_len"] else None, tuple(signals))


def _signal(line: re.Match[str]) -> Signal:
    """One signal line with the defaults of header(5). Raises ValueError in words."""
    if line["fmt"] not in FORMATS:
        raise ValueError(f"signal format {line['fmt']} is not read, only {', '.join(FORMATS)}")
    if int(line["samps_per_frame"] or 1) != 1:
        raise ValueError("several samples a frame are not read")
    if int(line["skew"] or 0) != 0:
        raise ValueError("skewed signals are not read")
    gain = float(line["adc_gain"] or 0)
    if not (math.isfinite(gain) and gain >= 0):
        raise ValueError(f"gain {line['adc_gain']} is not a positive number")
    zero = int(line["adc_zero"] or 0)
    return Signal(
        lead=line["sig_name"].strip(),
        file=line["file_name"],
        format=line["fmt"],
        gain=gain,
        baseline=int(line["baseline"]) if line["baseline"] else zero,
        units=line["units"] or "mV",
        bits=int(line["adc_res"] or 0) or FORMATS[line["fmt"]][0],
        zero=zero,
        checksum=int(line["checksum"]) if line["checksum"] else None,
        byte_offset=int(line["byte_offset"] or 0),
    )


def read_record(stem: Path, leads: Sequence[str], header: Header | None = None) -> Record:
    """Read the named leads (any case, in the order asked for, wherever the record has them) of the record ``stem``.

    Raises InputError when a file is missing, damaged or too short, a lead is not there or there twice, is not
    calibrated in millivolts, has missing samples, or does not add up to the checksum in the header.
    """
    header = header or read_header(stem)
    rows = [_row_of(header, lead) for lead in leads]
    for row in rows:
        _check_unit(header.path, header.signals[row])
    _check_sizes(header)
    try:
        # Integer samples: physical=True would hide missing samples, and rounds gains away.
        decoded: Any = wfdb.rdrecord(str(stem), physical=False, channels=rows)
        digital = np.ascontiguousarray(decoded.d_signal.T, dtype=np.int64)
    except Exception as error:  # wfdb raises bare Exception, IndexError and others for damaged files
        raise InputError(f"{header.path}: the signals cannot be decoded ({error})", AGAIN) from None
    expected = (len(rows), digital.shape[-1] if header.samples is None else header.samples)
    if digital.shape != expected or digital.size == 0:
        raise InputError(f"{header.path}: {digital.shape} samples were read, the header says {expected}", AGAIN)
    signals = [header.signals[row] for row in rows]
    for signal, samples in zip(signals, digital, strict=True):
        _check_samples(header, signal, samples)
    return Record(
        path=stem,
        fs_hz=header.fs_hz,
        digital=digital,
        gains=np.array([[signal.gain] for signal in signals]),
        baselines=np.array([[signal.baseline] for signal in signals], np.int64),
        low=np.array([[signal.zero - 2 ** (signal.bits - 1)] for signal in signals], np.int64),
        high=np.array([[signal.zero + 2 ** (signal.bits - 1) - 1] for signal in signals], np.int64),
    )


def read_annotations(stem: Path, annotator: str, length: int) -> tuple[NDArray[np.int64], list[str]]:
    """int64 (k,) samples and the k WFDB codes of every annotation of ``stem``, in order of time.

    ``length`` is the record's own, in samples. Raises InputError for a file that is missing or damaged.
    """
    path = stem.with_name(f"{stem.name}.{annotator}")
    try:
        raw = path.read_bytes()
        # annot(5) ends a file with a zero word; wfdb reads one cut short as if it were whole.
        if len(raw) % 2 or raw[-2:] != b"\0\0":
            raise ValueError("it does not end as an annotation file does: cut short")
        read: Any = wfdb.rdann(str(stem), annotator)
        at, symbols = np.asarray(read.sample, np.int64), list(read.symbol)
    except Exception as error:  # wfdb raises bare Exception, IndexError and others for damaged files
        raise InputError(f"{path}: damaged annotations ({error})", AGAIN) from None
    if len(at) and (at.min() < 0 or at.max() >= length or (np.diff(at) < 0).any()):
        raise InputError(
            f"{path}: damaged annotations (not in order, or beyond the record's {length:,} samples)", AGAIN
        )
    return at, symbols


def _row_of(header: Header, lead: str) -> int:
    rows = [row for row, name in enumerate(header.leads) if name.upper() == lead.upper()]
    if not rows:
        raise InputError(
            f"{header.path}: the record has no lead {lead!r}",
            f"leads there: {', '.join(header.leads) or 'none'}; name one of them, or leave the record out",
        )
    if len(rows) > 1:
        raise InputError(f"{header.path}: the record has {len(rows)} leads named {lead!r}", AGAIN)
    return rows[0]


def _check_unit(path: Path, signal: Signal) -> None:
    if signal.gain == 0:
        raise InputError(
            f"{path}: lead {signal.lead!r} is not calibrated (gain 0), so its millivolts are unknown",
            "write its gain (ADC units a millivolt) into the header if you know it, or leave the record out",
        )
    if signal.units.lower() != "mv":
        raise InputError(
            f"{path}: lead {signal.lead!r} is in {signal.units}, not in mV",
            "convert the gain in the header to ADC units a millivolt, or leave the record out",
        )


def _check_sizes(header: Header) -> None:
    """Every signal file of the header is there and holds as many bytes as the header needs."""
    for name in sorted({signal.file for signal in header.signals}):
        path = header.path.parent / name
        inside = [signal for signal in header.signals if signal.file == name]
        try:
            size = path.stat().st_size
        except OSError:
            raise InputError(
                f"{path}: no such signal file, and {header.path.name} says that it holds {inside[0].lead!r}", AGAIN
            ) from None
        size_of_sample = FORMATS[inside[0].format][1]
        if header.samples is None or size_of_sample is None:
            continue
        needed = inside[0].byte_offset + math.ceil(len(inside) * header.samples * size_of_sample)
        if size < needed:
            raise InputError(
                f"{path}: too short, {size:,} bytes where {header.path.name} needs {needed:,}"
                f" ({header.samples:,} samples of {len(inside)} signals)",
                AGAIN,
            )


def _check_samples(header: Header, signal: Signal, samples: NDArray[np.int64]) -> None:
    """No sample is marked as missing, and their sum is the header's checksum (16 bits, header(5))."""
    path = header.path.parent / signal.file
    missing = np.flatnonzero(samples == -(2 ** (FORMATS[signal.format][0] - 1)))
    if len(missing):
        raise InputError(
            f"{path}: lead {signal.lead!r} has {len(missing):,} missing samples, the first at"
            f" {missing[0] / header.fs_hz:.2f} s",
            "a gap cannot be evaluated: leave the record out of the study",
        )
    if signal.checksum is not None and (int(samples.sum()) - signal.checksum) % 65536:
        raise InputError(
            f"{path}: damaged, the samples of lead {signal.lead!r} do not match the checksum in {header.path.name}",
            AGAIN,
        )
