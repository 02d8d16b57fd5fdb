"""Whether what a brought file declares is what the study feeds and expects, and which mistake it is when it is not.

In: declared shapes, None where a dimension is free, and weights. Out: nothing, or what is wrong, with how to export the
file. Used for both formats (:mod:`models.brought.onnx_checks`, :mod:`models.brought.tflite_checks`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.errors import InputError

Declared = tuple[int | None, ...]


def check_input(declared: Declared | None, shape: tuple[int, int], what: str) -> None:
    """Raises InputError unless ``declared`` is (1 or free, leads, samples); ``what`` begins the message."""
    wanted = (1, *shape)
    if declared is None:
        raise InputError(f"{what}: its input declares no shape", f"export it with fixed shapes {wanted}")
    got = _said(declared)
    if len(declared) > 3 and [size for size in declared if size != 1] == [size for size in wanted if size != 1]:
        raise InputError(
            f"{what}: its input is {got}, with an extra dimension beside {wanted}",
            f"put the reshape into the model, so that it takes {wanted}, and export it again",
        )
    if len(declared) != 3:
        raise InputError(f"{what}: its input is {got}, the recordings are {wanted}", _mend(wanted))
    batch, leads, samples = declared
    if None in (leads, samples):
        raise InputError(
            f"{what}: its input is {got}: leads or samples are free, and a device allocates memory by them",
            f"export it with fixed shapes {wanted}; only the batch may be free",
        )
    if (leads, samples) == (shape[1], shape[0]) and shape[0] != shape[1]:
        raise InputError(
            f"{what}: its input is {got}: (samples, leads), transposed",
            f"put the transpose into the model, so that it takes {wanted} (leads, samples), and export it again",
        )
    if (leads, samples) != shape:
        raise InputError(f"{what}: its input is {got}, the recordings are {wanted}", _mend(wanted))
    if batch not in (1, None):
        raise InputError(f"{what}: its input is {got}: a batch of {batch}", f"export it with fixed shapes {wanted}")


def check_output(declared: Declared, classes: int, what: str) -> None:
    """Raises InputError when ``declared`` cannot be (1, classes); free dimensions can."""
    if len(declared) != 2 or declared[0] not in (1, None) or declared[1] not in (classes, None):
        raise InputError(
            f"{what}: it gives scores of shape {_said(declared)}, the study has {classes} classes: (1, {classes})",
            f"export it so that it gives (1, {classes}), one score a class in the study's order",
        )


def strange(values: NDArray[Any]) -> str | None:
    """What is wrong with weights: "NaN", "infinite", or None. A single value may be infinite (the bound of a clip), and
    minus infinity beside zeros is a mask of attention."""
    finite = np.isfinite(values)
    if finite.all():
        return None
    if np.isnan(values).any():
        return "NaN"
    mask = (values[~finite] < 0).all() and not values[finite].any()
    return None if values.size == 1 or mask else "infinite"


def _mend(wanted: tuple[int, ...]) -> str:
    return f"export it with fixed shapes {wanted}, or give the study the leads and the window that it was trained on"


def _said(declared: Declared) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in declared) + ")"
