"""Bounds of any file's smoothed scores in the L2 ball, by order statistics under Gaussian noise (median smoothing).

In: scores of a recording under many draws of noise. Out: bounds of the *median* score under that noise, for every
disturbance whose L2 norm over all leads and samples is at most a radius (Chiang et al. 2020, "Detection as Regression:
Certified Object Detection by Median Smoothing", arXiv 2007.03730, theorem 2; the Gaussian case of Neyman and Pearson's
lemma as in Cohen, Rosenfeld and Kolter 2019, arXiv 1902.02918). It needs scores alone, so it holds for trees as for
nets. What is bounded is the smoothed file: whoever ships it asks the file several times and takes the median.

Draws are finite, so a bound holds with a probability. It is corrected for everything that is claimed at once
(Bonferroni): with ``alpha`` .05 all bounds of all recordings, classes, sides and radii hold together with 95 %.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import binom

from pulseproof.certify.proved import ScoreBounds


def rank(draws: int, shift: float, alpha: float) -> int:
    """Which of ``draws`` sorted scores, counted from 1, is with a probability of at least 1 - ``alpha`` not above any
    median that a disturbance of ``shift`` standard deviations of the noise can cause; 0: none is. By symmetry the score
    of that rank counted from the highest is not below any."""
    share = float(ndtr(-shift))  # of the draws that lie below the disturbed median, at least
    ranks = np.arange(1, draws + 1)
    return int((binom.cdf(ranks - 1, draws, share) <= alpha).sum())


def smoothed_bounds(scores: NDArray[np.floating], noise_mv: float, l2_mv: float, alpha: float) -> ScoreBounds:
    """Bounds of the median scores of n recordings within ``l2_mv``. ``scores`` (n, draws, classes), sorted over the
    draws; ``alpha``: of one bound."""
    _, draws, _ = scores.shape
    k = rank(draws, l2_mv / noise_mv, alpha)
    if not k:
        endless = np.full(scores[:, 0].shape, np.inf)
        return ScoreBounds(-endless, endless)
    return ScoreBounds(scores[:, k - 1].astype(np.float64), scores[:, draws - k].astype(np.float64))


def noisy(signal: NDArray[np.float32], noise_mv: float, draws: int, seed: tuple[int, int]) -> NDArray[np.float32]:
    """``draws`` versions float32 (draws, leads, samples) of a recording (leads, samples) mV under white noise of
    ``noise_mv`` standard deviation."""
    noise = np.random.default_rng(seed).standard_normal((draws, *signal.shape), np.float32)
    return signal + np.float32(noise_mv) * noise


def each_noisy(signals: NDArray[np.float32], noise_mv: float, draws: int, seed: int) -> Iterator[NDArray[np.float32]]:
    """:func:`noisy` of each recording, every one with draws of its own."""
    for at, signal in enumerate(signals):
        yield noisy(signal, noise_mv, draws, (seed, at))
