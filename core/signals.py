"""A command that is told to end, ends as by Ctrl-C: its workers ended, halves of files removed, locks let go.

SIGTERM is what a batch system or a shutdown sends, SIGHUP what a terminal does that is closed. In comes the function
that runs a command; it exits with status 128 and the signal's number, as a shell says of a process that died of one.
"""

from __future__ import annotations

import functools
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
ONCE_S = 2.0  # a terminal that is closed may send its signal twice; the second must not disturb the end


def ends_on_signals(run: Callable[..., None]) -> Callable[..., None]:
    """``run``, in which SIGTERM and SIGHUP raise KeyboardInterrupt; who ignores them (``nohup``) still does."""

    @functools.wraps(run)
    def running(*arguments: Any) -> None:
        caught: list[tuple[float, int]] = []

        def end(number: int, frame: FrameType | None) -> None:
            now = time.monotonic()
            if not caught or now - caught[-1][0] > ONCE_S:
                caught.append((now, number))
                raise KeyboardInterrupt

        for each in ENDING:
            if signal.getsignal(each) is signal.SIG_DFL:
                signal.signal(each, end)
        try:
            run(*arguments)
        except SystemExit as status:
            if caught and status.code == 128 + signal.SIGINT:
                sys.exit(128 + caught[0][1])
            raise

    return running
