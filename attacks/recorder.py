"""What a recorder can record: perturbations become whole steps, inside the budget and inside the range.

In: the clean recordings as int16 steps and a perturbation in millivolts. Out: int16 steps. Nothing is judged before it
went through here: an adversarial recording is a recording (design decision 2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Recorder:
    """``step_mv``: millivolts of one step; ``lowest``, ``highest``: the legal range in steps."""

    step_mv: float
    lowest: int
    highest: int

    def budget_steps(self, epsilon_mv: float) -> int:
        """The largest whole number of steps within ``epsilon_mv``; 0 means that the budget cannot be recorded."""
        return int(np.floor(epsilon_mv / self.step_mv * (1 + 1e-9) + 1e-9))

    def record(self, clean: NDArray[np.int16], delta_mv: NDArray[np.float32], epsilon_mv: float) -> NDArray[np.int16]:
        """Clean steps plus a perturbation: rounded to steps, kept within the budget (a budget that is no whole number
        of steps is rounded towards the clean sample), clipped to the recorder's range.

        A clean sample outside the range (there is none in a well-read database) keeps its value.
        """
        most = self.budget_steps(epsilon_mv)
        steps = np.clip(np.rint(delta_mv / np.float32(self.step_mv)), -most, most).astype(np.int32)
        wide = clean.astype(np.int32)
        low, high = np.minimum(wide, self.lowest), np.maximum(wide, self.highest)
        return np.clip(wide + steps, low, high).astype(np.int16)


def distances(clean: NDArray[np.int16], other: NDArray[np.int16], step_mv: float) -> tuple[float, float, float | None]:
    """Largest |difference| in mV, mean L2 norm of the difference in mV, and mean SNR in dB (None without difference).

    L2 and SNR are per recording over all leads and samples, then averaged. The signal's power is taken about each
    lead's mean: an offset carries no information about the heart.
    """
    delta = (other.astype(np.float64) - clean) * step_mv
    axes = tuple(range(1, delta.ndim))
    energy = (delta**2).sum(axis=axes)
    signal = clean * step_mv
    power = ((signal - signal.mean(axis=-1, keepdims=True)) ** 2).sum(axis=axes)
    heard = (energy > 0) & (power > 0)
    snr = float(np.mean(10 * np.log10(power[heard] / energy[heard]))) if heard.any() else None
    return float(np.abs(delta).max(initial=0.0)), float(np.sqrt(energy).mean()), snr
