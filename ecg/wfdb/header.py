"""One WFDB header in, what each of its fields means out; what cannot be honoured is refused in words that are true.

In comes the path of a record without suffix, out comes a :class:`Header` with a :class:`Signal` a lead. Every field of
header(5) of the WFDB Applications Guide is read here and not by :mod:`wfdb`, whose patterns take ``3.6e2`` for 3.6 Hz
and lose a unit that is spelled with a micro sign. Only what a study reads has to be readable: a respiration lead in a
format that nobody supports is no reason to refuse the ECG beside it.

Fields that are read and change nothing here: counter frequency, base counter value, base time and date (labels are by
sample, not by the clock), initial value (formats of differences are not supported) and block size (of tapes).
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from pulseproof.core.errors import InputError
from pulseproof.runtime.words import one_line

AGAIN = "fetch the record again and compare it with the database's own SHA256SUMS.txt, or leave it out of the study"
OUT = "leave the record out of the study"
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
MOST_HEADER_BYTES = 1 << 20
MOST_IN_LINE = 1000  # header(5) allows 255 characters; a pattern's work grows faster than its line
MOST_SIGNALS = 1024
MOST_WHOLE = 2**31  # no field of header(5) has a meaning beyond 32 bits
MOST_FRAME = 2**16  # samples of a signal in a frame
RATES_HZ = (1e-6, 1e6)
DEFAULT_HZ = 250  # header(5), DEFREQ
DEFAULT_BITS = 12  # header(5), of a format of amplitudes
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
RECORD_RATE = re.compile(rf"(?P<fs>{NUMBER})(/(?P<counter>{NUMBER})?(\((?P<base>{NUMBER})\))?)?")
FORMAT_FIELD = re.compile(r"(?P<format>\d+)(?:x(?P<frame>\d+)|:(?P<skew>[-+]?\d+)|\+(?P<offset>\d+))*")
GAIN_FIELD = re.compile(rf"(?P<gain>{NUMBER})?(\((?P<baseline>[-+]?\d+)(?:\.0*)?\))?(/(?P<units>\S*))?")
WHOLE = re.compile(r"([-+]?\d+)(?:\.0*)?")
MILLIVOLTS = {"mv": 1.0, "uv": 0.001, "µv": 0.001, "μv": 0.001, "v": 1000.0, "nv": 0.000001}


@dataclass(frozen=True)
class Signal:
    """One signal line of a header. ``lead`` is its description, numbered where an earlier signal has the same
    (``described``, as the header has it);
    ``gain`` is ADC units a ``units``, 0 when the signal was never calibrated; ``frame`` is its samples a frame,
    ``skew`` the number of its samples that precede sample 0, ``byte_offset`` the length of a preamble of its file."""

    lead: str
    described: str
    file: str
    format: str
    frame: int
    skew: int
    gain: float
    baseline: int
    units: str
    bits: int
    zero: int
    checksum: int | None
    byte_offset: int

    @property
    def millivolts(self) -> float | None:
        """One of ``units`` in mV; None when it is no voltage."""
        return MILLIVOLTS.get(self.units.lower())


@dataclass(frozen=True)
class Header:
    """A header file. ``fs_hz`` is the rate of frames, ``samples`` the number of frames, None where the header leaves
    the length to the signal file."""

    path: Path
    fs_hz: float
    samples: int | None
    signals: tuple[Signal, ...]

    @property
    def leads(self) -> tuple[str, ...]:
        return tuple(signal.lead for signal in self.signals)


def read_header(stem: Path) -> Header:
    """Read ``stem.hea``. Raises InputError when it is missing, damaged, or of a record that is not supported."""
    path = stem.with_name(stem.name + ".hea")
    try:
        raw = read_plain(path, MOST_HEADER_BYTES)
    except FileNotFoundError:
        raise InputError(f"{path}: no such header file", AGAIN) from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")  # the micro sign of older programs
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not lines:
        raise InputError(f"{path}: damaged header, it has no record line", AGAIN)
    long = next((number for number, line in lines if len(line) > MOST_IN_LINE), None)
    if long is not None:
        raise InputError(f"{path}: damaged header, line {long} has more than {MOST_IN_LINE:,} characters", AGAIN)
    count, fs_hz, samples = _record_line(path, lines[0][1])
    if count > MOST_SIGNALS:
        raise InputError(f"{path}: more than {MOST_SIGNALS:,} signals are not supported", OUT)
    if len(lines) - 1 < count:
        raise InputError(f"{path}: damaged header, it announces {count} signals and describes {len(lines) - 1}", AGAIN)
    signals: list[Signal] = []
    for number, line in lines[1 : count + 1]:  # header(5): lines beyond the announced ones are not read
        try:
            signal = _signal_line(line, len(signals))
        except ValueError as error:
            raise InputError(f"{path}: damaged header, line {number} {line[:60]!r}: {one_line(error)}", AGAIN) from None
        signals.append(replace(signal, lead=_numbered(signal.lead, [other.lead for other in signals])))
    _check_groups(path, signals)
    return Header(path, fs_hz, samples, tuple(signals))


def read_plain(path: Path, most: int) -> bytes:
    """The bytes of a file of a record. Raises FileNotFoundError, and InputError for what is no plain file of at most
    ``most`` bytes in its folder."""
    size = size_of_plain(path)
    if size > most:
        raise InputError(f"{path}: {size:,} bytes, more than {most:,} are not read", AGAIN)
    try:
        with path.open("rb") as file:
            return file.read(most)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})", AGAIN) from None


def size_of_plain(path: Path) -> int:
    """The size in bytes of a file of a record: a plain one, or a link to one in the same folder or below. A pipe or a
    device would never end; a link could show any file of this machine. Raises as :func:`read_plain` does."""
    try:
        status = path.stat()
        leads_out = path.is_symlink() and not path.resolve().is_relative_to(path.parent.resolve())
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})", AGAIN) from None
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path}: not a plain file", AGAIN)
    if leads_out:
        raise InputError(f"{path}: a link that leads out of its folder", "put the file itself there")
    return status.st_size


def is_beside(file: str) -> bool:
    """True for a signal file's name that is one: no path, no standard input, nothing that a terminal obeys."""
    if file in ("~", "-", ".", "..") or "/" in file or "\\" in file:
        return False
    return file.isprintable() and len(file.encode()) < 256


def _record_line(path: Path, line: str) -> tuple[int, float, int | None]:
    """(signals, frames a second, frames or None) of the record line."""
    fields = line.split()
    name, _, segments = fields[0].partition("/")
    if len(fields) < 2 or not fields[1].isdecimal() or not (segments == "" or segments.isdecimal()):
        raise InputError(f"{path}: damaged header, its first line is not a WFDB record line", AGAIN)
    if segments:
        raise InputError(
            f"{path}: a record made of segments is not supported ({name} has {segments})",
            f"join them into one (WFDB's xform), or {OUT}",
        )
    fs_hz: float = DEFAULT_HZ
    if len(fields) > 2:
        rate = RECORD_RATE.fullmatch(fields[2])
        if rate is None:
            raise InputError(f"{path}: damaged header, its sampling rate is {fields[2]!r}, not a number", AGAIN)
        fs_hz = float(rate["fs"])
    if not RATES_HZ[0] <= fs_hz <= RATES_HZ[1]:
        raise InputError(f"{path}: damaged header, its sampling rate is {fields[2]}", AGAIN)
    length = WHOLE.fullmatch(fields[3]) if len(fields) > 3 else None
    if len(fields) > 3 and (length is None or not 0 <= int(length[1]) < 2**62):
        raise InputError(f"{path}: damaged header, its number of samples is {fields[3][:60]!r}", AGAIN)
    samples = int(length[1]) if length else 0
    return int(fields[1]), fs_hz, samples or None  # header(5): 0 is unspecified


def _signal_line(line: str, number: int) -> Signal:
    """One signal line with the defaults of header(5); ``number`` is its place. Raises ValueError in words."""
    file, rest = _field(line)
    field, rest = _field(rest)
    form = FORMAT_FIELD.fullmatch(field)
    if form is None:
        raise ValueError(f"{field!r} is not a signal format")
    gain, baseline, units = 0.0, None, "mV"
    if re.match(r"[-+.(/\d]", rest):
        field, rest = _field(rest)
        calibration = GAIN_FIELD.fullmatch(field)
        if calibration is None:
            raise ValueError(f"{field!r} is not a gain")
        gain = float(calibration["gain"] or 0)
        baseline = _whole(calibration["baseline"]) if calibration["baseline"] else None
        units = calibration["units"] or "mV"
    numbers: list[int] = []  # resolution, zero, initial value, checksum, block size
    while len(numbers) < 5:
        field, after = _field(rest)
        whole = WHOLE.fullmatch(field)
        if whole is None:
            break
        numbers.append(_whole(whole[1]))
        rest = after
    bits, zero, checksum = (numbers[place] if place < len(numbers) else None for place in (0, 1, 3))
    if bits is not None and not 0 <= bits <= 32:
        raise ValueError(f"a converter of {bits} bits")
    most = FORMATS[form["format"]][0] if form["format"] in FORMATS else DEFAULT_BITS
    frame = _whole(form["frame"] or "1") or 1
    if frame > MOST_FRAME:
        raise ValueError(f"{frame:,} samples a frame")
    described = rest.strip() or f"signal {number}"
    return Signal(
        lead=described,
        described=described,
        file=file,
        format=form["format"],
        frame=frame,
        skew=max(_whole(form["skew"] or "0"), 0),  # as the WFDB library takes them
        gain=gain,
        baseline=(zero or 0) if baseline is None else baseline,
        units=units,
        bits=bits or min(DEFAULT_BITS, most),
        zero=zero or 0,
        checksum=checksum,
        byte_offset=_whole(form["offset"] or "0"),
    )


def _whole(digits: str) -> int:
    value = int(digits)
    if abs(value) > MOST_WHOLE:
        raise ValueError(f"the number {digits[:20]}..., which is too large")
    return value


def _field(text: str) -> tuple[str, str]:
    """The first field of a line and what follows it."""
    first, *rest = text.split(None, 1)[:2] or [""]
    return first, rest[0] if rest else ""


def _numbered(lead: str, earlier: list[str]) -> str:
    """``lead``, or ``lead-2`` and on where an earlier signal is called so (in any case)."""
    taken = {name.upper() for name in earlier}
    name, number = lead, 1
    while name.upper() in taken:
        number += 1
        name = f"{lead}-{number}"
    return name


def _check_groups(path: Path, signals: list[Signal]) -> None:
    """header(5): signals of one file stand together and share its format and byte offset."""
    for place, signal in enumerate(signals[1:], start=1):
        before = signals[place - 1]
        if signal.file == before.file:
            if (signal.format, signal.byte_offset) != (before.format, before.byte_offset):
                raise InputError(
                    f"{path}: damaged header, {signal.file} is said to have several formats or preambles", AGAIN
                )
        elif signal.file != "~" and any(other.file == signal.file for other in signals[:place]):
            raise InputError(
                f"{path}: the signals of {signal.file} do not stand together, as header(5) asks",
                f"put their lines in the order of the file, or {OUT}",
            )
