"""One perturbation for all recordings, learned from training recordings, that works at any time shift.

An attacker who adds a signal to a wire is not synchronised with the heart: each recording meets the perturbation at a
shift of its own, in training as in the end (expectation over shifts: Chen et al., "ECGadv", AAAI 2020; universal:
Moosavi-Dezfooli et al. 2017). In: the source's module and training recordings. Out: ``delta`` (leads, samples) mV, and
for each recording that delta at a random shift. Since one signal cannot push some recordings up and others down but
through what it meets in them, expect little; what it reaches needs nothing of the recording that it disturbs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn

from pulseproof.attacks.aim.ball import LINF
from pulseproof.attacks.aim.norms import Norm
from pulseproof.attacks.aim.objectives import AucObjective, Objective
from pulseproof.attacks.aim.references import clean_scores, spread_of
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.gradient import BATCH, anneal, gradient_at
from pulseproof.attacks.method import Model, Perturbed, Prepared, Scene
from pulseproof.attacks.steps import Course, Evaluated, walk
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

    def prepare(self, model: Model, scene: Scene, generator: Generator) -> dict[str, Tensor]:
        """``delta`` (leads, samples) mV. Raises NoGradientError when no gradient reaches the signal."""
        assert isinstance(model, nn.Module)
        return {"delta": self.learn(model, scene.training(self.records), scene, generator)}

    def perturb(self, model: Model, scene: Scene, made: Prepared, victims: Victims, generator: Generator) -> Perturbed:
        """The one perturbation, at a random shift for each recording."""
        del model, scene
        return Perturbed(at_shifts(made["delta"], _shifts(victims, generator)))

    def learn(self, model: nn.Module, training: Victims, scene: Scene, generator: Generator) -> Tensor:
        """The perturbation (leads, samples) mV. The opponents of each step are the references, disturbed by what is
        learned so far."""
        references, leads = scene.references, training.signals.shape[1]
        spread = spread_of(clean_scores(model, references))
        keep = torch.ones(leads, 1, device=training.signals.device)
        if self.lead is not None:
            keep = torch.zeros_like(keep)
            keep[self.lead] = 1

        def look(delta: Tensor, progress: float, runs: Tensor) -> Evaluated:
            del runs
            anneal(model, progress)
            moved = references.signals + at_shifts(delta[0], _shifts(references, generator))
            there = clean_scores(model, Victims(moved, references.labels)).unsqueeze(0)
            objective = AucObjective(there, references.labels, spread, scene.settings.temperature, scene.prevalence)
            return self._evaluate(model, training, delta[0], objective, generator)

        def project(delta: Tensor) -> Tensor:
            return keep * LINF.project(delta, scene.budget_mv)

        start = keep * LINF.random(training.signals[:1], scene.budget_mv, generator)
        course = Course(self.steps, scene.budget_mv, momentum=self.momentum)
        return walk(start, course, look, LINF.steepest, project)[0]

    def _evaluate(
        self, model: nn.Module, training: Victims, delta: Tensor, objective: Objective, generator: Generator
    ) -> Evaluated:
        """All training recordings, each at a shift of its own; the gradient (1, leads, samples) is that of their sum in
        the one perturbation."""
        total, seen = torch.zeros_like(delta), []
        for _, some in training.batches(self.batch_size):
            place = delta.clone().requires_grad_(True)
            scores = model(some.signals + at_shifts(place, _shifts(some, generator)))
            worth = objective(scores, some.labels, 1.0)
            total += gradient_at(place, worth)
            seen.append((scores.detach(), worth.detach()))
        scores, worth = (torch.cat(parts) for parts in zip(*seen, strict=True))
        return Evaluated(scores, worth, total.unsqueeze(0))


def at_shifts(delta: Tensor, shifts: Tensor) -> Tensor:
    """``delta`` (leads, samples), later by each of ``shifts`` (n, 1) samples, circularly: (n, leads, samples)."""
    return shifted(delta.unsqueeze(0).expand(len(shifts), -1, -1), shifts)


def _shifts(victims: Victims, generator: Generator) -> Tensor:
    drawn = torch.randint(victims.signals.shape[2], (len(victims), 1), generator=generator)
    return drawn.to(victims.signals.device)
