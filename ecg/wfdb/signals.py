"""Bytes of a WFDB signal file in, integer samples out: the formats of signal(5) that hold amplitudes.

A file holds frame after frame, a frame the samples of each signal in the order of the header. ``decode`` takes the
bytes behind the preamble and gives the samples in the order of the file; FLAC (formats 508, 516, 524) is decoded by
libsndfile. Format 8, of first differences, is not supported: a byte lost in it moves everything that follows.

signal(5) of the WFDB Applications Guide (PhysioNet).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulseproof.ecg.wfdb.header import FORMATS

Samples = NDArray[np.int64]
# Of all signals of a file together: three leads of a day at 500 Hz. FLAC of silence becomes a thousand times its size.
MOST_SAMPLES = 2**27


class TooLongError(ValueError):
    def __init__(self, samples: int | None) -> None:
        super().__init__(f"{samples:,} samples, at most {MOST_SAMPLES:,} are read")


def read_samples(path: Path, fmt: str, byte_offset: int, count: int | None, channels: int) -> Samples:
    """int64: the first ``count`` samples of all signals together (of FLAC, None: all), in the order of the file.

    ``channels`` is the number of signals in it. Raises OSError for a file that cannot be read and ValueError for one
    that is not of this format; fewer samples come back where there are no more.
    """
    if (count or 0) > MOST_SAMPLES:
        raise TooLongError(count)
    if FORMATS[fmt][1] is None:
        return _flac(path, fmt, byte_offset, count, channels)
    with path.open("rb") as file:
        file.seek(byte_offset)
        raw = file.read(bytes_of(fmt, count or 0))
    return decode(np.frombuffer(raw, np.uint8), fmt)[:count]


def bytes_of(fmt: str, count: int) -> int:
    """The bytes that ``count`` samples take in a file that is not FLAC."""
    if fmt == "310":  # samples come in groups of three; the third is made of bits of both pairs of bytes
        return 4 * (count // 3) + (0, 2, 4)[count % 3]
    size = FORMATS[fmt][1]
    assert size is not None
    return -int(-count * size // 1)


def decode(raw: NDArray[np.uint8], fmt: str) -> Samples:
    """int64: every whole sample in these bytes."""
    if fmt in ("16", "61", "160", "32"):
        kind = {"16": "<i2", "61": ">i2", "160": "<u2", "32": "<i4"}[fmt]
        size = np.dtype(kind).itemsize
        values = raw[: len(raw) // size * size].view(kind).astype(np.int64)
        return values - 32768 if fmt == "160" else values
    if fmt == "80":
        return raw.astype(np.int64) - 128
    if fmt == "24":
        low, middle, high = raw[: len(raw) // 3 * 3].reshape(-1, 3).T.astype(np.int64)
        return _signed(low | middle << 8 | high << 16, 24)
    if fmt == "212":
        first, second, third = _groups(raw, 3)
        values = np.stack([first | (second & 15) << 8, third | second >> 4 << 8], axis=1)
        return _signed(values, 12).ravel()[: len(raw) * 2 // 3]
    quads = _groups(raw, 4)
    if fmt == "310":
        one, two = quads[0] | quads[1] << 8, quads[2] | quads[3] << 8
        values = np.stack([one >> 1 & 1023, two >> 1 & 1023, one >> 11 | two >> 11 << 5], axis=1)
        whole = 3 * (len(raw) // 4) + (len(raw) % 4) // 2
    else:  # 311
        word = quads[0] | quads[1] << 8 | quads[2] << 16 | quads[3] << 24
        values = np.stack([word & 1023, word >> 10 & 1023, word >> 20 & 1023], axis=1)
        whole = len(raw) * 3 // 4
    return _signed(values, 10).ravel()[:whole]


def _groups(raw: NDArray[np.uint8], size: int) -> Samples:
    """int64 (size, groups): the bytes in groups, the last one filled up with zeros."""
    padded = np.zeros(-(-len(raw) // size) * size, np.uint8)
    padded[: len(raw)] = raw
    return padded.reshape(-1, size).T.astype(np.int64)


def _signed(values: Samples, bits: int) -> Samples:
    return values - ((values >> (bits - 1)) << bits)


def _flac(path: Path, fmt: str, start: int, count: int | None, channels: int) -> Samples:
    import soundfile

    bits = FORMATS[fmt][0]
    try:
        with soundfile.SoundFile(path) as file:
            widths = {"PCM_S8": 8, "PCM_16": 16, "PCM_24": 24}
            width = widths.get(file.subtype, 0)
            if file.format != "FLAC" or not 0 < width <= bits:
                raise ValueError(f"not FLAC of at most {bits} bits but {file.format} {file.subtype}")
            if file.channels != channels:
                raise ValueError(f"FLAC of {file.channels} channels where the header has {channels} signals")
            file.seek(min(start, file.frames))
            blocks, left = [], file.frames if count is None else count // channels
            if left * channels > MOST_SAMPLES:
                raise TooLongError(left * channels)
            # libsndfile fails on reads of more than 2**24 samples (libsndfile #431).
            while left > 0 and len(block := file.read(min(left, 1 << 20), dtype="int32", always_2d=True)):
                blocks.append(block.astype(np.int64) >> (32 - width))
                left -= len(block)
    except soundfile.LibsndfileError as error:
        raise ValueError(f"not a FLAC file ({error})") from None
    return np.concatenate(blocks).ravel() if blocks else np.empty(0, np.int64)
