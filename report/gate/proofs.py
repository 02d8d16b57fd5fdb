"""A bound on what is proved of a file: ``--min-certified-auc .8@0.01mV``.

In come an :class:`~report.numbers.evaluation.Evaluation`, the line of a file and the bound; out comes what the gate
says of it. A proof that is stale, or that a device lost, holds nothing.
"""

from __future__ import annotations

from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.pivot import DeviceLine
from pulseproof.report.numbers.proofs import AGAIN, EVIDENCE
from pulseproof.report.numbers.texts import auc_text, budget_text, span


def proved_at(
    evaluation: Evaluation, line: DeviceLine, device: str, budget: float, least: float, strict: bool
) -> tuple[str, bool, str]:
    """What was asked, whether it holds, what was found. ``line``: of the run whose AUCs count; ``device``: the one that
    is asked about, whose engine must give the file's own scores. ``strict``: by the lower end of the interval."""
    asked, artifact = f"proved AUC at least {auc_text(least)} at {budget_text(budget)}", line.clean.artifact
    for where in dict.fromkeys((device, line.device)):
        reason = evaluation.proofs.why_not.get((where, artifact))
        if reason is not None:
            return asked, False, f"nothing is proved: {reason}"
    every = evaluation.proofs.of(line.device, artifact)
    found = every.get(budget)
    if found is None:
        there = ", ".join(map(budget_text, every)) or f"none; {AGAIN}"
        return asked, False, f"nothing is proved at this budget (there are: {there})"
    value = found.auc_low if strict else found.auc
    said = f"{auc_text(found.auc)} {span(found.auc_low, found.auc_high)}".rstrip()
    return asked, value >= least, f"{said}, {EVIDENCE}"
