"""One operator of a file that was read: a function, with the names of what it takes and gives.

In: values by name. Out: the same, with the operator's results among them.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pulseproof.twins.errors import NotCoveredError
from pulseproof.twins.room import MOST, Room, expect_room

__all__ = ["MOST", "GraphStep", "Run", "Trial", "expect_room", "perform"]

MOST_HELD = 2**27  # numbers of a file's constants, with those that are computed of them
Run = Callable[..., Tensor | tuple[Tensor, ...]]


@dataclass(frozen=True)
class GraphStep:
    """``run`` takes the tensors named by ``inputs`` (None where one is left out) and gives those of ``outputs``.
    ``kind``: the operator's name in its format."""

    run: Run
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    kind: str = ""


def perform(step: GraphStep, values: dict[str, Tensor]) -> None:
    """Run one step: its results are put among the values."""
    results = step.run(*(values[name] if name else None for name in step.inputs))
    results = results if isinstance(results, tuple) else (results,)
    values.update((name, result) for name, result in zip(step.outputs, results, strict=False) if name)


@dataclass
class Trial:
    """A graph while it is read, run once on a recording of zeros, operator by operator and with little room
    (:mod:`twins.room`). ``values``: of every name so far; of what depends on the signal only the shape and the type
    are kept, whatever its numbers were. ``constants``: what depends on none. ``held``: how many numbers those are."""

    values: dict[str, Tensor]
    constants: dict[str, Tensor]
    room: Room = field(default_factory=Room)
    held: int = 0

    def run(self, step: GraphStep, shapes: Container[str] = ()) -> bool:
        """Run one step; True where what it gives is a constant: a shape (an operator among ``shapes``), or of constants
        alone. Raises NotCoveredError where it gives more than an attack has room for."""
        self.expect_known(step.kind, step.inputs)
        for name in step.outputs:
            if name and name in self.values:
                raise ValueError(f"{step.kind} gives {name!r}, which there is already")
        self.room.kind = step.kind
        with self.room:
            perform(step, self.values)
        given = [name for name in step.outputs if name in self.values]
        for name in given:
            expect_room(step.kind, self.values[name].shape)
        if step.kind in shapes or all(name in self.constants for name in step.inputs if name):
            self.constants.update((name, self.values[name]) for name in given)
            self.held += sum(self.values[name].numel() for name in given)
            if self.held > MOST_HELD:
                raise NotCoveredError(f"constants of more than {MOST_HELD:,} numbers are not covered")
            return True
        for name in given:
            value = self.values[name]
            self.values[name] = torch.zeros((), dtype=value.dtype).expand(value.shape)
        return False

    def expect_known(self, kind: str, names: Iterable[str]) -> None:
        """Raises ValueError where an operator takes something that nothing before it gives: a circle, or a node that is
        missing."""
        for name in names:
            if name and name not in self.values:
                raise ValueError(f"{kind} takes {name!r}, which nothing before it gives")
