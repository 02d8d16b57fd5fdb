"""Keep the converters' chatter off the terminal: their warnings, progress, and what C++ writes past Python.

A converter that fails raises, and its message goes into the manifest; ``PULSEPROOF_CHATTER=1`` shows everything.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Send this process's standard output and error nowhere while a converter runs.

    File descriptors, not ``sys.stderr``: absl and MLIR write to the descriptor itself.
    """
    if os.environ.get("PULSEPROOF_CHATTER"):
        yield
        return
    _flush()
    with contextlib.ExitStack() as stack, tempfile.TemporaryFile() as sink, warnings.catch_warnings():
        for descriptor in (1, 2):
            kept = os.dup(descriptor)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, descriptor)
            os.dup2(sink.fileno(), descriptor)
        stack.callback(logging.disable, logging.root.manager.disable)
        stack.callback(_flush)
        logging.disable(logging.ERROR)
        warnings.simplefilter("ignore")
        yield


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
