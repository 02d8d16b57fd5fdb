"""The flags of the attacks that need no new attack, from what a run measured anyway.

In come a bundle, the results of its devices and their AUCs on all resamples (:mod:`report.numbers.resampled`); out come
the flags of :mod:`attacks.audit.flags` for every model and for every file that was attacked itself, as the audit has
them, so that a study that nobody audited says at least this. A model is judged by its first float file. All is read
from one device, the one with most results: an attack that is too weak is too weak on every device. What a device did
not measure is never counted as missing from the study.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseproof.attacks.aim.norms import BallNorm
from pulseproof.attacks.aim.saturation import in_levels
from pulseproof.attacks.audit.file import FlagEntry, flag_entry
from pulseproof.attacks.audit.flags import OTHER_AIM, find_flags, saturated_outputs
from pulseproof.attacks.audit.measured import FlagSubject, Kind, MeasuredTarget
from pulseproof.bench.wire.results import DeviceResults, HostBundle
from pulseproof.bench.wire.schema import ArtifactEntry, BundleHead, SignalEntry
from pulseproof.core.recipes import FLOAT
from pulseproof.report.numbers.attacked_through import ENSEMBLE
from pulseproof.report.numbers.resampled import Kept

Scores = NDArray[np.floating[Any]]


def measured_flags(bundle: HostBundle, devices: Sequence[DeviceResults], kept: Kept) -> tuple[FlagEntry, ...]:
    """The flags, check by check; none where nothing was measured or nothing attacked."""
    head, device = bundle.head, max(devices, key=lambda each: len(each.results), default=None)
    if device is None or not any(each.source is not None for each in head.signals):
        return ()
    scores = {key: each.scores for key, each in device.results.items() if each.scores is not None}
    most: dict[str, int] = {}
    for (name, _), values in scores.items():
        most[name] = max(most.get(name, 0), len(values))
    targets = _targets(head, set(most))
    rows: list[MeasuredTarget] = []
    partial = set()
    for target, artifact in targets.items():
        for signals in head.signals:
            if not signals.is_for(artifact) or signals.method == "clean" or not _concerns(target, signals):
                continue
            kind = _kind(signals)
            if len(scores.get((artifact.name, signals.name), ())) != most[artifact.name]:  # other recordings: no pair
                if kind == "gradient" and signals.source in (target, artifact.model):
                    partial.add((target, signals.budget_mv))
                continue
            aucs = kept.aucs[device.name, artifact.name, signals.name]
            norm: BallNorm | None = "linf" if signals.source is None or signals.attack else None
            row = FlagSubject(target, signals.source, signals.method, signals.budget_mv)
            rows.append(MeasuredTarget(row, kind, float(aucs[0]), aucs[1:], norm, signals.facts))
    clean = next((each.name for each in head.signals if each.method == "clean"), "clean")
    found = find_flags(rows, partial=partial)
    found += saturated_outputs(
        _not_in_levels(targets, {key[0]: scores[key] for key in scores if key[1] == clean}), head.task.classes
    )
    return tuple(flag_entry(flag) for flag in found)


def _targets(head: BundleHead, measured: Collection[str]) -> dict[str, ArtifactEntry]:
    """What is judged, and the file that stands for it: each model (its first float file, else its first), and each file
    that was attacked itself."""
    there = [each for each in head.artifacts if each.name in measured]
    found: dict[str, ArtifactEntry] = {}
    for each in sorted(there, key=lambda each: each.recipe not in FLOAT.values()):
        found.setdefault(each.model, each)
    attacked = {each.source for each in head.signals}
    return found | {each.name: each for each in there if each.name in attacked}


def _not_in_levels(targets: Mapping[str, ArtifactEntry], clean: Mapping[str, Scores]) -> dict[str, Scores]:
    """The clean scores of each file, but for files of a model that answers in levels: a tree is not saturated."""
    judges = {name: each.name for name, each in targets.items() if "/" not in name}
    levels = {model for model, file in judges.items() if file in clean and in_levels(clean[file])}
    return {name: scores for name, scores in clean.items() if name.partition("/")[0] not in levels}


def _concerns(target: str, signals: SignalEntry) -> bool:
    """As in the audit: what was made on no model, on the target or its files, on its float parent, on any other model
    where the target is a model, and on all models but its own."""
    model, _, recipe = target.partition("/")
    source = signals.source
    if signals.method == OTHER_AIM:
        return False
    if source is None:
        return True
    if source.startswith(ENSEMBLE):
        return source == ENSEMBLE + model
    if "/" in source:
        return source == target or (not recipe and source.startswith(f"{model}/"))
    return not recipe or source == model


def _kind(signals: SignalEntry) -> Kind:
    """What the method knew of its source: one that counts queries saw nothing but scores."""
    if signals.source is None:
        return "control"
    return "queries" if "queries" in signals.facts else "gradient"
