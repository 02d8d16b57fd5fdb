"""The AUC objective of one model, attack and budget: reference recordings walked along their own attack.

In: an attack, a module, validation recordings with their labels. Out: an :class:`~attacks.aim.objectives.AucObjective`
whose snapshots are the references' scores at each step of the way. While they walk, the references play against each
other's scores of the step before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pulseproof.attacks.aim.objectives import SMALLEST_SPREAD, AucObjective
from pulseproof.attacks.aim.victims import Victims
from pulseproof.core.compute.placed import fitting, in_parts

if TYPE_CHECKING:
    from pulseproof.attacks.gradient import Attack

TEMPERATURE = 0.2


def clean_scores(module: nn.Module, victims: Victims, batch_size: int = 64) -> Tensor:
    """Scores (n, classes) of the recordings as they are."""
    with torch.no_grad():
        size = fitting(victims.signals, batch_size)
        return torch.cat(in_parts(len(victims), size, lambda part: module(victims.signals[part])))


def spread_of(scores: Tensor) -> Tensor:
    """The standard deviation (classes,) of clean scores (n, classes)."""
    return scores.std(dim=0).clamp_min(SMALLEST_SPREAD)


def auc_objective(
    attack: Attack,
    module: nn.Module,
    references: Victims,
    budget_mv: float,
    generator: torch.Generator,
    temperature: float = TEMPERATURE,
    prevalence: Tensor | None = None,
) -> AucObjective:
    """The AUC objective against ``references`` that walk ``attack`` themselves at this budget.

    ``prevalence``: see :class:`~attacks.aim.objectives.AucObjective`.
    """
    calm = clean_scores(module, references)
    spread = spread_of(calm)
    walked: list[Tensor] = []

    def against_themselves(scores: Tensor, labels: Tensor, progress: float) -> Tensor:
        before = (walked[-1] if walked else calm).unsqueeze(0)
        return AucObjective(before, references.labels, spread, temperature, prevalence)(scores, labels, progress)

    attack(
        module,
        references,
        [against_themselves],
        [budget_mv],
        generator,
        watch=lambda progress, scores: walked.append(scores),
    )
    return AucObjective(torch.stack(walked), references.labels, spread, temperature, prevalence)
