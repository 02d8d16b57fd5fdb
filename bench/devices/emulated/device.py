"""An emulated core as a device: ``emulated:cortex-a72``. What that takes is imported no sooner than it is run."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pulseproof.bench.devices.asked import Asked
from pulseproof.bench.devices.device import AnyDevice
from pulseproof.bench.devices.emulated.cores import PREFIX


@dataclass(frozen=True)
class Emulated(AnyDevice):
    """A core by its name in :data:`~bench.devices.emulated.cores.CORES`."""

    core: str
    asked: Asked

    @property
    def name(self) -> str:
        return self.asked.named(f"{PREFIX}{self.core}")

    @classmethod
    def at(cls, address: str, asked: Asked, python: str) -> Self:
        del python
        return cls(address, asked)

    def run(self, bundle: Path, results: Path, setup: bool, stop: threading.Event) -> None:
        del setup, stop  # it is always prepared, and runs in this thread
        from pulseproof.bench.devices.emulated.run import run_emulated

        run_emulated(self.core, bundle, results, self.asked)
