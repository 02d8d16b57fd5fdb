"""What this net is, and after whom.  FILL what

In: float32 (n, leads, samples) in millivolts. Out: one logit a class, (n, classes).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pulseproof.models.nets import Normalise, conv

# Parts of your own.  FILL parts


class Mine(nn.Module):  # FILL class
    """Normalised, through a body that begins with a convolution, then the mean over time."""

    def __init__(self, leads: int, samples: int, classes: int, width: int = 16) -> None:
        super().__init__()
        del samples  # a mean over time takes recordings of any length
        self.normalise = Normalise()
        self.body = nn.Sequential(conv(leads, width, 7, stride=2), conv(width, 3 * width, 5, stride=2))  # FILL body
        self.head = nn.Linear(3 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.body(self.normalise(x))
        scores: Tensor = self.head(torch.mean(features, dim=2))
        return scores
