"""Gradient training of one net, resumable after every epoch and repeatable to the bit on one machine.

In: a module from millivolts to logits, recordings, settings. Out: the weights of the epoch with the best validation
macro AUC. Every epoch draws its order, augmentation and dropout from a generator seeded by (seed, epoch), and the
checkpoint after it holds everything else, so that a killed training ends with the same weights as an undisturbed one.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from pulseproof.core.errors import InputError
from pulseproof.core.scores import not_finite
from pulseproof.core.study import AugmentSpec, DefenceSpec
from pulseproof.core.terminal.console import follow
from pulseproof.ecg.recordings import Recordings
from pulseproof.models.augment import disturb
from pulseproof.models.hardened.defence import Hardening, PlainLoss
from pulseproof.models.nets import Normalise
from pulseproof.runtime.auc import macro_auc
from pulseproof.runtime.files import replacing

WARM_UP = 0.15  # share of all steps in which the learning rate rises
AVERAGED = 0.99  # of a mean of weights, what stays at a step (Izmailov et al. 2018; as an exponential mean)
HELD = 0.6  # share of a certified training with the whole learning rate
NORMALISE_RECORDS = 2000
VALIDATION_RECORDS = 4000  # more than these are not needed to choose an epoch


@dataclass(frozen=True)
class TrainingPlan:
    """All that decides how a net is trained. With a ``defence`` the best epoch is the one that it protects best.
    ``epoch_records``: recordings an epoch (None: all); ``balanced``: draw rare classes more often, see
    :func:`draw_weights`."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    augment: AugmentSpec
    epoch_records: int | None
    balanced: bool
    seed: int
    defence: DefenceSpec | None = None


def scores_of(
    module: nn.Module, recordings: Recordings, rows: NDArray[np.intp], batch_size: int = 128
) -> NDArray[np.float32]:
    """float32 (k, classes): the module's scores for the recordings ``rows``, in batches."""
    module.eval()
    batches = []
    with torch.inference_mode():
        for first in range(0, len(rows), batch_size):
            x = torch.from_numpy(recordings.signals(rows[first : first + batch_size]))
            batches.append(module(x).numpy())
    return np.concatenate(batches)


def train_net(
    net: nn.Module,
    recordings: Recordings,
    plan: TrainingPlan,
    checkpoint: Path,
    what: str,
    after_epoch: Callable[[int], None] = lambda epoch: None,
) -> list[dict[str, float | None]]:
    """Train ``net`` in place and leave it with the best epoch's weights; returns one line of history an epoch, with the
    time that its training took, on the clock and of processors.

    The best epoch is that of the highest validation macro AUC; where none is defined (no class has both labels there),
    that of the lowest validation loss. ``checkpoint`` is where an unfinished training is kept; the caller removes it
    when the weights are safe. Raises InputError, which names model, epoch and recordings, where scores are not finite.
    """
    rows = recordings.indices("train")
    validation = recordings.indices("validation")
    if len(validation) > VALIDATION_RECORDS:
        validation = np.random.default_rng(plan.seed).choice(validation, VALIDATION_RECORDS, replace=False)
    optimizer = torch.optim.AdamW(net.parameters(), plan.learning_rate, weight_decay=plan.weight_decay)
    state = _Progress.resume(checkpoint, net, optimizer) if checkpoint.exists() else _Progress()
    if plan.defence is not None and plan.defence.average and state.average is None:
        state.average = {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}
    plan = replace(plan, batch_size=min(plan.batch_size, len(rows)))
    sample = torch.from_numpy(recordings.signals(rows[:4]))
    objective = PlainLoss() if plan.defence is None else Hardening(net, plan.defence, what, sample)
    for epoch in follow(range(state.epoch, plan.epochs), what):
        began = time.perf_counter(), time.process_time()
        loss = _one_epoch(net, recordings, rows, plan, epoch, objective, optimizer, state.average, what)
        spent = {"seconds": time.perf_counter() - began[0], "processor_seconds": time.process_time() - began[1]}
        trained = {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}
        if state.average is not None:
            net.load_state_dict(state.average)
        scores, labels = scores_of(net, recordings, validation), recordings.labels[validation]
        if not np.isfinite(scores).all():
            raise _not_finite(what, epoch, "validation", scores, recordings, validation)
        scores = objective.judged(net, recordings, validation, scores)
        auc = macro_auc(scores, labels)
        known = math.isfinite(auc)
        line = {"epoch": epoch, "loss": loss, "validation_auc": auc if known else None}
        state.history.append({**line, **spent})
        worth = auc if known else -_loss(scores, labels)
        if state.best is None or worth > state.best_worth:
            state.best_worth = worth
            state.best = {name: tensor.detach().clone() for name, tensor in net.state_dict().items()}
        net.load_state_dict(trained)
        state.epoch = epoch + 1
        state.keep(checkpoint, net, optimizer)
        after_epoch(epoch)
    assert state.best is not None
    net.load_state_dict(state.best)
    net.eval()
    return state.history


def _one_epoch(
    net: nn.Module,
    recordings: Recordings,
    rows: NDArray[np.intp],
    plan: TrainingPlan,
    epoch: int,
    objective: PlainLoss,
    optimizer: torch.optim.Optimizer,
    average: dict[str, Tensor] | None,
    what: str,
) -> float:
    """Take the steps of one epoch on the recordings ``rows``; returns the mean loss."""
    per_epoch = max(1, (plan.epoch_records or len(rows)) // plan.batch_size)
    generator = torch.Generator().manual_seed(plan.seed * 100_003 + epoch)
    torch.manual_seed(plan.seed * 100_003 + epoch)  # dropout
    order = _draw(recordings.labels[rows], per_epoch * plan.batch_size, plan.balanced, generator)
    net.train()
    total = 0.0
    for step in range(per_epoch):
        chosen = rows[order[step * plan.batch_size : (step + 1) * plan.batch_size]]
        x = disturb(torch.from_numpy(recordings.signals(chosen)), plan.augment, generator)
        y = torch.from_numpy(recordings.labels[chosen]).float()
        done = (epoch * per_epoch + step) / (plan.epochs * per_epoch)
        rate = _learning_rate(plan, done)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss, logits = objective.loss(net, x, y, done, generator)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        if average is not None:
            _towards(average, net.state_dict(), done)
        total += loss.item()
        if not math.isfinite(total):
            raise _not_finite(what, epoch, "training", logits.detach().numpy(), recordings, chosen)
    return total / per_epoch


def _towards(average: dict[str, Tensor], now: dict[str, Tensor], done: float) -> None:
    """Move a running mean of weights to those of now; what is no float is that of now. At first it follows closely, for
    the first weights are nobody's."""
    follows = max(1 - AVERAGED, 1 - min(1.0, done / WARM_UP))
    for name, tensor in now.items():
        if tensor.is_floating_point():
            average[name].lerp_(tensor.detach(), follows)
        else:
            average[name].copy_(tensor)


def _loss(scores: NDArray[np.float32], labels: NDArray[np.uint8]) -> float:
    """The loss that is trained on, of scores (n, classes)."""
    return float(binary_cross_entropy_with_logits(torch.from_numpy(scores), torch.from_numpy(labels).float()))


def _not_finite(
    what: str, epoch: int, side: str, scores: NDArray[np.float32], recordings: Recordings, rows: NDArray[np.intp]
) -> InputError:
    """The error of a net that gives ``scores`` (k, classes) that are not finite for the recordings ``rows``."""
    strange = not_finite(scores, recordings.ids[rows], f"{side} recordings")
    which = f"for {strange}" if strange else f"in the {side} loss"
    return InputError(
        f"[models.{what}]: epoch {epoch + 1} gives scores that are not finite {which}",
        "look for a division by the deviation of a flat lead, or a logarithm of 0; or lower its learning_rate",
    )


def _learning_rate(plan: TrainingPlan, done: float) -> float:
    """Linear warm-up, then a cosine down to nothing, which begins later where bounds have to grow first; ``done`` is
    the share of all steps taken."""
    if done < WARM_UP:
        return plan.learning_rate * (0.05 + 0.95 * done / WARM_UP)
    falls = HELD if plan.defence is not None and plan.defence.kind == "certified" else WARM_UP
    return plan.learning_rate * 0.5 * (1 + math.cos(math.pi * max(0.0, done - falls) / (1 - falls)))


def draw_weights(labels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(n,), sums to 1: how likely a balanced draw takes each recording. A class weighs one over the square root of its
    count: a rare class is seen more often, and its few recordings are not learnt by heart."""
    weights = (labels / np.sqrt(np.maximum(labels.sum(axis=0), 1))).sum(axis=1)
    return weights / weights.sum()


def _draw(labels: NDArray[np.uint8], count: int, balanced: bool, generator: torch.Generator) -> NDArray[np.intp]:
    """Positions of ``count`` recordings: a permutation (repeated if need be), or a balanced draw."""
    n = len(labels)
    if not balanced:
        laps = [torch.randperm(n, generator=generator) for _ in range(-(-count // n))]
        return np.asarray(torch.cat(laps)[:count].numpy(), np.intp)
    weights = torch.from_numpy(draw_weights(labels))
    return np.asarray(torch.multinomial(weights, count, replacement=True, generator=generator).numpy(), np.intp)


class _Progress:
    """Where a training is: what the checkpoint holds beside the net and the optimizer."""

    def __init__(self) -> None:
        self.epoch = 0
        self.best_worth = -math.inf
        self.best: dict[str, Tensor] | None = None
        self.average: dict[str, Tensor] | None = None
        self.history: list[dict[str, float | None]] = []

    def keep(self, path: Path, net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        tensors = {f"net/{name}": tensor for name, tensor in net.state_dict().items()}
        tensors |= {f"best/{name}": tensor for name, tensor in (self.best or {}).items()}
        tensors |= {f"average/{name}": tensor for name, tensor in (self.average or {}).items()}
        for index, entry in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{key}": torch.as_tensor(value) for key, value in entry.items()}
        head = {"epoch": self.epoch, "best_worth": self.best_worth, "history": self.history}
        with replacing(path) as temporary:
            save_file(
                {key: t.contiguous().clone() for key, t in tensors.items()}, temporary, {"head": json.dumps(head)}
            )

    @classmethod
    def resume(cls, path: Path, net: nn.Module, optimizer: torch.optim.Optimizer) -> _Progress:
        """Read a checkpoint into ``net`` and ``optimizer``; one that cannot be read is thrown away."""
        state = cls()
        initial = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        try:
            with safe_open(path, "pt") as file:
                head = json.loads(file.metadata()["head"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            net.load_state_dict(_under("net/", tensors))
            entries: dict[int, dict[str, Any]] = {}
            for key, value in _under("optimizer/", tensors).items():
                index, name = key.split("/")
                entries.setdefault(int(index), {})[name] = value
            optimizer.load_state_dict(
                {"state": entries, "param_groups": optimizer.state_dict()["param_groups"]},
            )
            state.epoch, state.best_worth, state.history = head["epoch"], head["best_worth"], head["history"]
        except (OSError, SafetensorError, KeyError, ValueError, RuntimeError):  # KeyError: also of an older version
            path.unlink(missing_ok=True)
            net.load_state_dict(initial)
            return cls()
        state.best = _under("best/", tensors)
        state.average = _under("average/", tensors) or None
        return state


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def fit_normalisation(net: nn.Module, recordings: Recordings, seed: int) -> dict[str, float]:
    """Set every Normalise of the net from training recordings; a user's own net normalises as it likes."""
    rows = recordings.sample("train", NORMALISE_RECORDS, seed)
    total = squares = 0.0
    for first in range(0, len(rows), 100):
        signals = recordings.signals(rows[first : first + 100]).astype(np.float64)
        total, squares = total + signals.mean() * len(signals), squares + (signals**2).mean() * len(signals)
    mean = total / len(rows)
    sigma = float(np.sqrt(squares / len(rows) - mean**2))
    for module in net.modules():
        if isinstance(module, Normalise):
            module.mean.fill_(mean)
            module.scale.fill_(1 / sigma)
    return {"mean_mv": mean, "sigma_mv": sigma}
