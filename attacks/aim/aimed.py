"""A gradient attack with its objective, as a method of the grid.

In: an :class:`~attacks.gradient.Attack` and the name of an objective. The AUC objective is prepared once a (source,
budget): the references' walk is handed to every shard as arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import torch
from torch import Generator, Tensor, nn

from pulseproof.attacks.aim.needs import Need, fitted
from pulseproof.attacks.aim.norms import Norm
from pulseproof.attacks.aim.objectives import AucObjective, Bce, Linear, Objective
from pulseproof.attacks.aim.references import auc_objective, clean_scores, spread_of
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.gradient import Attack, evaluate
from pulseproof.attacks.method import Model, Perturbed, Prepared, Scene

Aim = Literal["auc", "bce", "linear"]
# A gradient is none when the steepest change of 1 mV RMS would move the signed scores by less of their spread than
# this, if the model were linear: a millionth of a standard deviation.
NO_GRADIENT = 1e-6


@dataclass(frozen=True)
class Aimed:
    """``attack`` on ``aim``, changed as the kind of the model ``needs`` it (:mod:`attacks.aim.needs`)."""

    attack: Attack
    aim: Aim = "auc"
    needs: tuple[Need, ...] = ()

    @property
    def norm(self) -> Norm:
        """That of the attack's ball."""
        return self.attack.norm

    @property
    def bounded(self) -> bool:
        """Every attack keeps inside its ball."""
        return True

    def prepare(self, model: Model, scene: Scene, generator: Generator) -> dict[str, Tensor]:
        """The spread of the scores, the share of references without gradient and, for the AUC, the references' walk."""
        assert isinstance(model, nn.Module)
        spread = spread_of(clean_scores(model, scene.references))
        prepared = {"spread": spread, "no_gradient": share_without_gradient(model, scene.references, spread)}
        if self.aim == "auc":
            attack = fitted(self.attack, self.needs, model, scene)
            walked = auc_objective(
                attack if _rests(attack) else _in_half_the_steps(attack),
                model,
                scene.references,
                scene.budget_mv,
                generator,
                scene.settings.temperature,
                scene.prevalence,
            )
            scores = walked.scores[-1:] if _rests(attack) else walked.scores
            prepared |= {"scores": scores, "labels": walked.labels, "prevalence": scene.prevalence}
        return prepared

    def perturb(self, model: Model, scene: Scene, made: Prepared, victims: Victims, generator: Generator) -> Perturbed:
        """The attack on one shard."""
        assert isinstance(model, nn.Module)
        objective = objective_of(self.aim, made, scene.settings.temperature)
        attack = fitted(self.attack, self.needs, model, scene)
        (delta,) = attack(model, victims, [objective], [scene.budget_mv], generator)
        return Perturbed(delta, {"no_gradient": made["no_gradient"].expand(len(victims))})


def _rests(attack: Attack) -> bool:
    """Whether its opponents rest where their way ended, and walked all of it. In few steps no recording can follow
    opponents that move (PTB-XL's CNN in 10 steps at 0.02 mV: .424 against resting, .431 against moving ones)."""
    return bool(getattr(attack, "settles", 0.0))


def _in_half_the_steps(attack: Attack) -> Attack:
    """The same attack for the references: where they are at a share of their way hardly depends on the steps it took
    (PTB-XL's CNN: the AUC reached against them changes by less than .002), and their walk is everybody's cost."""
    steps = getattr(attack, "steps", 1)
    return cast(Attack, replace(cast(Any, attack), steps=max(1, steps // 2))) if steps > 1 else attack


def objective_of(aim: Aim, prepared: Prepared, temperature: float) -> Objective:
    """The objective from the arrays of :meth:`Aimed.prepare`."""
    if aim == "bce":
        return Bce()
    if aim == "linear":
        return Linear(prepared["spread"])
    scores, labels, spread, prevalence = (prepared[name] for name in ("scores", "labels", "spread", "prevalence"))
    return AucObjective(scores, labels, spread, temperature, prevalence)


def share_without_gradient(model: nn.Module, victims: Victims, spread: Tensor) -> Tensor:
    """The share () of recordings at which the model has no gradient, or one too small to follow (:data:`NO_GRADIENT`).

    Of the signed scores in units of their spread, so that a saturated loss is not taken for a masked gradient.
    """
    seen = evaluate(model, victims, torch.zeros_like(victims.signals), Linear(spread), 0.0)
    steepest = seen.gradient.double().square().sum(dim=(1, 2)).sqrt() * seen.gradient[0].numel() ** 0.5
    return (~(steepest > NO_GRADIENT)).double().mean()
