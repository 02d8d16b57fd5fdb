"""Start the process of one artifact, watch it, and say what became of it.

In comes a :class:`~runtime.job.ChildJob`; out come its reports, one by one, and at the end the reason why it failed, or
None. A crash, a hang and a kill by the system are all ordinary endings here: the next artifact goes on. So is a process
that an artifact has taken over: what it reports is bounded in its length and its number, and has the shape of a report,
or it is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO, Any, Callable

from pulseproof.runtime.condition.probe import oom_kills
from pulseproof.runtime.emulation import python_command
from pulseproof.runtime.job import ChildJob, dump_job
from pulseproof.runtime.version import home
from pulseproof.runtime.words import one_line, printable, shortened

MOST_BYTES = 1 << 16  # of a report
MOST_WORDS = 1000  # characters of what it says
# Ours are some ten an artifact, three a signal set and five a second (child.REPORT_S).
MOST_REPORTS, MOST_A_SECOND = 1000, 50
MOST_S = 1e6  # of a run over time
# What may stand in a report.
FIELDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("at", "needs", "written", "failed"), (str,)),
    **dict.fromkeys(("ok", "full"), (bool,)),
    "done": (int,),
    "sustained_s": (int, float),
    "exact": (dict,),
}
# Every library that could start threads beside the engine's own.
THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"),
    *("BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),  # numpy of some distributions, and on a Mac
)


def run_child(
    job: ChildJob, out: Path, time_limit_s: float, on_report: Callable[[dict[str, Any]], object], lock: int
) -> str | None:
    """Run one job in a process of its own; return None, or the reason why it did not do all of it.

    The process is killed when it reports nothing for ``time_limit_s``: that long may importing, loading, or a single
    inference take. It asks for each file of the bundle (``needs``), and is told what ``on_report`` returns.
    ``lock`` is an open descriptor that the process keeps open. ``out`` takes its standard error, unnamed.
    """
    command, folder = own_command()
    kills_before = oom_kills()
    threads = dict.fromkeys(THREAD_VARIABLES, str(job.rules.threads))
    with tempfile.TemporaryFile(dir=out) as errors:
        process = subprocess.Popen(
            [*command, "_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=folder,
            env={**os.environ, **threads, "PYTHONDONTWRITEBYTECODE": "1"},
            pass_fds=(lock,),
            start_new_session=True,  # Ctrl-C is for the runner, which ends the child itself
        )
        try:
            reason = _watch(process, job, time_limit_s, on_report)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):  # the job line may still be in the buffer of a broken pipe
                    stream.close()  # type: ignore[union-attr]
        if reason is not None or process.returncode == 0:
            return reason
        return f"{job.name}: {_how_it_ended(process.returncode, errors, kills_before)}"


def own_command() -> tuple[list[str], Path]:
    """Return (command, folder to run it in) that starts this very program again: the zip file, or the package."""
    place, python = home(), python_command()
    if place.is_file():
        return [*python, str(place)], place.parent
    return [*python, "-m", "pulseproof.runtime"], place


def _watch(
    process: subprocess.Popen[bytes], job: ChildJob, time_limit_s: float, on_report: Callable[[dict[str, Any]], object]
) -> str | None:
    """Follow the reports to the end of the process; return the reason it gave, or why it had to be killed."""
    assert process.stdin is not None and process.stdout is not None
    with contextlib.suppress(BrokenPipeError):  # it died at once; its status will tell
        process.stdin.write(dump_job(job).encode() + b"\n")
        process.stdin.flush()
    at, failed, rest, count = "starting", None, b"", 0
    begun = time.monotonic()
    deadline = begun + time_limit_s
    while True:
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            process.kill()
            return f"{job.name}: no answer for {time_limit_s:g} s ({at}), killed"
        data = os.read(process.stdout.fileno(), 1 << 16)
        if not data:
            break
        deadline = time.monotonic() + time_limit_s
        *lines, rest = (rest + data).split(b"\n")
        count += len(lines)
        if count > MOST_REPORTS + MOST_A_SECOND * (time.monotonic() - begun):
            process.kill()
            return f"{job.name}: its process reports without end ({at}), killed"
        for line in lines if len(rest) <= MOST_BYTES else [rest]:
            report = _report(line, job)
            if report is None:
                process.kill()
                return f"{job.name}: its process reports what is no report ({at}), killed"
            at, failed = report.get("at", at), report.get("failed", failed)
            answer = on_report(report)
            if "needs" in report:  # it waits for this
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(json.dumps(answer).encode() + b"\n")
                    process.stdin.flush()
    try:
        process.wait(time_limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        return f"{job.name}: it did not end for {time_limit_s:g} s, killed"
    return failed


def _report(line: bytes, job: ChildJob) -> dict[str, Any] | None:
    """A line as the report that it is; None where it is none, or asks for a file that is none of the job's."""
    try:
        report = json.loads(line) if len(line) <= MOST_BYTES else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(report, dict) or not all(type(value) in FIELDS.get(key, ()) for key, value in report.items()):
        return None
    files = {job.name, "labels.npy", job.hold_on, (job.sustained or {}).get("signals")}
    if report.get("needs", job.name) not in files | {one.signals.file for one in job.wanted}:
        return None
    if "written" in report and (
        "ok" not in report or report["written"] not in {one.signals.name for one in job.wanted}
    ):
        return None
    if not (report.get("done", 0) >= 0 and 0 <= report.get("sustained_s", 0.0) <= MOST_S):
        return None
    for key in ("at", "failed"):
        if key in report:
            report[key] = shortened(printable(report[key]), MOST_WORDS)
    return report


def _how_it_ended(status: int, errors: IO[bytes], kills_before: int | None) -> str:
    """A process that ended without saying why: its signal, or the last line that it wrote to standard error."""
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = "unknown"
        reason = f"killed by signal {-status} ({name})"
        kills = oom_kills()
        if -status == signal.SIGKILL and kills is not None and kills_before is not None and kills > kills_before:
            reason = f"out of memory: {reason} by the kernel"
    else:
        reason = f"ended with status {status}"
    errors.seek(max(0, errors.seek(0, os.SEEK_END) - 4096))
    said = errors.read().decode("utf-8", "replace").strip().splitlines()
    return f"{reason}; its last words: {one_line(said[-1])}" if said else reason
