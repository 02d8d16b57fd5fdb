"""Models that deserve a flag, beside a plain one that deserves none, on small recordings of two leads.

Each hides from a gradient attack in a way that is known from the literature (Athalye et al. 2018), and is as easy to
fool as the plain one by whoever knows how.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pulseproof.attacks.aim.recorder import Recorder
from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.method import Scene
from pulseproof.core.study import AttackSpec

STEP_MV = 0.001
RECORDER = Recorder(STEP_MV, -32767, 32767)
LEADS, SAMPLES, CLASSES = 2, 64, 3


@dataclass(frozen=True)
class Sides:
    """Recordings to train on, to play against, and to attack."""

    training: Victims
    references: Victims
    victims: Victims


@functools.lru_cache
def sides() -> Sides:
    """Bumps of 0.15 mV in noise of 0.1 mV, in whole steps of the recorder; three labels, several at once."""
    generator = torch.Generator().manual_seed(1)
    time = torch.arange(SAMPLES)
    bumps = torch.stack([torch.exp(-(((time - place) / 4.0) ** 2)) for place in (16, 32, 48)])

    def some(count: int) -> Victims:
        labels = (torch.rand(count, CLASSES, generator=generator) < 0.4).float()
        signals = 0.1 * torch.randn(count, LEADS, SAMPLES, generator=generator)
        signals += 0.15 * (labels @ bumps).unsqueeze(1)
        return Victims((signals / STEP_MV).round() * STEP_MV, labels)

    return Sides(some(400), some(64), some(160))


@functools.lru_cache
def trained(seed: int, width: int = 24) -> nn.Module:
    """A plain net with a hidden layer."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(LEADS * SAMPLES, width), nn.ReLU(), nn.Linear(width, CLASSES))
    training = sides().training
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01, weight_decay=1e-3)
    for _ in range(80):
        optimizer.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(net(training.signals), training.labels).backward()
        optimizer.step()
    return net.eval().requires_grad_(False)


def scene(budget_mv: float, **settings: float) -> Scene:
    """What an attack on the small recordings may know."""
    asked = AttackSpec.model_validate({"steps": 20, "references": 64, "queries": 100} | settings)
    references = sides().references
    prevalence = references.labels.mean(dim=0)
    return Scene(budget_mv, STEP_MV, 100.0, asked, references, prevalence, lambda count: sides().training)


class Front(nn.Module):
    """Something before a net."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net


class Quantised(Front):
    """The signal in steps of 0.02 mV: rounding has no gradient at all."""

    def forward(self, x: Tensor) -> Tensor:
        return self.net((x / 0.02).round() * 0.02)


class Saturated(Front):
    """Scores behind a steep sigmoid, in float32: far from its middle nothing is left of the gradient."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(60 * self.net(x))


class _Turned(torch.autograd.Function):
    @staticmethod
    def forward(context: object, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(context: object, gradient: Tensor) -> Tensor:
        return -gradient


class Turned(Front):
    """A gradient of the wrong sign."""

    def forward(self, x: Tensor) -> Tensor:
        return self.net(_Turned.apply(x))


class Purified(Front):
    """A detector of rough signals, which are smoothed out of the gradient's sight: large budgets wake it."""

    def __init__(self, net: nn.Module, roughness: float) -> None:
        super().__init__(net)
        self.roughness = roughness

    def forward(self, x: Tensor) -> Tensor:
        rough = (x.diff(dim=-1).abs().mean(dim=(1, 2)) > self.roughness).reshape(-1, 1, 1)
        smooth = nn.functional.avg_pool1d(x.detach(), 5, 1, 2)
        return self.net(torch.where(rough, smooth, x))


class Constant(nn.Module):
    """The same scores for everybody."""

    def forward(self, x: Tensor) -> Tensor:
        return 0 * x.mean(dim=(1, 2)).unsqueeze(1) + torch.arange(CLASSES)


class Twisted(Front):
    """Waves on the way to the scores: a step too long or too few of them lands anywhere."""

    def __init__(self, net: nn.Module, height: float, length_mv: float) -> None:
        super().__init__(net)
        self.height, self.length_mv = height, length_mv

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x + self.height * torch.sin(x / self.length_mv))


class _UnmaskedClamp(torch.autograd.Function):
    @staticmethod
    def forward(context: object, x: Tensor) -> Tensor:
        return x.clamp(0, 1e6)

    @staticmethod
    def backward(context: object, gradient: Tensor) -> Tensor:
        return gradient


class Clamped(nn.Module):
    """A net of :func:`trained` whose ReLU became a quantizer's clamp, as in an int8 file, and which has some more units
    that nothing wakes. ``masked``: no gradient where the clamp clips; otherwise straight through, by the sleeping units
    as well."""

    def __init__(self, net: nn.Module, masked: bool) -> None:
        super().__init__()
        flat, first, _, last = net  # type: ignore[misc]
        generator = torch.Generator().manual_seed(4)
        asleep = torch.randn(24, LEADS * SAMPLES, generator=generator) / 10
        self.flat, self.masked = flat, masked
        self.first = torch.cat([first.weight, asleep])
        self.bias = torch.cat([first.bias, torch.full((24,), -10.0)])
        self.last = torch.cat([last.weight, torch.randn(CLASSES, 24, generator=generator)], dim=1)
        self.offset = last.bias

    def forward(self, x: Tensor) -> Tensor:
        hidden = nn.functional.linear(self.flat(x), self.first, self.bias)
        hidden = hidden.relu() if self.masked else _UnmaskedClamp.apply(hidden)
        return nn.functional.linear(hidden, self.last, self.offset)
