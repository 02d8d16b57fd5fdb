"""Controls: disturbances of the same budget that do not know the model. An attack must beat them to be one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def random_sign(shape: tuple[int, ...], epsilon_mv: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Every sample moved by plus or minus ``epsilon_mv``, by a fair coin: as loud as L-infinity allows, and blind."""
    signs = rng.integers(0, 2, size=shape, dtype=np.int8) * 2 - 1
    return signs.astype(np.float32) * np.float32(epsilon_mv)
