"""What a recorder can record: perturbations become whole steps, inside the budget and inside the range.

In: the clean recordings as int16 steps and a perturbation in millivolts. Out: int16 steps. Nothing is judged before it
went through here: an adversarial recording is a recording (design decision 2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pulseproof.attacks.aim.norms import NORMS, Norm

Steps = NDArray[np.int16]
INT16 = (-32768, 32767)  # the range of steps where a recorder's own is not known


@dataclass(frozen=True)
class Recorder:
    """``step_mv``: millivolts of one step; ``lowest``, ``highest``: the legal range in steps."""

    step_mv: float
    lowest: int
    highest: int

    def budget_steps(self, budget_mv: float) -> int:
        """The largest whole number of steps within ``budget_mv``; 0 means that the budget cannot be recorded."""
        return int(np.floor(budget_mv / self.step_mv * (1 + 1e-9) + 1e-9))

    def shown(self, signals: Tensor, delta: Tensor, budget_mv: float, norm: Norm) -> Tensor:
        """The recordings (n, leads, samples) in mV as a model will be shown them: to the bit what :meth:`record` makes
        of them, where no sample leaves the range and, in another norm than L-infinity, rounding leaves them inside."""
        steps = torch.round(delta / self.step_mv)
        if norm == "linf":
            most = self.budget_steps(budget_mv)
            steps = steps.clamp(-most, most)
        # The product that makes millivolts of recorded steps everywhere (ecg.recordings.to_millivolts).
        return (torch.round(signals / self.step_mv) + steps) * self.step_mv

    def record(
        self,
        clean: Steps,
        delta_mv: NDArray[np.float32],
        budget_mv: float,
        norm: Norm = "linf",
        bounded: bool = True,
    ) -> Steps:
        """Clean steps plus a perturbation: rounded to steps, kept within the budget (an L-infinity budget that is no
        whole number of steps is rounded towards the clean sample), clipped to the recorder's range.

        ``norm`` and ``bounded`` are what the method declares (:class:`attacks.method.Method`). ``bounded`` is False for
        noise that has the energy of the budget and no bound: it is only rounded and clipped. A clean sample outside the
        range (there is none in a well-read database) keeps its value. Raises ValueError for a norm that is not known
        here, and for a bound in no norm.
        """
        if norm not in NORMS:
            raise ValueError(f"no norm {norm!r}; there are {', '.join(NORMS)}")
        if bounded and norm == "none":
            raise ValueError("bounded, and in no norm: what bounds it?")
        exact = delta_mv / np.float32(self.step_mv)
        steps = np.rint(exact).astype(np.int32)
        if bounded and norm == "linf":
            most = self.budget_steps(budget_mv)
            steps = np.clip(steps, -most, most)
        elif bounded and norm == "l2":
            steps = _within_energy(steps, exact, (budget_mv / self.step_mv) ** 2 * steps[0].size)
        elif bounded:
            steps = _within_total(steps, exact, budget_mv / self.step_mv * steps[0].size)
        wide = clean.astype(np.int32)
        low, high = np.minimum(wide, self.lowest), np.maximum(wide, self.highest)
        return np.clip(wide + steps, low, high).astype(np.int16)


def _within_energy(steps: NDArray[np.int32], exact: NDArray[np.float32], energy: float) -> NDArray[np.int32]:
    """``steps`` whose sum of squares is at most ``energy``, recording by recording.

    Rounding to the nearest step can lengthen a perturbation. Where it does, samples go back one step towards the clean
    recording, first those that were rounded away from it furthest, until it is inside again.
    """
    steps = steps.copy()
    for row in np.flatnonzero((steps.astype(np.int64) ** 2).sum(axis=(1, 2)) > energy):
        flat, wanted = steps[row].reshape(-1), np.abs(exact[row].reshape(-1))
        while (excess := float((flat.astype(np.int64) ** 2).sum()) - energy) > 0:
            order = np.argsort(wanted - np.abs(flat), kind="stable")
            order = order[flat[order] != 0]
            saved = np.cumsum(2 * np.abs(flat[order]).astype(np.int64) - 1)
            back = order[: int(np.searchsorted(saved, excess)) + 1]
            flat[back] -= np.sign(flat[back])
        steps[row] = flat.reshape(steps[row].shape)
    return steps


def _within_total(steps: NDArray[np.int32], exact: NDArray[np.float32], total: float) -> NDArray[np.int32]:
    """``steps`` whose absolute values sum to at most ``total``, recording by recording, mended as those of
    :func:`_within_energy`."""
    steps = steps.copy()
    most = int(np.floor(total * (1 + 1e-9)))
    for row in np.flatnonzero(np.abs(steps).astype(np.int64).sum(axis=(1, 2)) > most):
        flat, wanted = steps[row].reshape(-1), np.abs(exact[row].reshape(-1))
        while (excess := int(np.abs(flat).astype(np.int64).sum()) - most) > 0:
            order = np.argsort(wanted - np.abs(flat), kind="stable")
            back = order[flat[order] != 0][:excess]
            flat[back] -= np.sign(flat[back])
        steps[row] = flat.reshape(steps[row].shape)
    return steps


@dataclass(frozen=True)
class Distances:
    """How far recordings are from their clean ones, one number (n,) a recording: the largest |difference| in mV, the L2
    norm in mV, the root mean square in mV, and the SNR in dB (NaN without difference)."""

    linf_mv: NDArray[np.float64]
    l2_mv: NDArray[np.float64]
    rms_mv: NDArray[np.float64]
    snr_db: NDArray[np.float64]


def distances(clean: Steps, other: Steps, step_mv: float) -> Distances:
    """Distances of recordings (n, leads, samples), over all leads and samples of each.

    The signal's power is taken about each lead's mean: an offset carries no information about the heart.
    """
    delta = (other.astype(np.float64) - clean) * step_mv
    energy = (delta**2).sum(axis=(1, 2))
    signal = clean * step_mv
    power = ((signal - signal.mean(axis=-1, keepdims=True)) ** 2).sum(axis=(1, 2))
    heard = (energy > 0) & (power > 0)
    snr = np.full(len(delta), np.nan)
    snr[heard] = 10 * np.log10(power[heard] / energy[heard])
    return Distances(np.abs(delta).max(axis=(1, 2)), np.sqrt(energy), np.sqrt(energy / delta[0].size), snr)
