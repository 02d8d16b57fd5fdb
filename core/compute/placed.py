"""A net on an accelerator: how it gets there, what must be said to torch meanwhile, and how many recordings fit.

In: a module from millivolts to scores, and torch's name of a device (:mod:`core.compute.device`). Out: a copy there.
Random numbers are drawn on the processor wherever they are used, so that a seed means the same everywhere.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn

# Bytes that a recording's gradient takes, in its own: PTB-XL's ECG-Lens keeps some 85 times its recording for the way
# back. What this gets wrong is mended when the memory runs out.
ROOM = 256
T = TypeVar("T")


def moved(module: nn.Module, device: str) -> nn.Module:
    """A copy of a module on a device; what is no parameter and no buffer stays where it is."""
    return copy.deepcopy(module).to(torch.device(device)).eval()


class Visiting(nn.Module):
    """``inner`` on a ``device``, for those who know of none: recordings go there and scores come back, and with them
    gradients, whose way back is the same."""

    def __init__(self, inner: nn.Module, device: str) -> None:
        super().__init__()
        self.device = device
        self.inner = inner.to(torch.device(device))

    def forward(self, x: Tensor) -> Tensor:
        with steady(self.device, *([] if self.training else [self.inner])):
            scores: Tensor = self.inner(x.to(torch.device(self.device)))
        return scores.cpu()


@contextmanager
def steady(device: str, *evaluated: nn.Module) -> Iterator[None]:
    """Within it an accelerator computes in float32 and repeats itself. ``evaluated``: modules in evaluation mode that
    gradients pass through.

    cuDNN has no backward of recurrent layers in evaluation mode, so it is left out for nets that have one; and its
    TensorFloat-32 would round every product to ten bits.
    """
    if device == "cpu":
        yield
        return
    recurrent = any(isinstance(part, nn.RNNBase) for module in evaluated for part in module.modules())
    with torch.backends.cudnn.flags(enabled=not recurrent, benchmark=False, deterministic=True, allow_tf32=False):
        yield


def fitting(like: Tensor, least: int) -> int:
    """How many recordings of ``like`` (n, leads, samples) go at once: ``least`` on a processor, whose cache is small;
    elsewhere what its free memory holds."""
    if like.device.type == "cpu" or not len(like):
        return least
    free = _free_bytes(like.device)
    return least if free is None else max(1, min(len(like), free // (ROOM * like[0].numel() * like.element_size())))


def _free_bytes(device: torch.device) -> int | None:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    return None


def in_parts(count: int, size: int, do: Callable[[slice], T]) -> list[T]:
    """What ``do`` gives for ``count`` recordings, ``size`` at a time. Where a device has no memory left, half as many
    go on from there. Raises torch.OutOfMemoryError where one is too many."""
    found: list[T] = []
    first = 0
    while first < count:
        try:
            found.append(do(slice(first, min(first + size, count))))
        except torch.OutOfMemoryError:
            size = min(size, count - first) // 2
            if not size:
                raise
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            continue
        first += size
    return found
