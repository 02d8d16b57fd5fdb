"""The terminal: one console for messages, one progress bar, and one way for every command to end.

Results go to standard output, everything said about the work goes to standard error, so that
``pulseproof table --format json | jq`` sees only JSON. On either, what a file, a device or an engine said is text
and nothing else: :mod:`runtime.terminal` stands on both streams, :class:`Terminal` draws past it.
"""

from __future__ import annotations

import re
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.segment import Segment
from rich.text import Text

from pulseproof.core.errors import InputError, NotHeldError
from pulseproof.core.signals import ends_on_signals
from pulseproof.core.terminal.time_left import Stopwatch, TimeLeft
from pulseproof.runtime.terminal import plain_streams
from pulseproof.runtime.words import printable_lines

try:
    from typer._click.exceptions import ClickException
except ImportError:  # before typer carried its own
    from click import ClickException  # type: ignore[assignment]

T = TypeVar("T")
EVERY_S = 20  # a line about progress, where there is no bar


class Terminal(Console):
    """A console of rich that prints every text as it is, less what a terminal would obey: no markup, no emoji codes, no
    control, format or bidirectional characters. Colours and boxes are of this program."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **settings)

    def render_str(self, text: str, **how: Any) -> Text:  # before its width is taken
        return super().render_str(printable_lines(text), **how)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable_lines(segment.text), segment.style)


console = Terminal(stderr=True)


def say(text: str) -> None:
    """Print one line about the work to standard error."""
    console.print(text, soft_wrap=True)


def put(text: str) -> None:
    """Print a result, whole, to standard output. Not by typer.echo: where the encoding is not UTF-8, it opens the
    stream below the door."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        error.filename = "standard output"  # else nobody says of what
        raise


class _LeftColumn(ProgressColumn):
    """The time that is left, in words."""

    max_refresh = 1.0

    def __init__(self, left: TimeLeft) -> None:
        super().__init__()
        self._left = left

    def render(self, task: Task) -> Text:
        return Text(self._left.text())


def follow(
    items: Sequence[T] | Iterable[T], what: str, total: int | None = None, left: TimeLeft | None = None
) -> Iterator[T]:
    """Iterate with a progress bar and the time left on a terminal, and a plain line every 20 s elsewhere.

    ``left``: who knows how long each kind of item takes, and is told elsewhere when one ended; without it they count as
    one kind, timed here.
    """
    if total is None:
        total = len(items) if isinstance(items, Sequence) else None
    watch = None
    if left is None:
        left = TimeLeft(Counter({("", what): total or 0}))
        watch = Stopwatch(left, ("", what))
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            _LeftColumn(left),
        )
        # Not redirected: rich would read what others write meanwhile for colours and links.
        with Progress(*columns, console=console, redirect_stdout=False, redirect_stderr=False) as progress:
            bar = progress.add_task(what, total=total)
            for item in items:
                yield item
                if watch is not None:
                    watch.lap()
                progress.advance(bar)
        return
    said = time.monotonic()
    for done, item in enumerate(items):
        yield item
        if watch is not None:
            watch.lap()
        now = time.monotonic()
        if now - said > EVERY_S and total:
            told = left.text()
            say(f"{what}: {done + 1} of {total}" + (f", {told}" if told else ""))
            said = now


@ends_on_signals
def run_app(app: typer.Typer) -> None:
    """Run a typer application: status 0, 1 when it did not hold, 2 for wrong use or bad input."""
    with plain_streams():
        try:
            # Not "standalone": typer would draw what is wrong with an argument, a stranger's file name, past the door.
            status: int = app(standalone_mode=False) or 0
            if status == 130:  # what typer makes of Ctrl-C
                raise KeyboardInterrupt
        except BaseException as error:
            status = _said(error)
        sys.exit(status)


def _said(error: BaseException) -> int:
    """Say how a command ended; return the exit status for it."""
    told = ""
    if isinstance(error, ClickException):
        said, context = error.format_message(), getattr(error, "ctx", None)
        if said and context:  # nothing is said where the help was printed, for want of a command
            say(f"{context.get_usage()}\n")
        if said:
            _say_ending("error:", said)
        return error.exit_code
    if isinstance(error, InputError):
        how, what, told, status = "error:", error.what, error.mend, 2
    elif isinstance(error, NotHeldError):
        how, what, status = "not held:", str(error), 1
    elif isinstance(error, OSError) and error.errno is not None:  # without: raised by a library, and about no file
        how, what, status = "error:", f"{error.filename or 'a file'}: {error.strerror}", 2
        told = "make room there, or give another --build folder; the same command goes on from here"
    elif isinstance(error, KeyboardInterrupt):
        say("stopped; the same command goes on from here")
        return 130
    elif isinstance(error, Exception):  # a defect of ours: its traceback, which repeats strangers' texts as well
        traceback.print_exception(error)
        return 1
    else:
        raise error
    _say_ending(how, what, told)
    return status


def _say_ending(how: str, what: str, told: str = "") -> None:
    """One beginning of a line is ours: further lines are set in, for a file's name may hold one that says "error:"."""
    console.print(Text.assemble((how, "bold red"), " ", re.sub(r"\n(?! )", "\n  ", what)), soft_wrap=True)
    if told:
        console.print(re.sub(r"(^|\n)(?! )", r"\1  ", told), soft_wrap=True)
