"""An emulated microcontroller core as a device: ``emulated:cortex-m4``. What that takes is imported when it is run."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pulseproof.bench.devices.asked import Asked
from pulseproof.bench.devices.device import AnyDevice
from pulseproof.bench.devices.emulated.cores import PREFIX


@dataclass(frozen=True)
class EmulatedMicro(AnyDevice):
    """A core by its name in :data:`~firmware.cores.MICRO_CORES`."""

    core: str
    asked: Asked

    @property
    def name(self) -> str:
        return f"{PREFIX}{self.core}"

    @classmethod
    def at(cls, address: str, asked: Asked, python: str) -> Self:
        del python
        return cls(f"cortex-m{address}", asked)

    def run(self, bundle: Path, results: Path, setup: bool, stop: threading.Event) -> None:
        from pulseproof.bench.devices.micro.run import run_micro

        run_micro(self.core, bundle, results, self.asked, setup, stop)
