"""Signals from one rate to another by the one filter that Pulseproof has for it, whatever the two rates are.

In: float64 signals, the rate they have and the rate they get. Out: the same signals at that rate, in the same units.
The filter is that of ``scipy.signal.resample_poly`` as it comes: a linear-phase low-pass, a sinc in a Kaiser window
(beta 5) that reaches :data:`REACH` samples of the lower rate to each side and is cut at the lower of the two Nyquist
rates; before the first and behind the last sample the signal stays as it is there. Sample 0 stays where it is. Rates
that are a fraction of small numbers (360 to 100 Hz: 5/18) go through scipy itself; for others (333.333 Hz) the taps of
the same filter are computed at the place in time of every sample, so no rate is rounded to another.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

REACH = 10  # samples of the lower of the two rates, to each side
BETA = 5.0
LARGEST = 10_000  # of a fraction that scipy gets: it makes a filter of 20 times as many taps
RATES_HZ = (1e-6, 1e6)
_BLOCK = 1 << 20  # taps computed at a time


def ratio(from_hz: float, to_hz: float) -> Fraction:
    """Samples out a sample in. Rates are taken as they are written: 333.333 Hz is 333333/1000. Raises ValueError."""
    for rate in (from_hz, to_hz):
        if not RATES_HZ[0] <= rate <= RATES_HZ[1]:
            raise ValueError(f"a rate of {rate:g} Hz, not {RATES_HZ[0]:g} to {RATES_HZ[1]:g}")
    return Fraction(str(to_hz)) / Fraction(str(from_hz))


def resampled_length(samples: int, from_hz: float, to_hz: float) -> int:
    """How many samples :func:`resample` makes of so many: all whose time lies before the end of the last one in."""
    found = ratio(from_hz, to_hz)
    return -(-samples * found.numerator // found.denominator)


def resample(signals: NDArray[np.float64], from_hz: float, to_hz: float) -> NDArray[np.float64]:
    """float64 (leads, :func:`resampled_length`): ``signals``, float64 (leads, samples), at ``to_hz``; the same array
    where the rates are equal. Raises ValueError for a rate out of :data:`RATES_HZ`."""
    found = ratio(from_hz, to_hz)
    signals = np.asarray(signals, np.float64)
    if found == 1 or not signals.size:
        return signals
    if max(found.numerator, found.denominator) <= LARGEST:
        from scipy.signal import resample_poly  # late: half a second, and few studies need it

        made = resample_poly(signals, found.numerator, found.denominator, axis=1, padtype="edge")
        return np.asarray(made, np.float64)
    return _at_any_time(signals, found)


def _at_any_time(signals: NDArray[np.float64], found: Fraction) -> NDArray[np.float64]:
    """:func:`resample` for a fraction of large numbers: every output sample is a sum over its neighbours in time."""
    up, down = found.numerator, found.denominator
    slow = min(1.0, up / down)  # samples of the lower rate a sample in
    reach = int(REACH / slow) + 1
    samples = signals.shape[1]
    length = -(-samples * up // down)
    made = np.empty((len(signals), length))
    offsets = np.arange(-reach, reach + 1)
    step = max(1, _BLOCK // len(offsets))
    for first in range(0, length, step):
        places = range(first, min(first + step, length))
        whole = np.array([place * down // up for place in places], np.int64)  # in whole numbers of any size
        part = np.array([place * down % up / up for place in places])
        taps = _tap((offsets[None, :] - part[:, None]) * slow) * slow
        near = np.clip(whole[:, None] + offsets[None, :], 0, samples - 1)
        for row, signal in enumerate(signals):
            made[row, places.start : places.stop] = np.einsum("ij,ij->i", signal[near], taps)
    return made


def _tap(apart: NDArray[np.float64]) -> NDArray[np.float64]:
    """The filter ``apart`` samples of the lower rate from its middle; its integral is 1."""
    inside = np.clip(1 - (apart / REACH) ** 2, 0, None)
    window = np.where(np.abs(apart) <= REACH, np.i0(BETA * np.sqrt(inside)) / np.i0(BETA), 0.0)
    return np.asarray(np.sinc(apart) * window / _AREA, np.float64)


def _area() -> float:
    """The integral of the windowed sinc: scipy scales its filter so that a constant stays what it is."""
    fine = 1000
    apart = np.arange(-REACH * fine, REACH * fine + 1) / fine
    window = np.i0(BETA * np.sqrt(1 - (apart / REACH) ** 2)) / np.i0(BETA)
    return float((np.sinc(apart) * window).sum() / fine)


_AREA = _area()
