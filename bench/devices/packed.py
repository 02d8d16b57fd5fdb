"""The packed runner as a process of this machine: started, waited for, and its exit status in our words.

In: the command that starts the Python which is to run it (this one, one under an emulator, one in a container), a
bundle, and where its results go. Out: results there. What it prints goes straight to the terminal.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from pulseproof.core.errors import InputError, NotHeldError
from pulseproof.core.terminal.hints import command

GRACE_S = 0.5  # in which a runner ends that a terminal's Ctrl-C reached as well
LONGEST_END_S = 5
INTERRUPTED = (130, -signal.SIGINT)
FAILED, REFUSED = 1, 2  # the runner's own


def run_packed(
    start: Sequence[str],
    bundle: Path,
    out: Path,
    evidence: str,
    options: Sequence[str],
    where: str,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Run a bundle's own runner to its end with ``start``, a command that is Python to whom it is given arguments.

    ``out``: the folder of results, called as its device; ``options``: the runner's own; ``where``: in words, for what
    is said; ``environment``: all of it (None: this one's, without what would change Python). Returns 0, or the status
    of a run that came to nothing: :data:`REFUSED` is the runner's own word. Raises NotHeldError when artifacts failed.
    """
    runner = [*start, str(bundle / "runner.pyz"), "run", str(bundle), "--out", str(out)]
    runner += ["--device", out.name, "--evidence", evidence, *options]
    if environment is None:
        environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    status = _ended(runner, environment)
    if status in INTERRUPTED:
        raise KeyboardInterrupt
    if status == FAILED:
        raise NotHeldError(f"some artifacts failed on {where}; the table names them and says why")
    return status


def refused(bundle: Path) -> InputError:
    """For a bundle that its own runner does not take."""
    return InputError(f"{bundle}: the runner refused it", f"{command('bundle')} makes it again; what it said is above")


def _ended(runner: Sequence[str], environment: Mapping[str, str]) -> int:
    """The exit status of a runner. Who is interrupted interrupts it too, so that it ends its artifact's process."""
    with subprocess.Popen(runner, env=environment) as process:
        try:
            return process.wait()
        except BaseException:
            for wait_s, number in ((GRACE_S, signal.SIGINT), (LONGEST_END_S, signal.SIGKILL)):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(wait_s)
                process.send_signal(number)
            raise
