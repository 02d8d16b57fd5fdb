"""What is proved of a file, in words: beside what attacks leave of it, and where a device has lost the proof.

In comes an :class:`~report.numbers.evaluation.Evaluation`; out come sentences whose evidence is a proof.
"""

from __future__ import annotations

from pulseproof.report.answers.types import Doubt, Sentence
from pulseproof.report.numbers.attacked_through import WORDS
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.loss_budgets import CHANCE
from pulseproof.report.numbers.proofs import EVIDENCE
from pulseproof.report.numbers.resampled import WORST
from pulseproof.report.numbers.rows import Row
from pulseproof.report.numbers.texts import auc_text, budget_text, span


def proof_sentences(evaluation: Evaluation, device: str, artifact: str) -> list[Sentence]:
    """What is proved of a file on a device, at the budget of most worth: the largest at which it is proved to rank
    better than chance, else that nothing is; nothing where it has no proof."""
    rows = [
        row
        for row in evaluation.rows
        if (row.device, row.artifact, row.method) == (device, artifact, WORST) and row.proved_auc is not None
    ]
    worth = [row for row in rows if (row.proved_auc or 0.0) > CHANCE]
    if not worth:
        return [_nothing(rows, artifact)] if rows else []
    return [_bracket(max(worth, key=lambda row: row.budget_mv or 0.0))]


def _bracket(row: Row) -> Sentence:
    text = f"No disturbance within {budget_text(row.budget_mv or 0.0)} brings the AUC of {row.artifact} below "
    text += f"{auc_text(row.proved_auc)}: that is proved"
    if row.auc is not None and row.proof_gap is not None:
        text += (
            f"; attacks bring it to {auc_text(row.auc)}, and the truth lies in the {auc_text(row.proof_gap)} between"
        )
    evidence = f"{EVIDENCE} for these {row.n:,} recordings, by bounds through the file's own operators"
    interval = span(row.proved_auc_low, row.proved_auc_high)
    if interval:
        evidence += f"; over patients {interval}"
    if row.proved_decided is not None:
        evidence += f"; {row.proved_decided:.0%} of the recordings keep every decision"
    if row.attacked_through not in (None, "itself"):
        evidence += f"; {WORDS[row.attacked_through]}"  # type: ignore[index]
    return Sentence(f"{text}.", evidence)


def _nothing(rows: list[Row], artifact: str) -> Sentence:
    smallest = min(row.budget_mv or 0.0 for row in rows)
    text = (
        f"Bounds prove nothing of {artifact}: at {budget_text(smallest)}, the smallest budget, they leave room for an "
    )
    text += "AUC below chance. A model trained for bounds has a proof."
    return Sentence(text, "bounds through the file's own operators")


def lost_proof(evaluation: Evaluation, device: str, artifact: str) -> Doubt | None:
    """The doubt about a file whose proof does not hold on a device."""
    reason = evaluation.proofs.lost(device, artifact)
    if reason is None:
        return None
    return Doubt("proof lost", f"What is proved of the file does not hold on {device}: {reason}.", "attacked")


def lost_proofs(evaluation: Evaluation) -> list[Sentence]:
    """Which devices have no proof of which files, a sentence a device and reason."""
    found: dict[tuple[str, str], list[str]] = {}
    for device, artifact in evaluation.proofs.why_not:
        reason = evaluation.proofs.lost(device, artifact)
        if reason is not None:
            found.setdefault((device, reason), []).append(artifact)
    return [
        Sentence(f"What is proved of {', '.join(names)} does not hold on {device}: {reason}.", "scores and bounds")
        for (device, reason), names in found.items()
    ]
