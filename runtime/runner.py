"""The runner: the command that a device runs on a bundle.

In comes a bundle (docs/formats.md), out come one result a (artifact, signal set) and ``device.json``, under ``--out``
and nowhere else. Every artifact runs in a process of its own (:mod:`runtime.child`). What is already there and still
good is not done again, so after a kill or a power cut the same command goes on where it was. Exit status: 0 when every
result asked for is there, 1 when an artifact failed, 2 for a bad bundle or wrong use, 130 after Ctrl-C.

To pack it, put this folder as ``pulseproof/runtime/`` beside a ``__main__.py`` that calls :func:`main` and raises
SystemExit with what it returns, into one zip file, with ``zipapp``: ``python3 runner.pyz run bundle/ --out results/``.
It needs Python 3.9, numpy and one engine on the device; no network and no rights.
"""

from __future__ import annotations

import sys
from typing import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status.

    What a command needs is imported for it alone: an artifact's process has nothing in its memory that it does not use.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments == ["_child"]:
        from pulseproof.runtime import child

        return child.main()
    if arguments[:1] == ["_watch"]:
        from pathlib import Path

        from pulseproof.runtime import detached

        return detached.watch(Path(arguments[1]), arguments[2:])
    from pulseproof.runtime import commands

    return commands.main(arguments)
