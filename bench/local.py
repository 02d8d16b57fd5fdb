"""Run a bundle on this machine as if it were the device: the packed runner in a process of its own.

In: a bundle folder. Out: ``build/<study>/results/host/``. The runner sees numpy and one engine and nothing of
Pulseproof's host side; what it prints goes straight to the terminal.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bench.asked import Asked
from bench.device_names import HERE
from core.errors import InputError, NotHeldError

DEVICE = HERE


def run_here(bundle: Path, results: Path, asked: Asked = Asked()) -> None:
    """Run every artifact of a bundle that has no good result yet.

    Raises NotHeldError when an artifact failed (its result says why), InputError when the runner refuses the bundle.
    """
    command = [sys.executable, str(bundle / "runner.pyz"), "run", str(bundle), "--out", str(results / DEVICE)]
    command += ["--device", DEVICE, "--evidence", "measured-on-host"]
    command += asked.options()
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    status = subprocess.run(command, check=False, env=environment).returncode
    if status in (130, -2):
        raise KeyboardInterrupt
    if status == 1:
        raise NotHeldError("some artifacts failed on this machine; the table names them and says why")
    if status != 0:
        raise InputError(f"{bundle}: the runner refused it", "make bundle makes it again; what it said is above")
