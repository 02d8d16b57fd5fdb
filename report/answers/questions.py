"""The questions of a study, answered in words: which file to ship, the cure, quantization, transfer, deep against
classical, doubt.

In comes an :class:`~report.numbers.evaluation.Evaluation`; out come :class:`~report.answers.types.Answers`. A sentence
that claims a difference, or that there is none, is written only for comparisons whose verdict says so after correction
for all comparisons of its kind (:mod:`report.numbers.compare`); what is undecided is counted, never described. A
question on which nothing is decided has no sentence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pulseproof.report.answers.classes import weakest_class
from pulseproof.report.answers.cure import cures
from pulseproof.report.answers.doubt import doubts
from pulseproof.report.answers.front import recommend
from pulseproof.report.answers.proved import proof_sentences
from pulseproof.report.answers.types import Answers, Comparison, FrontPoint, Question, Recommendation, Sentence
from pulseproof.report.answers.words import (
    CARD,
    NAMED,
    auc_words,
    conjunction,
    interval_of,
    is_attacked,
    it,
    listed,
    tested,
    undecided,
)
from pulseproof.report.numbers.attacked_through import QUERIES
from pulseproof.report.numbers.compare import CountingRows, Rows, comparisons, models_of, with_recommended
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.loss_budgets import CHANCE, LOST
from pulseproof.report.numbers.pivot import fullest_budget
from pulseproof.report.numbers.rows import Row
from pulseproof.report.numbers.texts import budget_text, difference_text

TITLES = {
    "ship": "Which file should I ship?",
    "cure": "What can I do about it?",
    "quantization": "Does quantization change accuracy or robustness?",
    "transfer": "Do attacks transfer, from what to what?",
    "classical": "Deep networks against classical models",
    "doubt": "Which numbers not to believe, and why?",
}


def answers(evaluation: Evaluation) -> Answers:
    """All answers. Attacked is the worst case at the budget at which most attacks were made: with fewer attacks tried,
    a worst case is a weaker claim."""
    budget = fullest_budget(evaluation.rows)
    recommended = recommend(evaluation, budget)
    found = comparisons(evaluation, budget)
    against = (
        [] if recommended is None else with_recommended(evaluation, recommended.device, recommended.artifact, budget)
    )

    def of(kind: str) -> list[Comparison]:
        return [each for each in found if each.kind == kind]

    sentences = {
        "ship": [] if recommended is None else _ship(evaluation, recommended, against, of("attacked-minus-clean")),
        "cure": cures(evaluation, recommended, budget, found),
        "quantization": _quantization(evaluation, of("quantized-minus-float"), budget),
        "transfer": _transfer(evaluation, of("attack-minus-control"), budget),
        "classical": _classical(evaluation, of("deep-minus-classical"), budget),
        "doubt": doubts(evaluation, [*found, *against], recommended),
    }
    questions = tuple(Question(name, TITLES[name], tuple(told)) for name, told in sentences.items())  # type: ignore[arg-type]
    return Answers(recommended, questions, (*found, *against))


def _ship(
    evaluation: Evaluation, chosen: Recommendation, against: Sequence[Comparison], losses: Sequence[Comparison]
) -> list[Sentence]:
    """The recommendation; what attacks take off it, and whether they break it; what of the other files is surely
    different."""
    rows = CountingRows(evaluation, chosen.device)
    point = next(each for each in chosen.front if each.artifact == chosen.artifact)
    evidence = f"clean {auc_words(rows.clean(chosen.artifact))}"
    worst = None if chosen.budget_mv is None else rows.worst(chosen.artifact, chosen.budget_mv)
    if worst is not None:
        evidence += f"; worst case of {worst.sets} attacks at {budget_text(worst.budget_mv or 0)} {auc_words(worst)}"
    device = next(each for each in evaluation.devices if each.name == chosen.device)
    front = sum(each.on_front for each in chosen.front)
    evidence += f"; {chosen.judged_on}; {device.evidence}; {front} of {len(chosen.front)} files are "
    evidence += "on the front: none is as good as they in cost, size, clean and attacked AUC at once"
    said = [Sentence(f"Ship {point.artifact}. {chosen.reason}", evidence), *_withstands(point)]
    if evaluation.proofs.lost(chosen.device, chosen.artifact) is None:
        said += proof_sentences(evaluation, rows.of(chosen.artifact).device, chosen.artifact)
    said += weakest_class(rows.clean(chosen.artifact), worst)
    if chosen.doubts:
        words = conjunction(each.word for each in chosen.doubts)
        said.append(Sentence(f"{CARD}: {words}.", " ".join(each.sentence for each in chosen.doubts)))
    lost = next((each for each in losses if each.a == chosen.artifact and each.device == rows.of(each.a).device), None)
    if lost is not None and lost.verdict != "undecided" and chosen.budget_mv is not None:
        change = difference_text(interval_of(lost))
        text = f"The worst case at {budget_text(chosen.budget_mv)} changes its AUC by {change}."
        said.append(Sentence(text, tested(losses)))
    if worst is not None and _is_broken(worst):
        where = budget_text(worst.budget_mv or 0)
        text = f"It does not withstand {where}: attacks of this size make its ranking worse than chance."
        every = [rows.worst(each.artifact, chosen.budget_mv or 0) for each in chosen.front]
        if all(each is not None and _is_broken(each) for each in every):
            text += f" Nor does any other of the {len(every)} files."
        said.append(Sentence(text, f"worst case {auc_words(worst)}"))
    said += _flagged(evaluation, rows.of(chosen.artifact).device, [chosen.artifact], chosen.budget_mv)
    # Of files below chance none withstands anything.
    above = {each.artifact for each in chosen.front if (each.auc_attacked or 0.0) >= CHANCE}
    for attacked, verb in ((False, "has a higher clean AUC than it"), (True, "withstands attacks better than it")):
        better = [each for each in against if is_attacked(each) == attacked and each.verdict == "better"]
        better = [each for each in better if not attacked or each.a.partition(" ")[0] in above]
        if better:
            best = max(better, key=lambda each: each.estimate)
            others = f" (and {len(better) - 1} more)" if len(better) > 1 else ""
            told = _elsewhere(best, against)
            text = f"{best.a}{others} {verb}, by {difference_text(interval_of(best))}{told}."
            said.append(Sentence(text, tested(against)))
            if attacked:
                said += _unfollowed(evaluation, [best.a.partition("/")[0]])
    return said


def _withstands(point: FrontPoint) -> list[Sentence]:
    """The two numbers of how much the file withstands, those of them that there are."""
    if point.losses is None:
        return []
    lost, chance = point.losses.lost, point.losses.chance
    found = [(f"loses {LOST:g} of AUC", lost), (f"crosses {CHANCE:g}", chance)]
    told = [f"{verb} {number.sentence}" for verb, number in found if number.estimate is not None]
    if not told:
        return [Sentence(f"At which budget it loses AUC is not said: {lost.reason}.", "clean AUC and worst cases")]
    return [
        Sentence(
            f"It {conjunction(told)}.",
            "worst case over all attacks at each budget, interpolated on the log axis; 95 % intervals over patients",
        )
    ]


def _is_broken(worst: Row) -> bool:
    return worst.auc_high is not None and worst.auc_high < 0.5


def _elsewhere(best: Comparison, against: Sequence[Comparison]) -> str:
    """What a file that is better in one respect does in the other, where that is decided."""
    other = next((each for each in against if each.a == best.a and each.signals != best.signals), None)
    if other is None or other.verdict != "worse":
        return ""
    return f"; {best.a} loses {difference_text(interval_of(other))} {'under attack' if is_attacked(other) else 'clean'}"


def _quantization(evaluation: Evaluation, found: Sequence[Comparison], budget: float | None) -> list[Sentence]:
    said = []
    for attacked in (False, True):
        some = [each for each in found if is_attacked(each) == attacked]
        where = f"In the worst case at {budget_text(budget or 0)}" if attacked else "On clean recordings"
        parts = []
        same = [each for each in some if each.verdict == "no-difference"]
        if same:
            parts.append(
                f"{len(same)} of {len(some)} quantized files have no difference of AUC as large as "
                f"{evaluation.delta:g} from their float file"
            )
        for verdict in ("worse", "better"):
            apart = [each for each in some if each.verdict == verdict]
            if apart:
                parts.append(f"{verdict} than their float file {'is' if len(apart) == 1 else 'are'} {listed(apart)}")
        if parts:
            said.append(Sentence(f"{where}, {'; '.join(parts)}{undecided(some)}.", tested(found)))
        if attacked and some:
            if parts:
                said += _through_its_parent(evaluation, some, budget)
            named = [each.a for each in some if each.verdict == "better"]
            said += _flagged(evaluation, some[0].device, named, budget)
    return said


def _through_its_parent(evaluation: Evaluation, some: Sequence[Comparison], budget: float | None) -> list[Sentence]:
    """Which quantized files no attack followed through their own graph: what looks like robustness may be a weaker
    attack. Those that look better than their float file come first."""
    met = {
        f"{row.model}/{row.recipe}"
        for row in evaluation.rows
        if row.device == some[0].device
        and row.budget_mv == budget
        and row.method not in QUERIES
        and row.source == f"{row.model}/{row.recipe}"
    }
    left = [each.a for each in sorted(some, key=lambda each: each.verdict != "better") if each.a not in met]
    if not left:
        return []
    named = conjunction([*left[:NAMED], *([f"{len(left) - NAMED} more"] if len(left) > NAMED else [])])
    text = (
        f"{len(left)} of {len(some)} were not attacked through their own graph, only through their float file, other "
        f"models or queries: the worst case of {named} may be lower."
    )
    return [Sentence(text, "the methods and sources of the signal sets")]


def _flagged(evaluation: Evaluation, device: str, artifacts: Sequence[str], budget: float | None) -> list[Sentence]:
    """Which of the artifacts look robust only as far as attacks are believed that are flagged."""
    if budget is None:
        return []
    rows = Rows(evaluation, device)
    flags = {name: row.flags for name in artifacts if (row := rows.worst(name, budget)) is not None and row.flags}
    if not flags:
        return []
    text = f"The attacked AUC of {conjunction(flags)} may be too high: the attacks on {it(flags)} are flagged."
    return [Sentence(text, "; ".join(f"{name}: {flag}" for name, flag in flags.items()))]


def _transfer(evaluation: Evaluation, found: Sequence[Comparison], budget: float | None) -> list[Sentence]:
    """A sentence a source: the models on which its attack does more than noise of the same size, and where it surely
    does not."""
    made_on = {each.name: str(each.source) for each in evaluation.head.signals}
    sources: dict[str, list[Comparison]] = {}
    for each in found:
        sources.setdefault(made_on[each.signals.partition(" minus ")[0]], []).append(each)
    said = []
    for source, some in sources.items():
        parts = []
        hurt = sorted((each for each in some if each.verdict == "worse"), key=lambda each: each.estimate)
        if hurt:
            parts.append(f"transfer to {listed(hurt, models=True)}, beyond random signs of the same size")
        spared = [each for each in some if each.verdict == "no-difference"]
        if spared:
            names = conjunction(each.a.partition("/")[0] for each in spared)
            parts.append(f"harm {names} by less than {evaluation.delta:g} more than random signs do")
        if parts:
            text = (
                f"PGD attacks made on {source} at {budget_text(budget or 0)} {'; they '.join(parts)}{undecided(some)}."
            )
            said.append(Sentence(text, f"{tested(found)}; against one draw of random signs"))
    return said


def _classical(evaluation: Evaluation, found: Sequence[Comparison], budget: float | None) -> list[Sentence]:
    said = []
    for attacked in (False, True):
        some = [each for each in found if is_attacked(each) == attacked]
        where = f"in the worst case at {budget_text(budget or 0)}" if attacked else "on clean recordings"
        told = False
        for deep in dict.fromkeys(each.a for each in some):
            own = [each for each in some if each.a == deep]
            parts = []
            for verdict, words in (
                ("better", "has a higher AUC than"),
                ("worse", "has a lower AUC than"),
                ("no-difference", f"differs by less than {evaluation.delta:g} from"),
            ):
                apart = [each for each in own if each.verdict == verdict]
                if apart:
                    parts.append(f"{words} {listed(apart, models=True, second=True)}")
            if parts:
                model = deep.partition("/")[0]
                said.append(Sentence(f"{model} {where} {'; it '.join(parts)}{undecided(own)}.", tested(found)))
                told = True
        if attacked and told:
            said += _unfollowed(evaluation, models_of(evaluation, "classical"))
            higher = [
                each.b if each.verdict == "worse" else each.a for each in some if each.verdict in ("better", "worse")
            ]
            said += _flagged(evaluation, some[0].device, list(dict.fromkeys(higher)), budget)
    return said


def _unfollowed(evaluation: Evaluation, asked: Iterable[str]) -> list[Sentence]:
    """Which of the models no attack followed by their gradient: their worst case is not known to be the worst."""
    met = {
        str(each.source).partition("/")[0]
        for each in evaluation.head.signals
        if each.source and each.method not in QUERIES
    }
    models = {each.model for each in evaluation.head.artifacts}
    names = [name for name in asked if name in models and name not in met]
    if not names:
        return []
    was = "was" if len(names) == 1 else "were"
    text = f"{conjunction(names)} {was} attacked by transfer and queries only, without a gradient: the worst case may "
    text += "be lower."
    return [Sentence(text, "the methods and sources of the signal sets")]
