"""The audit's own runs: the study's attack with more effort, or with another objective, on some of the recordings.

In: a source's differentiable model, the recordings under attack, and the study's settings. Out: the scores of the
attacked model on what a recorder would make of it. An attack that has found what there is to find is not bettered by
twice the steps or a second start, nor by an objective that was not made for the AUC: :mod:`attacks.audit.flags`
compares.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pulseproof.attacks.aim.aimed import Aim, Aimed, objective_of
from pulseproof.attacks.aim.needs import DESCENT
from pulseproof.attacks.aim.recorder import Recorder
from pulseproof.attacks.aim.references import clean_scores
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.gradient import Pgd
from pulseproof.attacks.method import Scene
from pulseproof.ecg.recordings import to_millivolts


@dataclass(frozen=True)
class Recheck:
    """PGD on ``aim`` with ``effort`` times the study's steps, from ``starts`` random starts, of which each recording
    keeps the one with the larger objective. ``every_budget``: at each of the study's, else at the middle one."""

    name: str
    says: str
    aim: Aim = "auc"
    effort: int = 1
    starts: int = 1
    every_budget: bool = False


TWICE = Recheck("twice-the-steps", "twice the steps", effort=2)
RESTART = Recheck("two-starts", "the better of two starts", starts=2)
BCE = Recheck("bce", "the cross-entropy objective", aim="bce", every_budget=True)
LINEAR = Recheck("linear", "the linear objective", aim="linear", every_budget=True)
RECHECKS = (TWICE, RESTART, BCE, LINEAR)


def run_again(
    recheck: Recheck,
    model: nn.Module,
    judge: nn.Module,
    scene: Scene,
    recorder: Recorder,
    clean: NDArray[np.int16],
    labels: NDArray[np.uint8],
    generator: torch.Generator,
) -> NDArray[np.float32]:
    """Scores (n, classes) of ``judge`` on the attacked recordings, as recorded.

    ``model`` gives the gradients; ``judge`` is the true model, another one only where ``model`` is softened. ``clean``
    int16 (n, leads, samples) steps, ``labels`` (n, classes). Equal generators give equal bytes. Raises NoGradientError
    when no gradient reaches the signal.
    """
    settings = scene.settings.model_copy(update={"steps": recheck.effort * scene.settings.steps})
    scene = replace(scene, settings=settings)
    method = Aimed(Pgd(settings.steps), recheck.aim, DESCENT)
    device = str(scene.references.signals.device)
    truth = torch.from_numpy(labels).float()
    victims = Victims(torch.from_numpy(to_millivolts(clean, recorder.step_mv)), truth).to(device)
    prepared = method.prepare(model, scene, generator)
    objective = objective_of(recheck.aim, prepared, settings.temperature)
    kept: Tensor | None = None
    worth: Tensor | None = None
    for _ in range(recheck.starts):
        delta = method.perturb(model, scene, prepared, victims, generator).delta.cpu()
        recorded = recorder.record(clean, delta.numpy(), scene.budget_mv, method.norm, method.bounded)
        scores = scores_of(judge, recorded, recorder.step_mv)
        if recheck.starts > 1:
            # By the model's own scores: the judge's may lie behind a sigmoid that the attack does not see.
            shown = torch.from_numpy(to_millivolts(recorded, recorder.step_mv))
            own = clean_scores(model, Victims(shown, truth).to(device))
            there = objective(own, victims.labels, 1.0).cpu()
            if kept is not None and worth is not None:
                scores = torch.where((there > worth).reshape(-1, 1), scores, kept)
                there = torch.maximum(there, worth)
            worth = there
        kept = scores
    assert kept is not None, "an attack has at least one start"
    return kept.numpy()


def scores_of(module: nn.Module, steps: NDArray[np.int16], step_mv: float) -> Tensor:
    """Scores float32 (n, classes) of recordings int16 (n, leads, samples), 64 at a time: always so many, because a
    tree's scores near its thresholds change with the size of the batch."""
    signals = torch.from_numpy(to_millivolts(steps, step_mv))
    return clean_scores(module, Victims(signals, torch.zeros(len(signals), 1)))
