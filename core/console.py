"""The terminal: one console for messages, one progress bar, and one way for every command to end.

Results go to standard output, everything said about the work goes to standard error, so that
``python -m bench table --format json | jq`` sees only JSON.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from core.errors import InputError, NotHeldError
from core.signals import ends_on_signals
from runtime.words import printable

console = Console(stderr=True, highlight=False)
T = TypeVar("T")


def say(text: str) -> None:
    """Print one line about the work to standard error."""
    console.print(_plain(text), soft_wrap=True)


def _plain(text: str) -> str:
    """The text as it is to be printed: line by line, without what a terminal would obey. Messages repeat the names that
    strangers gave to their files, tensors and records."""
    return escape("\n".join(printable(line) for line in text.split("\n")))


def follow(items: Sequence[T] | Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Iterate with a progress bar and the time left on a terminal, and a plain line every 20 s elsewhere."""
    if total is None:
        total = len(items) if isinstance(items, Sequence) else None
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        with Progress(*columns, console=console) as progress:
            yield from progress.track(items, total=total, description=what)
        return
    start = said = time.monotonic()
    for done, item in enumerate(items):
        yield item
        now = time.monotonic()
        if now - said > 20 and total:
            left = (now - start) / (done + 1) * (total - done - 1)
            say(f"{what}: {done + 1} of {total}, about {left:.0f} s left")
            said = now


@ends_on_signals
def run_app(app: typer.Typer) -> None:
    """Run a typer application: status 0, 1 when it did not hold, 2 for wrong use or bad input."""
    try:
        app(standalone_mode=True)
    except SystemExit as status:
        if status.code == 130:  # what typer makes of Ctrl-C
            console.print("stopped; the same command goes on from here")
        raise
    except InputError as error:
        console.print(f"[bold red]error:[/] {_plain(error.what)}", soft_wrap=True)
        console.print(f"  {_plain(error.mend)}", soft_wrap=True)
        sys.exit(2)
    except NotHeldError as error:
        console.print(f"[bold red]not held:[/] {_plain(str(error))}", soft_wrap=True)
        sys.exit(1)
    except OSError as error:
        if error.errno is None:  # raised by a library about something that is no file
            raise
        where = error.filename or "a file"
        console.print(f"[bold red]error:[/] {_plain(f'{where}: {error.strerror}')}", soft_wrap=True)
        console.print("  make room there, or give another --build folder; the same command goes on from here")
        sys.exit(2)
