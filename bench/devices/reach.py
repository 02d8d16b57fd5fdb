"""Where a bundle is run: on this machine, on an emulated core, or on devices over ssh, several at once.

In come the names of devices as a user types them (``host``, ``emulated:cortex-a72``, ``pi@host``) and a
``devices.toml``; out come their results, each device's in a folder of its own.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pulseproof.bench.devices.asked import Asked
from pulseproof.bench.devices.clean import forget
from pulseproof.bench.devices.connection import Connection
from pulseproof.bench.devices.local import DEVICE, run_here
from pulseproof.bench.devices.run import run_on_device
from pulseproof.bench.devices.spec import DeviceSpec, at_address, read_devices
from pulseproof.core.console import say
from pulseproof.core.errors import InputError, NotHeldError

EMULATED = "emulated:"
SSH = "PULSEPROOF_SSH"  # a JSON list: the ssh command for addresses on the command line


def named_devices(
    names: Sequence[str], file: Path | None, asked: Asked, python: str = "python3"
) -> list[str | DeviceSpec]:
    """The devices that were named, and those of a file; this machine without any. Raises InputError."""
    found: list[str | DeviceSpec] = []
    for name in names:
        if name == DEVICE or name.startswith(EMULATED):
            found.append(name)
        else:
            found.append(at_address(name, asked, _ssh(), python))
    if file is not None:
        found += read_devices(file)
    return found or [DEVICE]


def _ssh() -> list[str]:
    said = os.environ.get(SSH)
    if not said:
        return ["ssh"]
    try:
        command = json.loads(said)
    except ValueError:
        command = None
    if not isinstance(command, list) or not command or not all(isinstance(part, str) for part in command):
        raise InputError(f"{SSH}: not a JSON list of texts", 'as ["ssh", "-F", "my.config"]')
    return command


def forget_all(devices: Sequence[str | DeviceSpec], bundle: Path) -> None:
    """Remove from the devices over ssh what was put there."""
    for each in devices:
        if isinstance(each, DeviceSpec):
            forget(each, bundle, prefixed(each.name))


def run_on(
    device: str | DeviceSpec, bundle: Path, results: Path, asked: Asked, setup: bool, stop: threading.Event
) -> None:
    """Run what is asked for on one device; ``stop`` ends what goes on over ssh. Raises InputError, NotHeldError."""
    if isinstance(device, DeviceSpec):
        say_of = prefixed(device.name)
        run_on_device(device, bundle, results, say_of, setup, Connection(device, say_of, stop=stop))
    elif device == DEVICE:
        run_here(bundle, results, asked)
    elif device.startswith(EMULATED):
        from pulseproof.bench.devices.emulated.run import run_emulated

        run_emulated(device.removeprefix(EMULATED), bundle, results, asked)
    else:
        raise InputError(f"{device!r}: no such device", "host, emulated:cortex-a72, or an address as ssh takes it")


def run_on_all(
    devices: Sequence[str | DeviceSpec], bundle: Path, results: Path, asked: Asked, setup: bool = False
) -> None:
    """Run on several: this machine and emulated cores one after the other, those over ssh all at once.

    What one of them cannot do stops no other; the first such error is raised at the end, the others are printed.
    """
    remote = [each for each in devices if isinstance(each, DeviceSpec)]
    names = [each.name for each in remote]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"two devices are called {twice}", "give each a name of its own in devices.toml")
    failures: list[InputError | NotHeldError] = []
    stop = threading.Event()

    def attempt(device: str | DeviceSpec) -> None:
        try:
            run_on(device, bundle, results, asked, setup, stop)
        except (InputError, NotHeldError) as error:
            failures.append(error)

    with ThreadPoolExecutor(max(len(remote), 1)) as pool:
        running = [pool.submit(attempt, each) for each in remote]
        try:
            for each in devices:
                if not isinstance(each, DeviceSpec):
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


def prefixed(name: str) -> Callable[[str], None]:
    """Say a line about one device of several."""
    return lambda text: say(f"{name}: {text}")
