"""Rows: one frozen row an (artifact, signal set, device), the contract of every table, picture and file.

In come the results of a device (:mod:`bench.wire.results`), their AUCs on all resamples
(:mod:`report.numbers.resampled`), the counts of each class (:mod:`report.numbers.classes`) and the flags of the attacks
(:mod:`report.numbers.flagged`); out come the rows of one artifact, with intervals and with what was not used and why.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, ConfigDict

from pulseproof.bench.wire.results import DeviceResults
from pulseproof.bench.wire.schema import ArtifactEntry, BundleHead, Result, SignalEntry, TaskEntry, within
from pulseproof.core.recipes import FLOAT, recipe_of
from pulseproof.core.statistics import percentiles
from pulseproof.report.numbers.classes import ClassCount, ClassValue, class_values, weakest
from pulseproof.report.numbers.flagged import Flags, concerns
from pulseproof.report.numbers.metrics import decisions, flipped, rules_of
from pulseproof.report.numbers.resampled import WORST, Kept, attacks_at, worst_name
from pulseproof.report.numbers.score_difference import ScoreDifference
from pulseproof.runtime.exact import DIFFERS, SATURATES

HOST = "measured-on-host"
ENGINE_MARKS = (SATURATES, DIFFERS)


class Row(BaseModel):
    """One line of ``results.json``; the keys and their order are the contract. None where nothing was measured.

    ``auc_low`` and ``auc_high`` are the 95 % interval, ``size_bytes`` of the artifact's file, ``not_applicable`` the
    reason when there is no file, or ``failed: reason`` when the device could not run it. ``note`` is what must be said
    wherever the numbers appear: SYNTHETIC, a subset, what is odd about the artifact.

    ``signals`` is the signal set; what follows describes it: ``linf_mv`` the largest change of all recordings; means
    over recordings of ``l2_mv``, ``rms_mv``, ``snr_db``, of ``sigma`` (the budget in standard deviations of the
    training signals), of ``outside_band`` (share of the change's energy outside 0.5 to 40 Hz), of
    ``second_difference`` and of ``queries``; ``attack_precision`` is what the steps of a gradient attack were taken in
    (``float32`` or ``bfloat16``; None for what takes none). ``input_step_uv``: to which the file rounds the signal, in
    microvolts.
    ``disagreement``: the share of recordings on which a quantized file decides otherwise than its float parent.
    The row of method ``worst-case`` takes for each recording the attack that hurts most, of ``sets`` attacks.
    ``flags`` are those that concern this attack, of the checks that every run makes and of the audit, parted by commas;
    ``unreliable`` is True with any, False without one, and None without one where the audit's repeated attacks were not
    made. ``marks`` say why a number is not what it seems: ``noisy``,
    ``throttled`` of the latencies (:func:`latency_marks`), ``engine-saturates`` and ``engine-differs`` of the scores:
    on this device's processor, which has ``processor_features``, the engine is ``engine_difference`` steps of the
    scores off the file's exact arithmetic, and that is no cost of quantization. ``instructions`` is the median count of
    one inference, from an emulator; ``score_difference`` the largest absolute difference of any score from this
    machine's, on the recordings that both ran: one that is larger than arithmetic explains is said in the note.

    ``accuracy`` and all from there to ``flipped`` are of decisions (:class:`report.numbers.metrics.Metrics`), by
    thresholds from validation recordings; ``auc_lost`` is the clean AUC of the same artifact and device less ``auc``.

    ``classes``: over how many classes ``auc``, ``f1`` and the other means over classes are; ``undefined``: which
    classes they leave out and which numbers are empty, each with its reason. ``weakest_class`` has the lowest AUC of
    ``class_aucs``, ``weakest_auc``.

    Worst cases and clean rows say what they count for (:mod:`report.numbers.attacked_through`). ``attacked_through``:
    ``itself``, ``parent``, ``sibling``, ``others`` (a clean row: the weakest over its budgets). ``auc_counted``: the
    worst case, where the file's own graph was not attacked at most that of its float parent. ``loss_budget_mv``: the
    budget at which .05 of AUC is lost, ``chance_budget_mv``: at which .5 is crossed, null for an inequality;
    ``loss_budget`` and ``chance_budget`` tell each in words: its interval, an inequality, why there is none.

    Worst cases have the other side of the bracket too (:mod:`report.numbers.proofs`). ``proved_auc``: what no
    disturbance within the budget brings lower, with its interval; ``proof_gap``: ``auc`` less that, in which the truth
    lies; ``proved_decided``: the share of recordings none of whose decisions can be changed; ``proved_sensitivity``,
    ``proved_specificity`` at the thresholds of validation recordings. ``proof``, also of clean rows: ``proved``, or why
    nothing is; None where nothing was certified.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    device: str | None = None
    evidence: str | None = None
    model: str
    recipe: str
    source: str | None = None
    method: str | None = None
    budget_mv: float | None = None
    n: int | None = None
    auc: float | None = None
    auc_low: float | None = None
    auc_high: float | None = None
    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None
    load_ms: float | None = None
    peak_rss_mb: float | None = None
    size_bytes: int | None = None
    runtime: str | None = None
    not_applicable: str | None = None
    note: str | None = None
    signals: str | None = None
    linf_mv: float | None = None
    l2_mv: float | None = None
    rms_mv: float | None = None
    snr_db: float | None = None
    sigma: float | None = None
    outside_band: float | None = None
    second_difference: float | None = None
    queries: float | None = None
    input_step_uv: float | None = None
    disagreement: float | None = None
    sets: int | None = None
    unreliable: bool | None = None
    flags: str | None = None
    instructions: float | None = None
    score_difference: float | None = None
    marks: str | None = None
    accuracy: float | None = None
    label_accuracy: float | None = None
    f1: float | None = None
    precision: float | None = None
    recall: float | None = None
    specificity: float | None = None
    sensitivity_90: float | None = None
    sensitivity_95: float | None = None
    calibration_error: float | None = None
    flipped: float | None = None
    auc_lost: float | None = None
    engine_difference: float | None = None
    processor_features: str | None = None
    attack_precision: str | None = None
    classes: int | None = None
    weakest_class: str | None = None
    weakest_auc: float | None = None
    undefined: str | None = None
    class_aucs: dict[str, ClassValue] | None = None
    attacked_through: str | None = None
    auc_counted: float | None = None
    auc_counted_low: float | None = None
    auc_counted_high: float | None = None
    loss_budget_mv: float | None = None
    loss_budget_low_mv: float | None = None
    loss_budget_high_mv: float | None = None
    loss_budget: str | None = None
    chance_budget_mv: float | None = None
    chance_budget_low_mv: float | None = None
    chance_budget_high_mv: float | None = None
    chance_budget: str | None = None
    proof: str | None = None
    proved_auc: float | None = None
    proved_auc_low: float | None = None
    proved_auc_high: float | None = None
    proof_gap: float | None = None
    proved_decided: float | None = None
    proved_sensitivity: float | None = None
    proved_specificity: float | None = None

    @property
    def artifact(self) -> str:
        return f"{self.model}/{self.recipe}"

    @property
    def failed(self) -> bool:
        return self.device is not None and self.not_applicable is not None

    @property
    def attack(self) -> bool:
        """True for an attack by one method from one source that keeps to its budget in every sample; the worst case,
        controls, clean recordings and attacks in another ball are none."""
        return self.source is not None and within(self.linf_mv, self.budget_mv or 0.0)

    @property
    def control(self) -> bool:
        """True for noise of a budget's size."""
        return self.source is None and self.method not in (None, "clean", WORST)


def latency_marks(row: Row) -> list[str]:
    """The marks that say why a row's latencies are not to be believed."""
    return [mark for mark in split_marks(row) if mark not in ENGINE_MARKS]


def engine_mark(row: Row) -> str | None:
    """The mark of a row whose engine does not give the file's own scores on that device; None where it does."""
    return next((mark for mark in split_marks(row) if mark in ENGINE_MARKS), None)


def split_marks(row: Row) -> list[str]:
    """A row's marks, one by one."""
    return row.marks.split(", ") if row.marks else []


def is_quantized(recipe: str) -> bool:
    """True for a recipe with narrower numbers than its float parent's (``onnx-int8-static``, ``tflite-fp16``)."""
    return recipe_of(recipe).quantized


def rows_of(
    head: BundleHead,
    device: DeviceResults,
    artifact: ArtifactEntry,
    kept: Kept,
    flags: Flags,
    note: str | None,
    apart: Mapping[tuple[str, str], ScoreDifference] | None = None,
    counts: Mapping[int, Sequence[ClassCount]] | None = None,
) -> list[Row]:
    """The rows of one artifact: one a signal set that it is run on, then its worst case at each budget. ``apart``: how
    far the device's scores are from this machine's, by (artifact, signal set); ``counts``: the classes among the first
    n recordings, by n."""
    signals = [each for each in head.signals if each.is_for(artifact)]
    rows = []
    for each in signals:
        disagreement = _disagreement(head.task, device, artifact, each)
        far = (apart or {}).get((artifact.name, each.name))
        rows.append(_row(device, artifact, each, kept, note, disagreement, far))
    if device.device is not None and device.device.evidence != HOST:
        # It gets a part of the bundle: only what another file of this model was run on can be missing.
        ran = {signals for name, signals in device.results if name.partition("/")[0] == artifact.model}
        rows = [row for row in rows if row.evidence is not None or row.signals in ran]
    rows += _worst_rows(device, artifact, signals, rows, kept)
    clean = next((row for row in rows if row.method == "clean"), None)
    decides = head.task.exclusive or artifact.thresholds is not None
    return [_flagged(_with_classes(_with_loss(row, clean), kept, counts or {}, decides), flags) for row in rows]


def _with_classes(row: Row, kept: Kept, counts: Mapping[int, Sequence[ClassCount]], decides: bool) -> Row:
    """The row with the AUC of each class, and why what is empty is empty."""
    values = kept.classes.get((str(row.device), row.artifact, str(row.signals)))
    if values is None or row.n is None or row.n not in counts:
        return row
    own = counts[row.n]
    by_class = class_values(own, values)
    lowest = weakest(by_class)
    reasons = [each.undefined for each in own if each.undefined]
    if row.auc is not None and row.auc_low is None:
        reasons.append("no interval: all recordings are of one patient")
    if not decides:
        reasons.append("no decisions: its model has no thresholds")
    return row.model_copy(
        update={
            "classes": sum(each.auc is not None for each in by_class.values()),
            "weakest_class": lowest[0] if lowest else None,
            "weakest_auc": lowest[1].auc if lowest else None,
            "undefined": "; ".join(reasons) or None,
            "class_aucs": by_class,
        }
    )


def _with_loss(row: Row, clean: Row | None) -> Row:
    """The row with what its AUC lost of the clean one on as many recordings of the same artifact."""
    if row.auc is None or clean is None or clean.auc is None or row.n != clean.n or row is clean:
        return row
    return row.model_copy(update={"auc_lost": clean.auc - row.auc})


def _row(
    device: DeviceResults,
    artifact: ArtifactEntry,
    signals: SignalEntry,
    kept: Kept,
    note: str | None,
    disagreement: float | None,
    apart: ScoreDifference | None,
) -> Row:
    """The row of one run: measured, failed, stale or missing."""
    key = (artifact.name, signals.name)
    measured = device.results.get(key)
    stale = [f"stale, not used: {each.reason}" for each in device.stale if each.key == key]
    made = [f"attacked: {each}" for each in signals.notes]
    said = [part for part in (note, artifact.note, apart.note if apart else None, *made, *stale) if part]
    facts: dict[str, Any] = {
        "device": device.name,
        "model": artifact.model,
        "recipe": artifact.recipe,
        "source": signals.source,
        "method": signals.method,
        "budget_mv": signals.budget_mv,
        "note": "; ".join(said) or None,
        "signals": signals.name,
        "linf_mv": signals.linf_mv,
        "l2_mv": signals.l2_mv,
        "rms_mv": signals.rms_mv,
        "snr_db": signals.snr_db,
        "sigma": signals.sigma,
        "outside_band": signals.outside_band,
        "second_difference": signals.second_difference,
        "queries": signals.facts.get("queries"),
        "attack_precision": signals.precision,
        "input_step_uv": None if artifact.input_step_mv is None else 1000 * artifact.input_step_mv,
    }
    if measured is None:
        return Row(**facts)
    result = measured.result
    engine, latency = result.engine, result.latency_ms
    facts |= {
        "evidence": result.device.evidence,
        "size_bytes": result.artifact.size_bytes,
        "runtime": engine.text if engine else None,
    }
    if measured.failure is not None:
        told = "" if result.status == "not-applicable" else "failed: "
        return Row(**facts, not_applicable=f"{told}{measured.failure}")
    return Row(
        **facts,
        **_numbers(kept, device.name, *key),
        n=measured.n,
        latency_p50_ms=latency.p50 if latency else None,
        latency_p99_ms=latency.p99 if latency else None,
        load_ms=result.load_ms,
        peak_rss_mb=result.peak_rss_mb,
        marks=", ".join(result.marks or ()) or None,
        disagreement=disagreement,
        instructions=result.instructions.p50 if result.instructions else None,
        score_difference=apart.largest if apart else None,
        **_exactness(result),
    )


def _exactness(result: Result) -> dict[str, Any]:
    """How far the engine is from the file's exact arithmetic on this device, and what its processor has."""
    found = result.exact
    if found is None:
        return {}
    features = " ".join(found.features) if isinstance(found.features, tuple) else found.features
    return {"engine_difference": found.largest, "processor_features": features}


def _numbers(kept: Kept, device: str, artifact: str, signals: str) -> dict[str, float | None]:
    """What was computed from the scores of one signal set: the AUC with its interval, and the metrics."""
    values = kept.aucs[device, artifact, signals]
    low, high = percentiles(values[1:])
    aucs = {"auc": values[0], "auc_low": low, "auc_high": high}
    return {name: known(value) for name, value in (aucs | asdict(kept.metrics[device, artifact, signals])).items()}


def parent_of(artifact: ArtifactEntry) -> str:
    """The float file of the same model and format."""
    return f"{artifact.model}/{FLOAT[recipe_of(artifact.recipe).format]}"


def _disagreement(
    task: TaskEntry, device: DeviceResults, artifact: ArtifactEntry, signals: SignalEntry
) -> float | None:
    """The share of recordings on which a quantized artifact decides otherwise than its float parent: for another class
    in an exclusive task, else about any class. None where it has none or one of both was not measured."""
    found = [device.results.get((name, signals.name)) for name in (artifact.name, parent_of(artifact))]
    scores = [each.scores for each in found if each is not None and each.scores is not None]
    if not is_quantized(artifact.recipe) or len(scores) < 2 or len(scores[0]) != len(scores[1]):
        return None
    rules = rules_of(task, artifact)
    return known(flipped(*(decisions(each, rules) for each in scores)))


def _worst_rows(
    device: DeviceResults,
    artifact: ArtifactEntry,
    signals: Sequence[SignalEntry],
    rows: Sequence[Row],
    kept: Kept,
) -> list[Row]:
    """The worst case of one artifact at every budget at which an attack was measured."""
    found = []
    for budget, asked in attacks_at(signals).items():
        measured = [row for row in rows if row.attack and row.budget_mv == budget and row.auc is not None]
        if (device.name, artifact.name, worst_name(budget)) not in kept.aucs or not measured:
            continue
        missing = f"over {len(measured)} of {len(asked)} attacks" if len(measured) < len(asked) else None
        facts = {key: getattr(measured[0], key) for key in ("device", "evidence", "model", "recipe")}
        facts["n"] = min(row.n for row in measured if row.n is not None)
        facts |= {key: getattr(measured[0], key) for key in ("size_bytes", "runtime", "input_step_uv")}
        found.append(
            Row(
                **facts,
                method=WORST,
                **_numbers(kept, device.name, artifact.name, worst_name(budget)),
                budget_mv=budget,
                note="; ".join(part for part in (measured[0].note, missing) if part) or None,
                signals=worst_name(budget),
                sigma=measured[0].sigma,
                sets=len(measured),
                marks=engine_mark(measured[0]),
                engine_difference=measured[0].engine_difference,
                processor_features=measured[0].processor_features,
            )
        )
    return found


def _flagged(row: Row, flags: Flags) -> Row:
    """The row with the flags that concern it: its attack, or what makes a worst case doubtful."""
    if (row.source is None and row.method != WORST) or row.budget_mv is None:
        return row
    asked = None if row.method == WORST else (row.source, row.method)
    names = [flag.name for flag in flags.raised if concerns(flag, row.model, row.artifact, asked, row.budget_mv)]
    unreliable = True if names else False if flags.audited else None
    return row.model_copy(update={"unreliable": unreliable, "flags": ", ".join(dict.fromkeys(names)) or None})


def known(value: float) -> float | None:
    """None for NaN: JSON has no NaN, and a number that is not defined was not measured."""
    return float(value) if math.isfinite(value) else None
