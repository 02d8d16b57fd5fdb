"""``pulseproof certify``: bounds of the scores of every file of a study at every budget, and what they prove.

In: a study with its trained models and exported files. Out: ``build/<study>/certified.json``, and the bounds themselves
under ``build/<study>/certified/``, one step a (file, budget), so that a killed run goes on where it was. A file is held
against its own bounds first: an engine's scores of clean recordings that lie outside of what the file's arithmetic can
give (``engine-saturates``) have no proof, and neither has a file with an operator that is not covered. Those scores are
a step as well: the engine is asked again when it, the processor or the file is another.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulseproof.certify.bounds import file_bounds
from pulseproof.certify.file import (
    CODE,
    VERSION,
    Certified,
    ClassProof,
    ProofEntry,
    UnprovedEntry,
    certified_path,
    rules_now,
    write_certified,
)
from pulseproof.certify.proved import Proof, ScoreBounds, proved
from pulseproof.core.code_digest import code_of
from pulseproof.core.engines import engines_of, here, score
from pulseproof.core.errors import InputError
from pulseproof.core.statistics import draw_resamples
from pulseproof.core.steps import Step
from pulseproof.core.study import Study
from pulseproof.core.terminal.console import follow
from pulseproof.ecg.recordings import Recordings
from pulseproof.export.manifest import Manifest, ManifestEntry
from pulseproof.models.hardened.ends import NoBoundsError
from pulseproof.models.run import load_metrics
from pulseproof.runtime.condition.processor import features
from pulseproof.runtime.engines import EngineError
from pulseproof.runtime.files import read_array, write_array
from pulseproof.twins import NotCoveredError

CHUNK = 256  # recordings whose bytes are hashed at a time


def is_to_be_certified(study: Study, build: Path) -> bool:
    """Whether a run of the study proves by itself: a model of it was trained for bounds, or it was certified before,
    and what was proved may be stale now. Bounds of other nets prove nothing, and take their time."""
    trained = any(spec.defence is not None and spec.defence.kind == "certified" for spec in study.models.values())
    return trained or certified_path(study, build).exists()


def certify_study(study: Study, recordings: Recordings, manifest: Manifest, build: Path) -> Certified:
    """Bound, prove, and write. What was bounded before is not bounded again."""
    if recordings.about.join:
        raise InputError(
            f"study {study.name}: bounds of scores that are joined over windows are not computed",
            'certify a study of the windows themselves: length = "cut"',
        )
    rows = recordings.sample("test", study.test_records, study.seed)
    labels = recordings.labels[rows]
    resamples = draw_resamples(recordings.patients[rows], study.bench.bootstrap, study.seed)
    metrics = load_metrics(study, build)
    budgets = sorted({*study.attacks.budgets_mv, *(study.attacks.further_budgets_mv or ())})
    home = build / study.name
    proofs, unproved = [], []
    for entry in follow(list(manifest.made()), "proofs"):
        assert entry.file is not None and entry.sha256 is not None
        bounded = _BoundedFile(home, entry, recordings, rows, study.seed)
        try:
            spread = bounded.expect_inside()
            every = {budget: bounded.at(budget) for budget in budgets}
        except (NotCoveredError, NoBoundsError, EngineError, InputError) as error:
            said = error.what if isinstance(error, InputError) else str(error)
            unproved.append(UnprovedEntry(artifact=entry.name, sha256=entry.sha256, reason=said))
            continue
        thresholds = thresholds_of(metrics, entry.model)
        for budget, bounds in every.items():
            found = proved(bounds, labels, resamples, thresholds, recordings.about.exclusive)
            facts = proof_facts(found, recordings.about.classes)
            proofs.append(
                ProofEntry(
                    artifact=entry.name,
                    sha256=entry.sha256,
                    budget_mv=budget,
                    **facts,
                    width=min(1e15, float((bounds.upper - bounds.lower).mean() / spread)),
                    bounds=str(bounded.path(budget).relative_to(home)),
                )
            )
    certified = Certified(
        study=study.name,
        note=recordings.about.note,
        recordings=len(rows),
        patients=len(resamples.counts),
        signals=_hash_of_clean(recordings, rows),
        labels=_hash_of_array(labels),
        rules=rules_now(),
        proofs=tuple(proofs),
        unproved=tuple(unproved),
    )
    write_certified(certified_path(study, build), certified)
    return certified


class _BoundedFile:
    """A file with its bounds and its engine's scores, each computed when the file, the recordings or the code
    changed."""

    def __init__(
        self, home: Path, entry: ManifestEntry, recordings: Recordings, rows: NDArray[np.intp], seed: int
    ) -> None:
        self.entry, self.file, self.folder = entry, home / str(entry.file), home / "certified" / entry.name
        self.recordings, self.rows = recordings, rows
        self.seen = {"recordings": recordings.fingerprint, "rows": len(rows), "seed": seed, "file": entry.sha256}

    def path(self, budget: float) -> Path:
        """Where the bounds at a budget are."""
        return self.folder / f"{budget:g}mV.npy"

    def at(self, budget: float) -> ScoreBounds:
        """The bounds at a budget. Raises NotCoveredError and NoBoundsError."""
        path = self.path(budget)
        inputs = {"version": VERSION, "budget_mv": budget, **self.seen}

        def make() -> list[Path]:
            found = file_bounds(self.file, self.recordings.signals(self.rows), budget)
            self.folder.mkdir(parents=True, exist_ok=True)
            write_array(path, np.stack([found.lower, found.upper]))
            return [path]

        Step(self.folder, path.stem, inputs, (code_of(CODE),)).run(make)
        lower, upper = read_array(path)
        return ScoreBounds(lower, upper)

    def expect_inside(self) -> float:
        """The standard deviation of the engine's scores of clean recordings, which must lie within their bounds. Raises
        EngineError where they do not, and NotCoveredError and NoBoundsError."""
        clean = self.at(0.0)
        able = [engine for engine in engines_of(self.entry.format) if engine not in self.entry.not_on]
        if not able:
            raise EngineError("there is no engine here that runs it")
        path = self.folder / "engine.npy"
        inputs = {"engine": able[0], "version": here()[able[0]], "features": features(), **self.seen}

        def make() -> list[Path]:
            write_array(path, score(self.file, self.recordings.signals(self.rows), able[0]))
            return [path]

        Step(self.folder, path.stem, inputs).run(make)
        scores = read_array(path).astype(np.float64)
        outside = int(clean.outside(scores).sum())
        if outside:
            raise EngineError(
                f"{able[0]} gives {outside} of {len(scores)} clean recordings scores that the file's own arithmetic "
                "does not: what is proved of the file does not hold for this engine on this processor"
            )
        return float(scores.std(axis=0).mean()) or 1.0


def proof_facts(found: Proof, classes: tuple[str, ...]) -> dict[str, Any]:
    """A proof as the file has it."""
    values = [
        ClassProof(auc=known_number(e.estimate), low=known_number(e.low), high=known_number(e.high))
        for e in found.class_aucs
    ]
    numbers = ("auc", "auc_low", "auc_high", "decided", "sensitivity", "specificity")
    return {name: known_number(getattr(found, name)) for name in numbers} | {
        "class_aucs": dict(zip(classes, values, strict=True))
    }


def _hash_of_clean(recordings: Recordings, rows: NDArray[np.intp]) -> str:
    """The SHA-256 of the clean recordings as a bundle has them, ``signals/clean.npy``."""
    digest, head = hashlib.sha256(), io.BytesIO()
    described = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.int16)), "fortran_order": False}
    np.lib.format.write_array_header_1_0(head, {**described, "shape": (len(rows), *recordings.shape)})
    digest.update(head.getvalue())
    for first in range(0, len(rows), CHUNK):
        digest.update(recordings.adc(rows[first : first + CHUNK]).tobytes())
    return digest.hexdigest()


def _hash_of_array(array: NDArray[Any]) -> str:
    """The SHA-256 of an array as ``.npy``."""
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=False)
    return hashlib.sha256(file.getvalue()).hexdigest()


def thresholds_of(metrics: Mapping[str, Mapping[str, object]], model: str) -> NDArray[np.float64] | None:
    """Those of a model from validation recordings, (classes,); None where it has none."""
    found = metrics.get(model, {}).get("thresholds")
    return None if found is None else np.asarray(found, np.float64)


def known_number(value: float) -> float | None:
    """None for what JSON does not know."""
    return value if math.isfinite(value) else None
