"""The gate: no file counts before its scores were compared with its source on every engine that may run it.

In: a file, and validation recordings with the torch module's scores for them. Out: a :class:`Verdict`: one
:class:`~export.manifest.Parity` an engine, and why the file is refused, if it is. The first engine of the format
(onnxruntime, ai_edge_litert) decides about the file. On another one (tflite_runtime) a file that is wrong there gets a
reason and must not run there, but stays: engines are known to compute wrong scores from a file without an error.
:mod:`export.gate.bounds` says what is allowed, and why.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import pulseproof.twins.exact
from pulseproof.core.engines import engines_of, here, score
from pulseproof.core.recipes import recipe_of
from pulseproof.core.scores import are_probabilities, constant_classes, not_finite
from pulseproof.core.statistics import difference
from pulseproof.ecg.recordings import Recordings
from pulseproof.export.gate import alike
from pulseproof.export.gate.bounds import STEPS, Bound, bound_of
from pulseproof.export.gate.parting import first_parting
from pulseproof.export.gate.saturation import saturating_layers
from pulseproof.export.job import RefusedError
from pulseproof.export.manifest import ExactnessRecord, Parity
from pulseproof.models.brought.model import FileModel
from pulseproof.models.class_auc import below_chance, class_aucs
from pulseproof.runtime.auc import macro_auc
from pulseproof.runtime.condition.processor import features, named
from pulseproof.runtime.engines import EngineError

BATCH = 64
NEAR_ZERO = 0.1  # of the largest score, where its spread is less: 1e-5 of it is a hundred steps of float32
RESAMPLES = 1000  # of the bootstrap: 10 ms for 300 recordings of five classes


class NotFiniteError(EngineError):
    """An engine runs the file, and some of its scores are not finite."""


@dataclass(frozen=True)
class Reference:
    """What a file is compared with: float32 ``signals`` (k, leads, samples) mV of validation recordings, uint8
    ``labels`` (k, classes), int64 ``patients`` (k,), and the torch module's ``scores`` float32 (k, classes).
    ``threshold``: the score above which a class is decided for; ``exclusive``: each recording has exactly one class;
    ``steps``: scores come from trees; ``source``: whose scores they are, for a sentence; ``classes``: their names."""

    signals: NDArray[np.float32]
    labels: NDArray[np.uint8]
    patients: NDArray[np.int64]
    scores: NDArray[np.float32]
    threshold: float
    exclusive: bool
    steps: bool
    source: str = "the torch module"
    classes: tuple[str, ...] = ()

    @property
    def spread(self) -> float:
        """The standard deviation of the source's scores; 1 where they are all alike."""
        return float(self.scores.std(dtype=np.float64)) or 1.0

    @functools.cached_property
    def unit(self) -> NDArray[np.float64]:
        """float64 (classes,): :func:`export.gate.alike.unit` of the source's scores."""
        return alike.unit(self.scores)

    def thinned(self, records: int | None) -> Reference:
        """At most so many of the recordings, evenly spaced in their stored order, and so over patients."""
        if records is None or len(self.scores) <= records:
            return self
        rows = np.linspace(0, len(self.scores) - 1, records).round().astype(np.intp)
        parts = {name: getattr(self, name)[rows] for name in ("signals", "labels", "patients", "scores")}
        return replace(self, **parts)


@dataclass(frozen=True)
class Verdict:
    """``parity``: one an engine, the deciding one first. ``reason``: why the file is refused, one sentence, else None.
    ``notes``: what its rows must say, a class below chance among it."""

    parity: tuple[Parity, ...]
    reason: str | None
    notes: tuple[str, ...]


def make_reference(module: nn.Module, recordings: Recordings, rows: NDArray[np.intp], steps: bool) -> Reference:
    """Score the recordings ``rows`` with the torch module, in float32.

    Scores that all lie in [0, 1] are read as probabilities, with threshold 0.5, others as logits, with 0; a brought
    file says it itself. Raises RefusedError when a score is not finite, or when all recordings get the same scores:
    there is nothing to compare with then.
    """
    signals = recordings.signals(rows)
    with torch.inference_mode():
        batches = [module(torch.from_numpy(signals[at : at + BATCH])).numpy() for at in range(0, len(rows), BATCH)]
    scores = np.concatenate(batches).astype(np.float32)
    strange = not_finite(scores, recordings.ids[rows], "validation recordings")
    if strange:
        raise RefusedError(f"the model itself gives scores that are not finite for {strange}")
    if constant_classes(scores).all():
        raise RefusedError(f"the model itself gives all {len(rows)} validation recordings the same scores")
    labels, patients = recordings.labels[rows], recordings.patients[rows]
    given = isinstance(module, FileModel)
    threshold = module.threshold if isinstance(module, FileModel) else 0.5 * are_probabilities(scores)
    source, about = "the given file" if given else "the torch module", recordings.about
    return Reference(signals, labels, patients, scores, threshold, about.exclusive, steps, source, about.classes)


def check(path: Path, recipe: str, reference: Reference, module: nn.Module, float_file: Path | None) -> Verdict:
    """Hold a file against its source on every engine here that opens it.

    ``module``: the trained torch module; ``float_file``: for a smaller file, the float file that it was made from; both
    only serve to tell a refusal where the file parts from its source. An ``as-given`` file has no source but itself on
    its first engine, with which the others are compared. Where the first engine does not give a quantized file's own
    integer arithmetic (:mod:`pulseproof.twins.exact`), the verdict is on the exact scores, and the file is marked.
    """
    bound = bound_of(recipe, reference.steps)
    deciding, *others = engines_of(path.suffix[1:])
    try:
        scores = _scores(path, reference, deciding)
    except NotFiniteError as error:
        told = _located(str(error), path, reference, module, float_file)
        return _refused(unmeasured(reference, bound, deciding, told))
    except EngineError as error:
        return _refused(unmeasured(reference, bound, deciding, str(error)))
    tied = alike.tied_by_its_end(path, reference.signals, scores, reference.labels)
    exact = exactness(path, recipe, reference, scores, deciding)
    judged = scores if exact is None or exact.scores is None else exact.scores
    kept = None if exact is None else _kept(exact, scores, reference)
    if recipe_of(recipe).given:
        whose = f"itself on {deciding}" if judged is scores else "its own exact arithmetic"
        reference = replace(reference, scores=judged, source=whose)
        parities, notes = [measure(judged, reference, bound, deciding)], []
    else:
        measured = measure(judged, reference, bound, deciding)
        reason, note = judge(measured, judged, reference, bound)
        if reason is not None:
            told = f"{reason}; {tied}" if tied else _located(reason, path, reference, module, float_file)
            return _refused(measured.model_copy(update={"reason": told, "exact": kept}))
        parities, notes = [measured], [note] if note else []
    if tied:
        notes.append(tied)
    parities[0] = parities[0].model_copy(update={"exact": kept})
    notes += [_engines_part(kept, deciding)] if kept is not None and kept.mark is not None else []
    if recipe_of(recipe).given and path.suffix == ".onnx" and (layers := saturating_layers(path)):
        notes.append(
            f"{len(layers)} of its layers have signed weights of eight bits ({next(iter(layers))}): on x86 processors "
            "without VNNI ONNX Runtime's kernels saturate there and give other scores; weights of seven bits do not"
        )
    failing = below_chance(class_aucs(judged, reference.labels, reference.classes)) if reference.classes else []
    if failing:
        notes.append(f"on validation recordings it ranks {', '.join(failing)} worse than by chance")
    for engine in others:
        parities.append(_elsewhere(path, reference.thinned(bound.records), bound, engine))
    return Verdict(tuple(parities), None, tuple(notes))


def exactness(
    path: Path, recipe: str, reference: Reference, scores: NDArray[np.float32], engine: str
) -> pulseproof.twins.exact.Exactness | None:
    """How far an engine's ``scores`` are from the exact arithmetic of a file with integers; None for a float file, and
    where there is no exact arithmetic to hold it against."""
    about = recipe_of(recipe)
    if not (about.int8 or about.calibrated or about.given):
        return None
    return pulseproof.twins.exact.compare(path, reference.signals, scores, engine)


def _kept(
    exact: pulseproof.twins.exact.Exactness, scores: NDArray[np.float32], reference: Reference
) -> ExactnessRecord:
    """What the manifest says of it."""
    found = features()
    aucs: dict[str, float | None] = {}
    if exact.scores is not None:
        aucs["auc_exact"] = _known(macro_auc(exact.scores, reference.labels))
        aucs["auc_engine"] = _known(macro_auc(scores, reference.labels))
    return ExactnessRecord.model_validate(
        {
            "against": exact.against,
            "mode": exact.mode,
            "records": exact.records,
            "within": exact.within,
            "largest": _known(exact.largest),
            "mark": exact.mark,
            "features": None if isinstance(found, str) else tuple(found),
            **aucs,
        }
    )


def _engines_part(exact: ExactnessRecord, engine: str) -> str:
    """What the rows of a file must say where an engine does not compute it exactly here."""
    where = f"{engine} on the exporting host ({named(exact.features or ())})"
    by = "" if exact.largest is None else f" up to {exact.largest:.1f} steps"
    said = f"{exact.mark}: {where} gives scores{by} off the file's own arithmetic"
    if exact.auc_engine is not None and exact.auc_exact is not None:
        said += f", validation macro AUC {exact.auc_engine:.3f} instead of {exact.auc_exact:.3f}"
    return f"{said}; that is no cost of quantization"


def _refused(parity: Parity) -> Verdict:
    return Verdict((parity,), parity.reason, ())


def _located(reason: str, path: Path, reference: Reference, module: nn.Module, float_file: Path | None) -> str:
    """The reason, and where in the file it begins, if that can be told. Only for a file that its engine can run: this
    process runs it too."""
    where = first_parting(path, module, float_file, reference.signals)
    return reason if where is None else f"{reason}; {where}"


def _elsewhere(path: Path, reference: Reference, bound: Bound, engine: str) -> Parity:
    """The comparison on an engine that does not decide about the file, with the reason why it must not run it."""
    try:
        scores = _scores(path, reference, engine)
    except EngineError as error:
        return unmeasured(reference, bound, engine, str(error))
    measured = measure(scores, reference, bound, engine)
    return measured.model_copy(update={"reason": judge(measured, scores, reference, bound)[0]})


def _scores(path: Path, reference: Reference, engine: str) -> NDArray[np.float32]:
    """The file's scores on an engine, of the reference's shape and finite. Raises EngineError, one sentence."""
    try:
        scores = score(path, reference.signals, engine)
    except EngineError as error:
        raise EngineError(f"{engine} does not run it: {error}") from None
    if scores.shape != reference.scores.shape:
        raise EngineError(f"it gives {scores.shape[1]} scores a recording, not {reference.scores.shape[1]}")
    strange = int((~np.isfinite(scores)).any(axis=1).sum())
    if strange:
        raise NotFiniteError(f"{strange} of {len(scores)} validation recordings get a score that is not finite")
    return scores


def measure(scores: NDArray[np.float32], reference: Reference, bound: Bound, engine: str) -> Parity:
    """Compare finite scores (k, classes) with the reference's; no judgement."""
    change = np.abs(scores.astype(np.float64) - reference.scores)
    allowed = tolerances(bound, reference)
    auc_source, auc_file = (macro_auc(values, reference.labels) for values in (reference.scores, scores))
    change_auc = difference(scores, reference.scores, reference.labels, reference.patients, count=RESAMPLES)
    return Parity(
        engine=engine,
        version=here()[engine],
        records=len(scores),
        max_difference=float(change.max()),
        mean_difference=float(change.mean()),
        label_agreement=float((decisions(scores, reference) == decisions(reference.scores, reference)).mean()),
        tolerance=float(allowed.min()),
        moved=int((change > allowed).any(axis=1).sum()),
        auc_source=_known(auc_source),
        auc_file=_known(auc_file),
        auc_change=_known(change_auc.estimate),
        auc_change_low=_known(change_auc.low),
        auc_change_high=_known(change_auc.high),
        reason=None,
    )


def unmeasured(reference: Reference, bound: Bound, engine: str, reason: str) -> Parity:
    """The comparison on an engine that gave no scores."""
    nothing = dict.fromkeys(set(Parity.model_fields) - {"engine", "version", "records", "tolerance", "reason"})
    return Parity.model_validate(
        {
            **nothing,
            "engine": engine,
            "version": here()[engine],
            "records": len(reference.scores),
            "tolerance": float(tolerances(bound, reference).min()),
            "reason": reason,
        }
    )


def decisions(scores: NDArray[np.float32], reference: Reference) -> NDArray[np.int64]:
    """What a reader of the scores would decide: one class a recording in an exclusive task, else yes or no a class."""
    if reference.exclusive:
        return scores.argmax(axis=1)
    return (scores > reference.threshold).astype(np.int64)


def judge(
    parity: Parity, scores: NDArray[np.float32], reference: Reference, bound: Bound
) -> tuple[str | None, str | None]:
    """(why a file with these scores must not be run on this engine, what its rows must say), None where nothing."""
    said, note = f"{parity.records} validation recordings", None
    assert parity.moved is not None
    constant = alike.constant_reason(scores, reference.scores, reference.labels, reference.classes)
    if constant is not None:
        return constant, None
    if bound.moved is not None and parity.moved > bound.moved * parity.records:
        if not bound.moved:
            return (
                f"its scores differ from {reference.source}'s by up to {parity.max_difference:.2g} on {said} "
                f"(allowed: {parity.tolerance:.2g})"
            ), None
        how = "take another branch" if bound is STEPS else f"differ by more than {parity.tolerance:.2g} in a score"
        return f"{parity.moved} of {said} {how} than in {reference.source} (allowed: {bound.moved:.0%})", None
    if bound is STEPS and parity.moved:
        note = f"{parity.moved} of {said} take another branch, by float32 rounding"
    reason, told = _judge_auc(parity, reference, bound)
    if reason is not None:
        return reason, None
    if bound.noise is not None:
        reason = alike.noise_reason(scores, reference.scores, reference.classes, bound.noise, reference.source)
    return reason, (told or note) if reason is None else None


def _judge_auc(parity: Parity, reference: Reference, bound: Bound) -> tuple[str | None, str | None]:
    """What :func:`judge` gives, of the AUC alone."""
    if bound.auc_refused is None or bound.auc_noted is None:
        return None, None
    if parity.auc_change is None:
        if bound.auc_sure:
            return None, "no class has both labels in the validation recordings, so its AUC is not compared"
        return "the validation recordings hold no class with both labels, so its AUC cannot be compared", None
    told = f"validation macro AUC {parity.auc_file:.3f} against {parity.auc_source:.3f} in {reference.source}"
    loss = -parity.auc_change
    sure = not bound.auc_sure or parity.auc_change_high is None or parity.auc_change_high < 0
    if loss > bound.auc_refused and sure:
        return f"{told}: a loss of {loss:.3f} (allowed: {bound.auc_refused:g})", None
    return None, told if loss > (bound.auc_noted if sure else bound.auc_refused) else None


def tolerances(bound: Bound, reference: Reference) -> NDArray[np.float64]:
    """float64 (classes,): how far one score of each class may be from the source's.

    A share of the class's own spread. A float32 score has 24 bits, and its last ones say nothing: a float file of a
    class that hardly differs is held to a tenth of that share of the largest score instead, which is near zero where
    all scores are, and never to more than the share of a standard deviation of 1, or of all scores where that is more.
    """
    if bound.in_spread:
        return bound.tolerance * reference.unit
    largest = float(np.abs(reference.scores).max())
    least = np.maximum(reference.unit, NEAR_ZERO * largest)
    return bound.tolerance * np.minimum(least, max(1.0, reference.spread))


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
