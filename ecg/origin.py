"""Where recordings come from, said truly: the names of databases, and the records of one that cannot be read.

A database is called by the folder it lies in, never by its layout; :mod:`ecg.ptbxl` asks the records themselves whether
they are PTB-XL's. Bad records are collected, so that a user hears of all of them in one error, or goes on without them
and reads their names beside every number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pulseproof.core.errors import InputError

TOLD = 40  # bad records that an error describes one by one
NAMED = 5  # bad records that stand by name in the note over a table


@dataclass(frozen=True)
class Bad:
    """A record of the study that cannot be read, and why."""

    name: str
    error: InputError


def database_names(folder: Path, path: str, records: Sequence[str]) -> str:
    """What the databases of these records are called. ``path`` is that of ``folder`` under DATA; where it is DATA
    itself, every folder in it is a database of its own: ``mitdb + svdb``."""
    if Path(path) != Path():
        # A folder that is called by a version is known by the one around it: mitdb/1.0.0.
        version = re.fullmatch(r"v?\d+(\.\d+)+", folder.name)
        return f"{folder.parent.name} {folder.name}" if version else folder.name
    tops = dict.fromkeys(name.split("/")[0] if "/" in name else folder.resolve().name for name in records)
    return " + ".join(tops)


def refuse(database: str, bad: Sequence[Bad], total: int) -> InputError:
    """The one error that tells of every bad record."""
    skip = 'bad_records = "skip" in the study\'s [data] goes on without them, counted and named'
    if len(bad) == 1:
        return InputError(bad[0].error.what, f"{bad[0].error.mend}; {skip.replace('them', 'it')}")
    lines = [f"  {each.error.what}" for each in bad[:TOLD]]
    if len(bad) > TOLD:
        lines.append(f"  and {len(bad) - TOLD:,} more: {', '.join(each.name for each in bad[TOLD:])}")
    mends = list(dict.fromkeys(each.error.mend for each in bad))
    return InputError(
        "\n".join([f"{database}: {len(bad):,} of {total:,} records cannot be read:", *lines]),
        "\n  ".join([*mends[:4], skip]),
    )


def without(bad: Sequence[Bad], total: int, folder: Path) -> tuple[str, tuple[str, ...]]:
    """(what the note says, a sentence a record) of bad records that were left out. Sentences travel with the results:
    they name files inside ``folder``, not where this machine has it."""
    if not bad:
        return "", ()
    names = ", ".join(each.name for each in bad[:NAMED]) + (", ..." if len(bad) > NAMED else "")
    note = f"{len(bad):,} of {total:,} records left out as bad ({names})"
    return note, tuple(f"Left out as bad: {each.error.what.replace(f'{folder}/', '')}." for each in bad)
