"""What the audit of the attacks says about rows: its flags, read from ``build/<study>/audit.json``.

In comes the file that ``python -m attacks audit`` writes; out come, for a row, the names of the flags that concern it.
A flag says that a number may be the weakness of an attack and not the strength of a model, so it marks a row
``unreliable``, as RobustBench does (Croce et al. 2021).
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from attacks.audit_file import Audit, FlagEntry, read_audit
from bench.schema import BundleHead

# That one attack is weak says nothing about the lowest of several, which goes by another: only its own row is marked.
ITS_OWN = ("no-better-than-noise",)
BUDGET = re.compile(r"-[\d.e-]+mV$")  # at the end of a signal set's name
NONE = "No audit of these attacks was made: run make audit."
OTHER = "The audit is of other attacks than these: run make audit again."


def audit_of(head: BundleHead, build: Path) -> tuple[Audit | None, str | None]:
    """The audit under ``build/<study>`` if it has seen the bytes of every attack of the bundle, or why there is none.

    Raises InputError for a damaged one.
    """
    attacks = {each.name: head.files[each.file].sha256 for each in head.signals if each.source is not None}
    path = Path(build) / "audit.json"
    if not attacks:
        return None, None
    if not path.exists():
        return None, NONE
    audit = read_audit(path)
    seen = audit.study == head.study and all(audit.sets.get(name) == sha256 for name, sha256 in attacks.items())
    return (audit, None) if seen else (None, OTHER)


def concerns(
    flag: FlagEntry, model: str, artifact: str, attack: tuple[str | None, str | None] | None, budget_mv: float
) -> bool:
    """True when a flag concerns an ``attack`` (source, method; None: the worst of all) at this budget on the artifact:
    the flag's target is the artifact or its model, and what it leaves open means any."""
    return (
        flag.target in (model, artifact)
        and not (attack is None and flag.name in ITS_OWN)
        and (attack is None or (flag.source in (None, attack[0]) and flag.method in (None, attack[1])))
        and (flag.budget_mv is None or math.isclose(flag.budget_mv, budget_mv))
    )


def sentences(audit: Audit) -> list[str]:
    """A line a flag and attack; that there is none; and what could not be looked at, a line a reason."""
    found: dict[str, list[str]] = {}
    for each in audit.flags:
        made = " from ".join(part for part in (each.method, each.source) if part)
        where = ", ".join(part for part in (each.target, made) if part)
        found.setdefault(f"! {each.name}: {where}", []).append(each.sentence)
    said = [f"{where}: {'; '.join(dict.fromkeys(told))}." for where, told in found.items()]
    said = said or ["The audit of the attacks raised no flag."]
    unseen: dict[str, list[str]] = {}
    for line in audit.unchecked:
        name, _, reason = line.partition(": ")
        unseen.setdefault(reason, []).append(BUDGET.sub("", name))
    return said + [f"Not looked at: {', '.join(dict.fromkeys(names))}: {reason}" for reason, names in unseen.items()]
