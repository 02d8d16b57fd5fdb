"""The process that runs one artifact: nothing else is in its memory, and only it dies when the artifact is bad.

In comes a :class:`~runtime.job.ChildJob` as one line of JSON on standard input, which the runner keeps open for as long
as it lives: at its end this process ends too, so that no orphan goes on measuring beside the next run. Out go the
results, and one line of JSON a report on standard output: where it is (``at``), how far (``done`` recordings of this
set), what was written (``written``), or why it stopped (``failed``; ``full`` where a disk had no room: no matter of the
artifact, so the runner looks at the disk itself).
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, TextIO, TypeVar

import numpy as np

from pulseproof.runtime import emulation, exact, measure
from pulseproof.runtime.condition import affinity, noise, sustained
from pulseproof.runtime.condition.meters import energy, find_meter
from pulseproof.runtime.condition.probe import condition, was_throttled
from pulseproof.runtime.engines import Engine, EngineError, import_engine, open_engine
from pulseproof.runtime.files import FULL, state_of
from pulseproof.runtime.job import ChildJob, load_job
from pulseproof.runtime.wire.bundle import SetRecordings
from pulseproof.runtime.wire.results import WantedResult, write_failed, write_ok
from pulseproof.runtime.wire.untrusted import BundleError, array_of, read_plain
from pulseproof.runtime.words import one_line

REPORT_S = 0.2  # at most one report of progress in this time
READS = 3  # of a file that changes meanwhile
Made = TypeVar("Made")


class Reporter:
    """Writes reports; those of progress at most every REPORT_S, so that the pipe never slows the run."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last = 0.0
        self.answered = threading.Semaphore(0)
        self.answers: list[bytes] = []

    def send(self, **report: Any) -> None:
        self._stream.write(json.dumps(report) + "\n")
        self._stream.flush()

    def beat(self, done: int, **more: Any) -> None:
        now = time.monotonic()
        if now - self._last >= REPORT_S:
            self._last = now
            self.send(done=done, **more)

    def ask(self, file: str) -> tuple[int, ...]:
        """Wait until the runner has looked whether a file of the bundle is the one that is listed, and return the state
        in which it was hashed. It is the runner who hashes: that takes memory that is not the artifact's."""
        self.send(needs=file)
        self.answered.acquire()
        return tuple(json.loads(self.answers.pop(0)))


def main() -> int:
    """Read the job from standard input and do it. Returns 0, or 1 after a ``failed`` report."""
    # The engines print to standard output as they like; the reports get a descriptor that they do not know.
    reports = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    job = load_job(sys.stdin.readline())
    reporter = Reporter(reports)
    threading.Thread(target=_hear_runner, args=(reporter,), daemon=True).start()
    try:
        run_job(job, reporter)
    except EngineError as error:
        reporter.send(failed=str(error).replace(f"{job.root}{os.sep}", ""))  # as bundle.json names the file
        return 1
    except MemoryError:
        reporter.send(failed="out of memory")
        return 1
    except (OSError, ValueError, BundleError) as error:
        said = one_line(f"{job.name}: {error}".replace(f"{job.root}{os.sep}", ""))
        reporter.send(failed=said, full=isinstance(error, OSError) and error.errno in FULL)
        return 1
    return 0


def run_job(job: ChildJob, reporter: Reporter) -> None:
    """Open the artifact once, warm up, and make each wanted result: its times, or its counts of instructions."""
    held = affinity.hold(job.processors)  # before the engine starts threads
    before = condition()
    reporter.send(at=f"importing {job.engine}")
    import_engine(job.engine)
    if job.hold is not None:
        _hold(job, job.hold, reporter)
        return
    labels = _steadily(job, "labels.npy", reporter, _labels)[: job.n]
    if job.counted:
        _count(job, labels, reporter)
    else:
        _measure(job, labels, reporter, {"affinity": held}, before)


def _hold(job: ChildJob, wanted: exact.Exact, reporter: Reporter) -> None:
    """Hold the artifact against its exact arithmetic, and report what was found; nothing is written."""
    assert job.hold_on is not None
    recordings = _recordings(job, job.hold_on, reporter)
    reporter.send(at="exactness")

    def held(path: Path) -> dict[str, Any]:
        return exact.hold(path, job.engine, job.shape, wanted, recordings, job.n, reporter.beat, job.provider)

    found = _steadily(job, job.name, reporter, held)
    _close(recordings, job, job.hold_on, reporter)
    reporter.send(exact=found)


def _count(job: ChildJob, labels: np.ndarray, reporter: Reporter) -> None:
    """Make the results on an emulated processor: scores and instructions, and nothing that a clock said."""
    engine, _ = _open(job, reporter)
    for number, one in enumerate(job.wanted):
        reporter.send(at=one.signals.name)
        recordings = _recordings(job, one.signals.file, reporter)
        for index in range(0 if number else emulation.WARM_UP):
            engine.run(recordings(index % job.n))
            reporter.beat(0)
        scores, instructions = emulation.score_counted(engine.run, recordings, job.n, job.classes, reporter.beat)
        _close(recordings, job, one.signals.file, reporter)
        found: dict[str, Any] = {"instructions": instructions, "exact": job.held}
        if job.held is not None:
            found["marks"] = _of_exactness(job)
        _write(job, one, scores, labels, found, reporter)


def _measure(
    job: ChildJob, labels: np.ndarray, reporter: Reporter, found: dict[str, Any], before: dict[str, Any]
) -> None:
    """Make the results on a real processor. ``found``: what is known already; ``before``: the device's condition."""
    signals = job.wanted[0].signals.file if job.wanted else str((job.sustained or {})["signals"])
    first_set = _recordings(job, signals, reporter)
    engine, found["load_ms"] = _open(job, reporter)
    reporter.send(at="warming up")
    found["first_ms"] = round(measure.timed(engine.run, first_set(0))[1] / 1e6, 6)
    noise_before = noise.times_ns()
    measure.warm_up(engine.run, first_set, job.n, job.rules.warmup_s, lambda: reporter.beat(0))
    _close(first_set, job, signals, reporter)
    found["overhead_us"] = measure.overhead_us()

    for one in job.wanted:
        reporter.send(at=one.signals.name)
        recordings = _recordings(job, one.signals.file, reporter)
        scores, times = measure.score_all(
            engine.run,
            recordings,
            job.n,
            job.classes,
            min_runs=job.rules.min_runs if one.signals.clean else 0,
            min_s=job.rules.min_s if one.signals.clean else 0.0,
            beat=reporter.beat,
        )
        found["peak_rss_mb"] = measure.peak_rss_mb()
        used = _energy(engine, recordings, reporter) if one.signals.clean else None
        _close(recordings, job, one.signals.file, reporter)
        after = condition()
        floor = noise.floor(noise_before, noise.times_ns(), job.noise_limit)
        measured = {
            **found,
            "latency_ms": measure.summary(times),
            "energy": used,
            "noise": floor,
            "condition": {"before": before, "after": after},
            "marks": [*_marks(floor, was_throttled(before, after)), *_of_exactness(job)],
            "exact": job.held,
        }
        _write(job, one, scores, labels, measured, reporter, np.frombuffer(times, np.int64))
    if job.minutes:
        _sustain(job, engine, reporter)


def _steadily(job: ChildJob, file: str, reporter: Reporter, use: Callable[[Path], Made]) -> Made:
    """What ``use`` makes of a file of the bundle, whose bytes are those that were hashed: one that was replaced or
    written to in between is hashed and used again. Engines open files by their path, and a copy in memory would count
    as the artifact's; so the state of the file is compared, before and after."""
    for _ in range(READS):
        hashed = reporter.ask(file)
        made = use(job.root / file)
        if state_of(os.stat(job.root / file)) == hashed:
            return made
    raise ValueError("it changes while it is read")


def _open(job: ChildJob, reporter: Reporter) -> tuple[Engine, float]:
    """The opened artifact, and the time of that in ms."""

    def opened(path: Path) -> tuple[Engine, float]:
        reporter.send(at="loading")
        start = time.perf_counter_ns()
        engine = open_engine(path, job.rules.threads, job.engine, job.shape, provider=job.provider)
        return engine, round((time.perf_counter_ns() - start) / 1e6, 6)

    return _steadily(job, job.name, reporter, opened)


def _labels(path: Path) -> np.ndarray:
    return array_of(read_plain(path, 1 << 50), path)


def _recordings(job: ChildJob, file: str, reporter: Reporter) -> SetRecordings:
    return _steadily(job, file, reporter, lambda path: SetRecordings(path, job.adc_step_mv))


def _close(recordings: SetRecordings, job: ChildJob, file: str, reporter: Reporter) -> None:
    """Close recordings whose file, where it was touched meanwhile, is hashed once more: their scores are not written
    when it is another one now."""
    touched = recordings.changed()
    recordings.close()
    if touched:
        reporter.ask(file)


def _marks(floor: dict[str, Any], throttled: bool | str) -> list[str]:
    """Why a latency is not to be believed."""
    marks = ["throttled"] if throttled is True else []
    return [*marks, "noisy"] if floor["share"] > floor["limit"] else marks


def _of_exactness(job: ChildJob) -> list[str]:
    """Why the scores are not those of the file."""
    return [job.held["mark"]] if job.held and job.held["mark"] else []


def _energy(engine: Engine, recordings: SetRecordings, reporter: Reporter) -> dict[str, Any] | None:
    meter = find_meter()
    if meter is None:
        return None
    reporter.send(at="reading the meter")
    x = recordings(0)

    def inference() -> None:
        engine.run(x)
        reporter.beat(0)

    return energy(meter, inference)


def _sustain(job: ChildJob, engine: Engine, reporter: Reporter) -> None:
    """Run the clean recordings for the minutes asked for, and write latency over time."""
    assert job.sustained is not None
    recordings = _recordings(job, job.sustained["signals"], reporter)
    total = 60 * job.minutes

    def beat(seconds: float) -> None:
        reporter.beat(0, at=f"sustained, {seconds / 60:.1f} of {job.minutes:g} min", sustained_s=seconds)

    reporter.send(at="sustained")
    windows = sustained.run(engine.run, recordings, job.n, total, beat)
    _close(recordings, job, job.sustained["signals"], reporter)
    sustained.write(Path(job.sustained["json"]), job.sustained["head"], job.minutes, windows)


def _write(
    job: ChildJob,
    one: WantedResult,
    scores: np.ndarray,
    labels: np.ndarray,
    measured: dict[str, Any],
    reporter: Reporter,
    times: np.ndarray | None = None,
) -> None:
    """Write one result, and say so."""
    bad = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if len(bad):
        which = ", ".join(map(str, bad[:3])) + " ..." * (len(bad) > 3)
        told = f"the scores of {len(bad)} of {job.n} recordings are not finite (row {which} of the set)"
        write_failed(one, f"{job.name}: {told}; its AUC is not defined")
    else:
        write_ok(one, scores, labels, measured, times if one.signals.clean else None)
    reporter.send(written=one.signals.name, ok=not len(bad))


def _hear_runner(reporter: Reporter) -> None:
    """Pass on the runner's answers, a line each, until the end of standard input, which comes when it is gone, however
    it went."""
    rest = b""
    while True:
        piece = os.read(0, 4096)  # not sys.stdin: its lock, held by a daemon thread, aborts the interpreter on its end
        if not piece:
            os._exit(1)
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            reporter.answers.append(line)
            reporter.answered.release()
