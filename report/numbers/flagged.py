"""What is said against attacks: the flags of what was measured, and those of the audit, by row.

In come the rows' own AUCs (:mod:`report.numbers.measured_flags`: they need no new attack, so every run has them) and
the file that ``pulseproof audit`` writes, which repeats attacks with more effort and other objectives; out come,
for a row, the names of the flags that concern it. A flag says that a number may be the weakness of an attack and not
the strength of a model, so it marks a row ``unreliable``, as RobustBench does (Croce et al. 2021).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pulseproof.attacks.audit.file import Audit, FlagEntry, read_audit
from pulseproof.bench.wire.schema import BundleHead
from pulseproof.core.terminal.hints import command

# That one attack is weak says nothing about the lowest of several, which goes by another: only its own row is marked.
ITS_OWN = ("no-better-than-noise",)
BUDGET = re.compile(r"-[\d.e-]+mV$")  # at the end of a signal set's name
REPEATED = "more steps, other starts, other objectives"
NONE = f"The attacks were not repeated ({REPEATED}): {command('audit')} does that. What was measured was checked."
OTHER = (
    f"The audit repeated other attacks than these ({REPEATED}): run {command('audit')} again. What was measured was "
    "checked."
)


@dataclass(frozen=True)
class Flags:
    """``raised``: all flags, those of the audit first; ``audited`` when the audit's repeated attacks were made too."""

    raised: tuple[FlagEntry, ...] = ()
    audited: bool = False


def together(audit: Audit | None, measured: Sequence[FlagEntry]) -> Flags:
    """The audit's flags and those of what was measured here, each finding once: the audit's words come first."""
    if audit is None:
        return Flags(tuple(measured), False)
    known = {_about(each) for each in audit.flags}
    return Flags((*audit.flags, *(each for each in measured if _about(each) not in known)), True)


def _about(flag: FlagEntry) -> tuple[str, str, str | None, str | None, float | None]:
    return flag.name, flag.target, flag.source, flag.method, flag.budget_mv


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


def hint(names: Sequence[str]) -> str:
    """What whoever set the budgets can do about flags; empty where nothing."""
    if "not-at-collapse" not in names:
        return ""
    return " (add a larger budget to the study, at which the attack is seen to break the model)"


def sentences(flags: Flags, audit: Audit | None, no_audit: str | None) -> list[str]:
    """A line a flag and attack; that there is none; whether attacks were repeated; and what the audit could not look
    at, a line a reason."""
    found: dict[str, list[str]] = {}
    for each in flags.raised:
        made = " from ".join(part for part in (each.method, each.source) if part)
        where = ", ".join(part for part in (each.target, made) if part)
        found.setdefault(f"! {each.name}: {where}", []).append(each.sentence)
    said = [f"{where}: {'; '.join(dict.fromkeys(told))}." for where, told in found.items()]
    if not said and audit is not None:
        said.append("The audit of the attacks raised no flag.")
    elif not said and no_audit is not None:
        said.append("What was measured raised no flag.")
    said += [no_audit] if no_audit else []
    unseen: dict[str, list[str]] = {}
    for line in audit.unchecked if audit is not None else ():
        name, _, reason = line.partition(": ")
        unseen.setdefault(reason, []).append(BUDGET.sub("", name))
    return said + [f"Not looked at: {', '.join(dict.fromkeys(names))}: {reason}" for reason, names in unseen.items()]
