"""One perturbation for all recordings, learned from training recordings, that works at any time shift.

An attacker who adds a signal to a wire is not synchronised with the heart: each recording meets the perturbation at a
shift of its own, in training as in the end (expectation over shifts: Chen et al., "ECGadv", AAAI 2020; universal:
Moosavi-Dezfooli et al. 2017). In: the source's module and training recordings. Out: ``delta`` (leads, samples) mV, and
for each recording that delta at a random shift. Since one signal cannot push some recordings up and others down but
through what it meets in them, expect little; what it reaches needs nothing of the recording that it disturbs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from pulseproof.attacks.aim.ball import LINF, TINY, Norm
from pulseproof.attacks.aim.objectives import AucObjective, Objective
from pulseproof.attacks.aim.references import clean_scores, spread_of
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.gradient import BATCH, NoGradientError, anneal
from pulseproof.attacks.method import Perturbed, Predict, Scene
from pulseproof.attacks.transfer import shifted
from pulseproof.core.study import AttackSpec


@dataclass(frozen=True)
class UniversalMethod:
    """``steps`` of falling length over all ``records`` training recordings, the gradient with ``momentum`` since every
    step sees other shifts. ``lead``: the only lead that is disturbed, by its place; None: all."""

    steps: int = 20
    records: int = 512
    momentum: float = 0.75
    lead: int | None = None
    batch_size: int = BATCH
    norm: ClassVar[Norm] = "linf"
    bounded: ClassVar[bool] = True

    @classmethod
    def of(cls, asked: AttackSpec) -> UniversalMethod:
        """As a study asks for it."""
        return cls(asked.steps, asked.training_records)

    def prepare(self, model: nn.Module | Predict | None, scene: Scene, generator: torch.Generator) -> dict[str, Tensor]:
        """``delta`` (leads, samples) mV. Raises NoGradientError when no gradient reaches the signal."""
        assert isinstance(model, nn.Module)
        return {"delta": self.learn(model, scene.training(self.records), scene, generator)}

    def perturb(
        self,
        model: nn.Module | Predict | None,
        scene: Scene,
        prepared: Mapping[str, Tensor],
        victims: Victims,
        generator: torch.Generator,
    ) -> Perturbed:
        """The one perturbation, at a random shift for each recording."""
        del model, scene
        return Perturbed(at_shifts(prepared["delta"], _shifts(victims, generator)))

    def learn(self, model: nn.Module, training: Victims, scene: Scene, generator: torch.Generator) -> Tensor:
        """The perturbation (leads, samples) mV. The opponents of each step are the references, disturbed by what is
        learned so far."""
        references = scene.references
        spread = spread_of(clean_scores(model, references))
        delta = LINF.random(training.signals[:1], scene.budget_mv, generator)[0]
        keep = torch.ones(len(delta), 1)
        if self.lead is not None:
            keep = torch.zeros(len(delta), 1)
            keep[self.lead] = 1
        delta = delta * keep
        total = torch.zeros_like(delta)
        for step in range(self.steps):
            anneal(model, step / max(1, self.steps - 1))
            moved = references.signals + at_shifts(delta, _shifts(references, generator))
            there = clean_scores(model, Victims(moved, references.labels)).unsqueeze(0)
            objective = AucObjective(there, references.labels, spread, scene.settings.temperature, scene.prevalence)
            gradient = self._gradient(model, training, delta, objective, generator)
            total = self.momentum * total + gradient / gradient.abs().mean().clamp_min(TINY)
            length = scene.budget_mv * (1 - step / self.steps)
            delta = keep * LINF.project(delta + length * total.sign(), scene.budget_mv)
        return delta

    def _gradient(
        self, model: nn.Module, training: Victims, delta: Tensor, objective: Objective, generator: torch.Generator
    ) -> Tensor:
        """The gradient of the mean objective over the training recordings, each at a shift of its own."""
        total = torch.zeros_like(delta)
        for _, some in training.batches(self.batch_size):
            place = delta.clone().requires_grad_(True)
            scores = model(some.signals + at_shifts(place, _shifts(some, generator)))
            worth = objective(scores, some.labels, 1.0).sum()
            if not worth.requires_grad:
                raise NoGradientError("no gradient reaches the signal: the model is not differentiable")
            (gradient,) = torch.autograd.grad(worth, place)
            total += gradient
        return total


def at_shifts(delta: Tensor, shifts: Tensor) -> Tensor:
    """``delta`` (leads, samples), later by each of ``shifts`` (n, 1) samples, circularly: (n, leads, samples)."""
    return shifted(delta.unsqueeze(0).expand(len(shifts), -1, -1), shifts)


def _shifts(victims: Victims, generator: torch.Generator) -> Tensor:
    return torch.randint(victims.signals.shape[2], (len(victims), 1), generator=generator)
