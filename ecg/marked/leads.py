"""Leads as a study asks for them: by name, by number, or by alternatives of which a record has one.

In: ``MLII``, ``#2`` or ``MLII|ECG1|#1``, and a record's header. Out: the lead as that header calls it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pulseproof.core.errors import InputError
from pulseproof.ecg.wfdb.header import Header


class NoLeadError(InputError):
    """A record has none of the leads that would do."""


def shown(asked: str) -> str:
    """What a lead is called in results: the first of its alternatives."""
    return asked.split("|", maxsplit=1)[0].strip()


def found(header: Header, leads: Sequence[str], others: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The leads of a record that are asked for, each by the first of its alternatives, then of its ``others``, that the
    record has. Raises NoLeadError, and InputError where two of them are one lead."""
    names = {lead.upper(): lead for lead in reversed(header.leads)}
    taken: list[str] = []
    for asked in leads:
        alternatives = [*(each.strip() for each in asked.split("|")), *others.get(asked, ())]
        have = [each for each in (_one(header, names, name) for name in alternatives) if each is not None]
        if not have:
            also = f" (nor {', '.join(map(repr, alternatives[1:]))})" if alternatives[1:] else ""
            raise NoLeadError(
                f"{header.path}: the record has no lead {alternatives[0]!r}{also}",
                f"leads there: {', '.join(header.leads) or 'none'}; name one of them in leads, or alternatives"
                f' ("{alternatives[0]}|{header.leads[0] if header.leads else "II"}"), or leave the record out of the'
                ' study; without_lead = "skip" in its [data] leaves out all such records',
            )
        taken.append(have[0])
    twice = sorted({lead for lead in taken if taken.count(lead) > 1})
    if twice:
        raise InputError(
            f"{header.path}: lead {twice[0]!r} is read for {' and '.join(shown(each) for each in leads)}",
            "name leads that differ in every record, or leave the record out of the study",
        )
    return tuple(taken)


def _one(header: Header, names: Mapping[str, str], name: str) -> str | None:
    if name.startswith("#") and name[1:].isdecimal():
        place = int(name[1:]) - 1
        return header.leads[place] if 0 <= place < len(header.leads) else None
    return names.get(name.upper())
