"""That the universal perturbation is learned at every shift: on a model that only knows one place in time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pulseproof.attacks.aim.victims import Victims
from pulseproof.attacks.method import Scene
from pulseproof.attacks.universal import UniversalMethod
from pulseproof.core.study import AttackSpec

SAMPLES = 40
BUDGET = 0.1


class OnePlace(nn.Module):
    """Scores what the recording has at one sample of its only lead, for the positives and the negatives alike."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0, 7:8]


def scene() -> Scene:
    """Every recording positive but the references, half of them negative: the only way is down."""
    signals = torch.randn(400, 1, SAMPLES, generator=torch.Generator().manual_seed(3))
    references = Victims(signals[:100], (torch.arange(100) % 2).float().unsqueeze(1))
    return Scene(
        budget_mv=BUDGET,
        step_mv=0.001,
        fs_hz=100.0,
        settings=AttackSpec(steps=10),
        references=references,
        prevalence=torch.tensor([0.5]),
        training=lambda count: Victims(signals[100 : 100 + count], torch.ones(count, 1)),
    )


def test_every_sample_is_learned_since_each_may_meet_the_place_that_counts() -> None:
    """Learned at one alignment, all samples but one would stay what they were at the random start."""
    here = scene()
    method = UniversalMethod(steps=10, records=300)
    generator = torch.Generator().manual_seed(1)
    delta = method.prepare(OnePlace(), here, generator)["delta"]
    assert delta.shape == (1, SAMPLES)
    assert (delta < -0.9 * BUDGET).all()
