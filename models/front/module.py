"""A front as a torch module: what is written before a file's graph, for nets and for trying a scaling out.

In: a :class:`~models.front.plan.Front`. Out: float32 (n, leads, samples) mV to what the model sees.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as f

from pulseproof.models.front.plan import Front


class FrontModule(nn.Module):
    """float32 (n, leads, samples) mV to float32 (n, leads, samples) of the model, before its layout. It has no weights:
    its constants are no part of a state."""

    def __init__(self, front: Front) -> None:
        super().__init__()
        self.front = front
        if front.order is not None:
            self._hold("order", torch.tensor(front.order))
        if front.resampling is not None:
            self._hold("kernel", torch.from_numpy(front.resampling.kernel)[:, None, None])

    def _hold(self, name: str, values: Tensor) -> None:
        self.register_buffer(name, values, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        front = self.front
        if front.clip_mv is not None:
            x = x.clamp(-front.clip_mv, front.clip_mv)
        if front.order is not None:
            x = x.index_select(1, self._held("order"))
        if front.window is not None:
            x = x[:, :, front.window[0] : sum(front.window)]
        if front.resampling is not None:
            x = self._resampled(x)
        x = self._normalised(x * front.per_mv if front.per_mv != 1 else x)
        x = x * front.scale if front.scale != 1 else x
        return x + front.offset if front.offset else x

    def _held(self, name: str) -> Tensor:
        held: Any = getattr(self, name)
        assert isinstance(held, Tensor)
        return held

    def _resampled(self, x: Tensor) -> Tensor:
        how = self.front.resampling
        assert how is not None
        mean = x.mean(dim=2, keepdim=True)
        padded = f.pad(x - mean, (how.before, how.after))[:, None]
        y = f.conv2d(padded, self._held("kernel"), stride=(1, how.down))  # (n, up, leads, blocks)
        y = y.permute(0, 2, 3, 1).reshape(x.shape[0], x.shape[1], -1)
        return y[:, :, : self.front.sees[1]] + mean

    def _normalised(self, x: Tensor) -> Tensor:
        how = self.front.normalise
        if how in ("zscore", "zscore-lead"):
            axes = (1, 2) if how == "zscore" else (2,)
            centred = x - x.mean(dim=axes, keepdim=True)
            return centred / ((centred * centred).mean(dim=axes, keepdim=True) + self.front.small**2).sqrt()
        if how == "minmax":
            low = x.amin(dim=(1, 2), keepdim=True)
            return (x - low) / (x.amax(dim=(1, 2), keepdim=True) - low + self.front.small)
        if how == "robust":
            ordered = x.sort(dim=2, descending=True).values
            low, middle, high = (_weighted(ordered, pairs) for pairs in self.front.quartiles)
            return (x - middle) / (high - low + self.front.small)
        return x


def _weighted(ordered: Tensor, pairs: tuple[tuple[int, float], ...]) -> Tensor:
    return torch.stack([ordered[:, :, place : place + 1] * weight for place, weight in pairs]).sum(dim=0)
