"""Run a bundle on this machine as if it were the device: the packed runner in a process of its own.

In: a bundle folder. Out: ``build/<study>/results/host/``. The runner sees numpy and one engine and nothing of
Pulseproof's host side; what it prints goes straight to the terminal.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from pulseproof.bench.devices.asked import Asked
from pulseproof.bench.devices.names import HERE
from pulseproof.core.errors import InputError, NotHeldError
from pulseproof.core.hints import command

DEVICE = HERE
GRACE_S = 0.5  # in which a runner ends that a terminal's Ctrl-C reached as well
LONGEST_END_S = 5


def run_to_end(runner: list[str], environment: dict[str, str]) -> int:
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


def run_here(bundle: Path, results: Path, asked: Asked = Asked()) -> None:
    """Run every artifact of a bundle that has no good result yet.

    Raises NotHeldError when an artifact failed (its result says why), InputError when the runner refuses the bundle.
    """
    runner = [sys.executable, str(bundle / "runner.pyz"), "run", str(bundle), "--out", str(results / DEVICE)]
    runner += ["--device", DEVICE, "--evidence", "measured-on-host"]
    runner += asked.options()
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    status = run_to_end(runner, environment)
    if status in (130, -2):
        raise KeyboardInterrupt
    if status == 1:
        raise NotHeldError("some artifacts failed on this machine; the table names them and says why")
    if status != 0:
        raise InputError(
            f"{bundle}: the runner refused it", f"{command('bundle')} makes it again; what it said is above"
        )
