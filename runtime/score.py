"""Run one artifact over an array of recordings in a process of its own: a bad file takes this process down, no other.

    PYTHON -m runtime.score FILE SIGNALS OUT --engine NAME        (with the folder that holds runtime/ as PYTHONPATH)

In: a ``.onnx`` or ``.tflite`` file, and a ``.npy`` of float32 ``(k, leads, samples)`` millivolts. Out: a ``.npy`` of
the float32 ``(k, classes)`` scores, each recording run alone at batch 1 as on a device. Any Python from 3.9 on that has
numpy and the engine will do, so that a host compares a file on engines that do not fit into one environment.

Exit status: 0 done; 1 it could not be done, one sentence on standard error; 2 called wrongly. A silence longer than
``--limit-s`` (importing, opening, or one inference) ends in SIGALRM, more than ``--memory-mb`` in a failed allocation.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from pathlib import Path

import numpy as np

from runtime.engines import DEFAULT, EngineError, import_engine, open_engine
from runtime.files import read_array, write_array


def main(arguments: list[str] | None = None) -> int:
    """The command. Returns its exit status."""
    parser = argparse.ArgumentParser(prog="runtime.score", description="Scores of one artifact, one by one at batch 1.")
    parser.add_argument("file", type=Path, help=".onnx or .tflite")
    parser.add_argument("signals", type=Path, help=".npy, float32 (k, leads, samples) mV")
    parser.add_argument("out", type=Path, help=".npy, float32 (k, classes)")
    parser.add_argument("--engine", required=True, help="onnxruntime, ai_edge_litert or tflite_runtime")
    parser.add_argument("--mode", default=DEFAULT, help="how the engine computes: see runtime.engines.MODES")
    parser.add_argument("--limit-s", type=int, default=60, help="the longest silence (default: 60)")
    parser.add_argument("--memory-mb", type=int, default=0, help="the most memory (default: no limit)")
    wanted = parser.parse_args(arguments)
    if wanted.memory_mb:
        limit_memory(wanted.memory_mb << 20)
    try:
        scores = score(wanted.file, read_array(wanted.signals), wanted.engine, wanted.limit_s, wanted.mode)
        write_array(wanted.out, scores)
    except MemoryError:
        print("out of memory", file=sys.stderr)
        return 1
    except (EngineError, OSError, ValueError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)  # whole: the caller takes the path out before it cuts
        return 1
    return 0


def score(path: Path, signals: np.ndarray, engine: str, limit_s: int, mode: str = DEFAULT) -> np.ndarray:
    """Return float32 (k, classes), the scores of float32 ``signals`` (k, leads, samples) mV on ``engine``, computed as
    ``mode`` says (:data:`runtime.engines.MODES`).

    Raises EngineError when the engine cannot be imported, does not open or run the file, or when the file gives
    another shape than (1, classes). The process dies of SIGALRM when one step takes longer than ``limit_s`` seconds.
    """
    if signals.dtype != np.float32 or signals.ndim != 3 or not len(signals):
        raise ValueError(f"the signals are {signals.dtype} {signals.shape}, expected float32 (k, leads, samples)")
    _watch(limit_s)
    import_engine(engine)
    _watch(limit_s)
    opened = open_engine(path, 1, engine, signals.shape[1:], mode)
    rows = []
    for recording in signals:
        _watch(limit_s)
        rows.append(opened.run(recording[None]))
        if rows[-1].ndim != 2 or rows[-1].shape != (1, rows[0].shape[1]):
            raise EngineError(f"{path}: it gives scores of shape {rows[-1].shape}, expected (1, classes)")
    _watch(0)
    return np.concatenate(rows)


def limit_memory(size: int) -> None:
    """Let allocations beyond ``size`` bytes of private memory fail, where the system has such a limit (Linux)."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # ValueError: there is a lower limit already
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def _watch(limit_s: int) -> None:
    """Start the clock anew; 0 stops it. An engine in C++ lets no Python signal handler run, but the default one does
    its work: the process ends."""
    if hasattr(signal, "alarm"):  # not on Windows
        signal.alarm(limit_s)


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # the scores are on the disk: an engine that crashes while it is torn down has done its work
