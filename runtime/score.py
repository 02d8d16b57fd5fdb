"""One artifact in a process of its own, open for as many recordings as are asked: a bad file ends this process alone.

    PYTHON -m runtime.score FILE LEADS SAMPLES --engine NAME     (with the folder that holds runtime/ as PYTHONPATH)

In: a ``.onnx`` or ``.tflite`` file; on standard input recordings, float32 ``(leads, samples)`` millivolts each, one
after another, with nothing between them. Out, on standard output: a frame once the file is open and one a recording
(:data:`FRAME`), with the float32 ``(classes,)`` scores of that recording, run alone at batch 1 as on a device, or with
the sentence why there are none, which is the last. Nothing but numbers and text goes either way. Any Python from 3.9 on
that has numpy and the engine will do, so that a host runs a file on engines that do not fit into one environment.

Exit status: 0 when standard input ends; 1 after a sentence; 2 called wrongly. Limits: a silence longer than
``--limit-s`` (importing, opening, each of the :data:`FIRST` inferences) ends in SIGALRM, and so does a later inference
that takes longer than :data:`FACTOR` times the slowest of these, or ``--floor-s`` where that is more. Allocations
beyond ``--memory-mb`` fail, and after the first inferences those beyond twice of what these took.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO, Callable

import numpy as np

from pulseproof.runtime.engines import DEFAULT, EngineError, import_engine, open_engine

FRAME = struct.Struct("<II")  # what follows, and how many of it: :data:`OPENED`, :data:`SCORES` or :data:`SENTENCE`
OPENED, SCORES, SENTENCE = 1, 2, 3  # nothing; that many float32; that many bytes of UTF-8
MOST_CLASSES, MOST_BYTES = 1 << 16, 1 << 12  # of a frame
FIRST = 3  # inferences by which the others are bounded
FACTOR = 20
SPARE_MB = 256  # beside twice of what the first inferences took: engines grow their arenas in large steps
SAID_MB = 16  # an engine's words on standard error: it may not fill a disk with them


def main(arguments: list[str] | None = None) -> int:
    """The command. Returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="pulseproof.runtime.score", description="Scores of one artifact, one by one at batch 1."
    )
    parser.add_argument("file", type=Path, help=".onnx or .tflite")
    parser.add_argument("leads", type=int)
    parser.add_argument("samples", type=int)
    parser.add_argument("--engine", required=True, help="onnxruntime, ai_edge_litert or tflite_runtime")
    parser.add_argument("--mode", default=DEFAULT, help="how the engine computes: see runtime.engines.MODES")
    parser.add_argument("--limit-s", type=float, default=60, help="the longest of the first steps (default: 60)")
    parser.add_argument("--floor-s", type=float, default=20, help="what any later inference may take (default: 20)")
    parser.add_argument("--memory-mb", type=int, default=0, help="the most memory (default: no limit)")
    wanted = parser.parse_args(arguments)
    # The engines print to standard output as they like; the frames get a descriptor that they do not know.
    given, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    threading.Thread(target=follow, args=(os.getppid(),), daemon=True).start()
    confine(wanted.memory_mb << 20)
    _limit("RLIMIT_FSIZE", SAID_MB << 20)
    try:
        _serve(wanted, given, answers)
    except BrokenPipeError:  # nobody listens any more
        return 1
    except MemoryError:
        return _give_up(answers, "out of memory")
    except (EngineError, OSError, ValueError) as error:
        return _give_up(answers, " ".join(str(error).split()))  # whole: the caller takes the path out before it cuts
    return 0


def score(path: Path, signals: np.ndarray, engine: str, mode: str = DEFAULT) -> np.ndarray:
    """Return float32 (k, classes), the scores of float32 ``signals`` (k, leads, samples) mV on ``engine``, computed as
    ``mode`` says (:data:`runtime.engines.MODES`), in this very process: for files of our own.

    Raises EngineError when the engine cannot be imported, does not open or run the file, or when the file gives
    another shape than (1, classes).
    """
    if signals.dtype != np.float32 or signals.ndim != 3 or not len(signals):
        raise ValueError(f"the signals are {signals.dtype} {signals.shape}, expected float32 (k, leads, samples)")
    run = _opened(path, signals.shape[1:], engine, mode)
    return np.stack([run(recording) for recording in signals])


def limit_memory(size: int) -> None:
    """Let allocations beyond ``size`` bytes of private memory fail, where the system has such a limit (Linux)."""
    _limit("RLIMIT_DATA", size)


def _serve(wanted: argparse.Namespace, given: BinaryIO, answers: Any) -> None:
    _watch(wanted.limit_s)
    import_engine(wanted.engine)
    _watch(wanted.limit_s)
    run = _opened(wanted.file, (wanted.leads, wanted.samples), wanted.engine, wanted.mode)
    _watch(0)
    answers.write(FRAME.pack(OPENED, 0))
    limit, slowest, size = wanted.limit_s, 0.0, 4 * wanted.leads * wanted.samples
    done = 0
    while len(recording := given.read(size)) == size:
        _watch(limit)
        start = time.monotonic()
        scores = run(np.frombuffer(recording, np.float32).reshape(wanted.leads, wanted.samples))
        _watch(0)
        answers.write(FRAME.pack(SCORES, len(scores)) + scores.tobytes())
        done += 1
        if done <= FIRST:
            slowest = max(slowest, time.monotonic() - start)
        if done == FIRST:
            limit = max(wanted.floor_s, FACTOR * slowest)
            _confine_to(2 * _memory() + (SPARE_MB << 20), wanted.memory_mb << 20)


def _opened(path: Path, shape: tuple[int, ...], engine: str, mode: str) -> Callable[[np.ndarray], np.ndarray]:
    """What gives the scores float32 (classes,) of one recording; every recording gets as many as the first."""
    import_engine(engine)
    opened = open_engine(path, 1, engine, (shape[0], shape[1]), mode)
    first: list[int] = []

    def run(recording: np.ndarray) -> np.ndarray:
        scores = opened.run(recording[None])
        if scores.ndim != 2 or len(scores) != 1 or scores.shape[1] != (first or scores.shape[1:])[0]:
            wanted = f"(1, {first[0]}), as for the first recording" if first else "(1, classes)"
            raise EngineError(f"{path}: it gives scores of shape {scores.shape}, expected {wanted}")
        if scores.dtype != np.float32 or not scores.shape[1] <= MOST_CLASSES:
            raise EngineError(f"{path}: it gives {scores.shape[1]} scores of {scores.dtype} a recording")
        first[:] = [scores.shape[1]]
        row: np.ndarray = scores[0]
        return row

    return run


def _give_up(answers: Any, why: str) -> int:
    text = why.encode("utf-8", "replace")
    text = text if len(text) <= MOST_BYTES else text[: MOST_BYTES // 2] + text[-MOST_BYTES // 2 :]
    with contextlib.suppress(BrokenPipeError):
        answers.write(FRAME.pack(SENTENCE, len(text)) + text)
    return 1


def follow(parent: int) -> None:
    """End with the process that asks: a file that never answers would go on for nobody."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def confine(memory: int) -> None:
    """Let this process take ``memory`` bytes (0: no limit) and leave no core; where memory is short, it goes first."""
    if memory:
        limit_memory(memory)
    _limit("RLIMIT_CORE", 0)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _confine_to(memory: int, most: int) -> None:
    if most and memory < most:
        limit_memory(memory)


def _memory() -> int:
    """Bytes of private memory that this process has; where the system does not tell, more than any limit."""
    with contextlib.suppress(OSError, StopIteration, ValueError, IndexError):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmData:")).split()[1]) << 10
    return sys.maxsize


def _limit(name: str, size: int) -> None:
    with contextlib.suppress(ImportError, AttributeError, OSError, ValueError):  # ValueError: there is a lower one
        import resource

        resource.setrlimit(getattr(resource, name), (size, size))


def _watch(limit_s: float) -> None:
    """Start the clock anew; 0 stops it. An engine in C++ lets no Python signal handler run, but the default one does
    its work: the process ends."""
    if hasattr(signal, "setitimer"):  # not on Windows
        signal.setitimer(signal.ITIMER_REAL, limit_s)


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    os._exit(status)  # the answers are out: an engine that crashes while it is torn down has done its work
