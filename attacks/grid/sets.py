"""Signal sets: which ones a study asks for, and what is known of each one that was made.

In: a study, its trained models and exported files. Out: a :class:`WantedSet` for every (source, method, budget), or a
:class:`NotApplicable` with the reason. A made set is described by a :class:`MadeSet`, measured on the bytes written.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pulseproof.attacks.aim.plausibility import plausibility
from pulseproof.attacks.aim.recorder import Recorder, Steps, distances
from pulseproof.attacks.aim.sources import Source, file_source, model_source, others_source
from pulseproof.attacks.method import Precision
from pulseproof.attacks.methods import METHODS
from pulseproof.core.recipes import FLOAT
from pulseproof.core.study import Method, Study
from pulseproof.ecg.recordings import Recordings
from pulseproof.export.manifest import Manifest, ManifestEntry
from pulseproof.models.brought.files import FileModel
from pulseproof.models.run import Trained
from pulseproof.runtime.files import read_json

CHUNK = 256  # recordings in memory at once


@dataclass(frozen=True)
class MadeSet:
    """One version of the test recordings. ``source``: a model, ``without-<model>``, an artifact, or None for the clean
    set and for controls. ``linf_mv`` is the largest change of any sample; ``l2_mv``, ``rms_mv``, ``snr_db``, the share
    of energy ``outside_band`` and the ``second_difference`` (:mod:`attacks.aim.plausibility`) are means over
    recordings; ``sigma``: the budget in standard deviations of the training recordings. ``facts``: means of what the
    method counted, such as queries; ``settings`` made the set. ``precision``: in which the steps of a gradient attack
    were taken, None for what takes none; ``notes``: which copies of the source did not hold, and what took their
    place."""

    name: str
    source: str | None
    method: str
    budget_mv: float
    n: int
    linf_mv: float
    l2_mv: float
    rms_mv: float
    snr_db: float | None
    sigma: float
    outside_band: float | None
    second_difference: float | None
    settings: dict[str, Any]
    sha256: str
    facts: dict[str, float] = field(default_factory=dict)
    precision: Precision | None = None
    notes: tuple[str, ...] = ()


def read_set(path: Path) -> MadeSet:
    """The description of a set that was made."""
    described = read_json(path)
    return MadeSet(**described | {"notes": tuple(described.get("notes", ()))})


@dataclass(frozen=True)
class NotApplicable:
    """A set, or all sets of a budget or a method, that cannot be made, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class WantedSet:
    """A set that a study asks for; ``source`` is None for the clean set and for controls."""

    name: str
    method: Method | Literal["clean"]
    budget_mv: float
    source: Source | None = None


def wanted_sets(
    study: Study, recorder: Recorder, trained: Mapping[str, Trained], manifest: Manifest | None, home: Path
) -> tuple[list[WantedSet], list[NotApplicable]]:
    """What the study asks for, the clean set first and budgets rising, and what of it cannot be.

    A budget counts as what can be recorded of it, and is called so: the columns must not promise more. ``home``: where
    the files of the manifest lie.
    """
    sets = [WantedSet("clean", "clean", 0.0)]
    missing: dict[str, NotApplicable] = {}
    seen = set()
    for method, asked in study.attacks.asked():
        budget = round(recorder.budget_steps(asked) * recorder.step_mv, 9)
        if budget == 0:
            name, step = f"{asked:g} mV", recorder.step_mv
            missing[name] = NotApplicable(name, f"below the recorder's step of {step:g} mV")
            continue
        if (method, budget) in seen:
            continue
        seen.add((method, budget))
        sources = _sources(study, method, trained, manifest, home)
        if not sources:
            missing[method] = NotApplicable(method, "the study has nothing that it could be made on")
        for source in sources:
            of = None if source is None else source.name.replace("/", ".")
            name = "-".join(part for part in (method, of, f"{budget:g}mV") if part)
            sets.append(WantedSet(name, method, budget, source))
    return sets, list(missing.values())


def _sources(
    study: Study, method: Method, trained: Mapping[str, Trained], manifest: Manifest | None, home: Path
) -> Sequence[Source | None]:
    names = trained if study.attacks.sources is None else study.attacks.sources
    made_on = METHODS[method].made_on
    if made_on == "nothing":
        return [None]
    if made_on == "model":
        return [model_source(trained[name]) for name in names]
    if made_on == "others":
        return [source for name in names if (source := others_source(name, trained)) is not None]
    entries = [] if manifest is None else [entry for entry in manifest.entries if entry.status == "ok"]
    chosen = [entry for entry in entries if entry.model in names and _is_deployed(entry, study, trained)]
    return [_file(entry, trained, home) for entry in chosen]


def _is_deployed(entry: ManifestEntry, study: Study, trained: Mapping[str, Trained]) -> bool:
    """True for the files that are attacked themselves: those of the study's recipes, and what was brought as it is."""
    deployed = study.attacks.deployed
    if entry.recipe in deployed:
        return True
    is_brought = isinstance(trained[entry.model].module, FileModel) and entry.recipe == FLOAT["onnx"]
    return is_brought and "onnx-as-given" in deployed


def _file(entry: ManifestEntry, trained: Mapping[str, Trained], home: Path) -> Source:
    assert entry.file is not None and entry.sha256 is not None, f"{entry.name} has no file"
    return file_source(entry.name, trained[entry.model], home / entry.file, entry.sha256)


def measured(clean: Steps, other: Steps, recordings: Recordings, sigma_mv: float, budget_mv: float) -> dict[str, Any]:
    """The measured fields of a :class:`MadeSet`, from two arrays (n, leads, samples) that may lie on the disk."""
    about = recordings.about
    columns: dict[str, list[NDArray[np.float64]]] = {}
    for first in range(0, len(clean), CHUNK):
        part = slice(first, first + CHUNK)
        one, two = _taken(clean, part), _taken(other, part)
        found = dict(vars(distances(one, two, about.adc_step_mv)))
        moved = (two.astype(np.float32) - one) * np.float32(about.adc_step_mv)
        outside, second = plausibility(one * np.float32(about.adc_step_mv), moved, about.fs_hz)
        for name, values in (found | {"outside_band": outside, "second_difference": second}).items():
            columns.setdefault(name, []).append(np.asarray(values, np.float64))
    whole = {name: np.concatenate(parts) for name, parts in columns.items()}
    return {
        "linf_mv": float(whole["linf_mv"].max()),
        "l2_mv": float(whole["l2_mv"].mean()),
        "rms_mv": float(whole["rms_mv"].mean()),
        **{name: _mean(whole[name]) for name in ("snr_db", "outside_band", "second_difference")},
        "sigma": budget_mv / sigma_mv,
    }


def _taken(steps: Steps, part: slice) -> Steps:
    """Some of the recordings, in memory; of what is mapped from the disk nothing else stays there."""
    taken = np.array(steps[part])
    if isinstance(steps.base, mmap.mmap):  # a page once touched counts as memory of this process
        steps.base.madvise(mmap.MADV_DONTNEED)
    return taken


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None
