"""Which devices these are, and how they are reached.  FILL what

In: a bundle, and what is asked for. Out: ``build/<study>/results/<name>/``.
"""

from __future__ import annotations

import re
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pulseproof.bench.devices.asked import Asked
from pulseproof.bench.devices.device import AnyDevice
from pulseproof.bench.devices.packed import refused, run_packed


@dataclass(frozen=True)
class Mine(AnyDevice):  # FILL class
    """``address``: what stands after the colon."""

    address: str
    asked: Asked

    @property
    def name(self) -> str:
        return f"mine-{re.sub(r'[^A-Za-z0-9]+', '-', self.address).strip('-')}"  # FILL name

    @classmethod
    def at(cls, address: str, asked: Asked, python: str) -> Self:
        del python
        return cls(address, asked)

    def run(self, bundle: Path, results: Path, setup: bool, stop: threading.Event) -> None:
        del setup, stop
        start = [sys.executable]  # FILL start
        options, out = self.asked.options(), results / self.name
        if run_packed(start, bundle, out, "measured-on-device", options, self.address):
            raise refused(bundle)
