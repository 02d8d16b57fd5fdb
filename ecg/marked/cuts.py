"""What is cut from one record: where each recording begins, and of which class it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Cuts:
    """int64 (k,) each: ``at``, the sample of the record by which a recording is called; ``first``, its first sample
    after resampling; ``kind``, the row of its class."""

    at: NDArray[np.int64]
    first: NDArray[np.int64]
    kind: NDArray[np.int64]
