"""Recordings on which a float model and the file made of it decide differently.

In: two differentiable modules from millivolts to scores, the float parent and the twin of its deployed file; how scores
become decisions. Out: perturbations that leave the parent's decision as it was and turn the twin's. Each is a recording
that passes every check done with the float model, and fails on the device.

From: Hao, Awatramani, Hu, Mao, Chen, Cidon, Chen and Ré, "A Tale of Two Models: Constructing Evasive Attacks on Edge
Models" (DIVA), MLSys 2022, which adds the twin's loss and the parent's confidence with a weight between them. A file
and its parent differ by so little that such a sum mostly drives both over the threshold or neither. So the objective
here is the smaller of two margins, the parent's to its own side and the file's to the other: above 0 they disagree,
and each step mends whichever of the two is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from pulseproof.attacks.aim.ball import LINF, Norm
from pulseproof.attacks.aim.ends import alike
from pulseproof.attacks.aim.recorder import Recorder
from pulseproof.attacks.aim.references import clean_scores, spread_of
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.gradient import BATCH, NoGradientError
from pulseproof.attacks.method import Perturbed, Predict, Scene
from pulseproof.core.study import AttackSpec
from pulseproof.models.metrics import best_thresholds

INT16 = (-32768, 32767)


@dataclass(frozen=True)
class Decisions:
    """How scores become decisions: ``thresholds`` (classes,) of the labels, or None where exactly one class is given,
    the highest. ``spread`` (classes,): the standard deviation of the parent's clean scores, the unit of margins."""

    thresholds: Tensor | None
    spread: Tensor

    def of(self, scores: Tensor) -> Tensor:
        """What is given for scores (n, classes): bool of the same shape."""
        if self.thresholds is not None:
            return scores >= self.thresholds
        return nn.functional.one_hot(scores.argmax(dim=1), scores.shape[1]).bool()

    def margins(self, scores: Tensor, decided: Tensor) -> Tensor:
        """How far inside ``decided`` scores (n, classes) are: (n, classes) or, of an exclusive task, (n, 1)."""
        if self.thresholds is not None:
            return (2 * decided.to(scores.dtype) - 1) * (scores - self.thresholds) / self.spread
        given = scores.masked_fill(~decided, -torch.inf).amax(dim=1, keepdim=True)
        best_other = scores.masked_fill(decided, -torch.inf).amax(dim=1, keepdim=True)
        return (given - best_other) / self.spread.mean()


@dataclass(frozen=True)
class Disagreement:
    """Sign steps in the L-infinity ball, from the clean recording, of size ``epsilon * (1 - k / steps) ** fall``: they
    must end small, since the two models differ by little. ``softness``: of the maximum over labels (one label is
    enough), in spreads. Every step is judged on the recorded signal, and the best one is kept."""

    steps: int = 20
    fall: float = 3.0
    softness: float = 0.2
    batch_size: int = BATCH

    def __call__(
        self,
        parent: nn.Module,
        twin: nn.Module,
        victims: Victims,
        decisions: Decisions,
        budgets_mv: Sequence[float],
        *,
        step_mv: float,
    ) -> list[Perturbed]:
        """One perturbation (n, leads, samples) a budget (mV), in whole steps of the recorder (``step_mv``).

        ``facts["disagrees"]``: 1 where the parent keeps a decision that the twin turns. (The rate over all labels may
        be higher: the parent may have changed its mind on another.) A recording that is one of these undisturbed
        stays one. Raises NoGradientError when no gradient reaches the signal.
        """
        recorder = Recorder(step_mv, *INT16)
        found = []
        for budget in budgets_mv:
            # Within the ball that the recorder can reach, so that rounding never leads out of it.
            budget_mv = recorder.budget_steps(budget) * step_mv
            parts = [
                self._batch(parent, twin, some.signals, decisions, budget_mv, step_mv)
                for _, some in victims.batches(self.batch_size)
            ]
            deltas, margins = (torch.cat(column) for column in zip(*parts, strict=True))
            found.append(Perturbed(deltas, {"disagrees": (margins > 0).float()}))
        return found

    def _batch(
        self,
        parent: nn.Module,
        twin: nn.Module,
        signals: Tensor,
        decisions: Decisions,
        budget_mv: float,
        step_mv: float,
    ) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            decided = decisions.of(parent(signals))
        clean = torch.round(signals / step_mv)
        delta = torch.zeros_like(signals)
        best, best_margin = delta, torch.full((len(signals),), -torch.inf)
        for step in range(self.steps):
            steps = torch.round(delta / step_mv)
            # The product that makes millivolts of recorded steps everywhere (ecg.recordings.to_millivolts).
            place = ((clean + steps) * step_mv).requires_grad_(True)
            kept = decisions.margins(parent(place), decided)
            turned = -decisions.margins(twin(place), decided)
            # A label counts as much as the smaller of its margins, a recording as much as its best label.
            smaller = torch.minimum(kept, turned)
            margin = smaller.detach().amax(dim=1)
            worth = self.softness * torch.logsumexp(smaller / self.softness, dim=1)
            if not worth.requires_grad:
                raise NoGradientError("no gradient reaches the signal: neither model is differentiable")
            (gradient,) = torch.autograd.grad(worth.sum(), place)
            better = margin > best_margin
            best = torch.where(better.reshape(-1, 1, 1), steps * step_mv, best)
            best_margin = torch.where(better, margin, best_margin)
            length = budget_mv * (1 - step / self.steps) ** self.fall
            delta = LINF.project(delta + length * LINF.steepest(gradient), budget_mv)
        return best, best_margin


@dataclass(frozen=True)
class DisagreementMethod:
    """The attack on a twin and ``scene.parent``. Thresholds are those of the parent's best F1 on the references; where
    every reference has exactly one label, the task is exclusive and the highest score decides."""

    attack: Disagreement = Disagreement()
    norm: ClassVar[Norm] = "linf"
    bounded: ClassVar[bool] = True

    @classmethod
    def of(cls, asked: AttackSpec) -> DisagreementMethod:
        """As a study asks for it."""
        return cls(Disagreement(asked.steps))

    def prepare(self, model: nn.Module | Predict | None, scene: Scene, generator: torch.Generator) -> dict[str, Tensor]:
        """``spread`` (classes,) and ``thresholds`` (classes,), which an exclusive task has none of."""
        del generator
        assert isinstance(model, nn.Module) and scene.parent is not None, "disagreement needs the float parent"
        parent, _ = alike(scene.parent, model)
        labels, scores = scene.references.labels, clean_scores(parent, scene.references)
        prepared = {"spread": spread_of(scores)}
        if not bool((labels.sum(dim=1) == 1).all()):
            prepared["thresholds"] = torch.from_numpy(best_thresholds(labels.numpy().astype(np.uint8), scores.numpy()))
        return prepared

    def perturb(
        self,
        model: nn.Module | Predict | None,
        scene: Scene,
        prepared: Mapping[str, Tensor],
        victims: Victims,
        generator: torch.Generator,
    ) -> Perturbed:
        """The attack on one shard."""
        del generator
        assert isinstance(model, nn.Module) and scene.parent is not None
        decisions = Decisions(prepared.get("thresholds"), prepared["spread"])
        parent, file = alike(scene.parent, model)
        (found,) = self.attack(parent, file, victims, decisions, [scene.budget_mv], step_mv=scene.step_mv)
        return found
