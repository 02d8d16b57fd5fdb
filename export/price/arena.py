"""Run as a script, in a process of its own: ``arena.py FILE BYTES`` runs a TFLite file in TFLite Micro's interpreter.

In: the file, and the arena that the interpreter is given, in bytes. Out, on standard output: JSON with ``micro`` and
``litert``, the scores of both interpreters for the same signals, noise of 0.3 mV, and the output's ``step`` (0 in
float); on standard error, in TFLite Micro's words: what the arena holds, or why it does not take the file. It may
abort.
"""

from __future__ import annotations

import json
import signal
import sys

import numpy as np

LIMIT_S = 60
NOISE_MV = 0.3
SIGNALS = 4  # no silence: the logarithm of a power that int8 rounded to zero is not the same number everywhere


def main(path: str, arena_bytes: int) -> None:
    """See the module."""
    from ai_edge_litert.interpreter import Interpreter
    from tflite_micro.python.tflite_micro import runtime

    micro = runtime.Interpreter.from_file(path, arena_size=arena_bytes)
    litert = Interpreter(path, num_threads=1)
    litert.allocate_tensors()
    entrance, exit_ = litert.get_input_details()[0], litert.get_output_details()[0]
    scores: dict[str, list[list[float]]] = {"micro": [], "litert": []}
    noise = np.random.default_rng(0).normal(0, NOISE_MV, (SIGNALS, *entrance["shape"]))
    for one in noise:
        given = _quantized(one, entrance)
        # Of a recurrent layer, both keep the state from one call to the next.
        micro.reset()
        micro.set_input(given, 0)
        micro.invoke()
        litert.reset_all_variables()
        litert.set_tensor(entrance["index"], given)
        litert.invoke()
        for name, raw in (("micro", micro.get_output(0)), ("litert", litert.get_tensor(exit_["index"]))):
            scores[name].append(_real(raw, exit_).ravel().tolist())
    micro.print_allocations()
    sys.stdout.write(json.dumps(scores | {"step": float(exit_["quantization"][0])}))


def _quantized(signal: np.ndarray, detail: dict) -> np.ndarray:
    dtype = np.dtype(detail["dtype"])
    if dtype.kind == "f":
        return signal.astype(dtype)
    scale, zero = detail["quantization"]
    limits = np.iinfo(dtype)
    return np.clip(np.rint(signal / (scale or 1)) + zero, limits.min, limits.max).astype(dtype)


def _real(raw: np.ndarray, detail: dict) -> np.ndarray:
    scale, zero = detail["quantization"]
    return (raw.astype(np.float64) - zero) * scale if scale else raw.astype(np.float64)


if __name__ == "__main__":
    signal.alarm(LIMIT_S)  # whoever started it may be gone
    main(sys.argv[1], int(sys.argv[2]))
