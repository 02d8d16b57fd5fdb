"""Names that no device may have, by whichever door it comes: those under which this machine's own results lie.

Results of a device lie in a folder of its name, and that of this machine is the one that others are compared with. A
device called as it is (``pi@host``, a ``[host]`` table, a ``results.zip`` from one) would overwrite its rows with other
evidence.
"""

from __future__ import annotations

HERE = "host"
EMULATED = "emulated-"


def expect_free(name: str) -> str:
    """The name itself. Raises ValueError, a sentence, for this machine's name or that of an emulated core."""
    if name.casefold() == HERE:
        raise ValueError(f"a device cannot be called {name!r}, as this machine is: give it another name")
    if name.casefold().startswith(EMULATED):
        raise ValueError(f"a device cannot be called {name!r}, as emulated cores are: give it another name")
    return name
