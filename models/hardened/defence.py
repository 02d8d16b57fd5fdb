"""Training that makes a net hard to disturb: what is minimised beside, or instead of, the loss of clean recordings.

In: a net, a batch, and how much of the training is done. Out: the loss of that step; and after an epoch the validation
scores by which the best epoch is chosen: those that the defence is for, not the clean ones. The kinds:

* ``adversarial``: the loss of what projected gradient descent makes of the batch within ``budget_mv`` of every sample
  (Madry et al. 2018, arXiv 1706.06083; one step of random start: Wong et al. 2020, arXiv 2001.03994). The budget rises
  over the first half of the training. Batch norms use their running statistics while the attack is made.
* ``certified``: the loss at the worst ends of interval bounds (Gowal et al. 2018, arXiv 1810.12715), by the statistics
  of the clean batch. Nothing is bounded in the first tenth; then the budget rises with the square of time over half the
  training, for a net that is not yet trained has bounds that say nothing. Such a net comes with a proof.
* ``gradient``: a penalty on the absolute gradient of the loss by the signal, of what ``budget_mv`` would do to first
  order (Drucker and Le Cun 1992).
* ``noise``: white noise of ``budget_mv`` standard deviation. It is tried first everywhere, and does nothing against an
  attack; it is here to be measured.
* ``smooth-input``: nothing, but a low-pass filter in front of the net (:mod:`models.hardened.front`), which is part of
  what is exported and attacked.

With ``consistency`` an adversarial training minimises the clean loss and how far the attack moves the scores, whatever
they are (TRADES, Zhang et al. 2019, arXiv 1901.08573).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from pulseproof.core.errors import InputError
from pulseproof.core.study import DefenceSpec
from pulseproof.ecg.recordings import Recordings
from pulseproof.models.fold import BATCH_NORMS
from pulseproof.models.hardened.ends import NoBoundsError
from pulseproof.models.hardened.interval import Bounded

# What a defence needs more of than a plain training does, unless the study says; measured in docs/defences.md.
EPOCHS = {"adversarial": 40, "certified": 80, "gradient": 40}
SLOWER = {"certified": 0.5}  # times the system's learning rate
RISE = 0.5  # share of the training in which the budget rises
UNBOUNDED = 0.1  # share at the start of a certified training that is plain
BATCH = 128


class PlainLoss:
    """The loss of a training without a defence."""

    def loss(
        self, net: nn.Module, x: Tensor, y: Tensor, done: float, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """(the loss, the scores) of a batch ``x`` (n, leads, samples) mV with labels ``y`` (n, classes)."""
        scores = net(x)
        return bce(scores, y), scores

    def judged(
        self, net: nn.Module, recordings: Recordings, rows: NDArray[np.intp], clean: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """The scores (k, classes) by which an epoch is judged: those of clean recordings, ``clean``."""
        return clean


class Hardening(PlainLoss):
    """One defence of one net. ``name``: the model's, in errors."""

    def __init__(self, net: nn.Module, spec: DefenceSpec, name: str, sample: Tensor) -> None:
        """``sample`` (k, leads, samples) mV: a few recordings, on which is tried whether the net has bounds. Raises
        InputError where it has none."""
        self.spec = spec
        if spec.kind == "certified":
            try:
                with torch.no_grad():
                    net.eval()
                    interval_scores(net, sample, spec.budget_mv)
            except NoBoundsError as error:
                raise InputError(
                    f"[models.{name}.defence]: {error}, which certified training needs",
                    'kind = "adversarial" has no such limit',
                ) from None

    def budget(self, done: float) -> float:
        """The budget in mV when the share ``done`` of the training is done."""
        if self.spec.kind == "certified":
            return float(self.spec.budget_mv * min(1.0, max(0.0, (done - UNBOUNDED) / RISE)) ** 2)
        return float(self.spec.budget_mv * min(1.0, done / RISE))

    def loss(
        self, net: nn.Module, x: Tensor, y: Tensor, done: float, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        budget, weight = self.budget(done), self.spec.weight
        if self.spec.kind == "smooth-input" or not budget:
            return super().loss(net, x, y, done, generator)
        if self.spec.kind == "noise":
            scores = net(x + budget * torch.randn(x.shape, generator=generator))
            return bce(scores, y), scores
        if self.spec.kind == "gradient":
            x = x.requires_grad_()
            scores = net(x)
            clean = bce(scores, y)
            (gradient,) = torch.autograd.grad(bce(scores, y, reduction="none").mean(dim=1).sum(), x, create_graph=True)
            return clean + weight * budget * gradient.abs().sum(dim=(1, 2)).mean(), scores
        if self.spec.consistency:
            return consistency_loss(net, x, y, budget, self.spec.steps, weight, generator)
        if self.spec.kind == "adversarial":
            near = attacked(net, x, y, budget, self.spec.steps, generator)
            scores = net(near)
            worst = bce(scores, y)
            return (worst if weight == 1 else weight * worst + (1 - weight) * bce(net(x), y)), scores
        scores, bounds = training_bounds(net, x, budget)
        share = weight * budget / self.spec.budget_mv
        return share * bce(worst_scores(bounds, y), y) + (1 - share) * bce(scores, y), scores

    def judged(
        self, net: nn.Module, recordings: Recordings, rows: NDArray[np.intp], clean: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """What is left of the recordings ``rows`` within the whole budget: attacked, or the worst ends of bounds. A
        filter is no training, and its best epoch is the cleanest."""
        if self.spec.kind == "smooth-input":
            return clean
        net.eval()
        generator = torch.Generator().manual_seed(0)
        found = []
        for first in range(0, len(rows), BATCH):
            chosen = rows[first : first + BATCH]
            x = torch.from_numpy(recordings.signals(chosen))
            y = torch.from_numpy(recordings.labels[chosen]).float()
            if self.spec.kind == "certified":
                with torch.no_grad():
                    scores = worst_scores(interval_scores(net, x, self.spec.budget_mv), y)
            else:
                near = attacked(net, x, y, self.spec.budget_mv, max(5, self.spec.steps), generator)
                with torch.no_grad():
                    scores = net(near)
            found.append(scores.numpy())
        return np.concatenate(found)


def attacked(net: nn.Module, x: Tensor, y: Tensor, budget: float, steps: int, generator: torch.Generator) -> Tensor:
    """``x`` (n, leads, samples) mV moved by at most ``budget`` mV a sample, so that the loss of the labels ``y``
    rises."""
    was = net.training
    net.eval()
    delta = (2 * torch.rand(x.shape, generator=generator) - 1) * budget
    for _ in range(steps):
        delta.requires_grad_()
        (gradient,) = torch.autograd.grad(bce(net(x + delta), y, reduction="sum"), delta)
        delta = (delta.detach() + 2.5 / max(steps, 2) * budget * gradient.sign()).clamp(-budget, budget)
    net.train(was)
    return (x + delta).detach()


def consistency_loss(
    net: nn.Module, x: Tensor, y: Tensor, budget: float, steps: int, weight: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(the loss, the clean scores) of TRADES: the clean loss, and how far the attack moves what the net says, the
    divergence of each class's probability, with ``weight``."""
    was = net.training
    net.eval()
    with torch.no_grad():
        held = torch.sigmoid(net(x))
    near = attacked(net, x, held, budget, steps, generator)
    net.train(was)
    scores, moved = net(x), net(near)
    said = torch.sigmoid(scores)
    return (1 - weight) * bce(scores, y) + weight * (bce(moved, said) - bce(scores, said)), scores


def interval_scores(net: nn.Module, x: Tensor, budget: float) -> Bounded:
    """Bounds (n, classes) of the scores within ``budget`` mV of ``x``, without margins for rounding: no proof, a loss.
    Raises NoBoundsError."""
    try:
        found: Any = net(cast(Tensor, Bounded(x - budget, x + budget, unit=0.0)))
    except (TypeError, AttributeError, RuntimeError) as error:  # a layer that takes nothing but a tensor
        raise NoBoundsError(f"a layer that takes no bounds ({str(error).splitlines()[0][:120]})") from None
    if not isinstance(found, Bounded):
        raise NoBoundsError("scores that do not depend on the signal have no bounds")
    return found


def worst_scores(bounds: Bounded, y: Tensor) -> Tensor:
    """The lowest score of a class that is there, the highest of one that is not, (n, classes)."""
    return torch.where(y > 0, bounds.lower, bounds.upper)


def training_bounds(net: nn.Module, x: Tensor, budget: float) -> tuple[Tensor, Bounded]:
    """The scores of a batch in training mode and their bounds, by the batch's own statistics in every batch norm."""
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def look(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        (values,) = inputs
        axes = [axis for axis in range(values.ndim) if axis != 1]
        seen[module] = values.mean(dim=axes), values.var(dim=axes, unbiased=False)

    norms = [module for module in net.modules() if isinstance(module, BATCH_NORMS)]
    with contextlib.ExitStack() as hooks:
        for module in norms:
            hooks.callback(module.register_forward_pre_hook(look).remove)
        scores = net(x)
    with _by_statistics(seen):
        return scores, interval_scores(net, x, budget)


@contextlib.contextmanager
def _by_statistics(seen: dict[nn.Module, tuple[Tensor, Tensor]]) -> Iterator[None]:
    """Batch norms that compute with given statistics, and neither look at a batch nor keep what they saw."""

    def forward(module: Any) -> Any:
        mean, variance = seen[module]
        return lambda x: nn.functional.batch_norm(x, mean, variance, module.weight, module.bias, False, 0.0, module.eps)

    try:
        for module in seen:
            module.forward = forward(module)
        yield
    finally:
        for module in seen:
            del module.forward
