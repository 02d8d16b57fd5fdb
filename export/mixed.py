"""Mixed precision: which layers of an int8 file stay float.

In: the layers that could be int8, and how much the scores change when one of them alone is. Out: the same layers, the
most sensitive first, with those marked that are kept in float: the ones a study names, or else the most sensitive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from pulseproof.core.errors import InputError
from pulseproof.export.job import ExportJob, MixedLayer, RefusedError

SENSED_ON = 32  # calibration recordings on which a layer's error is measured, in both formats


def pick(
    job: ExportJob, names: Sequence[str], error_of: Callable[[str], float], bytes_of: Callable[[str], int]
) -> tuple[MixedLayer, ...]:
    """The layers ``names`` in order of ``error_of``, with those kept that the job asks for.

    ``bytes_of``: how many bytes the file grows when the layer stays float. Raises InputError for a name in
    ``keep_float`` that is no layer here, RefusedError when there would be no int8 layer left.
    """
    unknown = [name for name in job.keep_float if name not in names]
    if unknown:
        raise InputError(f"export.keep_float: no layer {', '.join(unknown)}", f"layers: {', '.join(names)}")
    staying = len(set(job.keep_float)) if job.keep_float else min(job.sensitive_layers, len(names))
    if staying == len(names):
        raise RefusedError(
            f"all of its {len(names)} layers would stay float" if names else "it has no layer to quantize"
        )
    errors = {name: error_of(name) for name in names}
    ranked = sorted(names, key=lambda name: -errors[name])
    kept = set(job.keep_float or ranked[:staying])
    return tuple(MixedLayer(name, errors[name], name in kept, bytes_of(name)) for name in ranked)


def note_of(layers: Sequence[MixedLayer]) -> str:
    """What a table says of a mixed file: the layers that stayed float, and what they cost."""
    return "stay float: " + ", ".join(f"{layer.name} ({layer.bytes_cost:+,} bytes)" for layer in layers if layer.kept)


def score_error(scores: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """Root mean square change of the scores ``(k, classes)``, in units of the reference scores' standard deviation."""
    spread = float(reference.std()) or 1.0
    return float(np.sqrt(np.square(scores.astype(np.float64) - reference).mean())) / spread
