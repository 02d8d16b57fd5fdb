"""Names that no device may have, by whichever door it comes: those under which other kinds' results lie.

Results of a device lie in a folder of its name, and that of this machine is the one that others are compared with. A
device called as it is (``pi@host``, a ``[host]`` table, a ``results.zip`` from one) would overwrite its rows with other
evidence.
"""

from __future__ import annotations

from pulseproof.bench.devices.kinds import KINDS


def expect_free(name: str) -> str:
    """The name itself. Raises ValueError, a sentence, for a name that a kind of devices has for its own."""
    for kind in KINDS:
        if kind.took(name):
            raise ValueError(f"a device cannot be called {name!r}, {kind.named}: give it another name")
    return name
