"""What a run on a device is asked for, however the device is reached; the runner's own options, by the same names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Asked:
    """Which artifacts and signal sets (patterns as ``cnn/*``; none is all), on how many threads (None: the bundle's),
    of how many recordings (None: all), and for how many minutes each artifact is run on at the end (0: not at all)."""

    only: Sequence[str] = ()
    sets: Sequence[str] = ()
    threads: int | None = None
    limit: int | None = None
    minutes: float = 0.0

    def options(self) -> list[str]:
        """As options of the runner."""
        said = [text for pattern in self.only for text in ("--only", pattern)]
        said += [text for pattern in self.sets for text in ("--sets", pattern)]
        numbers = {"--threads": self.threads, "--limit": self.limit, "--minutes": self.minutes or None}
        return said + [text for name, value in numbers.items() if value is not None for text in (name, str(value))]
