"""The door to standard output and standard error: what a file, a device or an engine said is text there, no command.

In comes what this program, its libraries and Python's own tracebacks write; out goes the same without control, format
and bidirectional characters, line feeds alone excepted. It stands on the two streams, so that no caller can forget it.
What draws on a terminal (a line that is rewritten, colours) cleans its texts itself and writes to what lies below.
"""

from __future__ import annotations

import contextlib
import io
import sys
from typing import Any, Iterable, Iterator, TextIO, cast

from pulseproof.runtime.words import printable_lines


class PlainStream:
    """A text stream on which everything becomes printable. ``rich_proxied_file`` is the stream below it, under the name
    by which rich looks for that."""

    def __init__(self, below: TextIO) -> None:
        self.rich_proxied_file = below

    def write(self, text: str) -> int:
        self.rich_proxied_file.write(printable_lines(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


def below(stream: TextIO) -> TextIO:
    """The stream itself, for one who writes a terminal's commands and cleans the texts between them."""
    return cast(TextIO, getattr(stream, "rich_proxied_file", stream))


@contextlib.contextmanager
def plain_streams() -> Iterator[None]:
    """Put the door on standard output and standard error."""
    before = sys.stdout, sys.stderr
    make_plain()
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def make_plain() -> None:
    """Put the door on both streams for good: in a process that does one thing and ends. A letter that the terminal's
    encoding does not have is written as its number: a name in another script is no reason to end."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = (cast(TextIO, PlainStream(stream)) for stream in (sys.stdout, sys.stderr))
