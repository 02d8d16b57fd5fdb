"""Whether the steps of an attack are taken in bfloat16: only where this processor is faster so, and the net bears it.

In: what a method is given as its source, validation recordings. Out: a :class:`ChosenPrecision`. A processor without
bfloat16 instructions computes in it all the same, twelve times slower than in float32 (AVX2 without AVX512-BF16 or
AMX), so a probe of a second at most times both, on the very net. And a net in half precision is a copy like any other:
it is held against itself on recordings (:mod:`models.held`), its scores and the direction of its gradient. Only the
steps are taken so: signal, objective and ball stay in float32, and what was made is judged in float32.

The driver of the grid asks once a source; the answer travels with the jobs and stands in their inputs, so that every
worker, on whatever machine, makes the same bytes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pulseproof.attacks.aim.aimed import Aimed
from pulseproof.attacks.aim.needs import InHalf
from pulseproof.attacks.aim.objectives import Linear
from pulseproof.attacks.aim.references import clean_scores, spread_of
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.gradient import evaluate
from pulseproof.attacks.method import Method, Precision
from pulseproof.attacks.transfer import DiverseMethod
from pulseproof.models.classical import FeatureModel
from pulseproof.models.held import hold, same_scores

PRECISIONS: tuple[Precision, ...] = ("bfloat16", "float32")
SECONDS = 1.0
FEW = 2  # recordings of a first look, at which a slow processor shows
BATCH_S = 0.03  # what the recordings of the second look take in float32, about
TWICE = 2.0
FASTER = 0.9  # of the time in float32: less is not worth a rounding
SCORES = 0.05  # of the spread that a score may move: 0.01 on nets of convolutions
AGREEMENT = 0.95  # of the gradient's absolute sum that keeps its sign: .999 on nets of convolutions

# Does one gradient evaluation of so many recordings, in half precision or not; the seconds of processor time it took.
# Not those of a clock: on a busy machine they say who else was at work.
Timed = Callable[[int, bool], float]


@dataclass(frozen=True)
class ChosenPrecision:
    """``reason``: why it is not bfloat16, one sentence; None where it is, or where nobody would take it."""

    precision: Precision
    reason: str | None = None


def may_take_half(method: Method) -> bool:
    """Whether the method's steps can be taken in half precision at all: its line in the table says so."""
    return isinstance(method, Aimed | DiverseMethod) and any(isinstance(need, InHalf) for need in method.needs)


def is_convolutional(module: nn.Module) -> bool:
    """True for a net of convolutions: half the time, and on PTB-XL's nets the AUC reached is the same within .002 from
    one recorder step to collapse. Not so logarithms of features and recurrent states, where the rounding grows; nor a
    deployed file's graph, whose own rounding must stay what it is."""
    parts = list(module.modules())
    return any(isinstance(part, nn.Conv1d) for part in parts) and not any(
        isinstance(part, nn.RNNBase | FeatureModel) for part in parts
    )


def choose(module: nn.Module, references: Victims, pinned: bool = False, timed: Timed | None = None) -> ChosenPrecision:
    """The precision of steps on this source, here. ``pinned``: bfloat16 was asked for, and speed is not looked at.
    ``timed``: for tests that are another processor.

    Raises NoGradientError when no gradient reaches the signal.
    """
    if not is_convolutional(module):
        return ChosenPrecision("float32")
    try:
        if not pinned and not is_faster(timed or _timed(module, references), len(references)):
            return ChosenPrecision("float32", "bfloat16 is not faster on this processor")
    except RuntimeError as error:  # an operator that torch has no bfloat16 for here
        return ChosenPrecision("float32", f"in bfloat16 it does not run here ({' '.join(str(error).split())[:120]})")
    reason = half_differs(module, references)
    return ChosenPrecision("bfloat16") if reason is None else ChosenPrecision("float32", f"in bfloat16 {reason}")


def is_faster(timed: Timed, most: int, seconds: float = SECONDS) -> bool:
    """Whether bfloat16 takes at most :data:`FASTER` of float32's time, by what ``timed`` says, within ``seconds``.

    The best of several turns counts, since other processes only ever make one slower. A first look at few recordings
    ends it where bfloat16 takes twice the time: there, a batch would take many seconds. ``most``: recordings at hand.
    """
    few = min(FEW, most)
    spent = timed(few, False) + timed(few, True)  # what torch does once
    single, half = timed(few, False), timed(few, True)
    spent += single + half
    if half > TWICE * single or spent > seconds:
        return half <= FASTER * single
    count = min(most, max(few, math.ceil(few * BATCH_S / max(single, 1e-6))))
    best = {True: math.inf, False: math.inf}
    while spent < seconds:
        for each, before in list(best.items()):
            took = timed(count, each)
            best[each] = min(before, took)
            spent += took
    return best[True] <= FASTER * best[False]


def half_differs(module: nn.Module, references: Victims) -> str | None:
    """What is wrong with a net in bfloat16 on recordings; None where it bears it. Raises NoGradientError."""
    held = hold(lambda: _Half(module), module, references.signals, _near)
    if held.reason is not None:
        return held.reason
    spread = spread_of(clean_scores(module, references))
    gradients = [_gradient(module, references, spread, half) for half in (False, True)]
    agreed = (gradients[0].sign() == gradients[1].sign()) * gradients[0].abs()
    share = float(agreed.sum() / gradients[0].abs().sum().clamp_min(1e-30))
    return None if share >= AGREEMENT else f"its gradient keeps its sign for {share:.0%} of its size only"


class _Half(nn.Module):
    """A net whose convolutions and products are computed in bfloat16."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            scores: Tensor = self.inner(x)
        return scores.float()


def _near(ours: Tensor, theirs: Tensor) -> str | None:
    return same_scores(ours, theirs, SCORES)


def _gradient(module: nn.Module, some: Victims, spread: Tensor, half: bool) -> Tensor:
    return evaluate(module, some, torch.zeros_like(some.signals), Linear(spread), 0.0, half=half).gradient


def _timed(module: nn.Module, references: Victims) -> Timed:
    spread = torch.ones(references.labels.shape[1])

    def timed(count: int, half: bool) -> float:
        some = Victims(references.signals[:count], references.labels[:count])
        begun = time.process_time()
        _gradient(module, some, spread, half)
        return time.process_time() - begun

    return timed
