"""What every kind of device is, however it is reached: the one protocol between a bundle and the results of a run.

In comes a bundle's folder; out come results in a folder of the device's name. Which kinds there are, and by which
addresses, is the table in :mod:`bench.devices.kinds`.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import ClassVar, Protocol, Self

from pulseproof.bench.devices.asked import Asked


class AnyDevice(Protocol):
    """One device, and what is asked of it. A kind inherits from this, and says what is different.

    ``alone``: it computes on this machine, or writes here alone, so that such devices are taken one after the other;
    the others are run all at once, each in a thread of its own.
    """

    alone: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """What it is called in what is said of it, and its folder of results."""

    @classmethod
    def at(cls, address: str, asked: Asked, python: str) -> Self:
        """The device of an ``address`` as it is typed, without the prefix of its kind. ``python``: the interpreter of
        a device that has several. Raises InputError for an address that cannot be."""

    def run(self, bundle: Path, results: Path, setup: bool, stop: threading.Event) -> None:
        """Run what is asked for and not there yet, and put its results into ``results/<name>/``.

        ``setup``: put there what a run needs and is missing. ``stop``: set by another thread, ends it with
        KeyboardInterrupt. Raises InputError when it cannot be reached or used, NotHeldError when artifacts failed
        there (their results say why).
        """

    def forget(self, bundle: Path) -> None:
        """Remove what was put there for this study. Most have nothing of ours. Raises InputError."""
        del bundle
