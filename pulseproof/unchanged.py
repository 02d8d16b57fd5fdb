"""Whether anything that a finished run read or wrote has changed since: if nothing has, there is nothing to look into.

In: the folders and files that a run depends on and those that it made, and its settings. Out: a stamp beside them,
``<name>.unchanged.stamp.json``, with the size and time of each, the sources of this package, the versions of every
package and of the engines, the processor, and the environment variables that are ours. Each step of a run has its own
stamp (:mod:`core.steps`); reading them all takes torch, scikit-learn and seconds. This asks the file system; it is only
ever a reason to do less: whatever differs, were it a time alone, the steps decide.

What it cannot see: a file that was changed without its size and time, as a stamp cannot without reading it all.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pulseproof.core.code_digest import HOME, PACKAGE
from pulseproof.core.engines import here
from pulseproof.core.steps import digest
from pulseproof.runtime.condition.processor import features
from pulseproof.runtime.files import read_json, write_json

OURS = "PULSEPROOF_"  # environment variables that begin so
LEFT_OUT = (".lock", ".pyc")


class Unchanged:
    """What a run under ``folder`` leaves of itself when it has ended.

    ``settings``: plain JSON, all that was asked of it. ``reads``: files and folders that it depends on; one that is not
    there counts as such. ``makes``: what it left in ``folder``, names of files and folders there.
    """

    def __init__(
        self, folder: Path, name: str, settings: dict[str, Any], reads: Iterable[Path], makes: Iterable[str]
    ) -> None:
        self.path = folder / f"{name}.unchanged.stamp.json"
        self.settings = settings
        self.places = [*reads, *(folder / each for each in makes)]

    def holds(self) -> bool:
        """True when a run with these settings ended, and all is as it left it."""
        try:
            kept = read_json(self.path)
            return bool(kept["seen"] == self._seen([Path(each) for each in kept["also"]]))
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def keep(self, also: Iterable[Path] = ()) -> None:
        """This run ended. ``also``: further folders that it read, whose places only it knew. Where nothing can be
        written nothing is kept: the next run looks into each step."""
        places = [path.absolute() for path in also]
        with contextlib.suppress(OSError):
            write_json(self.path, {"seen": self._seen(places), "also": [str(path) for path in places]})

    def _seen(self, also: list[Path]) -> str:
        """One digest for all of it."""
        return digest(
            {
                "settings": self.settings,
                "files": [list(_listed(place)) for place in (*self.places, *also)],
                "sources": list(_listed(HOME / PACKAGE)),
                "packages": sorted({each.name for one in sys.path for each in Path(one).glob("*.dist-info")}),
                "python": [sys.version, sys.prefix],
                "engines": here(),  # one of them lives in an environment of its own, which sys.path does not show
                "processor": features(),
                "variables": sorted(item for item in os.environ.items() if item[0].startswith(OURS)),
            }
        )


def _listed(place: Path) -> Iterator[tuple[str, int, int]]:
    """(path, bytes, time) of a file, or of every file in a folder and in those that it links to, in a fixed order."""
    if not place.is_dir():
        if place.exists():
            status = place.stat()
            yield str(place), status.st_size, status.st_mtime_ns
        return
    for folder, inner, names in os.walk(place, followlinks=True):
        inner[:] = sorted(each for each in inner if each != "__pycache__")
        for name in sorted(names):
            path = Path(folder, name)
            if path.suffix not in LEFT_OUT and path.exists():
                status = path.stat()
                yield str(path), status.st_size, status.st_mtime_ns
