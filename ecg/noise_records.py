"""Real noise: the MIT-BIH noise stress records, as millivolts at the rate of the recordings that they will disturb.

In: a folder with the WFDB records ``bw`` (baseline wander), ``em`` (electrode motion) and ``ma`` (muscle), half an hour
of two channels each, recorded on moving volunteers with electrodes placed where the ECG is not visible. Out: an array
for each that is there, as recorded: muscle noise too has most of its energy in the drift below 0.5 Hz, and alone has
some above 20 Hz.

From: Moody, Muldrow and Mark, "A noise stress test for arrhythmia detectors", Computers in Cardiology 11, 1984
(PhysioNet: nstdb).
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.errors import InputError
from pulseproof.ecg.wfdb.files import check_whole, read_record
from pulseproof.ecg.wfdb.header import read_header

NOISES = {"bw": "baseline wander", "em": "electrode motion", "ma": "muscle noise"}
# The headers of these records say gain 0, not calibrated: WFDB's default then holds (header(5), DEFGAIN).
DEFAULT_GAIN = 200.0


def read_noise_records(folder: Path, fs_hz: float) -> dict[str, NDArray[np.float32]]:
    """The records of ``folder``, by name: float32 (channels, samples) mV at ``fs_hz``, every channel about its mean.

    A record of which there is no file is left out. Raises InputError for one that is damaged or incomplete, and for a
    rate that its own cannot be brought to.
    """
    return {name: _read(folder / name, fs_hz) for name in NOISES if any(folder.glob(f"{name}.*"))}


def _read(stem: Path, fs_hz: float) -> NDArray[np.float32]:
    header = read_header(stem)
    record = read_record(stem, header.leads, header, default_gain=DEFAULT_GAIN)
    check_whole(record)
    millivolts = (record.digital - record.baselines) / record.gains
    millivolts -= millivolts.mean(axis=1, keepdims=True)
    ratio = Fraction(str(fs_hz)) / Fraction(str(record.fs_hz))
    if max(ratio.numerator, ratio.denominator) > 10_000:
        raise InputError(
            f"{stem}.hea: {record.fs_hz:g} Hz cannot be resampled to {fs_hz:g} Hz (ratio {ratio})",
            "choose an fs_hz that is a simple fraction of the record's own rate, or leave recorded noise out",
        )
    if ratio != 1:
        from scipy.signal import resample_poly  # late: half a second, and few studies need it

        millivolts = resample_poly(millivolts, ratio.numerator, ratio.denominator, axis=1, padtype="edge")
    return np.ascontiguousarray(millivolts, dtype=np.float32)
