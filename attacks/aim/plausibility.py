"""How plausible a perturbation is, in two numbers that a cardiologist or an engineer can read.

In: clean recordings and perturbations in millivolts. Out: for each recording the share of the perturbation's energy
outside 0.5 to 40 Hz, the band of monitoring electrocardiographs (IEC 60601-2-27), which a filter would take away; and
how jagged it is: the root mean square of its second difference over that of the recording itself. Random signs have
about 20 % outside at 100 Hz, and from 0.05 mV on they are as jagged as the ECG itself; Han et al. (Nature Medicine
2020) call what PGD leaves "square wave artefacts".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LOW_HZ, HIGH_HZ = 0.5, 40.0


def plausibility(
    clean_mv: NDArray[np.float32], delta_mv: NDArray[np.float32], fs_hz: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(outside_band, second_difference), float64 (n,) each, of recordings (n, leads, samples).

    NaN where there is no perturbation, or a recording without any second difference.
    """
    frequencies = np.fft.rfftfreq(delta_mv.shape[2], 1 / fs_hz)
    outside = (frequencies < LOW_HZ) | (frequencies > HIGH_HZ)
    # Each bin but the first, and the last of an even number, stands for two frequencies, one of them negative.
    twice = np.full(len(frequencies), 2.0)
    twice[0] = 1.0
    if delta_mv.shape[2] % 2 == 0:
        twice[-1] = 1.0
    energy = (np.abs(np.fft.rfft(delta_mv.astype(np.float64), axis=2)) ** 2 * twice).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = energy[:, outside].sum(axis=1) / energy.sum(axis=1)
        jagged = _jaggedness(delta_mv) / _jaggedness(clean_mv)
    moved = (delta_mv != 0).any(axis=(1, 2))
    return np.where(moved, share, np.nan), np.where(moved & np.isfinite(jagged), jagged, np.nan)


def _jaggedness(signals: NDArray[np.float32]) -> NDArray[np.float64]:
    second = np.diff(signals.astype(np.float64), n=2, axis=2)
    rms: NDArray[np.float64] = np.sqrt((second**2).mean(axis=(1, 2)))
    return rms
