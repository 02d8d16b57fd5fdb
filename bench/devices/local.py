"""This machine as if it were the device: the packed runner in a process of its own.

In: a bundle folder. Out: ``build/<study>/results/host/``. The runner sees numpy and one engine and nothing of
Pulseproof's host side.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pulseproof.bench.devices.asked import Asked
from pulseproof.bench.devices.device import AnyDevice
from pulseproof.bench.devices.kinds import HERE
from pulseproof.bench.devices.packed import refused, run_packed

DEVICE = HERE


@dataclass(frozen=True)
class Here(AnyDevice):
    """``host``: this machine."""

    asked: Asked

    @property
    def name(self) -> str:
        return self.asked.named(DEVICE)

    @classmethod
    def at(cls, address: str, asked: Asked, python: str) -> Self:
        del address, python
        return cls(asked)

    def run(self, bundle: Path, results: Path, setup: bool, stop: threading.Event) -> None:
        del setup, stop
        run_here(bundle, results, self.asked)


def run_here(bundle: Path, results: Path, asked: Asked = Asked()) -> None:
    """Run every artifact of a bundle that has no good result yet.

    Raises NotHeldError when an artifact failed (its result says why), InputError when the runner refuses the bundle.
    """
    out = results / asked.named(DEVICE)
    if run_packed([sys.executable], bundle, out, "measured-on-host", asked.options(), "this machine"):
        raise refused(bundle)
