"""What can be done about attacks: the defended file to ship, what it costs, what it withstands, what did not help.

In comes an :class:`~report.numbers.evaluation.Evaluation` whose bundle says which models were trained with a defence,
and of which net without one each is the other; out come sentences. Nothing is called a defence that no gradient
followed through the file itself; that no attack without gradients was made on it, or no audit, is said. What a defence
costs in clean AUC is a paired difference over patients and stands there whichever way it falls. Further seeds of a
model (:mod:`core.studies.seeds`) are never the file to ship: they say whether trainings differ less than what is
compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pulseproof.bench.wire.schema import ArtifactEntry
from pulseproof.core.recipes import recipe_of
from pulseproof.report.answers.front import choose
from pulseproof.report.answers.seeds import spread
from pulseproof.report.answers.types import Comparison, FrontPoint, Recommendation, Sentence
from pulseproof.report.answers.words import auc_words, conjunction, interval_of, is_attacked, it, tested
from pulseproof.report.numbers.attacked_through import QUERIES
from pulseproof.report.numbers.compare import CountingRows, Rows
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.texts import auc_text, budget_text, difference_text, milliseconds, size_text

HARDEN = "pulseproof harden"


def cures(
    evaluation: Evaluation, chosen: Recommendation | None, budget: float | None, found: Sequence[Comparison]
) -> list[Sentence]:
    """The sentences; ``found`` are all comparisons. None without attacks, or where attacks surely cost nothing."""
    if chosen is None or budget is None:
        return []
    defended = {each.model: each for each in evaluation.head.artifacts if each.defence and not each.seed_of}
    if not defended:
        return _none_yet(chosen, budget, found)
    rows, against = (
        CountingRows(evaluation, chosen.device),
        [each for each in found if each.kind == "defended-minus-plain"],
    )
    points = {point.artifact: point for point in chosen.front}
    through = {name: point for name, point in points.items() if _model(name) in defended and point.through == "itself"}
    shown = _helping(against, through, defended)
    said: list[Sentence] = []
    best = _best([points[name] for name in shown], evaluation.delta)
    if best is not None:
        said += _to_ship(evaluation, rows, best, defended[_model(best.artifact)], against, budget, chosen)
        said += _price(evaluation, chosen, best.artifact, against)
        said += _withstands(evaluation, rows, best.artifact, budget)
        said += _kept_by_int8(evaluation, defended, found)
        said += _how_attacked(evaluation, rows, best.artifact, budget)
    said += _no_help(defended, shown, through, against, budget)
    said += _not_attacked(defended, through)
    return said + spread(evaluation, rows, budget)


def _model(artifact: str) -> str:
    return artifact.partition("/")[0]


def _none_yet(chosen: Recommendation, budget: float, found: Sequence[Comparison]) -> list[Sentence]:
    """How a defended model is had, where attacks surely take something off the recommended file."""
    losses = [each for each in found if each.kind == "attacked-minus-clean"]
    lost = next((each for each in losses if each.a == chosen.artifact and each.verdict == "worse"), None)
    if lost is None:
        return []
    text = (
        "No model here was trained against attacks. A net that the study trains can be: "
        f"{HARDEN} --study STUDY --model NAME --budget {budget:g} adds it to the study and runs it. A file that came "
        "trained can not: train its net so, and bring the file again."
    )
    return [Sentence(text, f"attacks of {budget_text(budget)} change the AUC by {difference_text(interval_of(lost))}")]


def _helping(
    against: Sequence[Comparison], through: dict[str, FrontPoint], defended: dict[str, ArtifactEntry]
) -> list[str]:
    """The files that were attacked through themselves and surely withstand more than the plain file of their recipe;
    all of a model that has no plain one."""
    better = {each.a for each in against if is_attacked(each) and each.verdict == "better"}
    return [
        name
        for name in through
        if name in better or (entry := defended[_model(name)].defence) is None or not entry.plain
    ]


def _best(points: list[FrontPoint], delta: float) -> FrontPoint | None:
    """What withstands most comes first, for that is what is asked; then the rule of the recommendation."""
    complete = [
        point for point in points if point.cost is not None and point.size_bytes and point.auc_clean is not None
    ]
    most = max((point.auc_attacked or 0.0 for point in complete), default=0.0)
    return choose([point for point in complete if (point.auc_attacked or 0.0) >= most - delta], delta)


def _to_ship(
    evaluation: Evaluation,
    rows: CountingRows,
    best: FrontPoint,
    entry: ArtifactEntry,
    against: Sequence[Comparison],
    budget: float,
    chosen: Recommendation,
) -> list[Sentence]:
    """Which defended file, and by how much it withstands more than the plain one."""
    assert entry.defence is not None
    verb = "The recommended file is defended" if best.artifact == chosen.artifact else f"Ship {best.artifact}"
    text = f"{verb}: its model was trained so ({entry.defence.kind}, {budget_text(entry.defence.budget_mv)})"
    gain = next((each for each in against if each.a == best.artifact and is_attacked(each)), None)
    worst = rows.worst(best.artifact, budget)
    evidence = f"worst case of {worst.sets if worst else 0} attacks at {budget_text(budget)} {auc_words(worst)}"
    if gain is not None:
        text += (
            f". In the worst case at {budget_text(budget)} its AUC is {auc_text(worst.auc if worst else None)}, "
            f"{difference_text(interval_of(gain))} of {gain.b}'s {auc_text(_auc(rows.worst(gain.b, budget)))}"
        )
        evidence += f"; {tested(against)}"
    return [Sentence(f"{text}.", evidence)]


def _auc(row: Any) -> float | None:
    return None if row is None else row.auc


def _price(
    evaluation: Evaluation, chosen: Recommendation, artifact: str, against: Sequence[Comparison]
) -> list[Sentence]:
    """What it costs in clean AUC, time, bytes and training, beside the plain file of the same recipe."""
    clean = next((each for each in against if each.a == artifact and not is_attacked(each)), None)
    if clean is None:
        return []
    words = {
        "worse": "It costs clean AUC",
        "better": "Its clean AUC is higher",
        "no-difference": "It costs no clean AUC",
    }
    said = words.get(clean.verdict, "What it costs in clean AUC is not decided")
    said += f": {difference_text(interval_of(clean))}"
    timed = Rows(evaluation, chosen.device)
    own, plain = timed.clean(artifact), timed.clean(clean.b)
    if own is not None and plain is not None and own.size_bytes and plain.size_bytes:
        pair = [size_text(own.size_bytes), size_text(plain.size_bytes)]
        said += f"; {pair[0]}" + (", as before" if pair[0] == pair[1] else f" instead of {pair[1]}")
        if own.latency_p50_ms and plain.latency_p50_ms:
            said += (
                f"; {milliseconds(own.latency_p50_ms)} ms an inference instead of {milliseconds(plain.latency_p50_ms)}"
            )
    entries = {each.name: each.training for each in evaluation.head.artifacts}
    trained, before = entries.get(artifact), entries.get(clean.b)
    if trained and before and before.processor_seconds:
        ratio = trained.processor_seconds / before.processor_seconds
        said += (
            f"; its training took {ratio:.1f} times as much ({trained.processor_seconds:,.0f} s of processors in "
            f"{trained.epochs} epochs, {before.processor_seconds:,.0f} s in {before.epochs})"
        )
    return [Sentence(f"{said}.", f"beside {clean.b}; {tested(against)}")]


def _withstands(evaluation: Evaluation, rows: CountingRows, artifact: str, budget: float) -> list[Sentence]:
    """Its worst case at every budget, and what is proved there."""
    here = rows.of(artifact)
    worst = [row for (name, _), row in here.by_key.items() if name == artifact and row.method == "worst-case"]
    worst = sorted((row for row in worst if row.budget_mv), key=lambda row: row.budget_mv or 0)
    if not worst:
        return []
    told = [f"{auc_text(row.auc)} at {budget_text(row.budget_mv or 0)}" for row in worst]
    said = [Sentence(f"By attack its AUC is {conjunction(told)}.", "worst case over all attacks at each budget")]
    proofs = getattr(evaluation, "proofs", None)  # of an evaluation that reads what `pulseproof certify` proved
    proved = {} if proofs is None else proofs.of(here.device, artifact)
    if proved:
        told = [f"{auc_text(proof.auc)} at {budget_text(at)}" for at, proof in proved.items()]
        text = f"By proof it is at least {conjunction(told)}, whatever is done to the signal."
        said.append(Sentence(text, "bounds of every score of this very file (pulseproof certify)"))
    return said


def _kept_by_int8(
    evaluation: Evaluation, defended: dict[str, ArtifactEntry], found: Sequence[Comparison]
) -> list[Sentence]:
    """Whether the static int8 files keep the defence of their float file."""
    family = [each for each in found if each.kind == "quantized-minus-float"]
    some = [
        each
        for each in family
        if _model(each.a) in defended and is_attacked(each) and recipe_of(each.a.partition("/")[2]).calibrated
    ]
    if not some:
        return []
    parts = []
    for verdict, words in (
        ("no-difference", f"the defence of the float file is kept within {evaluation.delta:g} by"),
        ("better", "more than the float file is withstood by"),
        ("worse", "some of it is lost by"),
        ("undecided", "not decided are"),
    ):
        named = [f"{each.a} ({difference_text(interval_of(each))})" for each in some if each.verdict == verdict]
        if named:
            parts.append(f"{words} {conjunction(named)}")
    return [Sentence(f"Files in fixed integers, under attack: {'; '.join(parts)}.", tested(family))]


def _how_attacked(evaluation: Evaluation, rows: CountingRows, artifact: str, budget: float) -> list[Sentence]:
    """What would show that its gradients are masked, and whether that was tried."""
    model = _model(artifact)
    worst, said = rows.worst(artifact, budget), []
    asked = [each for each in evaluation.head.signals if (each.source or "").partition("/")[0] == model]
    queried = [each for each in asked if each.method in QUERIES]
    made = sorted({each.method for each in asked if each.budget_mv == budget})
    if not queried:
        text = f"{model} was not attacked without gradients (square): that its gradients mislead is not excluded."
        said.append(Sentence(text, f"made on it at {budget_text(budget)}: {conjunction(made) if made else 'nothing'}"))
    if worst is not None and worst.flags:
        text = f"Its attacked AUC may be too high: the attacks on {artifact} are flagged ({worst.flags})."
        said.append(Sentence(text, "the audit of the attacks"))
    if evaluation.audit is None:
        text = "Its attacks were not audited (restarts, more steps, other objectives): pulseproof audit does."
        said.append(Sentence(text, evaluation.no_audit or "no audit of these signal sets"))
    return said


def _no_help(
    defended: dict[str, ArtifactEntry],
    shown: Sequence[str],
    through: dict[str, FrontPoint],
    against: Sequence[Comparison],
    budget: float,
) -> list[Sentence]:
    """The models none of whose files surely withstands more than the plain one, though attacked through itself."""
    said = []
    for model, entry in defended.items():
        pairs = [each for each in against if _model(each.a) == model and is_attacked(each) and each.a in through]
        if not pairs or any(_model(name) == model for name in shown) or entry.defence is None:
            continue
        first = pairs[0]
        by = f"by {difference_text(interval_of(first))} of AUC in the worst case at {budget_text(budget)}"
        text = f"{model} ({entry.defence.kind}) is no cure: {first.a} differs from {first.b} {by}."
        if first.verdict == "undecided":
            text = f"Whether {model} ({entry.defence.kind}) is a cure is not decided: {first.a} differs from "
            text += f"{first.b} {by}."
        said.append(Sentence(text, tested(against)))
    return said


def _not_attacked(defended: dict[str, ArtifactEntry], through: dict[str, FrontPoint]) -> list[Sentence]:
    """The defended models of which nothing can be said, because no attack went through them."""
    names = [model for model in defended if model not in {_model(name) for name in through}]
    if not names:
        return []
    text = f"{conjunction(names)} {'was' if len(names) == 1 else 'were'} not attacked through {it(names)}self: "
    text = (
        text.replace("themself", "themselves")
        + "nothing is called a defence by what other models' attacks leave of it."
    )
    return [Sentence(text, "the methods and sources of the signal sets")]
