"""Whether what separates a plain net from a defended one is larger than what separates two trainings of either.

In comes an :class:`~report.numbers.evaluation.Evaluation` with models that were trained from several seeds
(:mod:`core.studies.seeds`); out come sentences. Patients' intervals say nothing about this: another seed gives another
net.
"""

from __future__ import annotations

from statistics import mean

from pulseproof.report.answers.types import Sentence
from pulseproof.report.answers.words import conjunction
from pulseproof.report.numbers.compare import CountingRows
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.rows import is_quantized
from pulseproof.report.numbers.texts import auc_text, budget_text


def spread(evaluation: Evaluation, rows: CountingRows, budget: float) -> list[Sentence]:
    """A sentence a defended model whose plain one has further seeds too: clean, and in the worst case at ``budget``."""
    groups, plains = _trainings(evaluation)
    said = []
    for model, plain in plains.items():
        if min(len(groups.get(model, [])), len(groups.get(plain, []))) < 2:
            continue
        parts, told = [], []
        for where, clean in (("clean", True), (f"in the worst case at {budget_text(budget)}", False)):
            own, other = (
                [
                    row.auc
                    for name in groups[each]
                    if (row := rows.clean(name) if clean else rows.worst(name, budget)) is not None
                    and row.auc is not None
                ]
                for each in (model, plain)
            )
            if min(len(own), len(other)) < 2:
                continue
            # Two trainings lie apart by luck in one of three cases: the gap counts, not the order alone.
            apart = abs(mean(own) - mean(other)) > max(max(own) - min(own), max(other) - min(other))
            apart = apart and (min(own) > max(other) or max(own) < min(other))
            parts.append(f"{where} it is {'larger' if apart else 'not larger'} than between seeds")
            told.append(f"{where} {_listed(own)} against {_listed(other)}")
        if parts:
            text = f"As to the difference between {model} and {plain}, {conjunction(parts)}."
            said.append(Sentence(text, f"AUC of each training: {'; '.join(told)}"))
    return said


def _listed(values: list[float]) -> str:
    return " ".join(auc_text(value) for value in values)


def _trainings(evaluation: Evaluation) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The float file of every training by the first one's model; the plain model of each defended one."""
    groups: dict[str, list[str]] = {}
    plains: dict[str, str] = {}
    entries = [each for each in evaluation.head.artifacts if not is_quantized(each.recipe)]
    further = {each.seed_of: each.recipe for each in entries if each.seed_of}
    for each in entries:
        first = each.seed_of or each.model
        if further.get(first) == each.recipe:  # trainings are compared by files of one recipe
            groups.setdefault(first, []).append(each.name)
        if each.defence is not None and each.defence.plain and not each.seed_of:
            plains[each.model] = each.defence.plain
    return groups, plains
