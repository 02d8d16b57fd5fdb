"""SOFTMAX along the last axis. In and out as in :mod:`firmware.operators`.

LiteRT looks exponentials up in a table of float32 and divides by their sum; so does the firmware, with the same table.
"""

from __future__ import annotations

import numpy as np

from pulseproof.firmware.graph import NetOperator
from pulseproof.firmware.step import CConstant, CStep


def _softmax(operator: NetOperator) -> CStep:
    x, y = operator.x(), operator.y
    operator.gives(x.size)
    beta = float(np.float32(operator.option("beta", 1.0)))
    # PopulateSoftmaxLookupTable: expf of a float32 product. expf of the C library is exp in double, rounded once.
    products = np.float32(-np.float32(x.scale) * np.float32(beta)) * np.arange(255, -1, -1, dtype=np.float32)
    powers = np.exp(products.astype(np.float64)).astype(np.float32)
    classes = x.shape[-1]
    call = f"pp_softmax($powers, {x.size // classes}, {classes}, {c_float(y.scale)}, {y.zero}, x, y);"
    return CStep(
        operator, f"    {call}\n    return 0;", (x,), ("x",), (CConstant("powers", powers),), sources=("softmax.c",)
    )


def c_float(value: np.float32) -> str:
    """A float32 number as C, exactly."""
    return f"{float(value).hex()}f"


SOFTMAX = {"SOFTMAX": _softmax}
