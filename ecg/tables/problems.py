"""Every bad row of a table in one list: what is wrong where, for one error that tells of all of them.

In come problems, one at a time, while a table and its files are gone through; out comes one InputError, as long as a
screen: the first rows in words, the others by their numbers, or by their count.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from pulseproof.core.errors import InputError
from pulseproof.runtime.words import printable, shortened

TOLD_CHARACTERS = 2400
NUMBERED = 60  # further rows that are told by their number
SKIP = 'bad_records = "skip" in the study\'s [data] goes on without them, counted and named'


class Problems:
    """What is wrong with the rows of a table. A row may have several problems."""

    def __init__(self, where: str) -> None:
        self.where = where  # what the rows are of
        self._found: dict[int, list[str]] = defaultdict(list)
        self._mends: dict[str, None] = {}

    def add(self, row: int, column: str, what: str, mend: str = "") -> None:
        """A problem in ``row`` (as a spreadsheet counts), in what the study calls ``column``."""
        self._found[row].append(shortened(printable(f"{column}: {what}"), 240))
        if mend:
            self._mends.setdefault(mend)

    def copy(self) -> Problems:
        """The same problems, to which others can be added."""
        other = Problems(self.where)
        other._mends = dict(self._mends)
        other._found.update({row: list(what) for row, what in self._found.items()})
        return other

    def __len__(self) -> int:
        """How many rows have one."""
        return len(self._found)

    def __contains__(self, row: int) -> bool:
        return row in self._found

    def rows(self) -> list[int]:
        return sorted(self._found)

    def sentences(self) -> list[str]:
        """A sentence a row, in the order of the table."""
        return [f"row {row}: {'; '.join(what)}" for row, what in sorted(self._found.items())]

    def error(self, total: int, mends: Iterable[str] = ()) -> InputError:
        """The one error of all rows; ``total``: how many there are."""
        lines: list[str] = []
        for sentence in self.sentences():
            if sum(map(len, lines)) + len(sentence) > TOLD_CHARACTERS and lines:
                break
            lines.append(f"  {sentence}")
        further = sorted(self._found)[len(lines) :]
        if further:
            numbers = ", ".join(map(str, further[:NUMBERED])) + (", ..." if len(further) > NUMBERED else "")
            lines.append(f"  and {len(further):,} more rows: {numbers}")
        head = f"{self.where}: {len(self):,} of {total:,} rows cannot be used:"
        told = [*self._mends, *mends][:6]
        return InputError("\n".join([head, *lines]), "\n  ".join([*told, SKIP]))
