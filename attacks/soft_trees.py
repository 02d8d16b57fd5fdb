"""Trees with a gradient, and the attack on them: a step has none, so without this a forest would look robust.

In: a classical system (features and a :class:`~models.trees.TreeWalk`) and some validation recordings. Out: the same
system, its scores still the true forest's to the last bit, its gradients those of a *soft* forest: each node is a
sigmoid of how far the feature is from the node's limit, a recording goes down every path at once, and a leaf counts by
the product along its path (Irsoy, Yildiz and Alpaydin 2012, "Soft decision trees"; Lucic et al. 2022 search
counterfactuals of forests so). Value of the true, gradient of the soft one: a straight-through gradient, as that of a
rounding (Bengio et al. 2013). So whatever is measured on the way is measured on the forest that is deployed.

Distances are in millivolts. A feature's ``per_mv`` is how far it can move, at most and to first order, when every
sample of the recording may move by 1 mV: (limit - feature) / per_mv is the budget at which the node could be turned.
A node is ``width_mv`` wide: wide ones show the way from afar, narrow ones tell which nodes can still be turned, so an
attack begins with wide ones and narrows them (:func:`attacks.gradient.anneal`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pulseproof.attacks.aim.ball import LINF
from pulseproof.attacks.aim.norms import Norm
from pulseproof.attacks.aim.recorder import INT16, Recorder
from pulseproof.attacks.aim.region import Region
from pulseproof.attacks.gradient import BATCH, Pgd, anneal
from pulseproof.models.classical import FeatureModel
from pulseproof.models.held import Held, hold, same_scores
from pulseproof.models.trees import TreeArrays, TreeWalk

FIRST_MV, LAST_MV = 0.02, 0.0004  # for who does not know the budget; TreeSight sets them by it
SENSED = 16  # recordings whose gradients say how far a feature moves
AT_ONCE = 16  # features whose gradients are taken together
NEVER_MOVES = 1e-12
# At its sharpest a soft forest is the forest: with nodes a hundredth of a recorder's step wide, the correlation of its
# scores with the forest's own is .99999 (the demo's tree and forest; .9970 at LAST_MV, .8409 at FIRST_MV).
SHARPEST_MV, CORRELATION = 1e-5, 0.99


@dataclass(frozen=True)
class Level:
    """The nodes at one depth of all trees, in the order in which their parents send them: which are ``inner`` and which
    ``leaves`` (places at this level), the leaves' ``value`` (leaves, classes), and the inner nodes' ``feature`` and
    ``limit``."""

    inner: Tensor
    leaves: Tensor
    value: Tensor
    feature: Tensor
    limit: Tensor


def levels_of(arrays: TreeArrays) -> list[Level]:
    """The trees level by level: all paths of a level are one product of vectors. The two children of the k-th inner
    node of a level stand at 2k and 2k + 1 of the next."""
    is_leaf = torch.from_numpy(arrays.leaf)
    feature, limit = torch.from_numpy(arrays.feature), torch.from_numpy(arrays.threshold)
    left, right, value = torch.from_numpy(arrays.left), torch.from_numpy(arrays.right), torch.from_numpy(arrays.value)
    levels, nodes = [], torch.from_numpy(arrays.roots)
    while len(nodes):
        inner, leaves = (~is_leaf[nodes]).nonzero()[:, 0], is_leaf[nodes].nonzero()[:, 0]
        splits = nodes[inner]
        levels.append(Level(inner, leaves, value[nodes[leaves]], feature[splits], limit[splits]))
        nodes = torch.stack([left[splits], right[splits]], dim=1).flatten()
    return levels


class SoftTrees(TreeWalk):
    """A :class:`~models.trees.TreeWalk` with a gradient: features float32 (n, count) to the same scores (n, classes).

    ``per_mv`` (count,): how far each feature moves at most when every sample may move by 1 mV. :meth:`anneal` narrows
    the nodes from ``first_mv`` to ``last_mv``, geometrically.
    """

    differentiable = True

    def __init__(self, arrays: TreeArrays, per_mv: Tensor, threshold: float = 0.5) -> None:
        super().__init__(arrays, threshold)
        self.levels = levels_of(arrays)
        self.per_mv = per_mv.clamp_min(NEVER_MOVES)
        self.first_mv, self.last_mv = FIRST_MV, LAST_MV
        self.width_mv = self.first_mv

    def anneal(self, progress: float) -> None:
        """Make the nodes as wide as an attack needs them that has gone this share of its way."""
        self.width_mv = self.first_mv * (self.last_mv / self.first_mv) ** progress

    def forward(self, features: Tensor) -> Tensor:
        hard = super().forward(features)
        if not torch.is_grad_enabled():
            return hard
        soft = self.soft(features, self.width_mv)
        return hard + (soft - soft.detach())  # the difference is exactly zero: the value is the true one

    def soft(self, features: Tensor, width_mv: float) -> Tensor:
        """Scores (n, classes) of the soft forest. 0 is the forest itself (and has no gradient)."""
        if width_mv == 0:
            return super().forward(features)
        scale = 1 / (self.per_mv.to(features.dtype) * width_mv)
        reached = torch.ones(len(features), len(self.roots), dtype=features.dtype)
        scores = torch.zeros(len(features), self.value.shape[1], dtype=features.dtype)
        for level in self.levels:
            scores = scores + reached.index_select(1, level.leaves) @ level.value.to(features.dtype)
            distance = level.limit - features.index_select(1, level.feature)
            goes_left = torch.sigmoid(distance * scale[level.feature])
            parent = reached.index_select(1, level.inner)
            reached = torch.stack([parent * goes_left, parent * (1 - goes_left)], dim=2).flatten(1)
        return scores


def soften(module: nn.Module, signals: Tensor) -> nn.Module:
    """A classical system of trees with a gradient; any other module as it is.

    ``signals`` (n, leads, samples) mV: validation recordings, which show how far each feature moves. The module that
    came in is not changed.
    """
    if not (isinstance(module, FeatureModel) and isinstance(module.head, TreeWalk)):
        return module
    walk = module.head
    used = torch.from_numpy(walk.arrays.feature[~walk.arrays.leaf]).unique()
    per_mv = per_millivolt(module.features, signals[:: max(1, len(signals) // SENSED)][:SENSED], used)
    return FeatureModel(module.features, SoftTrees(walk.arrays, per_mv, walk.threshold)).eval()


def held_soft(module: nn.Module, signals: Tensor) -> Held:
    """:func:`soften`, held against the module on validation recordings: with a gradient its scores are the module's
    own, and the soft forest that gives the gradient is, at its sharpest, that forest (:data:`CORRELATION`)."""

    def wrong(ours: Tensor, theirs: Tensor) -> str | None:
        with torch.enable_grad():  # the way that an attack goes
            walked = torch.cat([soft(part.clone().requires_grad_(True)).detach() for part in signals.split(BATCH)])
        return same_scores(ours, theirs) or same_scores(walked, theirs) or _blunt(soft, signals, theirs)

    soft = soften(module, signals)
    return hold(lambda: soft, module, signals, wrong)


def _blunt(soft: nn.Module, signals: Tensor, theirs: Tensor) -> str | None:
    assert isinstance(soft, FeatureModel) and isinstance(soft.head, SoftTrees)
    with torch.no_grad():
        sharp = torch.cat([soft.head.soft(soft.features(part), SHARPEST_MV) for part in signals.split(BATCH)])
    ours, own = (scores.double() - scores.double().mean(dim=0) for scores in (sharp, theirs))
    size = ours.norm(dim=0) * own.norm(dim=0)
    least = ((ours * own).sum(dim=0)[size > 0] / size[size > 0]).min() if bool((size > 0).any()) else torch.tensor(1.0)
    if float(least) >= CORRELATION:
        return None
    return f"the soft forest correlates with the true one by {float(least):.3f} only, at its sharpest"


def has_soft_trees(module: nn.Module) -> bool:
    """Whether a part of the module is a softened forest: then :func:`tree_attack` is the attack on it."""
    return any(isinstance(part, SoftTrees) for part in module.modules())


def per_millivolt(features: nn.Module, signals: Tensor, used: Tensor) -> Tensor:
    """How far each of the ``used`` features (their columns) moves when every sample may move by 1 mV: the sum of its
    gradient's absolute values, mean over the recordings. (count,), in the features' own units per mV; zero for a
    feature that is not used."""
    signals = signals.clone().requires_grad_(True)
    columns = features(signals).sum(dim=0)  # recordings do not mix: the gradient of a sum is that of each
    found, one_of = torch.zeros(len(columns), dtype=columns.dtype), torch.eye(len(columns), dtype=columns.dtype)
    for some in used.split(AT_ONCE) if len(used) else ():
        (gradients,) = torch.autograd.grad(columns, signals, one_of[some], retain_graph=True, is_grads_batched=True)
        found[some] = gradients.abs().sum(dim=(2, 3)).mean(dim=1)
    return found


@dataclass(frozen=True)
class TreeSight:
    """Every look is at the recording as the recorder would write it (``step_mv``; 0 for none), so that each costs one
    gradient and shows the true scores of a recording that could be shipped. ``first``, ``last``: the nodes' width in
    budgets at the first and the last step."""

    step_mv: float = 0.0
    first: float = 1.0
    last: float = 0.02

    def place(self, signals: Tensor, delta: Tensor, norm: Norm, budget_mv: float) -> Tensor:
        """See :class:`attacks.gradient.Sight`. What an attack returns is not rounded yet; what the recorder makes of it
        is what was judged."""
        return (
            signals + delta
            if self.step_mv == 0
            else Recorder(self.step_mv, *INT16).shown(signals, delta, budget_mv, norm)
        )

    def sharpen(self, module: nn.Module, progress: float) -> None:
        """See :class:`attacks.gradient.Sight`."""
        anneal(module, progress)

    def ready(self, module: nn.Module, budget_mv: float) -> AbstractContextManager[None]:
        """See :class:`attacks.gradient.Sight`."""
        return node_widths(module, self.first * budget_mv, self.last * budget_mv)


def tree_attack(steps: int = 20, step_mv: float = 0.0, restarts: int = 1, ball: Region = LINF) -> Pgd:
    """Projected gradient descent on softened trees that keeps what the true ones say is best: of all points of its way,
    and of all ``restarts``, a recording keeps the one with the largest objective on the true scores."""
    return Pgd(steps, ball, restarts, sight=TreeSight(step_mv), keep="best")


@contextmanager
def node_widths(module: nn.Module, first_mv: float, last_mv: float) -> Iterator[None]:
    """Within it, the nodes of all soft trees of the module narrow from ``first_mv`` to ``last_mv``; after it they are
    as they were, so that what comes next does not depend on what was attacked before."""
    parts = [part for part in module.modules() if isinstance(part, SoftTrees)]
    before = [(part.first_mv, part.last_mv, part.width_mv) for part in parts]
    for part in parts:
        part.first_mv, part.last_mv = first_mv, last_mv
    try:
        yield
    finally:
        for part, kept in zip(parts, before, strict=True):
            part.first_mv, part.last_mv, part.width_mv = kept
