"""Where a bundle is run: on devices of every kind, several at once.

In come the addresses of devices as a user types them (``host``, ``emulated:cortex-a72``, ``pi@host``) and a
``devices.toml``; out come their results, each device's in a folder of its own. Nothing here knows one kind from another
(:mod:`bench.devices.kinds`).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pulseproof.bench.devices.asked import Asked
from pulseproof.bench.devices.device import AnyDevice
from pulseproof.bench.devices.kinds import HERE, device_at
from pulseproof.bench.devices.spec import read_devices
from pulseproof.bench.devices.ssh import OverSsh
from pulseproof.core.errors import InputError, NotHeldError
from pulseproof.core.terminal.console import say


def named_devices(names: Sequence[str], file: Path | None, asked: Asked, python: str = "python3") -> list[AnyDevice]:
    """The devices that were named, and those of a file; this machine without any. Raises InputError."""
    found = [device_at(name, asked, python) for name in names]
    if file is not None:
        found += [OverSsh(spec) for spec in read_devices(file)]
    return found or [device_at(HERE, asked)]


def forget_all(devices: Sequence[AnyDevice], bundle: Path) -> None:
    """Remove from the devices what was put there."""
    for each in devices:
        each.forget(bundle)


def run_on_all(devices: Sequence[AnyDevice], bundle: Path, results: Path, setup: bool = False) -> None:
    """Run on several: those that take this machine one after the other, meanwhile the others all at once.

    What one of them cannot do stops no other; the first such error is raised at the end, the others are printed.
    """
    at_once = [each for each in devices if not each.alone]
    names = [each.name for each in at_once]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"two devices are called {twice}", "give each a name of its own in devices.toml")
    failures: list[InputError | NotHeldError] = []
    stop = threading.Event()

    def attempt(device: AnyDevice) -> None:
        try:
            device.run(bundle, results, setup, stop)
        except (InputError, NotHeldError) as error:
            failures.append(error)

    with ThreadPoolExecutor(max(len(at_once), 1)) as pool:
        running = [pool.submit(attempt, each) for each in at_once]
        try:
            for each in devices:
                if each.alone:
                    attempt(each)
            for one in running:
                one.result()
        except KeyboardInterrupt:  # it comes to this thread alone, and the pool waits for the others
            stop.set()
            raise
    for error in failures[1:]:
        say(str(error))
    if failures:
        raise failures[0]
