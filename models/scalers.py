"""Scalers in front of an estimator, folded into what comes after them.

In: the fitted per-feature scalers of a scikit-learn pipeline. Out: the raw thresholds of trees behind them
(:func:`raw_thresholds`, exact) or one shift and gain a feature for a linear layer behind them (:func:`affine`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

SCALERS = (StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler)
_LARGEST = 0x7F7FFFFF  # the bits of the largest finite float32


def affine(scalers: Sequence[Any], count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """(shift, gain), float64 (count,): what the scalers in turn do to a feature x is ``(x - shift) * gain``.

    None when one of them is not affine (``MinMaxScaler(clip=True)``).
    """
    shift, gain = np.zeros(count), np.ones(count)
    for scaler in scalers:
        if getattr(scaler, "clip", False):
            return None
        centre, scale = np.zeros(count), np.ones(count)
        if isinstance(scaler, MinMaxScaler):
            centre, scale = -scaler.min_ / scaler.scale_, scaler.scale_
        elif isinstance(scaler, MaxAbsScaler):
            scale = 1 / scaler.scale_
        elif isinstance(scaler, StandardScaler):  # it keeps mean_ even where it does not subtract it
            centre = scaler.mean_ if scaler.with_mean else centre
            scale = 1 / scaler.scale_ if scaler.with_std else scale
        else:
            centre = scaler.center_ if scaler.with_centering else centre
            scale = 1 / scaler.scale_ if scaler.with_scaling else scale
        shift, gain = shift + centre / gain, gain * scale
    return shift, gain


def raw_thresholds(
    feature: NDArray[np.int64], threshold: NDArray[np.float64], scalers: Sequence[Any], count: int
) -> NDArray[np.float32]:
    """float32 (nodes,): thresholds on raw features that decide as ``threshold`` does on scaled ones.

    ``feature``, ``threshold``: (nodes,), of ``count`` features. scikit-learn compares float64 thresholds with float32
    features. Without scalers, ``v <= t`` equals ``v <= t32`` for every float32 v when t32 is t rounded toward minus
    infinity. A scaler never falls in v, its rounding included, so the raw threshold is the largest float32 whose
    scaled value is not above t: it is found by bisection over all float32 with the scalers themselves as the judge.
    Minus infinity where no finite value goes left.
    """
    if not scalers:
        with np.errstate(over="ignore"):  # 1e300 stands for "every value" in a histogram tree
            rounded = threshold.astype(np.float32)
        down = np.where(rounded > threshold, np.nextafter(rounded, np.float32(-np.inf)), rounded)
        return np.minimum(down, np.finfo(np.float32).max).astype(np.float32)
    order = np.argsort(feature, kind="stable")
    starts = np.searchsorted(feature[order], feature[order], side="left")
    row = np.empty(len(feature), np.int64)
    row[order] = np.arange(len(feature)) - starts  # the how-manieth threshold of its feature a node is
    trial = np.zeros((int(row.max(initial=0)) + 1, count), np.float32)
    low = np.full(len(feature), -_LARGEST - 1, np.int64)
    high = np.full(len(feature), _LARGEST, np.int64)
    while (open_ := low < high).any():
        middle = (low + high + 1) // 2
        trial[row, feature] = _float32(middle)
        goes_left = _scaled(trial, scalers)[row, feature] <= threshold
        low = np.where(open_ & goes_left, middle, low)
        high = np.where(open_ & ~goes_left, middle - 1, high)
    return _float32(low)


def _float32(keys: NDArray[np.int64]) -> NDArray[np.float32]:
    """Float32 numbers by their place: 0 is 0.0, 1 the next above it, -1 the next below."""
    bits = np.abs(keys).astype(np.uint32) | np.where(keys < 0, np.uint32(1 << 31), np.uint32(0))
    return bits.astype(np.uint32).view(np.float32)


def _scaled(values: NDArray[np.float32], scalers: Sequence[Any]) -> NDArray[Any]:
    values = values.copy()  # a scaler with copy=False works in place
    with sklearn.config_context(assume_finite=True, transform_output="default"), np.errstate(over="ignore"):
        for scaler in scalers:
            values = np.asarray(scaler.transform(values))
    return values
