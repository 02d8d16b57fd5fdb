"""Where each tensor lies in the arena: known before anything runs.

In: the steps of a network. Out: a :class:`MemoryPlan`. Tensors that are never alive at once share memory: they are
placed from the largest to the smallest, each at the lowest place that is free during its life (greedy by size, first
fit: Pisarchyk and Lee 2020, "Efficient memory management for deep neural net inference", arXiv 2001.03288, section
5.2). The input is read where the caller has it, and the scores are written where he wants them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pulseproof.firmware.graph import NetGraph, NetTensor
from pulseproof.firmware.step import CStep

ALIGNMENT = 16  # bytes: of a vector register


@dataclass(frozen=True)
class ArenaBuffer:
    """A piece of memory that lives from step ``first`` to step ``last``, both included."""

    size: int
    first: int
    last: int


@dataclass(frozen=True)
class MemoryPlan:
    """``homes``: {tensor: the tensor in whose memory it lies}; ``places``: {tensor: offset in the arena} of those that
    have memory there; ``scratch``: {step: offset}; ``size``: of the arena, in bytes."""

    homes: dict[int, int]
    places: dict[int, int]
    scratch: dict[int, int]
    size: int

    def home(self, tensor: NetTensor) -> int:
        """The tensor in whose memory it lies."""
        return self.homes.get(tensor.at, tensor.at)


def plan(graph: NetGraph, steps: Sequence[CStep]) -> MemoryPlan:
    """Place all that is computed."""
    homes: dict[int, int] = {}
    for step in steps:
        if step.view:
            homes[step.output.at] = homes.get(step.inputs[0].at, step.inputs[0].at)
    buffers: dict[tuple[str, int], ArenaBuffer] = {}
    outside = {graph.entrance.at, homes.get(graph.exit.at, graph.exit.at)}
    for at, step in enumerate(steps):
        if step.scratch:
            buffers["scratch", at] = ArenaBuffer(step.scratch, at, at)
        if step.view or step.output.at in outside:
            continue
        last = max(
            (
                later
                for later, other in enumerate(steps)
                for one in other.inputs
                if homes.get(one.at, one.at) == step.output.at
            ),
            default=at,
        )
        buffers["tensor", step.output.at] = ArenaBuffer(step.output.size, at, last)
    places = place(buffers)
    return MemoryPlan(
        homes=homes,
        places={at: offset for (kind, at), offset in places.items() if kind == "tensor"},
        scratch={at: offset for (kind, at), offset in places.items() if kind == "scratch"},
        size=max((places[key] + aligned(one.size) for key, one in buffers.items()), default=0),
    )


def place(buffers: dict[tuple[str, int], ArenaBuffer]) -> dict[tuple[str, int], int]:
    """The offset of each buffer, so that no two that live at once overlap."""
    placed: dict[tuple[str, int], int] = {}
    for key in sorted(buffers, key=lambda one: (-buffers[one].size, buffers[one].first, one)):
        mine, offset = buffers[key], 0
        beside = [
            (placed[other], placed[other] + aligned(buffers[other].size))
            for other in placed
            if buffers[other].first <= mine.last and mine.first <= buffers[other].last
        ]
        for start, end in sorted(beside):
            if offset + mine.size <= start:
                break
            offset = max(offset, end)
        placed[key] = offset
    return placed


def aligned(size: int) -> int:
    """The next multiple of :data:`ALIGNMENT`."""
    return -(-size // ALIGNMENT) * ALIGNMENT
