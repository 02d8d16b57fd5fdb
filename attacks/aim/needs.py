"""What kinds of model need of an attack: a forest another sight of it, features more steps, nets half precision.

In: an attack, the model that it is made on, and the scene. Out: the attack as that model needs it. Which of these a
method takes stands in its line of the table (:mod:`attacks.methods`); the first of them that fits counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from torch import nn

from pulseproof.attacks.gradient import Attack, Pgd
from pulseproof.attacks.method import Scene
from pulseproof.attacks.soft_trees import has_soft_trees, tree_attack
from pulseproof.models.classical import FeatureModel


class Need(Protocol):
    """``fits``: whether a model is of the kind. ``met``: the attack as that kind needs it."""

    def fits(self, model: nn.Module) -> bool: ...

    def met(self, attack: Pgd, scene: Scene) -> Attack: ...


@dataclass(frozen=True)
class OnForests:
    """A softened forest: the attack that judges every step on the true one, in the same ball, with ``effort`` times the
    steps (see :class:`OnFeatures`)."""

    effort: int = 2

    def fits(self, model: nn.Module) -> bool:
        """See :class:`Need`."""
        return isinstance(model, FeatureModel) and has_soft_trees(model)

    def met(self, attack: Pgd, scene: Scene) -> Attack:
        """See :class:`Need`."""
        return tree_attack(self.effort * attack.steps, scene.step_mv, ball=attack.ball)


@dataclass(frozen=True)
class OnFeatures:
    """Features bend more than nets do and cost a fraction of their time: ``effort`` times the steps (PTB-XL's forest at
    0.02 mV: .407 after 20, .392 after 40)."""

    effort: int = 2

    def fits(self, model: nn.Module) -> bool:
        """See :class:`Need`."""
        return isinstance(model, FeatureModel)

    def met(self, attack: Pgd, scene: Scene) -> Attack:
        """See :class:`Need`."""
        del scene
        return replace(attack, steps=self.effort * attack.steps)


@dataclass(frozen=True)
class InHalf:
    """Anything else: steps in bfloat16 where the scene says that they may be (:mod:`attacks.aim.precision`)."""

    def fits(self, model: nn.Module) -> bool:
        """See :class:`Need`."""
        del model
        return True

    def met(self, attack: Pgd, scene: Scene) -> Attack:
        """See :class:`Need`."""
        return replace(attack, half=scene.precision == "bfloat16")


@dataclass(frozen=True)
class Enough(InHalf):
    """Anything else; where the study asks for enough steps, half of them, with momentum, and none for recordings that
    have arrived (:func:`attacks.aim.region.share_left`). On PTB-XL's CNN the AUC reached is that of all steps within
    .002; not so everywhere (docs/attacks.md), which is why all steps are the default."""

    momentum: float = 0.5
    settles: float = 0.005

    def met(self, attack: Pgd, scene: Scene) -> Attack:
        """See :class:`Need`."""
        here = super().met(attack, scene)
        if scene.settings.effort == "all":
            return here
        assert isinstance(here, Pgd)
        return replace(here, steps=-(-here.steps // 2), momentum=self.momentum, settles=self.settles)


# Of projected gradient descent, and of what steps once or with momentum.
DESCENT: tuple[Need, ...] = (OnForests(), OnFeatures(), Enough())
HALF: tuple[Need, ...] = (InHalf(),)


def fitted(attack: Attack, needs: tuple[Need, ...], model: nn.Module, scene: Scene) -> Attack:
    """The attack as the model needs it, on recordings of the scene's rate."""
    here = attack.at_rate(scene.fs_hz)
    need = next((each for each in needs if each.fits(model)), None)
    if need is None:
        return here
    assert isinstance(here, Pgd), "what models need is said of projected gradient descent"
    return need.met(here, scene)
