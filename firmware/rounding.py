"""What goes into a firmware and comes out of it, in the numbers that it takes: as an engine does it on a host.

In and out: float32 recordings and scores; int8 numbers by the scale and zero point of a tensor. The arithmetic is that
of :mod:`runtime.engines`, to the bit: a firmware is compared with an engine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pulseproof.firmware.graph import NetTensor
from pulseproof.firmware.step import HIGH, LOW


def to_steps(signals: NDArray[np.float32], entrance: NetTensor) -> NDArray[np.int8]:
    """Float32 (n, ...) to int8 of the same shape: ``clip(round(x / scale) + zero)``, half to even."""
    steps = np.rint(signals / entrance.scale) + np.float32(entrance.zero)
    return np.clip(steps, np.float32(LOW), np.float32(HIGH)).astype(np.int8)


def from_steps(scores: NDArray[np.int8], exit_: NetTensor) -> NDArray[np.float32]:
    """Int8 (n, classes) to float32: ``scale * (q - zero)``."""
    found: NDArray[np.float32] = np.subtract(scores, np.float32(exit_.zero), dtype=np.float32) * exit_.scale
    return found
