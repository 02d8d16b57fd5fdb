"""What an attack makes larger.

The AUC objective is Pulseproof's own. AUC is the probability that a positive recording scores above a negative one, so
an attacker of the AUC wants to change *ranks*: a recording is worth pushing only while there are recordings of the
opposite class that it has not passed yet. For a score s of a recording with label y, and reference scores r of
recordings with the other label,

    J = mean over r of sigmoid((1 - 2 y) (s - r) / (temperature * spread))

``spread`` is the standard deviation of the model's clean scores of that class, which makes the temperature free of the
model's scale. J is a smooth count of the swapped pairs: its gradient is large where ranks can still be swapped and
vanishes for recordings that have passed everybody, or that cannot be moved.

The opponents move too: under attack every recording is pushed. So the references are validation recordings that were
attacked as far: at step k the test recordings play against the validation scores of step k (:class:`References`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

# (scores (n, classes), labels (n, classes), step) -> one value a recording (n,), which the attack makes larger
Objective = Callable[[Tensor, Tensor, int], Tensor]


@dataclass(frozen=True)
class References:
    """Scores ``(steps, m, classes)`` of m validation recordings along their own attack, and their labels
    ``(m, classes)``. A single step serves all steps (clean references)."""

    scores: Tensor
    labels: Tensor

    def at(self, step: int) -> Tensor:
        """Reference scores ``(m, classes)`` for one attack step."""
        return self.scores[min(step, len(self.scores) - 1)]


def auc_objective(references: References, spread: Tensor, temperature: float) -> Objective:
    """See the module. ``spread`` is ``(classes,)``; a class without opponents among the references adds nothing."""
    labels = references.labels

    def objective(scores: Tensor, truth: Tensor, step: int) -> Tensor:
        opponents = references.at(step)
        total = torch.zeros(len(scores), dtype=scores.dtype)
        for column in range(scores.shape[1]):
            side = 1 - 2 * truth[:, column]
            for label in (0, 1):
                # Recordings of this label play against the references of the other.
                ranks = opponents[labels[:, column] != label, column]
                mine = truth[:, column] == label
                if not len(ranks) or not bool(mine.any()):
                    continue
                gap = (scores[mine, column].unsqueeze(1) - ranks.unsqueeze(0)) * side[mine].unsqueeze(1)
                swapped = torch.sigmoid(gap / (temperature * spread[column])).mean(dim=1)
                total = total.index_put((mine.nonzero().squeeze(1),), swapped, accumulate=True)
        return total

    return objective


def bce_objective(scores: Tensor, truth: Tensor, step: int) -> Tensor:
    """Binary cross-entropy summed over labels, per recording: the usual multi-label objective, to compare with."""
    del step
    loss = torch.nn.functional.binary_cross_entropy_with_logits(scores, truth, reduction="none")
    return loss.sum(dim=1)
