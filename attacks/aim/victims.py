"""The recordings that an attack disturbs, with their truth, as every method gets them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Victims:
    """``signals`` float32 (n, leads, samples) mV, ``labels`` float32 (n, classes) of 0 and 1."""

    signals: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.signals.ndim != 3 or self.labels.ndim != 2 or len(self.signals) != len(self.labels):
            shapes = f"{tuple(self.signals.shape)} and {tuple(self.labels.shape)}"
            raise ValueError(f"signals and labels are {shapes}, not (n, leads, samples) and (n, classes)")

    def __len__(self) -> int:
        return len(self.signals)

    def to(self, device: str) -> Victims:
        """The same recordings on a device of torch."""
        return Victims(self.signals.to(torch.device(device)), self.labels.to(torch.device(device)))

    def part(self, which: slice) -> Victims:
        """Some of the recordings."""
        return Victims(self.signals[which], self.labels[which])

    def batches(self, size: int) -> Iterator[tuple[slice, Victims]]:
        """The recordings in their order, ``size`` at a time, each part with its place."""
        for first in range(0, len(self), size):
            part = slice(first, min(first + size, len(self)))
            yield part, self.part(part)
