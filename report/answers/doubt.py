"""Which numbers of a study not to believe, and why: a sentence for each reason that is there.

In come an :class:`~report.numbers.evaluation.Evaluation`, the comparisons made from it and the recommendation; out come
sentences, the weightiest reason first. Reasons: synthetic or partial data, few patients, rare or empty classes, classes
below chance, flags of the attacks or the absence of an audit, restless or throttled latencies, results that were not
used or are missing, scores that another processor does not reproduce, and comparisons that nothing decided.
"""

from __future__ import annotations

from collections.abc import Sequence

from pulseproof.bench.wire.results import GONE
from pulseproof.report.answers.card import FEW_PATIENTS
from pulseproof.report.answers.classes import below_chance, near_chance
from pulseproof.report.answers.proved import lost_proofs
from pulseproof.report.answers.types import Comparison, Recommendation, Sentence
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.resampled import WORST

RARE = 10  # positive recordings or patients of a class, below which its AUC is a few recordings' luck
MARKS = {"noisy": "the machine was restless while it was measured", "throttled": "its clock was held down meanwhile"}


def doubts(
    evaluation: Evaluation, comparisons: Sequence[Comparison], recommended: Recommendation | None
) -> list[Sentence]:
    """The sentences; none where there is no reason for doubt."""
    return [
        *_data(evaluation),
        *_classes(evaluation),
        *near_chance(evaluation),
        *below_chance(evaluation),
        *_audit(evaluation),
        *lost_proofs(evaluation),
        *_latency(evaluation, recommended),
        *_runs(evaluation),
        *_undecided(comparisons),
    ]


def _data(evaluation: Evaluation) -> list[Sentence]:
    said = []
    if evaluation.head.synthetic:
        said.append(
            Sentence("The recordings are synthetic: no number here is about patients.", "bundle.json: synthetic")
        )
    else:
        origin = evaluation.head.origin
        part = origin.part if origin else evaluation.head.note  # older bundles had nothing else to note
        if part:
            text = f"The data are part of a database ({part}): numbers on the whole one will differ."
            said.append(Sentence(text, "bundle.json: origin" if origin else "bundle.json: note"))
        said += [Sentence(doubt, "bundle.json: origin") for doubt in (origin.doubts if origin else ())]
    if evaluation.patients < FEW_PATIENTS:
        text = (
            f"There are only {evaluation.patients} patients: the 95 % interval of an AUC holds the truth less often "
            "than that, and where few of them have a class neither intervals nor verdicts can be relied on."
        )
        said.append(Sentence(text, f"fewer than {FEW_PATIENTS}; recordings of one patient are not independent"))
    return said


def _classes(evaluation: Evaluation) -> list[Sentence]:
    said = []
    for each in evaluation.class_counts:
        others = evaluation.recordings - each.recordings
        if each.recordings == 0 or others == 0:
            side = "no recording of it" if each.recordings == 0 else "no recording without it"
            text = f"The macro AUC says nothing about {each.name}: the test side has {side}."
        elif min(each.recordings, each.patients, others) < RARE:
            few = "recordings" if min(each.recordings, others) < RARE else "patients"
            text = f"The AUC of {each.name}, and with it the macro AUC, hangs on few {few}."
        else:
            continue
        counted = f"{each.recordings:,} of {evaluation.recordings:,} recordings have it, of {each.patients} patients"
        said.append(Sentence(text, counted))
    return said


def _audit(evaluation: Evaluation) -> list[Sentence]:
    said = []
    raised = evaluation.flags.raised
    for name in dict.fromkeys(flag.name for flag in raised):
        flags = [flag for flag in raised if flag.name == name]
        targets = ", ".join(dict.fromkeys(flag.target for flag in flags))
        methods = dict.fromkeys(flag.method for flag in flags)
        under = "" if None in methods else f" under {', '.join(sorted(filter(None, methods)))}"
        rows = sum(name in (row.flags or "").split(", ") for row in evaluation.rows)
        said.append(
            Sentence(
                f"Attacked AUCs of {targets}{under} may show the weakness of an attack, not the strength of the model "
                f"({name}).",
                f"checks of the attacks: {rows} rows flagged",
            )
        )
    if evaluation.audit is None and evaluation.no_audit is not None:
        said.append(Sentence(f"Attacked AUCs were not audited. {evaluation.no_audit}", "audit.json"))
    return said


def _latency(evaluation: Evaluation, recommended: Recommendation | None) -> list[Sentence]:
    said = []
    for mark, why in MARKS.items():
        for device in evaluation.devices:
            rows = [row for row in evaluation.rows if row.device == device.name and row.method == "clean"]
            timed = [row for row in rows if row.latency_p50_ms is not None]
            marked = [row.artifact for row in timed if mark in (row.marks or "").split(", ")]
            if not marked:
                continue
            which = "all files" if len(marked) == len(timed) else ", ".join(marked)
            also = recommended is not None and recommended.device == device.name and recommended.artifact in marked
            text = f"Do not believe the latencies of {which} on {device.name}: {why}."
            if also:
                text += " The recommended file is one of them."
            said.append(Sentence(text, f"{len(marked)} of {len(timed)} clean runs marked {mark}"))
    return said


def _runs(evaluation: Evaluation) -> list[Sentence]:
    said = []
    reasons: dict[str, int] = {}
    for each in evaluation.stale:
        if each.reason != GONE:  # what the study no longer asks for is nobody's number
            reasons[each.reason] = reasons.get(each.reason, 0) + 1
    said += [
        Sentence(f"{count} result{'s' * (count != 1)} left out: {reason}.", "bytes and versions that the results name")
        for reason, count in reasons.items()
    ]
    for device in evaluation.devices:
        rows = [row for row in evaluation.rows if row.device == device.name and row.method != WORST]
        failed = [row for row in rows if row.failed]
        missing = [row for row in rows if row.auc is None and not row.failed]
        if evaluation.runners.get(device.name, 0) > 1:
            text = f"Latencies on {device.name} were measured by different versions of the runner."
            said.append(
                Sentence(text, f"{evaluation.runners[device.name]} versions; delete its results to run it again")
            )
        for some, what in ((failed, "failed"), (missing, "left no result")):
            if some:
                text = f"{len(some)} of {len(rows)} runs on {device.name} {what}; a worst case lacks them."
                said.append(Sentence(text, "results of the device"))
        apart = sorted({row.artifact for row in rows if "its scores differ from this machine's" in (row.note or "")})
        if apart:
            text = f"On {device.name} {', '.join(apart)} give other scores than on this machine, by more than rounding."
            said.append(Sentence(text, "scores of the same file on the same recordings"))
        fuller = evaluation.fuller.get(device.name)
        if fuller is not None and fuller.apart:
            names = ", ".join(sorted(fuller.apart))
            text = f"AUCs of {names} on {device.name} are those of its own shorter run; {fuller.device} ran more, but "
            text += "its scores differ."
            said.append(Sentence(text, "scores of the same file on the same recordings"))
    return said


def _undecided(comparisons: Sequence[Comparison]) -> list[Sentence]:
    count = sum(each.verdict == "undecided" for each in comparisons)
    if not count:
        return []
    return [
        Sentence(
            f"{count} of {len(comparisons)} differences are undecided: after correction for all comparisons, the data "
            "show neither a difference nor that there is none that matters.",
            "95 % and 90 % intervals, p-values by Holm",
        )
    ]
