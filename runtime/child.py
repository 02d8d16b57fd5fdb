"""The process that runs one artifact: nothing else is in its memory, and only it dies when the artifact is bad.

In comes a :class:`Job` as one line of JSON on standard input, which the runner keeps open for as long as it lives: at
its end this process ends too, so that no orphan goes on measuring beside the next run. Out go the results, and one
line of JSON a report on standard output: where it is (``at``), how far (``done`` recordings of this set), what was
written (``written``), or why it stopped (``failed``).
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from runtime import measure
from runtime.bundle import Recordings, RunRules, SignalSet
from runtime.engines import EngineError, import_engine, one_line, open_engine
from runtime.results import Wanted, write_failed, write_ok
from runtime.untrusted import read_npy

REPORT_S = 0.2  # at most one report of progress in this time


@dataclass(frozen=True)
class Job:
    """What one child does: open ``artifact`` and make the ``wanted`` results, in this order.

    ``root`` is the bundle, already verified; ``n`` how many recordings of each set; ``classes`` how many scores.
    """

    root: Path
    artifact: Path
    engine: str
    shape: tuple[int, int]
    classes: int
    adc_step_mv: float
    n: int
    rules: RunRules
    wanted: list[Wanted]

    @property
    def name(self) -> str:
        """The artifact's file as bundle.json names it."""
        return str(self.artifact.relative_to(self.root))


def dump_job(job: Job) -> str:
    """A job as one line of JSON."""
    return json.dumps(asdict(job), default=os.fspath)


def load_job(line: str) -> Job:
    """The job that :func:`dump_job` wrote."""
    fields = json.loads(line)
    fields["wanted"] = [Wanted(Path(one["json"]), SignalSet(**one["signals"]), one["head"]) for one in fields["wanted"]]
    return Job(
        **{
            **fields,
            "root": Path(fields["root"]),
            "artifact": Path(fields["artifact"]),
            "shape": tuple(fields["shape"]),
            "rules": RunRules(**fields["rules"]),
        }
    )


class Reporter:
    """Writes reports; those of progress at most every REPORT_S, so that the pipe never slows the run."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last = 0.0

    def send(self, **report: Any) -> None:
        self._stream.write(json.dumps(report) + "\n")
        self._stream.flush()

    def beat(self, done: int) -> None:
        now = time.monotonic()
        if now - self._last >= REPORT_S:
            self._last = now
            self.send(done=done)


def main() -> int:
    """Read the job from standard input and do it. Returns 0, or 1 after a ``failed`` report."""
    # The engines print to standard output as they like; the reports get a descriptor that they do not know.
    reports = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    job = load_job(sys.stdin.readline())
    threading.Thread(target=_end_with_runner, daemon=True).start()
    reporter = Reporter(reports)
    try:
        run_job(job, reporter)
    except EngineError as error:
        reporter.send(failed=str(error).replace(f"{job.root}{os.sep}", ""))  # as bundle.json names the file
        return 1
    except MemoryError:
        reporter.send(failed="out of memory")
        return 1
    except (OSError, ValueError) as error:
        reporter.send(failed=one_line(f"{job.name}: {error}"))
        return 1
    return 0


def run_job(job: Job, reporter: Reporter) -> None:
    """Open the artifact once, warm up, and make each wanted result."""
    reporter.send(at=f"importing {job.engine}")
    import_engine(job.engine)
    labels = read_npy(job.root / "labels.npy")[: job.n]
    first_set = Recordings(job.root / job.wanted[0].signals.file, job.adc_step_mv)

    reporter.send(at="loading")
    start = time.perf_counter_ns()
    engine = open_engine(job.artifact, job.rules.threads, job.engine, job.shape)
    load_ns = time.perf_counter_ns() - start
    reporter.send(at="warming up")
    _, first_ns = measure.timed(engine.run, first_set(0))
    measure.warm_up(engine.run, first_set, job.n, job.rules.warmup_s, lambda: reporter.beat(0))
    first_set.close()

    for one in job.wanted:
        reporter.send(at=one.signals.name)
        recordings = Recordings(job.root / one.signals.file, job.adc_step_mv)
        scores, times = measure.score_all(
            engine.run,
            recordings,
            job.n,
            job.classes,
            min_runs=job.rules.min_runs if one.signals.clean else 0,
            min_s=job.rules.min_s if one.signals.clean else 0.0,
            beat=reporter.beat,
        )
        recordings.close()
        bad = int((~np.isfinite(scores)).any(axis=1).sum())
        if bad:
            write_failed(one, f"{job.name}: the scores of {bad} of {job.n} recordings are not finite")
        else:
            measured = {
                "latency_ms": measure.summary(times),
                "load_ms": round(load_ns / 1e6, 6),
                "first_ms": round(first_ns / 1e6, 6),
                "peak_rss_mb": measure.peak_rss_mb(),
            }
            write_ok(one, scores, labels, measured)
        reporter.send(written=one.signals.name, ok=not bad)


def _end_with_runner() -> None:
    """Wait for the end of standard input, which comes when the runner is gone, however it went."""
    os.read(0, 1)  # not sys.stdin: its lock, held by a daemon thread, aborts the interpreter on its way out
    os._exit(1)
