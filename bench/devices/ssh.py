"""Devices over ssh, by an address as the system's own ``ssh`` takes it, or by a table of a ``devices.toml``.

In come such an address and what is asked for; a run on it is :mod:`bench.devices.run`.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from pulseproof.bench.devices.asked import Asked
from pulseproof.bench.devices.clean import forget
from pulseproof.bench.devices.connection import Connection
from pulseproof.bench.devices.device import AnyDevice
from pulseproof.bench.devices.run import run_on_device
from pulseproof.bench.devices.spec import DeviceSpec, at_address
from pulseproof.core.errors import InputError
from pulseproof.core.terminal.console import say

SSH = "PULSEPROOF_SSH"  # a JSON list: the ssh command for addresses on the command line


@dataclass(frozen=True)
class OverSsh(AnyDevice):
    """``pi@host``, or what a ``devices.toml`` says of one."""

    spec: DeviceSpec
    alone: ClassVar[bool] = False

    @property
    def name(self) -> str:
        return self.spec.name

    @classmethod
    def at(cls, address: str, asked: Asked, python: str) -> Self:
        return cls(at_address(address, asked, _ssh(), python))

    def run(self, bundle: Path, results: Path, setup: bool, stop: threading.Event) -> None:
        say_of = _prefixed(self.name)
        run_on_device(self.spec, bundle, results, say_of, setup, Connection(self.spec, say_of, stop=stop))

    def forget(self, bundle: Path) -> None:
        forget(self.spec, bundle, _prefixed(self.name))


def _prefixed(name: str) -> Callable[[str], None]:
    """Say a line about one device of several."""
    return lambda text: say(f"{name}: {text}")


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
