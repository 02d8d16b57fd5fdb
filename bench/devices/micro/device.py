"""An emulated microcontroller core as a device: ``emulated:cortex-m4``. What that takes is imported when it is run."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pulseproof.bench.devices.asked import Asked
from pulseproof.bench.devices.device import AnyDevice
from pulseproof.firmware.cores import MICRO_CORES, MicroCore


@dataclass(frozen=True)
class EmulatedMicro(AnyDevice):
    """A core of :data:`~firmware.cores.MICRO_CORES`."""

    core: MicroCore
    asked: Asked

    @property
    def name(self) -> str:
        return self.core.device

    @classmethod
    def at(cls, address: str, asked: Asked, python: str) -> Self:
        del python
        return cls(MICRO_CORES[address.removeprefix("emulated:")], asked)

    def run(self, bundle: Path, results: Path, setup: bool, stop: threading.Event) -> None:
        from pulseproof.bench.devices.micro.run import run_micro

        run_micro(self.core, bundle, results, self.asked, setup, stop)
