"""One WFDB annotation file in, its marks in samples of the record out: annot(5), as the WFDB library reads it.

Times are counted from mark to mark, in frames of the record or, where the file opens with a note ``## time resolution:
250``, in ticks of its own; both become samples of the leads that are read. Marks that stand out of order are sorted,
marks before the record's first sample or at and behind its end dropped; either is counted, for the caller to say.
:mod:`wfdb` gives such ticks as if they were samples, and does not come back from a note that it does not know.

annot(5) of the WFDB Applications Guide; ``get_ann_table`` and ``getann`` of the WFDB library's ``annot.c``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.errors import InputError
from pulseproof.ecg.wfdb.header import AGAIN, NUMBER, OUT, read_plain
from pulseproof.runtime.words import one_line

# ecgcodes.h: 1 is a normal beat (a viewer shows "."), 42 to 49 are for the file itself to define.
SYMBOLS = dict(enumerate("NLRaVFJASEj/Q~", start=1)) | {
    16: "|", 18: "s", 19: "T", 20: "*", 21: "D", 22: '"', 23: "=", 24: "p", 25: "B", 26: "^", 27: "t", 28: "+",
    29: "u", 30: "?", 31: "!", 32: "[", 33: "]", 34: "e", 35: "n", 36: "@", 37: "x", 38: "f", 39: "(", 40: ")",
    41: "r",
}  # fmt: skip
NOTE, SKIP, SUB, AUX = 22, 59, 61, 63  # 60 and 62, num and chan, change neither time nor code
OWN = range(42, 50)
RESOLUTION = "## time resolution:"
RESOLUTIONS_HZ = (1e-3, 1e9)
MOST_BYTES = 16 << 20  # a day of beats is half a megabyte


@dataclass(frozen=True)
class Marks:
    """int64 (k,) samples and the k WFDB codes of the marks inside a record, in order of time. ``before`` and ``behind``
    of its samples were so many others; ``unordered``: so many stood after a later one. ``resolution_hz``: the ticks of
    the file, None where they are the record's frames. ``notes``: what is written beside each mark (``(AFIB``), mostly
    nothing."""

    at: NDArray[np.int64]
    symbols: tuple[str, ...]
    before: int = 0
    behind: int = 0
    unordered: int = 0
    resolution_hz: float | None = None
    notes: tuple[str, ...] = ()


def read_marks(stem: Path, annotator: str, length: int, fs_hz: float, frame: int = 1) -> Marks:
    """Every mark of ``stem`` by ``annotator``. ``length`` samples at ``fs_hz``, of which ``frame`` make a frame.

    Raises InputError for a file that is missing, cut short, or in the AHA format.
    """
    path = stem.with_name(f"{stem.name}.{annotator}")
    try:
        raw = read_plain(path, MOST_BYTES)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", AGAIN) from None
    if _is_aha(raw):
        raise InputError(
            f"{path}: annotations in the AHA format are not supported", f"convert them to WFDB's own (wrann), or {OUT}"
        )
    try:
        ticks, codes, beside, resolution, own = _parse(raw)
    except ValueError as error:
        raise InputError(f"{path}: damaged annotations ({one_line(error)})", AGAIN) from None
    scale = Fraction(frame) if resolution is None else Fraction(str(fs_hz)) / Fraction(str(resolution))
    # As the library: the nearest sample, halves up; in whole numbers, for a double is off after a day.
    at = np.array([(2 * tick * scale.numerator + scale.denominator) // (2 * scale.denominator) for tick in ticks])
    at = at.astype(np.int64)
    order = np.argsort(at, kind="stable")
    unordered = int((at < np.maximum.accumulate(at)).sum()) if len(at) else 0
    before, behind = int((at < 0).sum()), int((at >= length).sum())
    order = order[(at[order] >= 0) & (at[order] < length)]
    symbols = SYMBOLS | own
    own_hz = None if scale == frame else resolution
    named = tuple(symbols.get(codes[row], "") for row in order)
    return Marks(at[order], named, before, behind, unordered, own_hz, tuple(beside[row] for row in order))


def _parse(raw: bytes) -> tuple[list[int], list[int], list[str], float | None, dict[int, str]]:
    """(ticks, codes, notes, resolution or None, symbols that the file defines). Raises ValueError in words."""
    words = np.frombuffer(raw[: len(raw) // 2 * 2], "<u2").tolist()
    ticks: list[int] = []
    codes: list[int] = []
    beside: list[str] = []
    notes: list[str] = []
    now, place, heading = 0, 0, True
    while place < len(words) and words[place] >> 10 == SKIP:  # one before the first mark; all others follow a mark
        now, place = now + _long(words, place + 1), place + 3
    while True:
        if place >= len(words):
            raise ValueError("it does not end as an annotation file does: cut short")
        word, place = words[place], place + 1
        if word == 0:
            break
        code, now = word >> 10, now + (word & 1023)
        at, subtype, note = now, 0, ""
        while place < len(words) and words[place] >> 10 >= SKIP:
            kind, value = words[place] >> 10, words[place] & 1023
            place += 1
            if kind == SKIP:  # to the mark that follows; what else is said still belongs to this one
                now, place = now + _long(words, place), place + 2
            elif kind == SUB:
                subtype = value
            elif kind == AUX:
                size = value & 255
                note = raw[2 * place : 2 * place + size].decode("latin-1")
                place += (size + 1) // 2
        heading = heading and at == 0 and code == NOTE and subtype == 0
        if heading:
            notes.append(note)
        elif code:
            ticks.append(at)
            codes.append(code)
            beside.append(note.strip("\0 \t\r\n"))  # writers of WFDB end a note with a null byte
    return ticks, codes, beside, *_table(notes)


def _long(words: list[int], place: int) -> int:
    """A PDP-11 long integer: the high 16 bits first."""
    if place + 1 >= len(words):
        raise ValueError("it ends within an interval: cut short")
    value = words[place] << 16 | words[place + 1]
    return value - (1 << 32) if value >> 31 else value


def _table(notes: list[str]) -> tuple[float | None, dict[int, str]]:
    """What the notes at time 0 that open a file say of it. Symbols of WFDB's own codes stay WFDB's: a file that
    shows its normal beats as "." means normal beats."""
    resolution, own = None, {}
    for note in notes:
        if note.startswith(RESOLUTION):
            number = re.match(rf"\s*({NUMBER})", note.removeprefix(RESOLUTION))
            if number is None or not RESOLUTIONS_HZ[0] <= float(number[1]) <= RESOLUTIONS_HZ[1]:
                raise ValueError(f"its time resolution is {note.removeprefix(RESOLUTION).strip()!r}, not a rate in Hz")
            resolution = float(number[1])
        elif (defined := re.match(r"\s*(\d+)\S*\s+(\S+)", note)) and int(defined[1]) in OWN:
            own[int(defined[1])] = defined[2]
    return resolution, own


def _is_aha(raw: bytes) -> bool:
    """True for marks of 16 bytes, each with a null byte, a letter, and a serial number that counts from 1."""
    return len(raw) >= 16 and raw[0] == 0 and raw[1:2].isalpha() and raw[6:8] == b"\x01\x00"
