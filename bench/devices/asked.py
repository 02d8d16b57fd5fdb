"""What a run on a device is asked for, however the device is reached; the runner's own options, by the same names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pulseproof.core.errors import InputError
from pulseproof.core.known_names import meant
from pulseproof.runtime.condition.providers import PROVIDERS


@dataclass(frozen=True)
class Asked:
    """Which artifacts and signal sets (patterns as ``cnn/*``; none is all), on how many threads (None: the bundle's),
    of how many recordings (None: all), for how many minutes each artifact is run on at the end (0: not at all), and by
    which execution provider (None: as the engine chooses)."""

    only: Sequence[str] = ()
    sets: Sequence[str] = ()
    threads: int | None = None
    limit: int | None = None
    minutes: float = 0.0
    provider: str | None = None

    def named(self, device: str) -> str:
        """What a device is called whose results are those of the provider: the same machine with another is another."""
        return f"{device}+{self.provider}" if self.provider else device

    def options(self) -> list[str]:
        """As options of the runner."""
        said = [text for pattern in self.only for text in ("--only", pattern)]
        said += [text for pattern in self.sets for text in ("--sets", pattern)]
        single: dict[str, float | str | None] = {"--threads": self.threads, "--limit": self.limit}
        single |= {"--minutes": self.minutes or None, "--provider": self.provider}
        return said + [text for name, value in single.items() if value is not None for text in (name, str(value))]


def known_provider(name: str) -> str:
    """The name itself. Raises ValueError, with all that there are, for a provider that no engine has."""
    if name not in PROVIDERS:
        raise ValueError(f"no execution provider {name!r}; there are {', '.join(PROVIDERS)}{meant(name, PROVIDERS)}")
    return name


def expect_provider(name: str | None) -> None:
    """Raise InputError for a provider that is typed and that no engine has."""
    try:
        known_provider(name or PROVIDERS[0])
    except ValueError as error:
        raise InputError(f"--provider: {error}", "a device says which of them its engines offer") from None
