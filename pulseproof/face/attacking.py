"""``pulseproof.attack_model``: a torch module under the attacks of the suite, at each budget.

In: a module from millivolts to scores, recordings with their labels. Out: an :class:`~face.results.AttackResult`. The
attacks, their objective, the recorder's rounding, the AUC and the flags are those of a study (:mod:`attacks.grid.tasks`
does the same from files); :mod:`face.checking` attacks a deployed file by the same :func:`attacked`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError
from torch import nn

from pulseproof.attacks.aim.recorder import Recorder
from pulseproof.attacks.aim.saturation import in_levels
from pulseproof.attacks.aim.sources import open_module
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.audit.flags import Flag, find_flags, saturated_outputs
from pulseproof.attacks.audit.measured import FlagSubject, MeasuredTarget, measure
from pulseproof.attacks.audit.rechecks import scores_of
from pulseproof.attacks.gradient import NoGradientError, anneal
from pulseproof.attacks.grid.context import make_scene, reference_rows, victims_of
from pulseproof.attacks.grid.tasks import one_thread
from pulseproof.attacks.method import Model, expect_inside
from pulseproof.attacks.methods import METHODS
from pulseproof.core.errors import InputError
from pulseproof.core.scores import constant_classes
from pulseproof.core.statistics import Resamples, draw_resamples, percentiles
from pulseproof.core.studies.faults import faults
from pulseproof.core.study import AttackSpec, Method
from pulseproof.ecg.recordings import Recordings, to_millivolts
from pulseproof.face.given import TRIED, expect_seed, frozen_module, hushed, listed, recordings_of
from pulseproof.face.results import AttackedBudget, AttackResult, Way
from pulseproof.runtime.auc import macro_auc

CONTROL: Method = "random-sign"
# What is made on one model alone, in the one ball that a budget here means; a universal perturbation is learnt from
# training recordings, which only a study has.
ABLE = [
    name
    for name, one in METHODS.items()
    if one.made_on == "model" and "training_records" not in one.settings and one.make(AttackSpec()).norm == "linf"
]
RESAMPLES = 1000


def attack(
    module: nn.Module,
    signals_mv: ArrayLike,
    labels: ArrayLike,
    references: tuple[ArrayLike, ArrayLike] | None,
    budgets_mv: Sequence[float],
    methods: Sequence[Method],
    steps: int,
    seed: int,
    **more: Any,
) -> AttackResult:
    """See :func:`pulseproof.attack_model`; ``more``: of the recordings (:func:`face.given.recordings_of`)."""
    expect_seed(seed)
    given = recordings_of(signals_mv, labels, **more)
    settings = attack_settings(given, budgets_mv, methods=listed(methods), steps=steps)
    strange = [name for name in settings.methods if name not in ABLE]
    if strange or not settings.methods:
        raise InputError(f"methods: {', '.join(strange) or 'none'}", f"those made on one model are {', '.join(ABLE)}")
    judge = frozen_module(module, given.signals(np.arange(min(TRIED, len(given)))), given.labels.shape[1])
    opponents = opponents_of(given, references)
    with hushed(), one_thread():
        victims = victims_of(opponents, reference_rows(opponents, settings.references, seed))
        try:
            opened = open_module("module", judge, victims)
            assert isinstance(opened.model, nn.Module)
            models: dict[Method, Model] = dict.fromkeys(settings.methods, opened.model)
            return attacked(
                "module", judge, models, given, opponents, victims, settings, seed, more["patients"] is not None
            )
        except NoGradientError as error:
            raise InputError(
                f"module: {error}", "export it (export_model): check_file attacks a file by its scores alone"
            ) from None


def attack_settings(given: Recordings, budgets_mv: Sequence[float], **more: Any) -> AttackSpec:
    """The settings of a study's attacks. Raises InputError."""
    try:
        budgets = tuple(float(budget) for budget in budgets_mv)
    except (TypeError, ValueError):
        raise InputError(f"budgets_mv is {budgets_mv!r}", "give a list of millivolts, such as [.01, .02]") from None
    try:
        settings = AttackSpec(budgets_mv=budgets, **more)
    except ValidationError as error:
        said = "; ".join(faults(error, AttackSpec))
        raise InputError(said, "docs/python.md says what each argument takes") from None
    step_mv = given.about.adc_step_mv
    recorder = Recorder(step_mv, *given.about.adc_range)
    small = [budget for budget in budgets if recorder.budget_steps(budget) < 1]
    if small or not budgets:
        what = (
            f"budgets_mv: {small[0]:g} mV is below one step of the recorder ({step_mv:g} mV)" if small else "no budget"
        )
        raise InputError(
            what, "give budgets of one step and more, such as [.01, .02], or the recorder's own adc_step_mv"
        )
    return settings


def opponents_of(given: Recordings, references: tuple[ArrayLike, ArrayLike] | None) -> Recordings:
    """What the AUC objective plays against, as validation recordings. Raises InputError."""
    if references is None:
        references = to_millivolts(given.steps, given.about.adc_step_mv), given.labels
    if not isinstance(references, tuple) or len(references) != 2:
        raise InputError("references is no pair", "give (signals_mv, labels) of other recordings")
    signals, labels = references
    about = given.about
    found = recordings_of(
        signals,
        labels,
        fs_hz=about.fs_hz,
        adc_step_mv=about.adc_step_mv,
        classes=about.classes,
        split="validation",
        name="references[0]",
    )
    if found.shape != given.shape:
        raise InputError(f"references are {found.shape}, the signals {given.shape}", "give the same leads and samples")
    return found


def attacked(
    target: str,
    judge: nn.Module,
    models: Mapping[Method, Model],
    given: Recordings,
    opponents: Recordings,
    references: Victims,
    settings: AttackSpec,
    seed: int,
    with_patients: bool,
    *,
    way: Way = "module",
    notes: tuple[str, ...] = (),
) -> AttackResult:
    """Each method on its model (``models``), and the control, at each budget of ``settings``; ``judge`` gives scores
    of ``target``. ``references``: of ``opponents``, whom the objective plays against.

    Raises InputError where a score is not finite, and NoGradientError.
    """
    resamples = draw_resamples(given.patients, RESAMPLES, seed)
    everyone = np.arange(len(given))
    clean_scores = _scores(judge, given.adc(everyone), given, "the recordings as they are")
    if constant_classes(clean_scores).all():
        raise InputError(
            f"{target}: gives all {len(given)} recordings the same scores", "an AUC needs scores that differ"
        )
    clean = measure(FlagSubject(target, None, "clean", 0.0), "control", clean_scores, given.labels, resamples)
    rows: list[MeasuredTarget] = []
    budgets = []
    for budget in settings.budgets_mv:
        made: dict[Method, tuple[MeasuredTarget, NDArray[np.int16], NDArray[np.float32]]] = {}
        scene = make_scene(opponents, settings, seed, budget, references)
        for name in (*models, CONTROL):
            steps, facts = _disturbed(name, models.get(name), scene, given, seed)
            scores = _scores(judge, steps, given, f"recordings under {name} at {budget:g} mV")
            made[name] = _row(target, name, budget, scores, given, resamples, facts), steps, scores
        rows += [row for row, _, _ in made.values()]
        worst = min(models, key=lambda name: made[name][0].auc)
        row, steps, scores = made[worst]
        budgets.append(
            AttackedBudget(
                budget,
                row.auc,
                *_interval(row, with_patients),
                made[CONTROL][0].auc,
                worst,
                {name: made[name][0].auc for name in models},
                to_millivolts(steps, given.about.adc_step_mv),
                scores,
            )
        )
    flags: list[Flag] = find_flags(rows)
    if not in_levels(clean_scores):
        flags += saturated_outputs({target: clean_scores}, given.about.classes)
    patients = len(np.unique(given.patients)) if with_patients else None
    return AttackResult(
        way,
        clean.auc,
        *_interval(clean, with_patients),
        clean_scores,
        tuple(budgets),
        tuple(flags),
        notes,
        len(given),
        patients,
    )


def _disturbed(
    name: Method, model: Model, scene: Any, given: Recordings, seed: int
) -> tuple[NDArray[np.int16], dict[str, float]]:
    """Every recording under one method, int16 (n, leads, samples) steps, and the means of what it counted."""
    method, about = METHODS[name].make(scene.settings), given.about
    recorder = Recorder(about.adc_step_mv, *about.adc_range)
    if isinstance(model, nn.Module):
        anneal(model, 0.0)
    prepared = method.prepare(model, scene, _generator(seed, name, scene.budget_mv, "prepare"))
    parts: list[NDArray[np.int16]] = []
    counted: dict[str, list[torch.Tensor]] = {}
    for first in range(0, len(given), scene.settings.shard):
        rows = np.arange(first, min(first + scene.settings.shard, len(given)))
        if isinstance(model, nn.Module):
            anneal(model, 0.0)
        generator = _generator(seed, name, scene.budget_mv, f"{first}")
        made = method.perturb(model, scene, prepared, victims_of(given, rows), generator)
        expect_inside(name, method, made.delta, scene.budget_mv, given.ids[rows].tolist())
        delta = made.delta.numpy()
        parts.append(recorder.record(given.adc(rows), delta, scene.budget_mv, method.norm, method.bounded))
        for fact, values in made.facts.items():
            counted.setdefault(fact, []).append(values.double())
    return np.concatenate(parts), {fact: float(torch.cat(each).mean()) for fact, each in counted.items()}


def _generator(seed: int, name: str, budget_mv: float, part: str) -> torch.Generator:
    """The random numbers of one part, the same whatever else is asked for."""
    digest = hashlib.sha256(f"{seed}/{name}/{budget_mv:g}/{part}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:6], "big"))


def _row(
    target: str,
    name: Method,
    budget_mv: float,
    scores: NDArray[np.float32],
    given: Recordings,
    resamples: Resamples,
    facts: Mapping[str, float],
) -> MeasuredTarget:
    """One method at one budget as the flags compare it."""
    entry = METHODS[name]
    method = entry.make(AttackSpec())
    subject = FlagSubject(target, None if entry.control else target, name, budget_mv)
    norm = method.norm if method.bounded and method.norm != "none" else None
    kind = "control" if entry.control else "queries" if entry.way == "queries" else "gradient"
    return measure(subject, kind, scores, given.labels, resamples, norm, facts)  # type: ignore[arg-type]


def _scores(judge: nn.Module, steps: NDArray[np.int16], given: Recordings, what: str) -> NDArray[np.float32]:
    scores = scores_of(judge, steps, given.about.adc_step_mv).numpy()
    if not np.isfinite(scores).all():
        raise InputError(f"scores of {what} are not finite", "look for a division by zero, or a logarithm of zero")
    if not math.isfinite(macro_auc(scores, given.labels)):
        raise AssertionError("labels were checked to have both kinds")
    return np.asarray(scores, np.float32)


def _interval(row: MeasuredTarget, with_patients: bool) -> tuple[float | None, float | None]:
    if not with_patients:
        return None, None
    low, high = percentiles(row.resampled)
    return low, high
