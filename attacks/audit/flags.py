"""Is the attack behind a robustness number worth believing? Plain comparisons of measured rows, each with a name.

In: what every target scored on every signal set (:class:`MeasuredTarget`), and what the audit ran again. Out: a list of
:class:`Flag`, each a sentence about one row. In the spirit of AutoAttack's ``checks.py`` (Croce and Hein 2020),
RobustBench's ``unreliable`` and "Obfuscated gradients give a false sense of security" (Athalye et al. 2018): a flag
does not say that a model is weak or strong, it says that its number must not be believed as it stands.

All but two checks need no new attack, only what was measured: every run makes them
(:mod:`report.numbers.measured_flags`). That an attack was not at its end, and that another objective does more, only a
repeated attack can tell: the audit makes it.

Wherever two AUCs are compared, it is in pairs: both on the same resamples of the patients, and the 95 % interval of
their difference must leave out zero.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from numpy.typing import NDArray

from pulseproof.attacks.aim.saturation import SATURATED, at_the_ends
from pulseproof.attacks.audit.measured import Again, FlagSubject, MeasuredTarget, below

# An attacked AUC has no floor at .5: the attacker turns the order round. Whoever may change everything takes it to 0.
COLLAPSE = 0.1
# The share of recordings without gradient above which a white box cannot be trusted.
WITHOUT_GRADIENT = 0.01
# A method that wants a file and its parent to disagree, not a low AUC: no check compares it.
OTHER_AIM = "disagree"


@dataclass(frozen=True)
class Flag:
    """``name`` of the check, one ``sentence``, and the row whose number is in doubt."""

    name: str
    sentence: str
    row: FlagSubject


def find_flags(
    rows: Sequence[MeasuredTarget],
    again: Sequence[Again] = (),
    twins: Mapping[str, str] | None = None,
    partial: Collection[tuple[str, float]] = (),
) -> list[Flag]:
    """All flags of one audit, check by check.

    ``rows`` in any order; one without an AUC (no class has both labels) is passed over. ``twins``: {file: what is wrong
    with its twin}, the reason of a gate that did not hold. ``partial``: (target, budget) of white boxes that
    were made and not measured here: what can only be said of the strongest of all is not said there.
    """
    defined = [one for one in rows if math.isfinite(one.auc)]
    whole = [one for one in defined if (one.row.target, one.row.budget_mv) not in partial]
    last = {target: max(budget for other, budget in partial if other == target) for target, _ in partial}
    found = [
        *(flag for flag in no_white_box(defined) if flag.row.target not in last),
        *zero_gradient(defined),
        *no_better_than_noise(defined),
        *black_box_stronger(whole),
        *transfer_stronger(whole),
        *not_monotone(defined),
        *(flag for flag in not_at_collapse(whole) if (flag.row.budget_mv or 0.0) > last.get(flag.row.target, -1.0)),
        *unsettled(again),
        *other_objective_stronger(again),
    ]
    return found + [
        Flag(
            "twin-differs", f"the twin of {file} does not compute what the file does: {reason}", FlagSubject(file, file)
        )
        for file, reason in (twins or {}).items()
    ]


def saturated_outputs(scores: Mapping[str, NDArray[Any]], classes: Sequence[str]) -> Iterable[Flag]:
    """The scores of clean recordings are tied at their own extremes: there is no ranking to lose and no gradient to
    follow. ``scores`` (n, classes) by target; targets that answer in levels by design are not handed in."""
    for target, values in scores.items():
        shares = at_the_ends(values)
        worst = int(shares.argmax())
        if shares[worst] > SATURATED:
            sentence = (
                f"the scores of {target} are saturated: {shares[worst]:.0%} of clean recordings have the very same "
                f"extreme score of {classes[worst]}"
            )
            yield Flag("saturated-outputs", sentence, FlagSubject(target))


def no_white_box(rows: Sequence[MeasuredTarget]) -> Iterable[Flag]:
    """Attacked from other models alone: a number that says how well attacks travel, not how robust the target is."""
    for target in _targets(rows):
        attacked = any(one.row.target == target and one.kind != "control" for one in rows)
        if attacked and not _white_boxes(rows, target):
            yield Flag(
                "no-white-box",
                f"{target} was attacked by transfer and queries alone: nothing here knows its own gradient",
                FlagSubject(target),
            )


def zero_gradient(rows: Sequence[MeasuredTarget]) -> Iterable[Flag]:
    """The attack had no direction to go: rounding, saturation or a step in the model hides its gradient. The share is
    that of the clean recordings, the largest that any of its sets knows (fact ``no_gradient``)."""
    shares: dict[str, float] = {}
    for one in rows:
        if one.of_its_own:
            shares[one.row.target] = max(shares.get(one.row.target, 0.0), one.facts.get("no_gradient", 0.0))
    for target, share in shares.items():
        if share > WITHOUT_GRADIENT:
            sentence = f"at {share:.0%} of clean recordings the gradient of {target} is zero or too small to follow"
            yield Flag("zero-gradient", sentence, FlagSubject(target, target))


def no_better_than_noise(rows: Sequence[MeasuredTarget]) -> Iterable[Flag]:
    """An attack that knows the target must beat random signs of the same budget."""
    noise = {(one.row.target, one.row.budget_mv): one for one in rows if one.row.method == "random-sign"}
    for one in rows:
        control = noise.get((one.row.target, one.row.budget_mv))
        if control is not None and one.kind != "control" and one.of_its_own and not below(one, control, matters=0):
            sentence = f"{one.auc:.3f} is not surely below the {control.auc:.3f} of random signs at {_mv(one)}"
            yield Flag("no-better-than-noise", sentence, one.row)


def black_box_stronger(rows: Sequence[MeasuredTarget]) -> Iterable[Flag]:
    """Queries alone reached more than the gradient: the gradient is masked."""
    for white, others in _against_white_box(rows):
        for one in others:
            if one.kind == "queries" and below(one, white):
                sentence = f"{one.row.method} by queries alone reaches {one.auc:.3f}, {_white(white)} {white.auc:.3f}"
                yield Flag("black-box-stronger", f"{sentence} at {_mv(one)}", white.row)


def transfer_stronger(rows: Sequence[MeasuredTarget]) -> Iterable[Flag]:
    """A set made on another model harms the target more than its own white box: the diagonal is not the strongest.

    From a file's float parent it is ``twin-weaker-than-transfer``, the second gate of the twins (:mod:`twins.gate`): a
    parent knows nothing of the file, so where its recordings hurt more, the gradient of the file's twin is masked.
    """
    for white, others in _against_white_box(rows):
        foreign = [one for one in others if one.kind == "gradient" and below(one, white)]
        parent = [one for one in foreign if one.row.source == _parent(one.row.target)]
        for name, some in (("twin-weaker-than-transfer", parent), ("transfer-stronger", _without(foreign, parent))):
            if some:
                one = min(some, key=lambda each: each.auc)
                made = f"{one.row.method} made on {one.row.source} reaches {one.auc:.3f}"
                yield Flag(name, f"{made}, {_white(white)} {white.auc:.3f} at {_mv(white)}", white.row)


def not_monotone(rows: Sequence[MeasuredTarget]) -> Iterable[Flag]:
    """More budget must not help the defender: what was found inside a ball lies inside every larger one."""
    lines: dict[tuple[str, str | None, str | None], list[MeasuredTarget]] = {}
    for one in rows:
        if one.kind != "control" and one.of_its_own:
            lines.setdefault((one.row.target, one.row.source, one.row.method), []).append(one)
    for line in lines.values():
        rising = sorted(line, key=lambda each: each.row.budget_mv or 0.0)
        for low, high in pairwise(rising):
            if below(low, high):
                sentence = f"the AUC rises from {low.auc:.3f} at {_mv(low)} to {high.auc:.3f} at {_mv(high)}"
                yield Flag("not-monotone", sentence, high.row)


def not_at_collapse(rows: Sequence[MeasuredTarget]) -> Iterable[Flag]:
    """At the largest budget nothing of the AUC should be left: then either the budgets end too soon to show where the
    model breaks, or the attack does not work."""
    for target in _targets(rows):
        whites = _white_boxes(rows, target)
        if whites:
            last = min(whites[max(whites)], key=lambda each: each.auc)
            if last.auc > COLLAPSE:
                sentence = f"{last.auc:.3f} is left at {_mv(last)}, the largest budget; collapse is below {COLLAPSE:g}"
                yield Flag("not-at-collapse", sentence, last.row)


def unsettled(again: Sequence[Again]) -> Iterable[Flag]:
    """Twice the effort changed the AUC: the attack had not come to its end."""
    for one in again:
        if not one.objective and (below(one.after, one.before) or below(one.before, one.after)):
            yield Flag("unsettled", f"{one.says}: {one.before.auc:.3f} becomes {one.after.auc:.3f}", one.before.row)


def other_objective_stronger(again: Sequence[Again]) -> Iterable[Flag]:
    """The objective of the study is not the strongest here."""
    for one in again:
        if one.objective and below(one.after, one.before):
            sentence = f"{one.says} reaches {one.after.auc:.3f}, the AUC objective {one.before.auc:.3f}"
            yield Flag("other-objective-stronger", sentence, one.before.row)


def _targets(rows: Sequence[MeasuredTarget]) -> list[str]:
    return list(dict.fromkeys(one.row.target for one in rows))


def _parent(target: str) -> str | None:
    """The float model of a deployed file."""
    model, slash, _ = target.partition("/")
    return model if slash else None


def _white_boxes(rows: Sequence[MeasuredTarget], target: str) -> dict[float, list[MeasuredTarget]]:
    """{budget: the L-infinity rows of a target by its own gradient}; where there is none at a budget that a deployed
    file was attacked with, by that of its float parent. Budgets rising."""
    gradient = [one for one in rows if one.row.target == target and one.kind == "gradient" and one.norm == "linf"]
    found = {}
    for budget in sorted({one.row.budget_mv or 0.0 for one in gradient}):
        there = [one for one in gradient if one.row.budget_mv == budget]
        own = [one for one in there if one.of_its_own]
        own = own or [one for one in there if one.row.source == _parent(target)]
        if own:
            found[budget] = own
    return found


def _against_white_box(rows: Sequence[MeasuredTarget]) -> Iterable[tuple[MeasuredTarget, list[MeasuredTarget]]]:
    """For each target and budget the strongest white box, and all other L-infinity rows there."""
    for target in _targets(rows):
        for budget, whites in _white_boxes(rows, target).items():
            others = [
                one
                for one in rows
                if one.row.target == target and one.row.budget_mv == budget and one.norm == "linf" and one not in whites
            ]
            yield min(whites, key=lambda each: each.auc), others


def _without(some: Sequence[MeasuredTarget], others: Sequence[MeasuredTarget]) -> list[MeasuredTarget]:
    return [one for one in some if not any(one is other for other in others)]


def _white(white: MeasuredTarget) -> str:
    return f"its white box ({white.row.method} on {white.row.source})"


def _mv(one: MeasuredTarget) -> str:
    return f"{one.row.budget_mv:g} mV"
