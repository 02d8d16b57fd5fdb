"""Whether a copy of a net may stand for the net itself: compared on recordings before anything is made with the copy.

In: the source, a copy that was made of it (batch norms folded away, trees softened, what comes before a final sigmoid,
half precision), and recordings. Out: a :class:`Held`: the copy, or the source in its place and the sentence that says
why. Attacks, export and everything else that changes a net before it is used ask here. A folded copy that computes
something else is attacked in vain and looks robust (an encoder called for each lead, folded once a call: an AUC of .655
where the net itself keeps .472); nothing but a comparison on real recordings finds every such case.

What is allowed, in units of the standard deviation of the source's scores of each class:

* scores (:func:`same_scores`): 1e-4 of it, beside the rounding of float32. Folding the nets here moves scores by 3e-6;
* order (:func:`same_order`): no two recordings whose scores differ by more than that may change places;
* half precision (:mod:`attacks.aim.precision`) has a bound of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

BATCH = 64
LARGEST = 1e-4  # of the spread of the source's scores
ROUNDING = 32 * 2.0**-24  # of the largest score: some dozens of roundings of float32
PAIRED = 256  # recordings of which every two are compared

# What is wrong with scores (n, classes) of a copy beside those of its source, one sentence; None where nothing is.
Compare = Callable[[Tensor, Tensor], str | None]


@dataclass(frozen=True)
class Held:
    """``module``: the copy, or the source where ``reason`` says why the copy must not stand for it."""

    module: nn.Module
    reason: str | None


def hold(copy: Callable[[], nn.Module], source: nn.Module, signals: Tensor, compare: Compare | None = None) -> Held:
    """The module that ``copy`` makes of ``source``, if it holds on ``signals`` (k, leads, samples) mV.

    ``compare``: what must be alike, default :func:`same_scores`. A copy that cannot be made or run does not hold.
    Raises ValueError without recordings, and what the source itself raises.
    """
    if not len(signals):
        raise ValueError("a copy cannot be held against its source without recordings")
    try:
        made = copy()
    except Exception as error:  # a user's own code may raise anything while it is traced
        return Held(source, f"it cannot be made: {_told(error)}")
    if made is source:
        return Held(source, None)
    theirs = scores_of(source, signals)
    try:
        ours = scores_of(made, signals)
    except Exception as error:
        return Held(source, f"it does not run: {_told(error)}")
    reason = (compare or same_scores)(ours, theirs)
    return Held(source if reason else made, reason)


def scores_of(module: nn.Module, signals: Tensor) -> Tensor:
    """Scores (k, classes) in inference mode."""
    module.eval()
    with torch.no_grad():
        return torch.cat([module(signals[at : at + BATCH]) for at in range(0, len(signals), BATCH)])


def same_scores(ours: Tensor, theirs: Tensor, largest: float = LARGEST) -> str | None:
    """Whether scores (k, classes) differ by no more than ``largest`` of the spread and the rounding of float32."""
    if ours.shape != theirs.shape:
        return f"its scores are {tuple(ours.shape)}, not {tuple(theirs.shape)}"
    wrong = _not_finite(ours, theirs)
    if wrong is not None:
        return wrong
    ours, theirs = ours.double(), theirs.double()
    spread = _spread(theirs)
    allowed = largest * spread + ROUNDING * theirs.abs().amax(dim=0)
    apart = (ours - theirs).abs()
    if bool((apart <= allowed).all()):
        return None
    far = float((apart / spread.clamp_min(1e-30)).max())
    return f"its scores differ by up to {far:.2g} of their spread ({largest:g} is allowed)"


def same_order(ours: Tensor, theirs: Tensor) -> str | None:
    """Whether scores (k, classes) put recordings in the order in which the source puts them, class by class: an AUC
    asks for no more. Recordings that the source holds to be alike (:func:`same_scores`) may stand in any order."""
    if ours.shape != theirs.shape:
        return f"its scores are {tuple(ours.shape)}, not {tuple(theirs.shape)}"
    wrong = _not_finite(ours, theirs)
    if wrong is not None:
        return wrong
    ours, theirs = ours[:PAIRED].double(), theirs[:PAIRED].double()
    allowed = LARGEST * _spread(theirs) + ROUNDING * theirs.abs().amax(dim=0)
    above = theirs.unsqueeze(1) - theirs.unsqueeze(0) > allowed
    turned = above & (ours.unsqueeze(1) <= ours.unsqueeze(0))
    if not bool(turned.any()):
        return None
    share = float(turned.sum() / above.sum())
    return f"it puts {share:.2%} of all pairs of recordings in another order"


def _not_finite(ours: Tensor, theirs: Tensor) -> str | None:
    """A source may give NaN (that is said elsewhere); a copy must give it for the same recordings."""
    if torch.equal(ours.isfinite(), theirs.isfinite()) and bool(theirs.isfinite().all()):
        return None
    return "its scores are not finite, or those of its source are not"


def _spread(scores: Tensor) -> Tensor:
    return scores.std(dim=0) if len(scores) > 1 else scores.abs()[0]


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
