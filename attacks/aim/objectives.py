"""What an attack makes larger: per-label cross-entropy, signed scores, or the AUC itself.

The AUC objective is Pulseproof's own. AUC is the probability that a positive recording scores above a negative one, so
an attacker of the AUC wants to change *ranks*: a recording is worth pushing only while there are recordings of the
opposite class that it has not passed yet. For a score s of a recording with label y, and reference scores r of
recordings with the other label,

    J = sum over classes of w_y mean over r of sigmoid((1 - 2 y) (s - r) / (temperature * spread))

``spread`` is the standard deviation of the model's clean scores of that class, which makes the temperature free of the
model's scale. J is a smooth count of the swapped pairs: its gradient is large where ranks can still be swapped and
vanishes for recordings that have passed everybody, or that cannot be moved. ``w_y = 1 / (2 classes share of y)`` is how
the macro AUC itself weighs a recording: one of twenty positives moves its class's AUC more than one of three hundred
negatives, and where one perturbation cannot serve all labels, the rare one is worth more. So the mean of J over
recordings is the smooth loss of macro AUC, 1 - AUC. (Left out, PTB-XL's CNN kept .692 instead of .672 at 0.01 mV.)

The opponents move too: under attack every recording is pushed. So the references are validation recordings that were
attacked as far: a recording that has gone a share of its way plays against the references at that share of theirs
(:func:`walk_references`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

SMALLEST_SPREAD = 1e-6


class Objective(Protocol):
    """``scores`` (n, classes), ``labels`` (n, classes) of 0 and 1, ``progress`` of the attack from 0 to 1, to one value
    a recording (n,), differentiable in the scores, which the attack makes larger."""

    def __call__(self, scores: Tensor, labels: Tensor, progress: float) -> Tensor: ...


# Called with (progress, scores (n, classes) of all recordings) before each step of an attack.
Watch = Callable[[float, Tensor], None]


@dataclass(frozen=True)
class Bce:
    """Binary cross-entropy summed over labels: the usual multi-label objective."""

    def __call__(self, scores: Tensor, labels: Tensor, progress: float) -> Tensor:
        del progress
        return nn.functional.binary_cross_entropy_with_logits(scores, labels, reduction="none").sum(dim=1)


@dataclass(frozen=True)
class Linear:
    """Scores against their labels, summed, each in units of ``spread`` (classes,), the standard deviation of the
    model's clean scores of that class: no recording's gradient ever fades (cf. the CW and DLR losses of Croce and Hein
    2020, which bound one class against another)."""

    spread: Tensor

    def __call__(self, scores: Tensor, labels: Tensor, progress: float) -> Tensor:
        del progress
        return ((1 - 2 * labels) * scores / self.spread).sum(dim=1)


@dataclass(frozen=True)
class AucObjective:
    """See the module. ``scores`` (snapshots, m, classes) are those of m reference recordings along their own attack,
    at equal distances of progress (a single snapshot serves all of it), ``labels`` (m, classes) theirs, ``spread``
    (classes,). ``prevalence`` (classes,): the share of positives where the recordings under attack come from; default:
    that of the references.

    A class without opponents among the references adds nothing.
    """

    scores: Tensor
    labels: Tensor
    spread: Tensor
    temperature: float
    prevalence: Tensor | None = None

    def opponents(self, progress: float) -> Tensor:
        """The references' scores (m, classes) at this progress."""
        return self.scores[round(progress * (len(self.scores) - 1))]

    def __call__(self, scores: Tensor, labels: Tensor, progress: float) -> Tensor:
        return (self.weights(labels) * self.swapped(scores, labels, progress)).sum(dim=1)

    def weights(self, labels: Tensor) -> Tensor:
        """What a recording with these ``labels`` (n, classes) counts in the macro AUC, class by class."""
        share = self.labels.mean(dim=0) if self.prevalence is None else self.prevalence
        share = torch.where(labels > 0, share, 1 - share)
        # A label that nobody has there must not count without limit: as if one in so many references had it.
        return 1 / (2 * labels.shape[1] * share.clamp_min(1 / len(self.labels)))

    def swapped(self, scores: Tensor, labels: Tensor, progress: float) -> Tensor:
        """The smooth share of opponents that each score (n, classes) has passed."""
        opponents = self.opponents(progress)
        columns = []
        for column in range(scores.shape[1]):
            side = 1 - 2 * labels[:, column : column + 1]
            width = self.temperature * self.spread[column]
            passed = torch.sigmoid(side * (scores[:, column : column + 1] - opponents[:, column]) / width)
            other = (self.labels[:, column] != labels[:, column : column + 1]).to(scores.dtype)
            columns.append((passed * other).sum(dim=1) / other.sum(dim=1).clamp_min(1))
        return torch.stack(columns, dim=1)
