"""``pulseproof certify --l2``: what is proved of the files of a study in the L2 ball when they are smoothed.

In: a study with its exported files, radii, and how to smooth. Out: ``build/<study>/smoothed.json``, and the scores of
all draws under ``build/<study>/smoothed/``, one step a file. Every file that an engine runs can be asked.
"""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pulseproof.certify.file import ClassProof, FrozenEntry
from pulseproof.certify.proved import proved
from pulseproof.certify.smoothing import each_noisy, smoothed_bounds
from pulseproof.certify.study import known_number, proof_facts, thresholds_of
from pulseproof.core.engines import engines_of, here, open_limited
from pulseproof.core.errors import InputError
from pulseproof.core.statistics import draw_resamples
from pulseproof.core.steps import Step
from pulseproof.core.study import Study
from pulseproof.core.terminal.console import follow
from pulseproof.ecg.recordings import Recordings
from pulseproof.export.manifest import Manifest, ManifestEntry
from pulseproof.models.run import load_metrics
from pulseproof.runtime.auc import macro_auc
from pulseproof.runtime.condition.processor import features
from pulseproof.runtime.engines import EngineError
from pulseproof.runtime.files import read_array, read_json, write_array, write_json


@dataclass(frozen=True)
class Smoothing:
    """``radii_mv``: L2 norms of a disturbance over all leads and samples, mV; ``noise_mv``: standard deviation of the
    noise; ``draws`` of it a recording; ``alpha``: the probability that any of the bounds of a file does not hold."""

    radii_mv: tuple[float, ...]
    noise_mv: float = 0.1
    draws: int = 150
    alpha: float = 0.05


class RadiusEntry(FrozenEntry):
    """What is proved of a smoothed file within ``l2_mv``; the fields of :class:`certify.file.ProofEntry`."""

    l2_mv: float
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    class_aucs: dict[str, ClassProof]
    decided: float | None
    sensitivity: float | None
    specificity: float | None


class SmoothedEntry(FrozenEntry):
    """A file on an engine: the AUC of its median scores, what is proved of them, and what that cost: ``inferences`` in
    ``seconds`` on this machine."""

    artifact: str
    sha256: str
    engine: str
    clean_auc: float | None
    inferences: int
    seconds: float
    radii: tuple[RadiusEntry, ...]


class FailedEntry(FrozenEntry):
    """A file that gave no scores, and why."""

    artifact: str
    reason: str


class Smoothed(FrozenEntry):
    """All smoothed files of a study: ``draws`` of noise of ``noise_mv`` for each of ``recordings``; all bounds of a
    file hold together with a probability of at least 1 - ``alpha``."""

    format: Literal[1] = 1
    study: str
    note: str
    evidence: Literal["a proof, with a probability"] = "a proof, with a probability"
    recordings: int
    patients: int
    noise_mv: float
    draws: int
    alpha: float
    files: tuple[SmoothedEntry, ...]
    failed: tuple[FailedEntry, ...]


def smooth_study(
    study: Study, recordings: Recordings, manifest: Manifest, build: Path, asked: Smoothing, only: Sequence[str] = ()
) -> Smoothed:
    """Smooth every file that matches ``only`` (patterns as ``cnn/*``; none is all), and write what is proved. Raises
    InputError where none matches."""
    made = list(manifest.made())
    entries = [each for each in made if not only or any(fnmatch.fnmatchcase(each.name, one) for one in only)]
    if not entries:
        raise InputError(f"no file matches {', '.join(only)}", f"there are: {', '.join(each.name for each in made)}")
    rows = recordings.sample("test", study.test_records, study.seed)
    signals, labels = recordings.signals(rows), recordings.labels[rows]
    resamples = draw_resamples(recordings.patients[rows], study.bench.bootstrap, study.seed)
    metrics, classes = load_metrics(study, build), recordings.about.classes
    seen = {"recordings": recordings.fingerprint, "rows": len(rows), "seed": study.seed}
    # Every bound that is claimed of a file: two sides of each score at each radius.
    alpha = asked.alpha / (2 * labels.size * len(asked.radii_mv))
    files, failed = [], []
    for entry in entries:
        try:
            engine, scores, seconds = _drawn(build / study.name, entry, signals, asked, seen)
        except EngineError as error:
            failed.append(FailedEntry(artifact=entry.name, reason=str(error)))
            continue
        thresholds = thresholds_of(metrics, entry.model)
        radii = []
        for radius in asked.radii_mv:
            bounds = smoothed_bounds(scores, asked.noise_mv, radius, alpha)
            found = proved(bounds, labels, resamples, thresholds, recordings.about.exclusive)
            radii.append(RadiusEntry(l2_mv=radius, **proof_facts(found, classes)))
        files.append(
            SmoothedEntry(
                artifact=entry.name,
                sha256=str(entry.sha256),
                engine=engine,
                clean_auc=known_number(macro_auc(np.median(scores, axis=1), labels)),
                inferences=len(signals) * asked.draws,
                seconds=seconds,
                radii=tuple(radii),
            )
        )
    smoothed = Smoothed(
        study=study.name,
        note=recordings.about.note,
        recordings=len(rows),
        patients=len(resamples.counts),
        noise_mv=asked.noise_mv,
        draws=asked.draws,
        alpha=asked.alpha,
        files=tuple(files),
        failed=tuple(failed),
    )
    write_json(build / study.name / "smoothed.json", smoothed.model_dump(mode="json"))
    return smoothed


def _drawn(
    home: Path, entry: ManifestEntry, signals: NDArray[np.float32], asked: Smoothing, seen: dict[str, Any]
) -> tuple[str, NDArray[np.float32], float]:
    """The engine of a file, its scores (n, draws, classes), sorted over the draws, and the seconds they took; computed
    when the file, the engine, the recordings or the noise changed. Raises EngineError."""
    able = [engine for engine in engines_of(entry.format) if engine not in entry.not_on]
    if not able:
        raise EngineError("there is no engine here that runs it")
    folder = home / "smoothed" / entry.name
    inputs = {
        "file": entry.sha256,
        "engine": able[0],
        "version": here()[able[0]],
        "features": features(),
        "noise_mv": asked.noise_mv,
        "draws": asked.draws,
        **seen,
    }
    array, took = folder / "scores.npy", folder / "took.json"

    def make() -> list[Path]:
        begun = time.monotonic()
        versions = each_noisy(signals, asked.noise_mv, asked.draws, int(seen["seed"]))
        with open_limited(home / str(entry.file), able[0], (signals.shape[1], signals.shape[2])) as limited:
            every = [limited.run(each) for each in follow(versions, f"smoothing {entry.name}", len(signals))]
        folder.mkdir(parents=True, exist_ok=True)
        write_array(array, np.sort(np.stack(every), axis=1))
        write_json(took, {"seconds": time.monotonic() - begun})
        return [array, took]

    Step(folder, "scores", inputs).run(make)
    return able[0], read_array(array), float(read_json(took)["seconds"])
