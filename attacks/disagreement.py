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

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from torch import Generator, Tensor, nn

from pulseproof.attacks.aim.ball import LINF
from pulseproof.attacks.aim.ends import alike
from pulseproof.attacks.aim.norms import Norm
from pulseproof.attacks.aim.recorder import INT16, Recorder
from pulseproof.attacks.aim.references import clean_scores, spread_of
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.gradient import BATCH, evaluate
from pulseproof.attacks.method import Model, Perturbed, Prepared, Scene
from pulseproof.attacks.steps import Best, Evaluated, walk
from pulseproof.core.study import AttackSpec
from pulseproof.models.metrics import best_thresholds


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
                self._batch(parent, twin, some, decisions, budget_mv, recorder)
                for _, some in victims.batches(self.batch_size)
            ]
            deltas, margins = (torch.cat(column) for column in zip(*parts, strict=True))
            found.append(Perturbed(deltas, {"disagrees": (margins > 0).float()}))
        return found

    def _batch(
        self,
        parent: nn.Module,
        twin: nn.Module,
        some: Victims,
        decisions: Decisions,
        budget_mv: float,
        recorder: Recorder,
    ) -> tuple[Tensor, Tensor]:
        signals, nowhere = some.signals, torch.zeros_like(some.signals)
        with torch.no_grad():
            margins = _Smaller(parent, twin, decisions, decisions.of(parent(signals)))

        def look(delta: Tensor, progress: float, runs: Tensor) -> Evaluated:
            del runs
            there = Victims(recorder.shown(signals, delta, budget_mv, "linf"), some.labels)
            return evaluate(margins, there, nowhere, self._worth, progress, batch_size=len(some))

        # A label counts as much as the smaller of its margins, a recording as much as its best label.
        best = Best(self.steps, budget_mv, fall=self.fall, last=None, value=lambda smaller, _: smaller.amax(dim=1))
        project = partial(LINF.project, budget_mv=budget_mv)
        delta = walk(nowhere, best, look, LINF.steepest, project)
        return torch.round(delta / recorder.step_mv) * recorder.step_mv, best.memory.best.scores.amax(dim=1)

    def _worth(self, scores: Tensor, labels: Tensor, progress: float) -> Tensor:
        """The soft maximum over labels of the smaller margins (n, classes)."""
        del labels, progress
        return self.softness * torch.logsumexp(scores / self.softness, dim=1)


class _Smaller(nn.Module):
    """The smaller of two margins of each label: the parent's to what it ``decided``, and the twin's to the other side;
    (n, classes) or, of an exclusive task, (n, 1)."""

    def __init__(self, parent: nn.Module, twin: nn.Module, decisions: Decisions, decided: Tensor) -> None:
        super().__init__()
        self.parent, self.twin, self.decisions, self.decided = parent, twin, decisions, decided

    def forward(self, x: Tensor) -> Tensor:
        kept = self.decisions.margins(self.parent(x), self.decided)
        return torch.minimum(kept, -self.decisions.margins(self.twin(x), self.decided))


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

    def prepare(self, model: Model, scene: Scene, generator: Generator) -> dict[str, Tensor]:
        """``spread`` (classes,) and ``thresholds`` (classes,), which an exclusive task has none of."""
        del generator
        assert isinstance(model, nn.Module) and scene.parent is not None, "disagreement needs the float parent"
        parent, _ = alike(scene.parent, model)
        labels, scores = scene.references.labels, clean_scores(parent, scene.references)
        prepared = {"spread": spread_of(scores)}
        if not bool((labels.sum(dim=1) == 1).all()):
            truth, given = labels.cpu().numpy().astype(np.uint8), scores.cpu().numpy()
            prepared["thresholds"] = torch.from_numpy(best_thresholds(truth, given)).to(scores.device)
        return prepared

    def perturb(self, model: Model, scene: Scene, made: Prepared, victims: Victims, generator: Generator) -> Perturbed:
        """The attack on one shard."""
        del generator
        assert isinstance(model, nn.Module) and scene.parent is not None
        decisions = Decisions(made.get("thresholds"), made["spread"])
        parent, file = alike(scene.parent, model)
        (found,) = self.attack(parent, file, victims, decisions, [scene.budget_mv], step_mv=scene.step_mv)
        return found
