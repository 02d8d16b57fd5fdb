"""One operator of a file that was read: a function, with the names of what it takes and gives.

In: values by name. Out: the same, with the operator's results among them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from pulseproof.twins.errors import NotCoveredError

MOST = 2**24  # numbers that one operator gives for one recording: times a batch, they lie in this process
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


def try_out(step: GraphStep, values: dict[str, Tensor]) -> None:
    """Run one step while its file is read. Raises NotCoveredError where it gives more than an attack has room for."""
    perform(step, values)
    large = max((values[name].numel() for name in step.outputs if name in values), default=0)
    if large > MOST:
        raise NotCoveredError(f"operator {step.kind} gives {large:,} numbers a recording, at most {MOST:,} are covered")
