"""``pulseproof.export_model``: a torch module out as files, each through the gate before it counts.

In: a module from millivolts to scores, recordings. Out: files in a folder, and an :class:`~face.results.ExportedFile` a
recipe. What writes a file, holds it against the module and prices it is :class:`export.model_files.ModelFiles`, as for
the models of a study.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from pulseproof.core.errors import InputError
from pulseproof.core.recipes import RECIPES, STANDARD
from pulseproof.core.scores import constant_classes
from pulseproof.core.study import ExportSpec, Study
from pulseproof.ecg.recordings import SPLITS, Recordings, to_millivolts
from pulseproof.export.job import RefusedError
from pulseproof.export.manifest import ManifestEntry
from pulseproof.export.model_files import ModelFiles
from pulseproof.face.given import expect_seed, frozen_module, hushed, labels_of, listed, recordings_of, steps_of
from pulseproof.face.results import ExportedFile
from pulseproof.models.held import scores_of
from pulseproof.models.modules import weights_digest
from pulseproof.models.run import Trained, task_of
from pulseproof.runtime.files import replacing

LEAST = 8  # calibration recordings, as in a study
COMPARED = 300  # recordings at most, on which a file is held against the module
NO_LABELS = "no labels were given: its AUC is that of telling the upper half of the module's own scores from the lower"


def export(
    module: nn.Module,
    calibration: ArrayLike,
    folder: Path,
    recipes: Sequence[str] | None,
    signals_mv: ArrayLike | None,
    labels: ArrayLike | None,
    patients: ArrayLike | None,
    adc_step_mv: float,
    classes: Sequence[str] | None,
    seed: int,
) -> list[ExportedFile]:
    """See :func:`pulseproof.export_model`."""
    expect_seed(seed)
    asked = listed(STANDARD if recipes is None else recipes)
    if not asked:
        raise InputError("recipes: none", f"there are {', '.join(STANDARD)}")
    for name in asked:
        if name not in RECIPES:  # a study's files of further calibration seeds have names of their own
            raise InputError(f"no recipe {name!r} here", f"there are {', '.join(RECIPES)}")
        if RECIPES[name].given:
            raise InputError(
                f"recipe {name!r} is for a model that came as a file", "check_file takes files as they are"
            )
    frozen, own = _given(module, calibration, signals_mv, labels, patients, adc_step_mv, classes)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: {error.strerror}", "name a folder that can be written") from None
    spec = ExportSpec(recipes=asked, calibration_records=len(own.indices("train")), parity_records=COMPARED)
    # A study without data: what exports a model asks it for these alone.
    asked_for: dict[str, Any] = {"name": "own", "title": "own", "seed": seed, "export": spec}
    study = Study.model_construct(None, **asked_for)
    identity = hashlib.sha256(f"{weights_digest(frozen)} {own.fingerprint}".encode()).hexdigest()
    trained = Trained("model", frozen, task_of(own), asked, True, identity)
    with tempfile.TemporaryDirectory(prefix="pulseproof-") as build, hushed():
        files = ModelFiles(study, own, trained, Path(build))
        try:
            entries = [files.export(name) for name in asked]
        except RefusedError as error:
            raise InputError(f"module: {error}", "look at what it gives for these recordings") from None
        return [_put(entry, Path(build, "own"), folder, labels is None) for entry in entries]


def _put(entry: ManifestEntry, home: Path, folder: Path, unlabelled: bool) -> ExportedFile:
    """The file of an entry into the folder, and what is said of it. One that an earlier call left, and that is refused
    now, goes."""
    path = folder / f"{entry.recipe}.{entry.format}"
    if entry.file is None:
        path.unlink(missing_ok=True)
        return ExportedFile(entry.recipe, entry.status, None, None, None, entry.parity, entry.reason, entry.note)
    with replacing(path) as temporary:
        shutil.copyfile(home / entry.file, temporary)
    note = "; ".join(part for part in (entry.note, NO_LABELS if unlabelled else None) if part) or None
    return ExportedFile(entry.recipe, "ok", path, entry.size_bytes, entry.sha256, entry.parity, None, note)


def _given(
    module: nn.Module,
    calibration: ArrayLike,
    signals_mv: ArrayLike | None,
    labels: ArrayLike | None,
    patients: ArrayLike | None,
    adc_step_mv: float,
    classes: Sequence[str] | None,
) -> tuple[nn.Module, Recordings]:
    """The module as it is exported; calibration recordings as the training side, and those that files are compared on
    as the validation side. Raises InputError."""
    train = steps_of(calibration, adc_step_mv, "calibration")
    if len(train) < LEAST:
        raise InputError(f"calibration: {len(train)} recordings", f"give {LEAST} at least; a study takes 256")
    name, compared = ("calibration", calibration) if signals_mv is None else ("signals_mv", signals_mv)
    steps = train if signals_mv is None else steps_of(signals_mv, adc_step_mv, name)
    if steps.shape[1:] != train.shape[1:]:
        raise InputError(
            f"signals_mv are {steps.shape[1:]}, calibration {train.shape[1:]}", "give the same leads and samples"
        )
    signals = to_millivolts(steps, adc_step_mv)
    truth = None if labels is None else labels_of(labels, len(steps))
    frozen = frozen_module(module, signals, None if truth is None else truth.shape[1])
    if truth is None:
        scores = scores_of(frozen, torch.from_numpy(signals)).numpy()
        if not np.isfinite(scores).all() or constant_classes(scores).all():
            raise InputError(
                "module gives scores that are not finite, or the same to all recordings",
                "look at what it was trained on",
            )
        truth = (scores > np.median(scores, axis=0)).astype(np.uint8)
    # The rate is no part of a file: nothing that exports a model asks for it.
    given = recordings_of(
        compared, truth, patients, fs_hz=1.0, adc_step_mv=adc_step_mv, classes=classes, split="validation", name=name
    )
    return frozen, replace(
        given,
        steps=np.concatenate([given.steps, train]),
        labels=np.concatenate([given.labels, np.zeros((len(train), truth.shape[1]), np.uint8)]),
        patients=np.concatenate([given.patients, np.full(len(train), -1)]),
        splits=np.concatenate([given.splits, np.full(len(train), SPLITS.index("train"), np.uint8)]),
        ids=np.array([*given.ids, *(f"calibration {at}" for at in range(len(train)))]),
        fingerprint=hashlib.sha256(given.fingerprint.encode() + train.tobytes()).hexdigest(),
    )
