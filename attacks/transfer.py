"""What makes an attack travel to models that the attacker does not have: ensembles, and inputs that vary.

In: modules from millivolts to scores. Out: a module in their place. :class:`Ensemble` averages several models (Liu,
Chen, Liu and Song 2017, "Delving into transferable adversarial examples"); :class:`Diverse` shows the model each
recording a little shifted, scaled and drifting, so that the gradient does not lean on one alignment (Xie et al. 2019,
"Improving transferability of adversarial examples with input diversity", made for images; here the changes that a
recorder makes). :class:`DiverseMethod` makes any attack so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from pulseproof.attacks.aim.aimed import Aimed
from pulseproof.attacks.aim.needs import Need
from pulseproof.attacks.aim.norms import Norm
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.method import Model, Perturbed, Prepared, Scene


class Ensemble(nn.Module):
    """The mean of several models' scores, each in units of its own ``spreads`` (classes,): one with large logits does
    not outvote the others."""

    def __init__(self, modules: Sequence[nn.Module], spreads: Sequence[Tensor]) -> None:
        super().__init__()
        self.members = nn.ModuleList(modules)
        self.spreads = list(spreads)

    def forward(self, x: Tensor) -> Tensor:
        scores = [member(x) / spread.to(x.device) for member, spread in zip(self.members, self.spreads, strict=True)]
        return torch.stack(scores).mean(dim=0)


class Diverse(nn.Module):
    """``inner`` on recordings that vary from call to call, wherever gradients are taken; elsewhere on them as they are,
    so that its scores are those of the model.

    Each recording (n, leads, samples) is shifted in time (circularly, at most ``shift`` of its length either way),
    scaled by at most ``scale`` either way, and given a slow sine of at most ``drift_mv`` on each lead. ``seed`` makes
    the random numbers.
    """

    def __init__(
        self, inner: nn.Module, seed: int, shift: float = 0.05, scale: float = 0.1, drift_mv: float = 0.2
    ) -> None:
        super().__init__()
        self.inner = inner
        self.shift, self.scale, self.drift_mv = shift, scale, drift_mv
        self._generator = torch.Generator().manual_seed(seed)

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and x.requires_grad:
            x = self.varied(x)
        scores: Tensor = self.inner(x)
        return scores

    def varied(self, x: Tensor) -> Tensor:
        """Every recording varied in its own way."""
        n, leads, samples = x.shape
        most = round(self.shift * samples)
        shifts = torch.randint(-most, most + 1, (n, 1), generator=self._generator)
        factor = 1 + self.scale * (2 * torch.rand((n, 1, 1), generator=self._generator) - 1)
        phase = torch.rand((n, leads, 1), generator=self._generator) + torch.arange(samples) / samples
        height = self.drift_mv * torch.rand((n, leads, 1), generator=self._generator)
        drift = height * torch.sin(2 * torch.pi * phase)  # drawn on the processor, wherever it is used
        return shifted(x, shifts.to(x.device)) * factor.to(x.device) + drift.to(x.device)


def shifted(x: Tensor, shifts: Tensor) -> Tensor:
    """Recordings (n, leads, samples), each later by its ``shifts`` (n, 1) samples, circularly."""
    samples = x.shape[2]
    places = (torch.arange(samples, device=x.device) - shifts) % samples
    return x.gather(2, places.unsqueeze(1).expand(-1, x.shape[1], -1))


@dataclass(frozen=True)
class DiverseMethod:
    """An attack on :class:`Diverse` inputs, for transfer. Falling steps with momentum reach further than equal ones on
    the source, and as far elsewhere."""

    aimed: Aimed
    shift: float = 0.05
    scale: float = 0.1
    drift_mv: float = 0.2

    @property
    def norm(self) -> Norm:
        """That of the attack's ball."""
        return self.aimed.norm

    @property
    def bounded(self) -> bool:
        """As the attack is."""
        return self.aimed.bounded

    @property
    def needs(self) -> tuple[Need, ...]:
        """Those of the attack."""
        return self.aimed.needs

    def prepare(self, model: Model, scene: Scene, generator: Generator) -> dict[str, Tensor]:
        """As :class:`~attacks.aim.aimed.Aimed`, on the varied model."""
        return self.aimed.prepare(self._varied(model, generator), scene, generator)

    def perturb(self, model: Model, scene: Scene, made: Prepared, victims: Victims, generator: Generator) -> Perturbed:
        """The attack on one shard."""
        return self.aimed.perturb(self._varied(model, generator), scene, made, victims, generator)

    def _varied(self, model: Model, generator: Generator) -> Diverse:
        assert isinstance(model, nn.Module)
        seed = int(torch.randint(2**62, (), generator=generator))
        return Diverse(model, seed, self.shift, self.scale, self.drift_mv)
