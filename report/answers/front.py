"""Which file to ship: the Pareto front of cost, size, clean and attacked AUC, and one recommendation.

In comes an :class:`~report.numbers.evaluation.Evaluation`; out comes a :class:`~report.answers.types.Recommendation`,
or None where no file has a cost, a size and a clean AUC. A choice must be made also where the statistics decide
nothing, so it goes by the measured numbers; what is *said* of it goes by tests (:mod:`report.answers.questions`).

The rule: of the files whose clean AUC is within the study's delta of the best, keep those whose worst case at the
budget is within delta of the best of them, and take the cheapest (of equally cheap ones the smallest). What it picks
always lies on the front: a file that is as good in everything passes the same filters and would be cheaper or smaller.

A worst case is what the file counts for (:mod:`report.numbers.attacked_through`): one whose own graph was not attacked
counts at most what its float parent keeps, and one whose model was not attacked by gradient at all at most what the
best file keeps that was. Worst cases below chance count alike. Cost and size are the device's; AUCs are those of the
fullest run whose scores agree with the device's (:mod:`report.numbers.fuller_run`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pulseproof.report.answers.card import card_doubts
from pulseproof.report.answers.types import Cost, FrontPoint, Recommendation
from pulseproof.report.numbers.compare import CountingRows, Rows, devices_by_weight
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.loss_budgets import CHANCE
from pulseproof.report.numbers.rows import known
from pulseproof.report.numbers.texts import auc_text, budget_text, milliseconds, size_text


def recommend(evaluation: Evaluation, budget: float | None) -> Recommendation | None:
    """The recommendation on the device that weighs most of those that have one; ``budget`` in mV, None without
    attacks."""
    # The best of several seeds would be chosen on the test side.
    further = {each.name for each in evaluation.head.artifacts if each.seed_of}
    for device in devices_by_weight(evaluation):
        timed, rows = Rows(evaluation, device), CountingRows(evaluation, device)
        shippable = [name for name in rows.artifacts if name not in further]
        has_latency = any(row.latency_p50_ms is not None for row in timed.by_key.values())
        cost: Cost = "latency_p50_ms" if has_latency else "instructions"
        points = _held([_point(evaluation, timed, rows, artifact, budget, cost) for artifact in shippable])
        chosen = choose([point for point in points if _complete(point, budget)], evaluation.delta)
        if chosen is None:
            continue
        front = pareto(points, budget)
        recommendation = Recommendation(
            artifact=chosen.artifact,
            device=device,
            reason=_reason(evaluation, points, chosen, device, budget, cost),
            front=tuple(front),
            budget_mv=budget,
            cost=cost,
            auc_device=chosen.auc_device,
            recordings=chosen.recordings,
        )
        return replace(recommendation, doubts=tuple(card_doubts(evaluation, recommendation, timed, rows)))
    return None


def choose(points: list[FrontPoint], delta: float) -> FrontPoint | None:
    """The file to ship of complete points; None without any. Attacked AUCs are None throughout where there is no
    budget."""
    kept = _within(_within(points, delta, "auc_clean"), delta, "auc_attacked")
    return min(kept, key=lambda point: (*_values(point), point.artifact), default=None)


def pareto(points: list[FrontPoint], budget: float | None) -> list[FrontPoint]:
    """The points, those marked that no other is as good as in cost, size, clean and attacked AUC, and better in one. A
    point that lacks one of these is not on the front."""
    complete = [point for point in points if _complete(point, budget)]
    return [
        replace(point, on_front=point in complete and not any(_dominates(other, point) for other in complete))
        for point in points
    ]


@dataclass(frozen=True)
class RuleSteps:
    """What the rule keeps, step by step: all ``complete`` files, those ``clean`` enough, those ``kept`` under attack;
    ``broken``: at the budget no clean one ranks better than chance, so that attacks decide nothing."""

    complete: list[FrontPoint]
    clean: list[FrontPoint]
    kept: list[FrontPoint]
    broken: bool


def rule_steps(points: Sequence[FrontPoint], delta: float, budget: float | None) -> RuleSteps:
    """The steps of :func:`choose` on the complete ones of ``points``."""
    complete = [point for point in points if _complete(point, budget)]
    clean = _within(complete, delta, "auc_clean")
    broken = budget is not None and all((point.auc_attacked or 0.0) < CHANCE for point in clean)
    return RuleSteps(complete, clean, _within(clean, delta, "auc_attacked"), broken)


def _dominates(one: FrontPoint, other: FrontPoint) -> bool:
    mine, theirs = _values(one), _values(other)
    return all(a <= b for a, b in zip(mine, theirs, strict=True)) and mine != theirs


def _values(point: FrontPoint) -> tuple[float, ...]:
    """What is to be small."""
    return (point.cost or 0.0, point.size_bytes or 0, -(point.auc_clean or 0.0), -_value(point, "auc_attacked"))


def _value(point: FrontPoint, name: str) -> float:
    """An AUC as it is compared: of two worst cases below chance neither withstands more."""
    value = getattr(point, name) or 0.0
    return max(value, CHANCE) if name == "auc_attacked" else value


def _complete(point: FrontPoint, budget: float | None) -> bool:
    known = point.cost is not None and point.size_bytes is not None and point.auc_clean is not None
    return known and (budget is None or point.auc_attacked is not None)


def _within(points: list[FrontPoint], delta: float, name: str) -> list[FrontPoint]:
    best = max((_value(point, name) for point in points), default=0.0)
    return [point for point in points if _value(point, name) >= best - delta]


def _point(
    evaluation: Evaluation, timed: Rows, rows: CountingRows, artifact: str, budget: float | None, cost: Cost
) -> FrontPoint:
    """Cost and size from the device, AUCs from the run that counts."""
    here, clean = timed.clean(artifact), rows.clean(artifact)
    worst = None if budget is None else rows.worst(artifact, budget)
    # A worst case of fewer attacks than the study asked of this machine is not comparable to a whole one.
    whole = worst is not None and not _short(rows, artifact, budget)
    counted = None if worst is None else evaluation.counted.get((str(worst.device), artifact, budget or 0.0))
    values = None if worst is None or not whole else evaluation.counted_values(worst)
    attacked = None if values is None else known(float(values[0]))
    fuller = evaluation.fuller.get(timed.device)
    if attacked is not None and fuller is not None and artifact in fuller.apart:
        # What few attacks on the device did not find, more of them found on another.
        there = evaluation.counted.get((fuller.device, artifact, budget or 0.0))
        attacked = attacked if there is None else min(attacked, float(there.values[0]))
    return FrontPoint(
        artifact=artifact,
        cost=None if here is None else getattr(here, cost),
        size_bytes=None if here is None else here.size_bytes,
        auc_clean=None if clean is None else clean.auc,
        auc_attacked=attacked,
        on_front=False,
        auc_measured=worst.auc if worst is not None and whole else None,
        through=None if counted is None else counted.through,
        held_to=None if counted is None else counted.held_to,
        losses=None if clean is None else evaluation.losses.get((str(clean.device), artifact)),
        auc_device=None if clean is None else clean.device,
        recordings=None if clean is None else clean.n,
        auc_proved=None if worst is None or evaluation.proofs.lost(timed.device, artifact) else worst.proved_auc,
    )


def _held(points: list[FrontPoint]) -> list[FrontPoint]:
    """The points, those that nothing of their model's own was held against counting at most what the best file keeps
    that was attacked by gradient: that nobody could attack a model must not make it the best."""
    shown = [point.auc_attacked for point in points if point.through != "others" and point.auc_attacked is not None]
    if not shown:
        return points
    return [
        replace(point, auc_attacked=min(point.auc_attacked, max(shown)))
        if point.through == "others" and point.auc_attacked is not None
        else point
        for point in points
    ]


def _short(rows: CountingRows, artifact: str, budget: float | None) -> bool:
    """True when another file of the same model had its worst case from more attacks on the same device."""
    model, own = artifact.partition("/")[0], rows.of(artifact)
    counts = {
        name: row.sets or 0
        for name in rows.artifacts
        if name.partition("/")[0] == model and rows.of(name) is own
        if budget is not None and (row := rows.worst(name, budget)) is not None
    }
    return counts.get(artifact, 0) < max(counts.values(), default=0)


def _reason(
    evaluation: Evaluation, points: list[FrontPoint], chosen: FrontPoint, device: str, budget: float | None, cost: Cost
) -> str:
    """A few sentences: what the rule kept, whether files are held to others, and by what the chosen one won."""
    steps = rule_steps(points, evaluation.delta, budget)
    complete, clean, kept, broken = steps.complete, steps.clean, steps.kept, steps.broken
    best = max(clean, key=lambda point: point.auc_clean or 0.0)
    said = f"Of {len(complete)} files measured on {device}, {len(clean)} have a clean AUC within {evaluation.delta:g} "
    said += f"of the best ({auc_text(best.auc_clean)}, {best.artifact})"
    if budget is not None and broken:
        said += f"; none of these has a worst-case AUC above chance at {budget_text(budget)}, so it decides nothing"
    elif budget is not None:
        of_these = "all of these" if len(kept) == len(clean) else f"{len(kept)} of these"
        said += f"; {of_these} have a worst-case AUC at {budget_text(budget)} within {evaluation.delta:g} of their best"
    if not broken and any(point.held_to is not None for point in clean):
        said += ". Files that were not attacked through their own graph count at most what their float parent keeps"
    least, price = "fastest", f"{milliseconds(chosen.cost)} ms at the median"
    if cost == "instructions":
        least, price = "one of the fewest instructions", f"{(chosen.cost or 0) / 1e6:.3g} million"
    return f"{said}. {chosen.artifact} is the {least} of those: {price}, {size_text(chosen.size_bytes)}."
