"""Paired comparisons: every difference of AUC that is claimed, with its interval, p-values and verdict.

In comes an :class:`~report.numbers.evaluation.Evaluation`; out come :class:`~report.answers.types.Comparison` objects.
Two rows are a pair only when they are of the same recordings; both are resampled with the same patients. The p-values
of a kind on a device are corrected together (:func:`core.statistics_verdict.holm`). Attacked means the worst case at
one budget, over all attacks that were tried on that artifact: each file faces what hurts it most, so that an attack
which only fits the float file cannot make a quantized one look robust.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pulseproof.core.recipes import sibling_of
from pulseproof.core.statistics_verdict import holm, paired_test, verdict
from pulseproof.core.study import Kind as SystemKind
from pulseproof.report.answers.types import Comparison, Kind
from pulseproof.report.numbers.evaluation import Evaluation
from pulseproof.report.numbers.resampled import worst_name
from pulseproof.report.numbers.rows import HOST, Row, engine_mark, is_quantized, parent_of

ON_DEVICE = "measured-on-device"
TRANSFERRED = "pgd"  # the method whose transfer from model to model is looked at
CONTROL = "random-sign"  # noise within the same bound


@dataclass(frozen=True)
class Pair:
    """Two rows whose AUCs are subtracted, ``a`` minus ``b``."""

    kind: Kind
    a: Row
    b: Row


class Rows:
    """The rows of one device that have an AUC, by artifact and signal set."""

    def __init__(self, evaluation: Evaluation, device: str) -> None:
        self.device = device
        rows = [row for row in evaluation.rows if row.device == device and row.auc is not None]
        self.by_key = {(row.artifact, str(row.signals)): row for row in rows}
        self.artifacts = list(dict.fromkeys(row.artifact for row in rows))
        self.clean_name = next((each.name for each in evaluation.head.signals if each.method == "clean"), "clean")

    def clean(self, artifact: str) -> Row | None:
        return self.by_key.get((artifact, self.clean_name))

    def worst(self, artifact: str, budget: float) -> Row | None:
        return self.by_key.get((artifact, worst_name(budget)))

    def settings(self, artifact: str, budget: float | None) -> list[Row | None]:
        """Its clean row, and its worst case where there is a budget."""
        return [self.clean(artifact)] + ([] if budget is None else [self.worst(artifact, budget)])


class CountingRows:
    """The rows whose AUCs count for the files of one device: those of a fuller run of another whose scores agree
    (:mod:`report.numbers.fuller_run`), else the device's own."""

    def __init__(self, evaluation: Evaluation, device: str) -> None:
        names = {each.name for each in evaluation.devices} | {device}
        every = {name: Rows(evaluation, name) for name in names}
        self.artifacts = every[device].artifacts
        self._of = {name: every[evaluation.auc_device(device, name)] for name in self.artifacts}
        self._none = Rows(evaluation, "")

    def of(self, artifact: str) -> Rows:
        return self._of.get(artifact, self._none)

    def clean(self, artifact: str) -> Row | None:
        return self.of(artifact).clean(artifact)

    def worst(self, artifact: str, budget: float) -> Row | None:
        return self.of(artifact).worst(artifact, budget)

    def settings(self, artifact: str, budget: float | None) -> list[Row | None]:
        return self.of(artifact).settings(artifact, budget)


def devices_by_weight(evaluation: Evaluation) -> list[str]:
    """The devices whose results weigh most first: measured on a device, then this machine, then the rest; of equal
    evidence the one with more measured rows."""
    order = {ON_DEVICE: 0, HOST: 1}
    counts = {
        each.name: sum(row.device == each.name and row.auc is not None for row in evaluation.rows)
        for each in evaluation.devices
    }
    ranked = sorted(evaluation.devices, key=lambda each: (order.get(each.evidence, 2), -counts[each.name], each.name))
    return [each.name for each in ranked]


def float_files(evaluation: Evaluation, rows: Rows) -> dict[str, str]:
    """The first float file of each model that has a clean row, by model."""
    found: dict[str, str] = {}
    for each in evaluation.head.artifacts:
        if not is_quantized(each.recipe) and rows.clean(each.name) is not None:
            found.setdefault(each.model, each.name)
    return found


def models_of(evaluation: Evaluation, kind: SystemKind) -> list[str]:
    """The models of one kind, in the order of the bundle; without further seeds of one."""
    every = [each for each in evaluation.head.artifacts if each.system_kind == kind and not each.seed_of]
    return list(dict.fromkeys(each.model for each in every))


def comparisons(evaluation: Evaluation, budget: float | None) -> list[Comparison]:
    """All comparisons but those with the recommended file, each kind on the device that weighs most of those that have
    any. ``budget`` in mV, None without attacks."""
    every = [Rows(evaluation, device) for device in devices_by_weight(evaluation)]
    found: list[Comparison] = []
    for kind in (_quantized, _formats, _attacked, _deep, _transfer, _defended):
        pairs = next((pairs for rows in every if (pairs := _counting(evaluation, kind, every, rows, budget))), [])
        found += compared(evaluation, pairs)
    host = next((each.name for each in evaluation.devices if each.evidence == HOST), None)
    for rows in every:
        if host is not None and rows.device != host:
            found += compared(evaluation, list(_on_host(rows, next(each for each in every if each.device == host))))
    return found


Kinds = Callable[[Evaluation, Rows, float | None], Iterator[Pair]]


def _counting(
    evaluation: Evaluation, kind: Kinds, every: Sequence[Rows], rows: Rows, budget: float | None
) -> list[Pair]:
    """The pairs of one kind on one device; those of a fuller run in their place, where that has them and the scores of
    both files agree: a few recordings on a device must not take over the answer."""
    own, fuller = list(kind(evaluation, rows, budget)), evaluation.fuller.get(rows.device)
    if fuller is None or not own:
        return own
    here = set(rows.artifacts) - fuller.agreed  # what another processor scores otherwise, or nobody else ran
    there = next(each for each in every if each.device == fuller.device)
    taken = [each for each in kind(evaluation, there, budget) if not here & {each.a.artifact, each.b.artifact}]
    return taken + [each for each in own if here & {each.a.artifact, each.b.artifact}]


def compared(evaluation: Evaluation, pairs: Sequence[Pair], counted: bool = False) -> list[Comparison]:
    """The comparisons of pairs that are claimed together: Holm's correction is over these. A pair of other recordings,
    or one without an interval, is left out. ``counted``: of what each file counts for, not of what was measured on
    it."""
    tests = []
    for pair in pairs:
        values = evaluation.paired(pair.a, pair.b)
        if counted and values is not None:
            values = evaluation.paired_counted(pair.a, pair.b)
        if values is not None:
            n = min(pair.a.n or 0, pair.b.n or 0)
            test = paired_test(values, evaluation.patients_of[n], evaluation.delta)
            if test.p == test.p:  # not NaN
                tests.append((pair, n, test))
    adjusted = holm([test.p for _, _, test in tests])
    equivalent = holm([test.p_equivalence for _, _, test in tests])
    return [
        Comparison(
            kind=pair.kind,
            device=str(pair.a.device),
            a=_side(pair.a, pair),
            b=_side(pair.b, pair),
            signals=str(pair.a.signals) + (f" minus {pair.b.signals}" if pair.a.signals != pair.b.signals else ""),
            estimate=test.estimate,
            low=test.low,
            high=test.high,
            p=test.p,
            p_adjusted=p,
            verdict=verdict(test, p, p_equivalence, evaluation.delta),
            low90=test.low90,
            high90=test.high90,
            p_equivalence=p_equivalence,
            n=n,
            patients=evaluation.patients_of[n],
        )
        for (pair, n, test), p, p_equivalence in zip(tests, adjusted, equivalent, strict=True)
    ]


def with_recommended(evaluation: Evaluation, device: str, recommended: str, budget: float | None) -> list[Comparison]:
    """Every other artifact of a device against the recommended one, clean and attacked, by the runs that count.

    That one withstands more is claimed of what both count for. A measured difference that is none between those is left
    out: the file that seems to withstand more was not attacked through its own graph. That two count alike because one
    is held to the other shows no equality, so "no difference" is said of what was measured.
    """
    rows = CountingRows(evaluation, device)
    others = [name for name in rows.artifacts if name != recommended]
    sides = [zip(rows.settings(other, budget), rows.settings(recommended, budget), strict=True) for other in others]
    pairs = [Pair("other-minus-recommended", a, b) for each in sides for a, b in each if a and b]
    counts = {_key(each): each for each in compared(evaluation, pairs, counted=True)}
    found = []
    for measured in compared(evaluation, pairs):
        counted = counts.get(_key(measured))
        if counted is not None and counted.verdict in ("better", "worse"):
            found.append(counted)
        elif measured.verdict not in ("better", "worse"):
            found.append(measured)
    return found


def _key(each: Comparison) -> tuple[str, str, str]:
    return each.a, each.b, each.signals


def _side(row: Row, pair: Pair) -> str:
    return row.artifact if pair.a.device == pair.b.device else f"{row.artifact} on {row.device}"


def _both(kind: Kind, rows: Rows, a: str, b: str, budget: float | None) -> Iterator[Pair]:
    """A pair of artifacts, clean and in the worst case."""
    for one, other in zip(rows.settings(a, budget), rows.settings(b, budget), strict=True):
        if one is not None and other is not None:
            yield Pair(kind, one, other)


def _quantized(evaluation: Evaluation, rows: Rows, budget: float | None) -> Iterator[Pair]:
    """Each quantized file and its float parent. A file whose scores on this device are not its own, because the engine
    saturates there, is left out: its difference would be taken for what quantization costs."""
    for each in evaluation.head.artifacts:
        clean = rows.clean(each.name)
        if is_quantized(each.recipe) and not (clean is not None and engine_mark(clean)):
            yield from _both("quantized-minus-float", rows, each.name, parent_of(each), budget)


def _formats(evaluation: Evaluation, rows: Rows, budget: float | None) -> Iterator[Pair]:
    """The TFLite and the ONNX file of the same model and recipe."""
    for each in evaluation.head.artifacts:
        if each.format == "tflite":
            sibling = f"{each.model}/{sibling_of(each.recipe, 'onnx')}"
            yield from _both("tflite-minus-onnx", rows, each.name, sibling, budget)


def _attacked(evaluation: Evaluation, rows: Rows, budget: float | None) -> Iterator[Pair]:
    for artifact in rows.artifacts if budget is not None else ():
        clean, worst = rows.settings(artifact, budget)
        if clean is not None and worst is not None:
            yield Pair("attacked-minus-clean", worst, clean)


def _deep(evaluation: Evaluation, rows: Rows, budget: float | None) -> Iterator[Pair]:
    files = float_files(evaluation, rows)
    for deep in models_of(evaluation, "deep"):
        for classical in models_of(evaluation, "classical"):
            if deep in files and classical in files:
                yield from _both("deep-minus-classical", rows, files[deep], files[classical], budget)


def _transfer(evaluation: Evaluation, rows: Rows, budget: float | None) -> Iterator[Pair]:
    """On each model's float file: the attack made on another model, against noise within the same bound."""
    files = float_files(evaluation, rows)
    sets = [each for each in evaluation.head.signals if each.budget_mv == budget]
    control = next((each.name for each in sets if each.method == CONTROL), None)
    for each in sets:
        for target, artifact in files.items():
            attacked, noise = rows.by_key.get((artifact, each.name)), rows.by_key.get((artifact, str(control)))
            if each.method == TRANSFERRED and each.source in files and each.source != target and attacked and noise:
                yield Pair("attack-minus-control", attacked, noise)


def _defended(evaluation: Evaluation, rows: Rows, budget: float | None) -> Iterator[Pair]:
    """The file of a defended model and that of the same net without the defence, of one recipe."""
    for each in evaluation.head.artifacts:
        if each.defence is not None and each.defence.plain and not each.seed_of:
            yield from _both("defended-minus-plain", rows, each.name, f"{each.defence.plain}/{each.recipe}", budget)


def _on_host(rows: Rows, host: Rows) -> Iterator[Pair]:
    """The same file on another processor: clean, and under the attacks made on its own model."""
    for (artifact, signals), row in rows.by_key.items():
        here = host.by_key.get((artifact, signals))
        if here is not None and (row.method == "clean" or row.source == row.model):
            yield Pair("device-minus-host", row, here)
