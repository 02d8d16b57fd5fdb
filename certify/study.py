"""``pulseproof certify``: bounds of the scores of every file of a study at every budget, and what they prove.

In: a study with its trained models and exported files. Out: ``build/<study>/certified.json``, and the bounds themselves
under ``build/<study>/certified/``, one step a (file, budget), so that a killed run goes on where it was. A file is held
against its own bounds first: an engine's scores of clean recordings that lie outside of what the file's arithmetic can
give (``engine-saturates``) have no proof, and neither has a file with an operator that is not covered.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulseproof.certify.bounds import Bounds, score_bounds
from pulseproof.certify.file import Certified, ProofEntry, UnprovedEntry, certified_path, write_certified
from pulseproof.certify.proved import proved
from pulseproof.core.code_digest import code_of
from pulseproof.core.engines import engines_of, score
from pulseproof.core.errors import InputError
from pulseproof.core.statistics import draw_resamples
from pulseproof.core.steps import Step
from pulseproof.core.study import Study
from pulseproof.core.terminal.console import follow
from pulseproof.ecg.recordings import Recordings
from pulseproof.export.manifest import Manifest, ManifestEntry
from pulseproof.models.hardened.ends import NoBoundsError
from pulseproof.models.run import load_metrics
from pulseproof.runtime.engines import EngineError
from pulseproof.runtime.files import read_array, write_array
from pulseproof.twins import NotCoveredError, open_twin
from pulseproof.twins.program import Twin

# Bump when the same file would get other bounds.
VERSION = 1
# Whose code makes the bounds: an edited rule makes them anew.
CODE = ("pulseproof.certify.bounds", "pulseproof.models.hardened.interval", "pulseproof.twins.opening")


def certify_study(study: Study, recordings: Recordings, manifest: Manifest, build: Path) -> Certified:
    """Bound, prove, and write. What was bounded before is not bounded again."""
    if recordings.about.join:
        raise InputError(
            f"study {study.name}: bounds of scores that are joined over windows are not computed",
            'certify a study of the windows themselves: length = "cut"',
        )
    rows = recordings.sample("test", study.test_records, study.seed)
    signals, labels = recordings.signals(rows), recordings.labels[rows]
    resamples = draw_resamples(recordings.patients[rows], study.bench.bootstrap, study.seed)
    metrics = load_metrics(study, build)
    budgets = sorted({*study.attacks.budgets_mv, *(study.attacks.further_budgets_mv or ())})
    seen = {"recordings": recordings.fingerprint, "rows": len(rows), "seed": study.seed}
    proofs, unproved = [], []
    for entry in follow(list(manifest.made()), "proofs"):
        assert entry.file is not None and entry.sha256 is not None
        path = build / study.name / entry.file
        try:
            twin = open_twin(path)
            folder = build / study.name / "certified" / entry.name
            clean = _kept(folder, entry, twin, signals, 0.0, seen)
            spread = _expect_inside(entry, path, signals, clean)
        except (NotCoveredError, NoBoundsError, EngineError, InputError) as error:
            said = error.what if isinstance(error, InputError) else str(error)
            unproved.append(UnprovedEntry(artifact=entry.name, reason=said))
            continue
        thresholds = _thresholds(metrics, entry.model)
        for budget in budgets:
            bounds = _kept(folder, entry, twin, signals, budget, seen)
            found = proved(bounds, labels, resamples, thresholds, recordings.about.exclusive)
            proofs.append(
                ProofEntry(
                    artifact=entry.name,
                    sha256=entry.sha256,
                    budget_mv=budget,
                    auc=_number(found.auc),
                    auc_low=_number(found.auc_low),
                    auc_high=_number(found.auc_high),
                    class_aucs=dict(zip(recordings.about.classes, map(_number, found.class_aucs), strict=True)),
                    decided=_number(found.decided),
                    sensitivity=_number(found.sensitivity),
                    specificity=_number(found.specificity),
                    width=min(1e15, float((bounds.upper - bounds.lower).mean() / spread)),
                )
            )
    certified = Certified(
        study=study.name,
        note=recordings.about.note,
        recordings=len(rows),
        patients=len(resamples.counts),
        proofs=tuple(proofs),
        unproved=tuple(unproved),
    )
    write_certified(certified_path(study, build), certified)
    return certified


def _kept(
    folder: Path,
    entry: ManifestEntry,
    twin: Twin,
    signals: NDArray[np.float32],
    budget: float,
    seen: Mapping[str, object],
) -> Bounds:
    """The bounds of a file at a budget, computed when the file, the recordings or the code changed."""
    inputs = {"version": VERSION, "file": entry.sha256, "budget_mv": budget, **seen}
    code = code_of(CODE)
    path = folder / f"{budget:g}mV.npy"
    step = Step(folder, path.stem, inputs, (code,))

    def make() -> list[Path]:
        found = score_bounds(twin, signals, budget)
        folder.mkdir(parents=True, exist_ok=True)
        write_array(path, np.stack([found.lower, found.upper]))
        return [path]

    step.run(make)
    lower, upper = read_array(path)
    return Bounds(lower, upper)


def _expect_inside(entry: ManifestEntry, path: Path, signals: NDArray[np.float32], clean: Bounds) -> float:
    """The standard deviation of the engine's scores of clean recordings, which must lie within their bounds. Raises
    EngineError."""
    able = [engine for engine in engines_of(entry.format) if engine not in entry.not_on]
    if not able:
        raise EngineError("there is no engine here that runs it")
    scores = score(path, signals, able[0]).astype(np.float64)
    outside = ((scores < clean.lower) | (scores > clean.upper)).any(axis=1)
    if outside.any():
        raise EngineError(
            f"{able[0]} gives {int(outside.sum())} of {len(scores)} clean recordings scores that the file's own "
            "arithmetic does not: what is proved of the file does not hold for this engine on this processor"
        )
    return float(scores.std(axis=0).mean()) or 1.0


def _thresholds(metrics: Mapping[str, Mapping[str, object]], model: str) -> NDArray[np.float64] | None:
    found = metrics.get(model, {}).get("thresholds")
    return None if found is None else np.asarray(found, np.float64)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
