"""The ranges of activations on calibration recordings: what a TFLite file with integer activations is made from.

In: a float TFLite file, recordings, a method ("minmax", "percentile" or "entropy"). Out: the lowest and highest value
of each tensor, in the form that ai-edge-quantizer takes. Its own calibration gives a moving average of each recording's
extremes, whatever the study asks for; it is only asked which tensors need a range.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseproof.export.job import INPUT, ExportJob

CHUNK = 32  # calibration recordings whose activations are held at a time
Ranges = dict[str, dict[str, NDArray[np.float32]]]  # tensor -> {"min": ..., "max": ...}, each of the tensor's rank


def calibrate(tool: Any, job: ExportJob) -> Ranges:
    """Ranges over ``job.calibration`` of all tensors that the recipe of ``tool``, a Quantizer, rounds."""
    signals = job.calibration
    needed = tool.calibrate({"serving_default": [{INPUT: signals[0][None]}]}, num_threads=1)
    wanted = {name for name, found in needed.items() if found}
    return {
        name: {"min": np.full_like(needed[name]["min"], low), "max": np.full_like(needed[name]["max"], high)}
        for name, (low, high) in _extremes(job.source, signals, wanted, job.method).items()
    }


def share_scale(ranges: Ranges, one: str, other: str) -> None:
    """Widen the narrower of two tensors' ranges, downwards, so that both get the same scale."""
    low_high = {}
    for name in (one, other):
        low_high[name] = (min(0.0, float(ranges[name]["min"].min())), max(0.0, float(ranges[name]["max"].max())))
    width = max(high - low for low, high in low_high.values())
    for name, (_, high) in low_high.items():
        ranges[name]["max"] = np.full_like(ranges[name]["max"], high)
        ranges[name]["min"] = np.full_like(ranges[name]["min"], high - width)


def _extremes(
    path: Path, signals: NDArray[np.float32], wanted: set[str], method: str
) -> dict[str, tuple[np.float32, np.float32]]:
    """(lowest, highest) value of each tensor, by the very methods with which the ONNX files are calibrated."""
    from ai_edge_litert.interpreter import Interpreter
    from onnxruntime.quantization.calibrate import HistogramCollector

    from pulseproof.export.onnx.files import HISTOGRAM

    interpreter = Interpreter(str(path), num_threads=1, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    entrance = interpreter.get_input_details()[0]["index"]
    details = interpreter.get_tensor_details()
    places = {detail["name"]: detail["index"] for detail in details if detail["name"] in wanted}
    collector = HistogramCollector(method, scenario="same", **HISTOGRAM)
    extremes = {name: (np.float32(np.inf), np.float32(-np.inf)) for name in places}
    for first in range(0, len(signals), CHUNK):
        values: dict[str, list[NDArray[np.float32]]] = {name: [] for name in places}
        for signal in signals[first : first + CHUNK]:
            interpreter.set_tensor(entrance, signal[None])
            interpreter.invoke()
            for name, index in places.items():
                values[name].append(interpreter.get_tensor(index))
        if method == "minmax":
            for name, (low, high) in extremes.items():
                seen = np.stack(values[name])
                extremes[name] = (min(low, seen.min()), max(high, seen.max()))
        else:
            collector.collect(values)
    if method == "minmax":
        return extremes
    return {name: (found[0], found[1]) for name, found in collector.compute_collection_result().items()}
