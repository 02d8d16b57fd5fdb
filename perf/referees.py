"""The referees: ART's and foolbox's attacks, called as somebody who knows them would call them on recordings with
several labels.

In: a module as it was loaded, recordings with their labels, a budget. Out: a perturbation (n, leads, samples) mV of
every recording. Both libraries are made for images of one class each; what they would do to a recording with several
labels, and how it is kept from them, is said where it is done. They are dev dependencies, imported when they are used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pulseproof.attacks.aim.victims import Victims
from pulseproof.core.errors import InputError

BATCH = 64


@dataclass(frozen=True)
class Limits:
    """``budget_mv``: the L-infinity budget. ``step``: the length of a step in budgets. ``random_start``: in the ball,
    otherwise at the clean recording."""

    budget_mv: float
    steps: int = 20
    step: float = 0.25
    random_start: bool = True
    seed: int = 1


# Perturbations (n, leads, samples) mV of all recordings.
Attack = Callable[[nn.Module, Victims, Limits], Tensor]


class RecordBce(nn.Module):
    """Binary cross-entropy of a recording, summed over its labels, with the ``reduction`` over recordings that ART
    sets from outside.

    No subclass of ``BCEWithLogitsLoss``: given one, ART takes the argmax of the labels before it calls it. Any target
    above 0 is 1, because ART's FGSM divides the labels of a recording by their sum (a recording without labels by
    zero). Targets may have columns more than there are scores; they are not looked at.
    """

    def __init__(self) -> None:
        super().__init__()
        self.reduction = "mean"

    def forward(self, scores: Tensor, targets: Tensor) -> Tensor:
        labels = (targets[:, : scores.shape[1]] > 0).to(scores.dtype)
        losses = nn.functional.binary_cross_entropy_with_logits(scores, labels, reduction="none").sum(dim=1)
        return {"none": losses, "mean": losses.mean(), "sum": losses.sum()}[self.reduction]


def art_classifier(module: nn.Module, victims: Victims, kind: type[Any] | None = None) -> Any:
    """ART's view of a module (or of a subclass ``kind`` of it), without a clipping range: budgets here are far from
    the recorder's limits, and what is left of them is the recorder's business."""
    kind = kind or _art("estimators.classification").PyTorchClassifier
    shape = tuple(victims.signals.shape[1:])
    classes = victims.labels.shape[1]
    return kind(module, RecordBce(), input_shape=shape, nb_classes=classes, clip_values=None, device_type="cpu")


def art_fgsm(module: nn.Module, victims: Victims, limits: Limits) -> Tensor:
    """ART's FastGradientMethod, from the clean recording."""
    attack = _art("attacks.evasion").FastGradientMethod(
        art_classifier(module, victims), eps=limits.budget_mv, batch_size=BATCH
    )
    return _generated(attack, victims, victims.labels.numpy(), limits)


def art_pgd(module: nn.Module, victims: Victims, limits: Limits) -> Tensor:
    """ART's ProjectedGradientDescentPyTorch.

    Of a second random start it would keep only what turns an argmax, so there is one start; what it gives back is then
    the last point of every recording.
    """
    attack = _art("attacks.evasion.projected_gradient_descent").projected_gradient_descent_pytorch
    made = attack.ProjectedGradientDescentPyTorch(
        art_classifier(module, victims),
        eps=limits.budget_mv,
        eps_step=limits.step * limits.budget_mv,
        max_iter=limits.steps,
        num_random_init=int(limits.random_start),
        batch_size=BATCH,
        verbose=False,
    )
    return _generated(made, victims, victims.labels.numpy(), limits)


def art_apgd(module: nn.Module, victims: Victims, limits: Limits, first_step: float = 2.0) -> Tensor:
    """ART's AutoProjectedGradientDescent, one random start. ``first_step`` in budgets is the paper's; ART's own default
    is for images.

    It attacks only recordings whose largest score is at their label, and gives back the random start of those in which
    it has not turned it. With several labels neither means anything, and most recordings would stay as they are. So it
    is told that all clean recordings are right and all others wrong: an additional class is the label of all, and
    ``predict``, which it uses for nothing else, names that class for the clean recordings alone.
    """
    clean, labels = victims.signals.numpy(), victims.labels.numpy()
    base: Any = _art("estimators.classification").PyTorchClassifier

    class Everybody(base):
        def predict(self, x: NDArray[np.float32], *args: Any, **kwargs: Any) -> NDArray[np.float32]:
            del args, kwargs
            answer = np.zeros((len(x), labels.shape[1] + 1), np.float32)
            answer[:, -1 if np.array_equal(x, clean) else 0] = 10
            return answer

    made = _art("attacks.evasion").AutoProjectedGradientDescent(
        art_classifier(module, victims, Everybody),
        eps=limits.budget_mv,
        eps_step=first_step * limits.budget_mv,
        max_iter=limits.steps,
        nb_random_init=1,
        batch_size=BATCH,
        verbose=False,
    )
    additional = np.full((len(labels), 1), 2, np.float32)
    return _generated(made, victims, np.concatenate([labels, additional], axis=1), limits)


def foolbox_pgd(module: nn.Module, victims: Victims, limits: Limits) -> Tensor:
    """foolbox's LinfPGD.

    Its loss is replaced as its source says one may. Its ``run`` is called, because ``__call__`` would compare an argmax
    with the labels. It wants bounds and refuses recordings outside them: they are given so wide that nothing is cut.
    """
    foolbox, eagerpy = _import("foolbox"), _import("eagerpy")
    base: Any = foolbox.attacks.LinfPGD

    class MultiLabel(base):
        def get_loss_fn(self, model: Any, labels: Any) -> Callable[[Any], Any]:
            def loss(inputs: Any) -> Any:
                scores = model(inputs).raw
                found = nn.functional.binary_cross_entropy_with_logits(scores, labels.raw, reduction="sum")
                return eagerpy.astensor(found)

            return loss

    most = 2 * (float(victims.signals.abs().max()) + limits.budget_mv)
    wrapped = foolbox.PyTorchModel(module, bounds=(-most, most), device="cpu")
    attack = MultiLabel(rel_stepsize=limits.step, steps=limits.steps, random_start=limits.random_start)
    deltas = []
    with torch.random.fork_rng():
        torch.manual_seed(limits.seed)
        for _, some in victims.batches(BATCH):
            wrong = foolbox.criteria.Misclassification(some.labels)
            deltas.append(attack.run(wrapped, some.signals, wrong, epsilon=limits.budget_mv) - some.signals)
    return torch.cat(deltas)


def plain_loop(module: nn.Module, victims: Victims, limits: Limits) -> Tensor:
    """What one writes oneself: sign steps on cross-entropy."""
    generator = torch.Generator().manual_seed(limits.seed)
    deltas = []
    for _, some in victims.batches(BATCH):
        delta = torch.zeros_like(some.signals)
        if limits.random_start:
            delta = limits.budget_mv * (2 * torch.rand(delta.shape, generator=generator) - 1)
        for _ in range(limits.steps):
            delta.requires_grad_(True)
            scores = module(some.signals + delta)
            loss = nn.functional.binary_cross_entropy_with_logits(scores, some.labels)
            (gradient,) = torch.autograd.grad(loss, delta)
            delta = delta.detach() + limits.step * limits.budget_mv * gradient.sign()
            delta = delta.clamp(-limits.budget_mv, limits.budget_mv)
        deltas.append(delta)
    return torch.cat(deltas)


def _generated(attack: Any, victims: Victims, targets: NDArray[np.float32], limits: Limits) -> Tensor:
    """What an attack of ART makes of all recordings. It draws from numpy's and torch's own random numbers: they are as
    before when it is done."""
    state = np.random.get_state()
    np.random.seed(limits.seed)
    try:
        with torch.random.fork_rng():
            made = attack.generate(victims.signals.numpy(), targets)
    finally:
        np.random.set_state(state)
    return torch.from_numpy(made) - victims.signals


def _art(part: str) -> Any:
    return _import(f"art.{part}")


def _import(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"the referees are not here ({error})", "python -m pip install adversarial-robustness-toolbox foolbox"
        ) from None
